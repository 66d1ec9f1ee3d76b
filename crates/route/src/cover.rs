//! Conditions without which a rule cannot match: what an index may sort rules by.
//!
//! A [`Cover`] of a rule is a list of [`Atom`]s of which at least one is true whenever the rule is.
//! It may be true when the rule is not, so what an index finds is still to be evaluated; it must
//! never be false when the rule is true.

use heptad_core::Attr;
use ipnet::IpNet;

use crate::{Expr, Pattern, Text, text::plain_net};

/// A condition on one attribute that an index can look up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Atom<'r> {
    /// The attribute, as numbered by the table.
    pub(crate) slot: u32,
    pub(crate) probe: Probe<'r>,
}

/// See [`Atom`]. In order of how much it tells rules apart.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Probe<'r> {
    Exact(&'r [u8]),
    Cidr(IpNet),
    Prefix(&'r [u8]),
    Suffix(&'r [u8]),
    Range(i64, i64),
    Regex(&'r Pattern),
    Present,
}

impl Probe<'_> {
    pub(crate) fn rank(&self) -> u8 {
        match self {
            Self::Exact(_) => 0,
            Self::Cidr(_) => 1,
            Self::Prefix(_) => 2,
            Self::Suffix(_) => 3,
            Self::Range(..) => 4,
            Self::Regex(_) => 5,
            Self::Present => 6,
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Cover<'r> {
    pub(crate) atoms: Vec<Atom<'r>>,
    /// The worst of its atoms.
    pub(crate) rank: u8,
}

impl<'r> Cover<'r> {
    fn one(slot: u32, probe: Probe<'r>) -> Self {
        Self { rank: probe.rank(), atoms: vec![Atom { slot, probe }] }
    }

    /// The attribute, if this is a list of exact values of a single one.
    pub(crate) fn exact_slot(&self) -> Option<u32> {
        let slot = self.atoms.first()?.slot;
        (self.rank == 0 && self.atoms.iter().all(|a| a.slot == slot)).then_some(slot)
    }
}

/// Most covers kept of a rule, the most telling ones; a look-up descends at most this deep.
pub(crate) const MAX_COVERS: usize = 16;

/// Most atoms of a cover. A rule with more alternatives is evaluated at each look-up that gets as
/// far as its place in the list, instead of making the index larger than the rules.
const MAX_ATOMS: usize = 1024;

/// Covers of a rule, the most telling first.
pub(crate) fn covers<'r>(expr: &'r Expr, slot: &dyn Fn(&Attr) -> u32) -> Vec<Cover<'r>> {
    of_expr(expr, true, slot)
}

/// Covers of `expr` being true, or of it being false if not `wanted`.
fn of_expr<'r>(expr: &'r Expr, wanted: bool, slot: &dyn Fn(&Attr) -> u32) -> Vec<Cover<'r>> {
    match (expr, wanted) {
        (Expr::Attr(attr, text), _) => of_text(slot(attr), text, wanted),
        (Expr::Not(inner), _) => of_expr(inner, !wanted, slot),
        (Expr::All(exprs), true) | (Expr::Any(exprs), false) => {
            every(exprs.iter().map(|e| of_expr(e, wanted, slot)))
        }
        (Expr::Any(exprs), true) | (Expr::All(exprs), false) => {
            either(exprs.iter().map(|e| of_expr(e, wanted, slot)).collect())
        }
    }
}

fn of_text(slot: u32, text: &Text, wanted: bool) -> Vec<Cover<'_>> {
    let one = |probe| vec![Cover::one(slot, probe)];
    match (text, wanted) {
        (Text::Not(inner), _) => of_text(slot, inner, !wanted),
        (Text::All(texts), true) | (Text::Any(texts), false) => {
            every(texts.iter().map(|t| of_text(slot, t, wanted)))
        }
        (Text::Any(texts), true) | (Text::All(texts), false) => {
            either(texts.iter().map(|t| of_text(slot, t, wanted)).collect())
        }
        (Text::Present(present), _) if *present == wanted => one(Probe::Present),
        (_, false) | (Text::Present(_), _) => Vec::new(),
        (Text::Exact(text), true) => one(Probe::Exact(text.as_bytes())),
        (Text::Cidr(net), true) => one(Probe::Cidr(plain_net(net))),
        (Text::Prefix(text), true) if !text.is_empty() => one(Probe::Prefix(text.as_bytes())),
        (Text::Suffix(text), true) if !text.is_empty() => one(Probe::Suffix(text.as_bytes())),
        (Text::Range { from, to }, true) => one(Probe::Range(*from, *to)),
        (Text::Regex(pattern), true) => {
            let by_regex = Cover::one(slot, Probe::Regex(pattern));
            let prefixes = pattern.prefixes().iter();
            let atoms: Vec<_> = prefixes
                .map(|p| Cover::one(slot, Probe::Prefix(p)))
                .flat_map(|c| c.atoms)
                .collect();
            let rank = atoms.first().map(|a| a.probe.rank());
            let by_prefix = rank.map(|rank| Cover { atoms, rank });
            by_prefix.into_iter().chain([by_regex]).collect()
        }
        (Text::Prefix(_) | Text::Suffix(_) | Text::Contains(_), true) => one(Probe::Present),
    }
}

/// Of things that are all true, the covers of each are covers.
fn every<'r>(parts: impl Iterator<Item = Vec<Cover<'r>>>) -> Vec<Cover<'r>> {
    let mut all: Vec<_> = parts.flatten().collect();
    all.sort_by_key(|c| c.rank);
    all.truncate(MAX_COVERS);
    all
}

/// Of things of which one is true, a cover takes one cover of each. Taken together are, for each
/// attribute of which all parts name exact values, those; failing that, the best of each part.
fn either(mut parts: Vec<Vec<Cover<'_>>>) -> Vec<Cover<'_>> {
    if parts.len() == 1 {
        return parts.pop().unwrap_or_default();
    }
    let Some(first) = parts.first() else {
        // Never true: covered by no atom at all.
        return vec![Cover { atoms: Vec::new(), rank: 0 }];
    };
    let mut slots: Vec<u32> = first.iter().filter_map(Cover::exact_slot).collect();
    slots.dedup();
    let mut joint: Vec<_> =
        slots.iter().filter_map(|slot| join(&parts, |c| c.exact_slot() == Some(*slot))).collect();
    if joint.is_empty() {
        joint.extend(join(&parts, |_| true));
    }
    joint
}

/// The first cover that is `fit` of each part, together.
fn join<'r>(parts: &[Vec<Cover<'r>>], fit: impl Fn(&Cover<'r>) -> bool) -> Option<Cover<'r>> {
    let mut atoms = Vec::new();
    let mut rank = 0;
    for part in parts {
        let cover = part.iter().find(|c| fit(c))?;
        atoms.extend_from_slice(&cover.atoms);
        rank = rank.max(cover.rank);
        if atoms.len() > MAX_ATOMS {
            return None;
        }
    }
    Some(Cover { atoms, rank })
}
