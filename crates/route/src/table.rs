//! A list of rules and the first of them that matches.

use std::fmt;

use heptad_core::{Attr, Attributes, Want};

use crate::{Expr, MAX_DEPTH, Tri};

/// Most rules of a table.
pub const MAX_RULES: usize = 1_000_000;

/// Rules compiled to a look-up; immutable, to be shared by all workers.
#[derive(Debug)]
pub struct Table {
    rules: Vec<Expr>,
    attrs: Vec<Attr>,
}

/// What a look-up remembers while it runs, kept between look-ups so that they need not allocate.
///
/// One per worker serves any number of tables.
#[derive(Debug, Default)]
pub struct Scratch {}

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
        for (rule, expr) in rules.iter().enumerate() {
            if expr.depth() > MAX_DEPTH {
                return Err(CompileError {
                    rule,
                    message: format!("the match is nested deeper than {MAX_DEPTH} levels"),
                });
            }
            expr.attrs(&mut |attr| {
                if !attrs.contains(attr) {
                    attrs.push(attr.clone());
                }
            });
        }
        Ok(Self {
            rules: rules.to_vec(),
            attrs,
        })
    }

    /// The index of the first rule that matches the request. A rule whose answer is unknown does
    /// not match.
    pub fn find(&self, _scratch: &mut Scratch, attrs: &mut dyn Attributes) -> Option<usize> {
        self.rules.iter().position(|r| r.eval(attrs) == Tri::True)
    }

    /// Every attribute that some rule mentions, once each.
    pub fn attrs(&self) -> impl Iterator<Item = &Attr> {
        self.attrs.iter()
    }

    /// What a codec must be told that these rules will ask.
    pub fn want(&self) -> Want {
        let mut want = Want::default();
        want.headers = self.attrs.iter().any(|a| matches!(a, Attr::Header(_)));
        want
    }

    /// How many rules there are.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there is no rule.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }
}
