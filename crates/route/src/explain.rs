//! Why a rule matches a request or does not: the conditions that decide, the values found and what
//! was wanted, told by the same look-up that serves requests.

use std::{fmt, net::IpAddr};

use heptad_core::{Attr, Attributes, Unknown, Value};

use crate::{
    Scratch, Table, Text, Tri,
    find::{Check, Find},
};

/// An attribute's value, to keep.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "whoever shows it must show each kind")]
pub enum Seen {
    /// The request does not have it.
    Absent,
    /// It cannot be told.
    Unknown,
    /// Text.
    Bytes(Vec<u8>),
    /// An address.
    Ip(IpAddr),
    /// A number.
    Number(u64),
}

impl Seen {
    /// What reading an attribute found. A kind of value that is not known here is unknown.
    pub fn of(found: Result<Option<Value<'_>>, Unknown>) -> Self {
        match found {
            Ok(None) => Self::Absent,
            Ok(Some(Value::Bytes(bytes))) => Self::Bytes(bytes.to_vec()),
            Ok(Some(Value::Ip(ip))) => Self::Ip(ip),
            Ok(Some(Value::Number(n))) => Self::Number(n),
            Ok(Some(_)) | Err(_) => Self::Unknown,
        }
    }

    /// As whoever asks for the attribute gets it.
    pub fn found(&self) -> Result<Option<Value<'_>>, Unknown> {
        match self {
            Self::Absent => Ok(None),
            Self::Unknown => Err(Unknown),
            Self::Bytes(bytes) => Ok(Some(Value::Bytes(bytes))),
            Self::Ip(ip) => Ok(Some(Value::Ip(*ip))),
            Self::Number(n) => Ok(Some(Value::Number(*n))),
        }
    }
}

/// Longest part of a text that is shown, bytes.
const SHOWN: usize = 64;

fn quoted(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    let shown = bytes.get(..SHOWN).unwrap_or(bytes);
    // Text stays readable; what is not text is escaped.
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains(char::is_control) => {
            let shown: String = text.chars().take(SHOWN).collect();
            let more = if shown.len() < text.len() { "…" } else { "" };
            write!(f, "\"{}{more}\"", shown.replace('\\', "\\\\").replace('"', "\\\""))
        }
        _ => {
            let more = if shown.len() < bytes.len() { "…" } else { "" };
            write!(f, "\"{}{more}\"", shown.escape_ascii())
        }
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("absent"),
            Self::Unknown => f.write_str("unknown"),
            Self::Bytes(bytes) => quoted(f, bytes),
            Self::Ip(ip) => write!(f, "{}", ip.to_canonical()),
            Self::Number(n) => write!(f, "{n}"),
        }
    }
}

/// What is wanted, for people.
impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Alternatives that are shown of many.
        const FEW: usize = 6;
        let list = |f: &mut fmt::Formatter<'_>, texts: &[Self]| {
            for (at, text) in texts.iter().take(FEW).enumerate() {
                if at > 0 {
                    f.write_str(", ")?;
                }
                text.fmt(f)?;
            }
            match texts.len().saturating_sub(FEW) {
                0 => Ok(()),
                more => write!(f, ", … {more} more"),
            }
        };
        match self {
            Self::Exact(text) => quoted(f, text.as_bytes()),
            Self::Prefix(text) => f.write_str("prefix ").and_then(|()| quoted(f, text.as_bytes())),
            Self::Suffix(text) => f.write_str("suffix ").and_then(|()| quoted(f, text.as_bytes())),
            Self::Contains(text) => {
                f.write_str("containing ").and_then(|()| quoted(f, text.as_bytes()))
            }
            Self::Regex(pattern) => write!(f, "regex /{}/", pattern.source()),
            Self::Range { from, to } => write!(f, "{from} to {to}"),
            Self::Present(true) => f.write_str("any value"),
            Self::Present(false) => f.write_str("no value"),
            Self::Cidr(net) if net.prefix_len() == net.max_prefix_len() => {
                write!(f, "{}", net.addr())
            }
            Self::Cidr(net) => write!(f, "{net}"),
            Self::Not(inner) => write!(f, "not {inner}"),
            Self::Any(texts) if texts.is_empty() => f.write_str("what cannot be"),
            Self::All(texts) if texts.is_empty() => f.write_str("anything"),
            Self::Any(texts) | Self::All(texts) if texts.len() == 1 => list(f, texts),
            Self::Any(texts) => {
                f.write_str("one of (")?;
                list(f, texts)?;
                f.write_str(")")
            }
            Self::All(texts) => {
                f.write_str("all of (")?;
                list(f, texts)?;
                f.write_str(")")
            }
        }
    }
}

/// A condition that decided, alone or with the others given.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cause {
    /// The attribute that was asked for.
    pub attr: Attr,
    /// Its value.
    pub seen: Seen,
    /// What it was compared with.
    pub wanted: Text,
    /// The rule wants the opposite of `wanted`.
    pub negated: bool,
    /// Whether the value is as wanted, the negation included.
    pub said: Tri,
}

/// `method is "GET", wanted "SET"`; just `method is "GET"` if that is what was wanted.
impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { attr, seen, wanted, negated, said } = self;
        write!(f, "{attr} is {seen}")?;
        let not = if *negated { "not " } else { "" };
        let plain = !negated && matches!(wanted, Text::Exact(_) | Text::Present(_));
        match said {
            Tri::True if plain => Ok(()),
            Tri::True => write!(f, " ({not}{wanted})"),
            Tri::False | Tri::Unknown => write!(f, ", wanted {not}{wanted}"),
        }
    }
}

/// What a rule says of a request, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reason {
    /// The index of the rule.
    pub rule: usize,
    /// Its answer.
    pub said: Tri,
    /// The conditions that give this answer, whatever the others are: of conditions that must all
    /// hold the first that does not, of alternatives all. Empty for rules without conditions.
    pub causes: Vec<Cause>,
}

/// What a look-up found, and why not something else.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explained {
    /// What [`Table::find`] finds.
    pub found: Option<usize>,
    /// Of each rule up to the one that was found, that one included.
    pub reasons: Vec<Reason>,
}

impl Table {
    /// The look-up of [`Table::find`] with reasons. Costs what the rules before the one found cost;
    /// asks each attribute at most once all the same.
    pub fn explain(&self, scratch: &mut Scratch, attrs: &mut dyn Attributes) -> Explained {
        Find::new(&self.attrs, &self.checks, scratch, attrs).explain(&self.root)
    }
}

impl<'t> Find<'t, '_, '_> {
    fn explain(mut self, root: &'t crate::index::Node) -> Explained {
        self.node(root);
        let found = (self.best != u32::MAX).then_some(self.best as usize);
        let most = found.map_or(self.checks.len(), |found| found + 1);
        let mut reasons = Vec::new();
        for (rule, check) in self.checks.iter().enumerate().take(most) {
            let said = self.check(check);
            let mut causes = Vec::new();
            self.causes(check, said, false, &mut causes);
            reasons.push(Reason { rule, said, causes });
        }
        Explained { found, reasons }
    }

    /// Adds the conditions that make `check` say `said`; `negated` if the rule wants the opposite.
    fn causes(&mut self, check: &'t Check, said: Tri, negated: bool, to: &mut Vec<Cause>) {
        match check {
            Check::Attr(slot, text) => {
                let Some(attr) = self.slots.get(*slot as usize) else {
                    return;
                };
                let seen = Seen::of(self.value(*slot));
                let (text, flip) = match seen.found() {
                    Ok(value) => narrow(text, value, said == Tri::True),
                    Err(_) => (text, false),
                };
                let as_wanted = if negated { !said } else { said };
                let (wanted, negated) = match (text, negated != flip) {
                    // A plainer word for the same.
                    (Text::Present(present), true) => (Text::Present(!present), false),
                    (text, negated) => (text.clone(), negated),
                };
                let attr = attr.clone();
                to.push(Cause { attr, seen, wanted, negated, said: as_wanted });
            }
            Check::Not(inner) => self.causes(inner, !said, !negated, to),
            Check::Any(checks) | Check::All(checks) => {
                let every = matches!(
                    (check, said),
                    (Check::Any(_), Tri::False) | (Check::All(_), Tri::True)
                );
                for inner in checks {
                    if every || self.check(inner) == said {
                        self.causes(inner, said, negated, to);
                        if !every {
                            return;
                        }
                    }
                }
            }
        }
    }
}

/// The part of a text that makes it match the value, or not match; whether that part is negated.
fn narrow<'t>(text: &'t Text, value: Option<Value<'_>>, matches: bool) -> (&'t Text, bool) {
    let one = match text {
        Text::Not(inner) => {
            let (inner, flip) = narrow(inner, value, !matches);
            return (inner, !flip);
        }
        Text::Any(texts) if matches => texts.iter().find(|t| t.matches(value)),
        Text::All(texts) if !matches => texts.iter().find(|t| !t.matches(value)),
        _ => None,
    };
    one.map_or((text, false), |one| narrow(one, value, matches))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Expr;

    /// `method` is "GET", `key` is unknown, `source.ip` is 10.1.2.3, everything else is absent.
    struct Fixed;

    impl Attributes for Fixed {
        fn attr(&mut self, attr: &Attr) -> Result<Option<Value<'_>>, Unknown> {
            Ok(match attr {
                Attr::Method => Some(Value::Bytes(b"GET")),
                Attr::SourceIp => Some(Value::Ip([10, 1, 2, 3].into())),
                Attr::Key => return Err(Unknown),
                _ => None,
            })
        }
    }

    #[track_caller]
    fn check(json: &str, said: Tri, says: &[&str]) {
        let rule: crate::Match = serde_json::from_str(json).expect(json);
        let table = Table::compile(&[rule.0]).expect(json);
        let explained = table.explain(&mut Scratch::default(), &mut Fixed);
        assert_eq!(explained.found.is_some(), said == Tri::True, "{json}");
        assert_eq!(explained.reasons[0].said, said, "{json}");
        let causes: Vec<_> = explained.reasons[0].causes.iter().map(Cause::to_string).collect();
        assert_eq!(causes, says, "{json}");
    }

    #[test]
    fn conditions_that_decide_are_told_with_what_was_found() {
        use Tri::{False, True, Unknown};
        check("{}", True, &[]);
        check(r#"{"method": "GET"}"#, True, &["method is \"GET\""]);
        check(r#"{"method": "SET"}"#, False, &["method is \"GET\", wanted \"SET\""]);
        check(
            r#"{"method": {"prefix": "G"}, "service": "s", "header.x": "y"}"#,
            False,
            &["service is absent, wanted \"s\""],
        );
        check(
            r#"{"method": {"prefix": "G", "suffix": "T"}, "source.ip": "10.0.0.0/8"}"#,
            True,
            &[
                "method is \"GET\" (all of (prefix \"G\", suffix \"T\"))",
                "source.ip is 10.1.2.3 (10.0.0.0/8)",
            ],
        );
        check(
            r#"{"method": {"any": ["SET", {"regex": "H.*"}, {"range": [1, 5]}]}}"#,
            False,
            &["method is \"GET\", wanted one of (\"SET\", regex /H.*/, 1 to 5)"],
        );
        check(
            r#"{"method": {"prefix": "G", "not": {"contains": "E"}}}"#,
            False,
            &["method is \"GET\", wanted not containing \"E\""],
        );
        check(r#"{"not": {"method": "GET"}}"#, False, &["method is \"GET\", wanted not \"GET\""]);
        check(r#"{"not": {"method": "SET"}}"#, True, &["method is \"GET\" (not \"SET\")"]);
        check(
            r#"{"any": [{"method": "A"}, {"service": {"present": true}}]}"#,
            False,
            &["method is \"GET\", wanted \"A\"", "service is absent, wanted any value"],
        );
        check(
            r#"{"not": {"any": [{"method": "A"}, {"method": {"any": ["B", "GET"]}}]}}"#,
            False,
            &["method is \"GET\", wanted not \"GET\""],
        );
        check(r#"{"key": "a"}"#, Unknown, &["key is unknown, wanted \"a\""]);
        check(r#"{"not": {"key": "a"}}"#, Unknown, &["key is unknown, wanted not \"a\""]);
        check(r#"{"key": "a", "method": "B"}"#, False, &["method is \"GET\", wanted \"B\""]);
        check(r#"{"service": {"present": false}}"#, True, &["service is absent"]);
        let wants = &["service is absent, wanted any value"];
        check(r#"{"not": {"service": {"present": false}}}"#, False, wants);
    }

    #[test]
    fn texts_are_cut_and_bytes_escaped() {
        let seen = |bytes: &[u8]| Seen::Bytes(bytes.to_vec()).to_string();
        assert_eq!(seen("größe \"x\"".as_bytes()), "\"größe \\\"x\\\"\"");
        assert_eq!(seen(b"a\r\n\xff"), "\"a\\r\\n\\xff\"");
        assert_eq!(seen("ä".repeat(70).as_bytes()), format!("\"{}…\"", "ä".repeat(64)));
        assert_eq!(seen(&[b'\n'; 70]), format!("\"{}…\"", "\\n".repeat(64)));
        let many = Text::Any((0..9).map(|n| Text::Exact(n.to_string())).collect());
        assert_eq!(many.to_string(), "one of (\"0\", \"1\", \"2\", \"3\", \"4\", \"5\", … 3 more)");
        let expr = Expr::Any(Vec::new());
        let table = Table::compile(&[expr]).expect("a rule");
        let explained = table.explain(&mut Scratch::default(), &mut Fixed);
        assert_eq!(explained.found, None);
        assert!(explained.reasons[0].causes.is_empty());
    }
}
