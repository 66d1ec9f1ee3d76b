//! A list of rules and the first of them that matches.

use std::{collections::HashMap, fmt};

use foldhash::fast::FixedState;
use heptad_core::{Attr, Attributes, Want};

use crate::{
    Expr, MAX_DEPTH, Scratch,
    cover::covers,
    find::{Check, Find},
    index::{self, Node},
};

/// Most rules of a table.
pub const MAX_RULES: usize = 1_000_000;

/// Rules compiled to a look-up; immutable, to be shared by all workers.
///
/// A look-up asks for each attribute at most once and evaluates only rules whose necessary
/// conditions hold. Of exact values, prefixes, suffixes and networks the cost does not depend on
/// how many rules there are; of ranges it grows with the logarithm; of regular expressions that do
/// not begin with literal text, with how many there are by the dozen. Rules without any positive
/// condition (`not` alone) and those that have nothing but `contains` are evaluated one by one, in
/// order, up to the first that matches.
#[derive(Debug)]
pub struct Table {
    pub(crate) attrs: Vec<Attr>,
    pub(crate) checks: Vec<Check>,
    pub(crate) root: Node,
}

/// A rule cannot be compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CompileError {
    /// The index of the rule.
    pub rule: usize,
    /// One line, for the author of the rule.
    pub message: String,
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rule {}: {}", self.rule, self.message)
    }
}

impl std::error::Error for CompileError {}

impl Table {
    /// Compiles rules; fails at the first one that passes a limit.
    pub fn compile(rules: &[Expr]) -> Result<Self, CompileError> {
        if rules.len() > MAX_RULES {
            return Err(CompileError {
                rule: MAX_RULES,
                message: format!("a table has at most {MAX_RULES} rules"),
            });
        }
        let mut attrs: Vec<Attr> = Vec::new();
        let mut slots: HashMap<&Attr, u32, FixedState> = HashMap::default();
        for (rule, expr) in rules.iter().enumerate() {
            if expr.depth() > MAX_DEPTH {
                return Err(CompileError {
                    rule,
                    message: format!("the match is nested deeper than {MAX_DEPTH} levels"),
                });
            }
            expr.attrs(&mut |attr| {
                slots.entry(attr).or_insert_with(|| {
                    attrs.push(attr.clone());
                    u32::try_from(attrs.len() - 1).unwrap_or(u32::MAX)
                });
            });
        }
        let slot = |attr: &Attr| slots.get(attr).copied().unwrap_or(u32::MAX);
        let covers: Vec<_> = rules.iter().map(|rule| covers(rule, &slot)).collect();
        Ok(Self {
            root: index::build(&covers),
            checks: rules.iter().map(|rule| Check::new(rule, &slot)).collect(),
            attrs,
        })
    }

    /// The index of the first rule that matches the request. A rule whose answer is unknown does
    /// not match.
    pub fn find(&self, scratch: &mut Scratch, attrs: &mut dyn Attributes) -> Option<usize> {
        let find = Find::new(&self.attrs, &self.checks, scratch, attrs);
        find.run(&self.root).map(|rule| rule as usize)
    }

    /// Every attribute that some rule mentions, once each.
    pub fn attrs(&self) -> impl Iterator<Item = &Attr> {
        self.attrs.iter()
    }

    /// What a codec must be told that these rules will ask.
    pub fn want(&self) -> Want {
        let mut want = Want::default();
        self.attrs.iter().for_each(|attr| want |= attr.want());
        want
    }

    /// How many rules there are.
    pub fn len(&self) -> usize {
        self.checks.len()
    }

    /// Whether there is no rule.
    pub fn is_empty(&self) -> bool {
        self.checks.is_empty()
    }
}
