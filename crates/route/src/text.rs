//! What may be asked of one attribute's value, and the answer for a given value.
//!
//! Two-valued on purpose: a value is there or absent here. That a value may be unknown is the
//! business of [`Expr`](crate::Expr).

use std::{fmt, io::Write, net::IpAddr, ops::RangeInclusive};

use heptad_core::{Attr, Value};
use ipnet::{IpNet, Ipv4Net};

use crate::Pattern;

/// A match on the value of one attribute.
///
/// Every word but `Not` and `Present(false)` is false for an absent value. Addresses and numbers
/// are compared in their usual text form (`10.1.2.3`, `8080`); an IPv4 address that came in through
/// an IPv6 socket (`::ffff:10.1.2.3`) is the IPv4 address.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Text {
    /// The same bytes.
    Exact(String),
    /// Begins with these bytes.
    Prefix(String),
    /// Ends with these bytes.
    Suffix(String),
    /// Has these bytes anywhere.
    Contains(String),
    /// The whole value matches; see [`Pattern`].
    Regex(Pattern),
    /// A decimal integer (an optional `-` and digits, nothing else) in the inclusive range.
    Range {
        /// The least that matches.
        from: i64,
        /// The greatest that matches.
        to: i64,
    },
    /// `true`: there is a value, even if empty. `false`: there is none.
    Present(bool),
    /// An address within the network.
    Cidr(IpNet),
    /// The opposite; true for an absent value if the inner match is false for it.
    Not(Box<Text>),
    /// At least one; nothing matches an empty list.
    Any(Vec<Text>),
    /// Every one; anything, also an absent value, matches an empty list.
    All(Vec<Text>),
}

/// A text cannot be a match for its attribute; the message says what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InvalidText {
    /// One line, for the author of the configuration.
    pub message: String,
}

impl InvalidText {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }
}

impl fmt::Display for InvalidText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for InvalidText {}

impl Text {
    /// What a bare string means on `attr`: the same text; on `source.ip` an address or a network;
    /// on a port a number.
    pub fn exact_for(attr: &Attr, text: &str) -> Result<Self, InvalidText> {
        match attr {
            Attr::SourceIp => {
                let net = text
                    .parse::<IpNet>()
                    .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
                    .map_err(|_| {
                        InvalidText::new(format!(
                            "expected an address (10.1.2.3) or a network (10.0.0.0/8), got {text:?}"
                        ))
                    })?;
                Ok(Self::Cidr(net))
            }
            Attr::SourcePort | Attr::DestinationPort => match text.parse::<u16>() {
                Ok(port) if port.to_string() == text => Ok(Self::Exact(text.into())),
                _ => Err(InvalidText::new(format!("expected a port (0 to 65535), got {text:?}"))),
            },
            _ => Ok(Self::Exact(text.into())),
        }
    }

    /// A regular expression.
    pub fn regex(source: &str) -> Result<Self, InvalidText> {
        Pattern::new(source).map(Self::Regex)
    }

    /// Whether the value matches; `None` is an absent one.
    #[inline]
    pub fn matches(&self, value: Option<Value<'_>>) -> bool {
        // By far the most frequent questions.
        match (self, value) {
            (Self::Exact(text), Some(Value::Bytes(bytes))) => bytes == text.as_bytes(),
            (Self::Cidr(IpNet::V4(net)), Some(Value::Ip(IpAddr::V4(ip)))) => net.contains(&ip),
            _ => self.decide(value),
        }
    }

    fn decide(&self, value: Option<Value<'_>>) -> bool {
        match self {
            Self::Present(wanted) => value.is_some() == *wanted,
            Self::Not(inner) => !inner.matches(value),
            Self::Any(texts) => texts.iter().any(|t| match (t, value) {
                (Self::Exact(text), Some(Value::Bytes(bytes))) => bytes == text.as_bytes(),
                _ => t.matches(value),
            }),
            Self::All(texts) => texts.iter().all(|t| t.matches(value)),
            _ => value.is_some_and(|value| self.holds(value)),
        }
    }

    /// The words that need a value.
    fn holds(&self, value: Value<'_>) -> bool {
        match self {
            Self::Range { from, to } => integer(value).is_some_and(|n| within(n, &(*from..=*to))),
            Self::Cidr(net) => address(value).is_some_and(|ip| plain_net(net).contains(&ip)),
            _ => self.holds_text(Form::new(&value).bytes()),
        }
    }

    fn holds_text(&self, bytes: &[u8]) -> bool {
        match self {
            Self::Exact(text) => bytes == text.as_bytes(),
            Self::Prefix(text) => bytes.starts_with(text.as_bytes()),
            Self::Suffix(text) => bytes.ends_with(text.as_bytes()),
            Self::Contains(text) => memchr::memmem::find(bytes, text.as_bytes()).is_some(),
            Self::Regex(pattern) => pattern.matches(bytes),
            _ => false,
        }
    }

    /// Levels of `not`, `any` and `all`, itself included; stops counting at `limit`.
    pub(crate) fn depth(&self, limit: usize) -> usize {
        if limit == 0 {
            return 1;
        }
        1 + match self {
            Self::Not(inner) => inner.depth(limit - 1),
            Self::Any(texts) | Self::All(texts) => {
                texts.iter().map(|t| t.depth(limit - 1)).max().unwrap_or(0)
            }
            _ => 0,
        }
    }
}

/// The text form of a value, without the heap.
pub(crate) enum Form<'a> {
    Borrowed(&'a [u8]),
    /// The longest address has 45 characters, the longest number 20.
    Written([u8; 48], usize),
}

impl<'a> Form<'a> {
    #[inline]
    pub(crate) fn new(value: &Value<'a>) -> Self {
        let mut buf = [0; 48];
        let mut rest = &mut buf[..];
        let written = match value {
            Value::Bytes(bytes) => return Self::Borrowed(bytes),
            Value::Ip(ip) => write!(rest, "{}", ip.to_canonical()),
            Value::Number(n) => write!(rest, "{n}"),
            _ => Ok(()),
        };
        let left = rest.len();
        debug_assert!(written.is_ok());
        Self::Written(buf, buf.len() - left)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Written(buf, len) => buf.get(..*len).unwrap_or_default(),
        }
    }
}

fn within(n: i128, range: &RangeInclusive<i64>) -> bool {
    i128::from(*range.start()) <= n && n <= i128::from(*range.end())
}

/// The value as a number, if it is one that a range can hold or just outside.
pub(crate) fn integer(value: Value<'_>) -> Option<i128> {
    match value {
        Value::Number(n) => Some(n.into()),
        Value::Bytes(bytes) => {
            let (negative, digits) = match bytes {
                [b'-', digits @ ..] => (true, digits),
                digits => (false, digits),
            };
            if digits.is_empty() {
                return None;
            }
            let mut n: i128 = 0;
            for d in digits {
                if !d.is_ascii_digit() {
                    return None;
                }
                n = n.saturating_mul(10).saturating_add(i128::from(d - b'0'));
            }
            Some(if negative { -n } else { n })
        }
        _ => None,
    }
}

/// The value as an address, if it is one.
pub(crate) fn address(value: Value<'_>) -> Option<IpAddr> {
    match value {
        Value::Ip(ip) => Some(ip.to_canonical()),
        Value::Bytes(bytes) => {
            let ip: IpAddr = std::str::from_utf8(bytes).ok()?.parse().ok()?;
            Some(ip.to_canonical())
        }
        _ => None,
    }
}

/// A network of IPv4 addresses written as IPv6 (`::ffff:10.0.0.0/104`) as the IPv4 network, because
/// addresses are compared in that form.
pub(crate) fn plain_net(net: &IpNet) -> IpNet {
    if let IpNet::V6(v6) = net
        && let Some(len) = v6.prefix_len().checked_sub(96)
        && let Some(v4) = v6.addr().to_ipv4_mapped()
        && let Ok(v4) = Ipv4Net::new(v4, len)
    {
        return v4.into();
    }
    *net
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(s: &str) -> Option<Value<'_>> {
        Some(Value::Bytes(s.as_bytes()))
    }

    fn ip(s: &str) -> Option<Value<'static>> {
        Some(Value::Ip(s.parse().unwrap()))
    }

    #[track_caller]
    fn check(text: &Text, yes: &[Option<Value<'_>>], no: &[Option<Value<'_>>]) {
        for value in yes {
            assert!(text.matches(*value), "{text:?} should match {value:?}");
            assert!(!Text::Not(Box::new(text.clone())).matches(*value));
        }
        for value in no {
            assert!(!text.matches(*value), "{text:?} should not match {value:?}");
            assert!(Text::Not(Box::new(text.clone())).matches(*value));
        }
    }

    #[test]
    fn depth_is_counted_up_to_the_limit() {
        let nest = |wrap: fn(Text) -> Text| (0..40).fold(Text::Present(true), |text, _| wrap(text));
        let wraps: [fn(Text) -> Text; 3] = [
            |text| Text::Not(Box::new(text)),
            |text| Text::Any(vec![Text::Present(true), text]),
            |text| Text::All(vec![text, Text::Present(true)]),
        ];
        for wrap in wraps {
            let deep = nest(wrap);
            assert_eq!(deep.depth(100), 41);
            assert_eq!(deep.depth(5), 6, "who is asked for five levels does not go through all");
        }
    }

    #[test]
    fn words_on_text() {
        let n = Some(Value::Number(8080));
        check(&Text::Exact("8080".into()), &[bytes("8080"), n], &[bytes("808"), bytes(""), None]);
        check(&Text::Prefix("80".into()), &[bytes("80"), n], &[bytes("8"), None]);
        check(&Text::Prefix(String::new()), &[bytes(""), bytes("x"), n], &[None]);
        check(&Text::Suffix("80".into()), &[bytes("80"), n], &[bytes("0"), None]);
        check(&Text::Contains("08".into()), &[bytes("1081"), n], &[bytes("80"), None]);
        check(&Text::Contains(String::new()), &[bytes(""), ip("::1")], &[None]);
        check(&Text::Present(true), &[bytes(""), n], &[None]);
        check(&Text::Present(false), &[None], &[bytes(""), n]);
        check(&Text::Any(vec![]), &[], &[bytes(""), None]);
        check(&Text::All(vec![]), &[bytes(""), None], &[]);
    }

    #[test]
    fn regular_expressions_match_the_whole_value() {
        let text = Text::regex("a|ab|b.*").unwrap();
        check(
            &text,
            &[bytes("a"), bytes("ab"), bytes("bx\ny")],
            &[bytes("abc"), bytes("xa"), bytes(""), None],
        );
        check(&Text::regex("").unwrap(), &[bytes("")], &[bytes("x"), None]);
        check(&Text::regex("(?x) a b # comment").unwrap(), &[bytes("ab")], &[bytes("a b")]);
        check(&Text::regex(r"^\w+\b$").unwrap(), &[bytes("ab")], &[bytes("a b"), bytes("é")]);
        let raw = Some(Value::Bytes(&[0xff, 0x00]));
        check(&Text::regex(r"..").unwrap(), &[raw], &[]);
        check(&Text::regex(r"\xff\x00").unwrap(), &[raw], &[]);
    }

    #[test]
    fn ranges_are_inclusive_and_take_integers_only() {
        let max = Some(Value::Number(u64::MAX));
        check(
            &Text::Range { from: -5, to: 10 },
            &[bytes("-5"), bytes("10"), bytes("007"), Some(Value::Number(10))],
            &[
                bytes("-6"),
                bytes("11"),
                bytes("+1"),
                bytes("1.0"),
                bytes(" 1"),
                bytes(""),
                bytes("-"),
                bytes("99999999999999999999999999999999999999999999999999"),
                bytes("-99999999999999999999999999999999999999999999999999"),
                max,
                ip("0.0.0.1"),
                None,
            ],
        );
        check(
            &Text::Range { from: i64::MIN, to: i64::MAX },
            &[bytes("9223372036854775807"), bytes("-9223372036854775808")],
            &[bytes("9223372036854775808"), max],
        );
    }

    #[test]
    fn addresses_match_networks_in_either_spelling() {
        let net = |s| Text::exact_for(&Attr::SourceIp, s).unwrap();
        check(
            &net("10.0.0.0/8"),
            &[ip("10.1.2.3"), ip("::ffff:10.1.2.3"), bytes("10.9.9.9")],
            &[ip("11.0.0.1"), ip("::1"), bytes("10.1"), None],
        );
        check(
            &net("::ffff:10.0.0.0/104"),
            &[ip("10.1.2.3"), ip("::ffff:10.1.2.3")],
            &[ip("11.0.0.1")],
        );
        check(&net("10.1.2.3"), &[ip("10.1.2.3")], &[ip("10.1.2.4")]);
        check(&net("10.1.2.3/8"), &[ip("10.200.0.1")], &[]);
        check(&net("::/0"), &[ip("::1")], &[ip("10.1.2.3")]);
        check(&Text::Prefix("10.1.".into()), &[ip("::ffff:10.1.2.3")], &[ip("::1")]);
    }

    #[test]
    fn a_bare_string_must_fit_its_attribute() {
        assert_eq!(
            Text::exact_for(&Attr::Service, "10.0.0.0/8"),
            Ok(Text::Exact("10.0.0.0/8".into()))
        );
        for (attr, text) in [
            (Attr::SourceIp, "10.0.0.0/33"),
            (Attr::SourceIp, "host"),
            (Attr::SourcePort, "65536"),
            (Attr::DestinationPort, "080"),
        ] {
            let err = Text::exact_for(&attr, text).unwrap_err();
            assert!(err.message.contains("expected"), "{err}");
        }
        assert_eq!(Text::exact_for(&Attr::DestinationPort, "80"), Ok(Text::Exact("80".into())));
    }
}
