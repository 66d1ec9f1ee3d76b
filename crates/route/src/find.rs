//! One look-up: walks the index, asks each attribute at most once, and evaluates what it finds.

use std::net::IpAddr;

use heptad_core::{Attr, Attributes, Unknown, Value};

use crate::{
    Expr, Text, Tri,
    index::{self, Bucket, Node, Path, Way},
    text::{self, Form},
};

/// Bytes of values that a [`Scratch`] keeps room for between look-ups.
const KEEP: usize = 64 * 1024;

/// What a look-up remembers while it runs, kept between look-ups so that they need not allocate:
/// one that asks for no more attributes and bytes than one before does not.
///
/// One per worker serves any number of tables. Holds the last request's values until the next
/// look-up.
#[derive(Debug, Default)]
pub struct Scratch {
    memos: Vec<Memo>,
    /// Values, one behind the other.
    bytes: Vec<u8>,
    /// Counts look-ups; a memo of an earlier one is void.
    epoch: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Memo {
    epoch: u64,
    state: State,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Absent,
    Unknown,
    /// From and to, in the scratch.
    Bytes(usize, usize),
    Ip(IpAddr),
    Number(u64),
}

impl Scratch {
    fn begin(&mut self, slots: usize) {
        self.epoch += 1;
        self.bytes.clear();
        self.bytes.shrink_to(KEEP);
        if self.memos.len() < slots {
            self.memos.resize(slots, Memo::default());
        }
    }
}

/// A rule with its attributes as the table numbers them.
#[derive(Debug)]
pub(crate) enum Check {
    Attr(u32, Text),
    Not(Box<Check>),
    Any(Box<[Check]>),
    All(Box<[Check]>),
}

impl Check {
    pub(crate) fn new(expr: &Expr, slot: &dyn Fn(&Attr) -> u32) -> Self {
        let each = |exprs: &[Expr]| exprs.iter().map(|e| Self::new(e, slot)).collect();
        match expr {
            Expr::Attr(attr, text) => Self::Attr(slot(attr), text.clone()),
            Expr::Not(inner) => Self::Not(Box::new(Self::new(inner, slot))),
            Expr::Any(exprs) => Self::Any(each(exprs)),
            Expr::All(exprs) => Self::All(each(exprs)),
        }
    }
}

/// A look-up in progress.
pub(crate) struct Find<'t, 's, 'a> {
    pub(crate) slots: &'t [Attr],
    pub(crate) checks: &'t [Check],
    scratch: &'s mut Scratch,
    attrs: &'a mut dyn Attributes,
    /// The first rule known to match; only earlier ones are of interest.
    pub(crate) best: u32,
}

impl<'t, 's, 'a> Find<'t, 's, 'a> {
    pub(crate) fn new(
        slots: &'t [Attr],
        checks: &'t [Check],
        scratch: &'s mut Scratch,
        attrs: &'a mut dyn Attributes,
    ) -> Self {
        scratch.begin(slots.len());
        Self { slots, checks, scratch, attrs, best: u32::MAX }
    }

    pub(crate) fn run(mut self, root: &'t Node) -> Option<u32> {
        self.node(root);
        (self.best != u32::MAX).then_some(self.best)
    }

    pub(crate) fn node(&mut self, node: &'t Node) {
        for path in &node.paths {
            if path.first >= self.best {
                break;
            }
            self.path(path);
        }
    }

    fn path(&mut self, path: &'t Path) {
        let slot = path.slot;
        match &path.way {
            Way::Exact(buckets) => {
                if let Some(bucket) = self.hash(slot).and_then(|hash| buckets.get(&hash)) {
                    self.bucket(bucket);
                }
            }
            Way::Affixes(affixes) => {
                let form = self.present(slot).map(|v| Form::new(&v));
                let mut at = form.and_then(|form| affixes.longest(form.bytes()));
                while let Some(affix) = at.and_then(|i| affixes.affix(i)) {
                    if affix.first >= self.best {
                        break;
                    }
                    self.bucket(&affix.bucket);
                    at = affix.shorter;
                }
            }
            Way::Nets(nets) => {
                if let Some(ip) = self.present(slot).and_then(text::address) {
                    nets.of(ip).for_each(|bucket| self.bucket(bucket));
                }
            }
            Way::Ranges(ranges) => {
                if let Some(n) = self.present(slot).and_then(text::integer) {
                    ranges.of(n).for_each(|bucket| self.bucket(bucket));
                }
            }
            Way::Regexes(regexes) => {
                let form = self.present(slot).map(|v| Form::new(&v));
                let Some(state) = form.and_then(|form| regexes.full.run(form.bytes())) else {
                    return;
                };
                let matched = regexes.full.matched(state);
                matched
                    .filter_map(|i| regexes.buckets.get(i))
                    .for_each(|bucket| self.bucket(bucket));
            }
            Way::Present(bucket) => {
                if self.present(slot).is_some() {
                    self.bucket(bucket);
                }
            }
            Way::Always(bucket) => self.bucket(bucket),
        }
    }

    fn bucket(&mut self, bucket: &'t Bucket) {
        match bucket {
            Bucket::One(rule) => {
                self.rule(*rule);
            }
            Bucket::Few(rules) => {
                for rule in rules {
                    if self.rule(*rule) {
                        break;
                    }
                }
            }
            Bucket::Node(node) => self.node(node),
        }
    }

    /// Whether later rules are of no interest any more.
    fn rule(&mut self, rule: u32) -> bool {
        if rule >= self.best {
            return true;
        }
        let Some(check) = self.checks.get(rule as usize) else {
            return true;
        };
        let matches = self.check(check) == Tri::True;
        if matches {
            self.best = rule;
        }
        matches
    }

    pub(crate) fn check(&mut self, check: &'t Check) -> Tri {
        match check {
            Check::Attr(slot, text) => match self.value(*slot) {
                Ok(value) => text.matches(value).into(),
                Err(_) => Tri::Unknown,
            },
            Check::Not(inner) => !self.check(inner),
            Check::Any(checks) => Tri::any(checks.iter().map(|c| self.check(c))),
            Check::All(checks) => Tri::all(checks.iter().map(|c| self.check(c))),
        }
    }

    fn present(&mut self, slot: u32) -> Option<Value<'_>> {
        self.value(slot).ok().flatten()
    }

    pub(crate) fn value(&mut self, slot: u32) -> Result<Option<Value<'_>>, Unknown> {
        Ok(Some(match self.memo(slot) {
            State::Unknown => return Err(Unknown),
            State::Absent => return Ok(None),
            State::Bytes(from, to) => {
                Value::Bytes(self.scratch.bytes.get(from..to).unwrap_or_default())
            }
            State::Ip(ip) => Value::Ip(ip),
            State::Number(n) => Value::Number(n),
        }))
    }

    /// The hash of the value's text form, if there is a value.
    fn hash(&mut self, slot: u32) -> Option<u64> {
        let value = self.present(slot)?;
        let hash = index::hash(Form::new(&value).bytes());
        Some(hash)
    }

    fn memo(&mut self, slot: u32) -> State {
        let Scratch { memos, bytes, epoch } = &mut *self.scratch;
        let (Some(memo), Some(attr)) =
            (memos.get_mut(slot as usize), self.slots.get(slot as usize))
        else {
            return State::Absent;
        };
        if memo.epoch != *epoch {
            memo.epoch = *epoch;
            memo.state = match self.attrs.attr(attr) {
                Err(_) => State::Unknown,
                Ok(None) => State::Absent,
                Ok(Some(Value::Ip(ip))) => State::Ip(ip),
                Ok(Some(Value::Number(n))) => State::Number(n),
                Ok(Some(Value::Bytes(value))) => {
                    let from = bytes.len();
                    bytes.extend_from_slice(value);
                    State::Bytes(from, bytes.len())
                }
                // A kind of value that this crate does not know cannot be told to match.
                Ok(Some(_)) => State::Unknown,
            };
        }
        memo.state
    }
}
