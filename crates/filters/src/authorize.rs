//! `authorize`: who may ask for what.
//!
//! Knows attributes and keys, no protocol; whatever a codec cannot tell counts against the request.

use std::{borrow::Cow, fmt::Write as _, sync::Arc};

use heptad_core::{
    Attr, Attributes, Filter, FilterWorker, OptionsError, Outcome, Refusal, Repeats, Request, Time,
    Unknown, Value, Verdict, Want,
};
use heptad_route::{Expr, Match, Tri};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::tally::{Counter, Tally};

/// The options of [`Authorize`].
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct AuthorizeOptions {
    /// Only counts what would be refused.
    pub audit: bool,
    /// A request that matches one of these is refused, whatever `allow` says.
    pub deny: Option<Vec<Match>>,
    /// If given, a request that matches none of these is refused.
    pub allow: Option<Vec<Match>>,
    /// What a refused client is told. Without it: which rule refused the request.
    pub text: Option<String>,
}

/// Refuses requests by rules: first those that deny, then, if there are any, those that allow.
///
/// A deny rule applies unless it surely does not match, an allow rule if it surely does: an
/// attribute that could not be read matches every deny rule and no allow rule, through `not` as
/// well. A rule that mentions `key` is asked for each key of the request: to deny, one key is
/// enough; to allow, every one must match the rule.
#[derive(Debug)]
pub struct Authorize {
    rules: Arc<Rules>,
    counts: Tally<4>,
}

/// What is counted, in the order of [`Tally`].
const COUNTED: [&str; 4] = ["allowed", "denied", "would_deny", "unknown"];
const ALLOWED: usize = 0;
const DENIED: usize = 1;
const WOULD_DENY: usize = 2;
const UNKNOWN: usize = 3;

#[derive(Debug)]
struct Rules {
    audit: bool,
    deny: Vec<Rule>,
    allow: Vec<Rule>,
    text: Option<String>,
    want: Want,
    /// For which requests the rules say the same.
    repeats: Repeats,
}

#[derive(Debug)]
struct Rule {
    expr: Expr,
    /// It mentions `key`.
    keyed: bool,
}

/// What the rules say of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decision {
    /// No rule is against it.
    Allowed,
    /// This deny rule applies; whether only because something could not be read.
    Denied(usize, Tri),
    /// There are allow rules, and none applies.
    NotAllowed,
}

/// What one rule says of a request, and the number of the key that decided, if one did.
type Said = (Tri, Option<usize>);

impl Authorize {
    /// A policy of these rules. Fails if there are none, because nobody means that.
    pub fn new(options: &AuthorizeOptions) -> Result<Self, OptionsError> {
        if options.deny.is_none() && options.allow.is_none() {
            return Err(OptionsError::new("", "give `deny` or `allow` rules"));
        }
        for (key, rules) in [("deny", &options.deny), ("allow", &options.allow)] {
            if rules.as_ref().is_some_and(Vec::is_empty) {
                return Err(OptionsError::new(
                    key,
                    format!("`{key}` has no rules: remove it; `deny: [ {{}} ]` refuses everything"),
                ));
            }
        }
        if let Some(text) = &options.text
            && (text.is_empty() || text.len() > 512 || text.chars().any(char::is_control))
        {
            let message = "`text` must be one line of 1 to 512 bytes without control characters";
            return Err(OptionsError::new("text", message));
        }
        let (mut want, mut repeats) = (Want::default(), Repeats::Always);
        let mut compile = |rules: &Option<Vec<Match>>| -> Vec<Rule> {
            let rule = |Match(expr): &Match| {
                let mut keyed = false;
                expr.attrs(&mut |attr| {
                    keyed |= *attr == Attr::Key;
                    want |= attr.want();
                    repeats = repeats.and(Repeats::by([attr]));
                });
                Rule { expr: expr.clone(), keyed }
            };
            rules.iter().flatten().map(rule).collect()
        };
        let (deny, allow) = (compile(&options.deny), compile(&options.allow));
        let (audit, text) = (options.audit, options.text.clone());
        let rules = Arc::new(Rules { audit, deny, allow, text, want, repeats });
        Ok(Self { rules, counts: Tally::default() })
    }
}

impl Filter for Authorize {
    fn name(&self) -> &str {
        "authorize"
    }

    fn worker(&self, _: u64) -> Box<dyn FilterWorker> {
        let (rules, counts) = (self.rules.clone(), self.counts.counter());
        Box::new(Worker { rules, counts, keys: Keys::default(), allowed: false })
    }

    fn want(&self) -> Want {
        self.rules.want
    }

    fn explain(&self, request: &mut dyn Request) -> String {
        self.rules.explain(request)
    }

    fn counters(&self, each: &mut dyn FnMut(&str, u64)) {
        for (name, count) in COUNTED.into_iter().zip(self.counts.sums()) {
            each(name, count);
        }
    }
}

struct Worker {
    rules: Arc<Rules>,
    counts: Counter<4>,
    keys: Keys,
    /// The last request was allowed.
    allowed: bool,
}

impl FilterWorker for Worker {
    fn request(&mut self, _: Time, request: &mut dyn Request, _: &mut u64) -> Verdict {
        let decision = self.rules.decide(request, &mut self.keys);
        self.allowed = decision == Decision::Allowed;
        if decision == Decision::Allowed {
            self.counts.add(ALLOWED);
            return Verdict::Pass;
        }
        if matches!(decision, Decision::Denied(_, Tri::Unknown)) {
            self.counts.add(UNKNOWN);
        }
        if self.rules.audit {
            self.counts.add(WOULD_DENY);
            return Verdict::Pass;
        }
        self.counts.add(DENIED);
        Verdict::Refuse(Refusal::new(Outcome::Denied, self.rules.text(decision)))
    }

    fn repeats(&self) -> Repeats {
        if self.allowed { self.rules.repeats } else { Repeats::No }
    }

    fn repeated(&mut self) -> bool {
        self.counts.add(ALLOWED);
        true
    }
}

impl Rules {
    fn decide(&self, request: &mut dyn Request, keys: &mut Keys) -> Decision {
        keys.forget();
        for (at, rule) in self.deny.iter().enumerate() {
            // Most rules ask for no key.
            let said = match rule.keyed {
                false => rule.expr.eval(request),
                true => rule.denies(request, keys).0,
            };
            if said != Tri::False {
                return Decision::Denied(at, said);
            }
        }
        let mut allows = |rule: &Rule| match rule.keyed {
            false => rule.expr.eval(request),
            true => rule.allows(request, keys).0,
        };
        if self.allow.is_empty() || self.allow.iter().any(|rule| allows(rule) == Tri::True) {
            return Decision::Allowed;
        }
        Decision::NotAllowed
    }

    fn text(&self, decision: Decision) -> Cow<'static, str> {
        match (&self.text, decision) {
            (Some(text), _) => text.clone().into(),
            (None, Decision::Denied(at, Tri::Unknown)) => {
                format!("denied by rule deny[{at}] of authorize: what it asks for is unknown")
                    .into()
            }
            (None, Decision::Denied(at, _)) => {
                format!("denied by rule deny[{at}] of authorize").into()
            }
            (None, _) => "no allow rule of authorize matches".into(),
        }
    }

    /// The same questions in the same order as [`Rules::decide`], told one by one.
    fn explain(&self, request: &mut dyn Request) -> String {
        let mut keys = Keys::default();
        let mut out = String::new();
        // Writing to a string cannot fail.
        let end = |mut out: String, word: &str| {
            let audit = if self.audit { ", if it were not for `audit`" } else { "" };
            let _ = write!(out, "so the request is {word}{audit}");
            out
        };
        for (at, rule) in self.deny.iter().enumerate() {
            let said = rule.denies(request, &mut keys);
            let why = rule.why(said, request, &keys);
            match said.0 {
                Tri::False => {
                    let _ = writeln!(out, "deny[{at}] does not match: {why}");
                }
                Tri::True => {
                    let _ = writeln!(out, "deny[{at}] matches: {why}");
                    return end(out, "refused");
                }
                Tri::Unknown => {
                    let _ = writeln!(out, "deny[{at}] counts as matching: {why}");
                    return end(out, "refused");
                }
            }
        }
        for (at, rule) in self.allow.iter().enumerate() {
            let said = rule.allows(request, &mut keys);
            let why = rule.why(said, request, &keys);
            match said.0 {
                Tri::True => {
                    let _ = writeln!(out, "allow[{at}] matches: {why}");
                    out.push_str("so the request is allowed");
                    return out;
                }
                Tri::False => {
                    let _ = writeln!(out, "allow[{at}] does not match: {why}");
                }
                Tri::Unknown => {
                    let _ = writeln!(out, "allow[{at}] does not surely match: {why}");
                }
            }
        }
        if self.allow.is_empty() {
            out.push_str("there are no allow rules, so the request is allowed");
            return out;
        }
        let _ = writeln!(out, "no allow rule matches");
        end(out, "refused")
    }
}

impl Rule {
    /// Whether it denies: one key that matches, or may, is enough.
    fn denies(&self, request: &mut dyn Request, keys: &mut Keys) -> Said {
        self.ask(request, keys, |said| said != Tri::False)
    }

    /// Whether it allows: one key that does not surely match is enough not to.
    fn allows(&self, request: &mut dyn Request, keys: &mut Keys) -> Said {
        self.ask(request, keys, |said| said != Tri::True)
    }

    /// What it says of the first key by which it is `decided`; else of the last one.
    fn ask(
        &self,
        request: &mut dyn Request,
        keys: &mut Keys,
        decided: impl Fn(Tri) -> bool,
    ) -> Said {
        if !self.keyed {
            return (self.expr.eval(request), None);
        }
        // Most rules are decided by their other attributes, whatever the keys are.
        let blind = self.expr.eval(&mut WithKey { request, key: Err(Unknown) });
        if blind != Tri::Unknown {
            return (blind, None);
        }
        if keys.read(request).is_err() {
            return (Tri::Unknown, None);
        }
        if keys.ends.is_empty() {
            return (self.expr.eval(&mut WithKey { request, key: Ok(None) }), None);
        }
        let mut said = (Tri::Unknown, None);
        for (at, key) in keys.iter().enumerate() {
            let one = self.expr.eval(&mut WithKey { request, key: Ok(Some(key)) });
            said = (one, Some(at));
            if decided(one) {
                break;
            }
        }
        said
    }

    /// The attribute that made it say so.
    fn why(&self, (said, at): Said, request: &mut dyn Request, keys: &Keys) -> String {
        let key = match (keys.found, at.and_then(|at| keys.iter().nth(at))) {
            (_, Some(key)) => Ok(Some(key)),
            (Some(Ok(())), None) if keys.ends.is_empty() => Ok(None),
            _ => Err(Unknown),
        };
        let reason = |attrs: &mut dyn Attributes| reason(&self.expr, said, attrs);
        let reason =
            if self.keyed { reason(&mut WithKey { request, key }) } else { reason(request) };
        reason.unwrap_or_else(|| "it asks for nothing".into())
    }
}

/// The first attribute that makes an expression give this answer, and its value.
fn reason(expr: &Expr, said: Tri, attrs: &mut dyn Attributes) -> Option<String> {
    match expr {
        Expr::Attr(attr, _) => Some(match attrs.attr(attr) {
            Err(_) => format!("{attr} is unknown"),
            Ok(None) => format!("{attr} is absent"),
            Ok(Some(Value::Bytes(bytes))) => {
                let shown = bytes.get(..64).unwrap_or(bytes);
                let more = if shown.len() < bytes.len() { "…" } else { "" };
                format!("{attr} is \"{}{more}\"", shown.escape_ascii())
            }
            Ok(Some(Value::Ip(ip))) => format!("{attr} is {ip}"),
            Ok(Some(Value::Number(n))) => format!("{attr} is {n}"),
            Ok(Some(_)) => format!("{attr} is something"),
        }),
        Expr::Not(inner) => reason(inner, !said, attrs),
        Expr::Any(exprs) | Expr::All(exprs) => {
            let same = exprs.iter().find(|expr| expr.eval(attrs) == said)?;
            reason(same, said, attrs)
        }
        _ => None,
    }
}

/// A request as if this were its key.
struct WithKey<'a> {
    request: &'a mut dyn Request,
    key: Result<Option<&'a [u8]>, Unknown>,
}

impl Attributes for WithKey<'_> {
    fn attr(&mut self, attr: &Attr) -> Result<Option<Value<'_>>, Unknown> {
        match attr {
            Attr::Key => self.key.map(|key| key.map(Value::Bytes)),
            _ => self.request.attr(attr),
        }
    }
}

/// The keys of the request at hand: read when the first rule asks, in buffers that are used again.
#[derive(Debug, Default)]
struct Keys {
    text: Vec<u8>,
    ends: Vec<usize>,
    found: Option<Result<(), Unknown>>,
}

/// More than this is given back after a request.
const KEEP: usize = 64 << 10;

impl Keys {
    fn forget(&mut self) {
        if self.found.take().is_none() {
            return;
        }
        self.text.clear();
        self.ends.clear();
        self.text.shrink_to(KEEP);
        self.ends.shrink_to(KEEP / 8);
    }

    fn read(&mut self, request: &mut dyn Request) -> Result<(), Unknown> {
        let Self { text, ends, found } = self;
        *found.get_or_insert_with(|| {
            request.keys(&mut |key| {
                text.extend_from_slice(key);
                ends.push(text.len());
            })
        })
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut from = 0;
        self.ends.iter().map(move |end| {
            let key = self.text.get(from..*end).unwrap_or_default();
            from = *end;
            key
        })
    }
}
