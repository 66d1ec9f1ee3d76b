//! What filters that record remember of a request: in bytes, from the worker that saw it to the
//! thread that writes it down.
//!
//! A record has the attributes that were asked for, in order, and then how the request ended. It
//! knows nothing of what is made of it.

mod escape;
mod moment;
mod slots;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use heptad_core::{End, Outcome, Reason, Time, Unknown, Value};

pub(crate) use escape::{is_plain, json_text, json_value, text_value};
pub(crate) use moment::{put_number, put_seconds, set_moment};
pub(crate) use slots::Slots;

/// Bytes of a value that are kept; the rest is cut off.
pub(crate) const MAX_VALUE: usize = 256;

const ABSENT: u8 = 0;
const UNKNOWN: u8 = 1;
const BYTES: u8 = 2;
const CUT: u8 = 3;
const IP4: u8 = 4;
const IP6: u8 = 5;
const NUMBER: u8 = 6;

/// A value as it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen<'a> {
    Absent,
    Unknown,
    /// And whether some of it was cut off.
    Bytes(&'a [u8], bool),
    Ip(IpAddr),
    Number(u64),
}

impl<'a> Seen<'a> {
    /// As it was found, cut to what is kept.
    pub(crate) fn new(found: Result<Option<Value<'a>>, Unknown>) -> Self {
        match found {
            Ok(Some(Value::Bytes(bytes))) => {
                let kept = if bytes.len() <= MAX_VALUE { bytes } else { cut(bytes) };
                Self::Bytes(kept, kept.len() < bytes.len())
            }
            Ok(Some(Value::Ip(ip))) => Self::Ip(ip),
            Ok(Some(Value::Number(number))) => Self::Number(number),
            Ok(None) => Self::Absent,
            // A kind of value that this crate does not know yet cannot be told.
            Err(Unknown) | Ok(Some(_)) => Self::Unknown,
        }
    }
}

/// How a request ended, read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended<'a> {
    pub(crate) started: Time,
    pub(crate) ended: Time,
    pub(crate) request_bytes: u64,
    pub(crate) reply_bytes: u64,
    pub(crate) attempts: u32,
    pub(crate) outcome: Outcome,
    pub(crate) reason: Reason,
    pub(crate) code: &'a [u8],
    pub(crate) route: &'a [u8],
    pub(crate) cluster: &'a [u8],
    pub(crate) endpoint: &'a [u8],
}

/// Appends an attribute.
pub(crate) fn put_value(out: &mut Vec<u8>, found: Result<Option<Value<'_>>, Unknown>) {
    match Seen::new(found) {
        Seen::Unknown => out.push(UNKNOWN),
        Seen::Bytes(bytes, cut) => put_bytes(out, bytes, cut),
        Seen::Ip(IpAddr::V4(ip)) => {
            out.push(IP4);
            out.extend_from_slice(&ip.octets());
        }
        Seen::Ip(IpAddr::V6(ip)) => {
            out.push(IP6);
            out.extend_from_slice(&ip.octets());
        }
        Seen::Number(number) => {
            out.push(NUMBER);
            out.extend_from_slice(&number.to_le_bytes());
        }
        Seen::Absent => out.push(ABSENT),
    }
}

fn put_bytes(out: &mut Vec<u8>, kept: &[u8], cut: bool) {
    // At most MAX_VALUE.
    let [low, high] = (kept.len() as u16).to_le_bytes();
    out.extend_from_slice(&[if cut { CUT } else { BYTES }, low, high]);
    out.extend_from_slice(kept);
}

/// As much as is kept; not in the middle of a character, if it is text.
fn cut(bytes: &[u8]) -> &[u8] {
    let Some(kept) = bytes.get(..MAX_VALUE).filter(|kept| kept.len() < bytes.len()) else {
        return bytes;
    };
    match std::str::from_utf8(kept) {
        Err(error) if error.error_len().is_none() => {
            kept.get(..error.valid_up_to()).unwrap_or(kept)
        }
        _ => kept,
    }
}

/// Appends the end.
pub(crate) fn put_end(out: &mut Vec<u8>, now: Time, end: &End<'_>) {
    let mut fixed = [0; 38];
    let numbers = [end.started.as_nanos(), now.as_nanos(), end.request_bytes, end.reply_bytes];
    for (to, number) in fixed.as_chunks_mut::<8>().0.iter_mut().zip(numbers) {
        *to = number.to_le_bytes();
    }
    fixed[32..36].copy_from_slice(&end.attempts.to_le_bytes());
    // Both lists have fewer than 256 words.
    fixed[36..].copy_from_slice(&[end.outcome as u8, end.reason as u8]);
    out.extend_from_slice(&fixed);
    for text in [end.code, end.route, end.cluster, end.endpoint] {
        let kept = cut(text.as_bytes());
        put_bytes(out, kept, kept.len() < text.len());
    }
}

/// Reads a record from its front. What is not one reads as absent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, left) = self.0.split_at_checked(n)?;
        self.0 = left;
        Some(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.first_chunk().copied()
    }

    fn number(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// The next attribute.
    pub(crate) fn value(&mut self) -> Seen<'a> {
        self.try_value().unwrap_or(Seen::Absent)
    }

    fn try_value(&mut self) -> Option<Seen<'a>> {
        let [kind] = self.array()?;
        Some(match kind {
            BYTES | CUT => {
                let len = u16::from_le_bytes(self.array()?);
                Seen::Bytes(self.take(len.into())?, kind == CUT)
            }
            IP4 => Seen::Ip(Ipv4Addr::from(self.array::<4>()?).into()),
            IP6 => Seen::Ip(Ipv6Addr::from(self.array::<16>()?).into()),
            NUMBER => Seen::Number(self.number()?),
            UNKNOWN => Seen::Unknown,
            _ => Seen::Absent,
        })
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        match self.try_value()? {
            Seen::Bytes(bytes, _) => Some(bytes),
            _ => None,
        }
    }

    /// The end, after all attributes.
    pub(crate) fn end(&mut self) -> Option<Ended<'a>> {
        Some(Ended {
            started: Time::from_nanos(self.number()?),
            ended: Time::from_nanos(self.number()?),
            request_bytes: self.number()?,
            reply_bytes: self.number()?,
            attempts: u32::from_le_bytes(self.array()?),
            outcome: *Outcome::ALL.get(usize::from(self.array::<1>()?[0]))?,
            reason: *Reason::ALL.get(usize::from(self.array::<1>()?[0]))?,
            code: self.text()?,
            route: self.text()?,
            cluster: self.text()?,
            endpoint: self.text()?,
        })
    }
}

/// A text that is absent when it is empty.
pub(crate) fn named(text: &[u8]) -> Seen<'_> {
    if text.is_empty() { Seen::Absent } else { Seen::Bytes(text, false) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_is_read_back() {
        let mut out = Vec::new();
        let v6: IpAddr = "2001:db8::1".parse().expect("an address");
        put_value(&mut out, Ok(None));
        put_value(&mut out, Err(Unknown));
        put_value(&mut out, Ok(Some(Value::Bytes(b""))));
        put_value(&mut out, Ok(Some(Value::Bytes(b"a\0\xff"))));
        put_value(&mut out, Ok(Some(Value::Ip(IpAddr::from([1, 2, 3, 4])))));
        put_value(&mut out, Ok(Some(Value::Ip(v6))));
        put_value(&mut out, Ok(Some(Value::Number(u64::MAX))));
        let mut end = End::default();
        end.outcome = Outcome::Timeout;
        end.reason = Reason::Request;
        end.code = "NO";
        end.route = "r";
        end.endpoint = "a:1";
        end.attempts = 3;
        end.request_bytes = 7;
        end.reply_bytes = 9;
        end.started = Time::from_nanos(5);
        put_end(&mut out, Time::from_nanos(8), &end);

        let mut reader = Reader(&out);
        for expect in [
            Seen::Absent,
            Seen::Unknown,
            Seen::Bytes(b"", false),
            Seen::Bytes(b"a\0\xff", false),
            Seen::Ip(IpAddr::from([1, 2, 3, 4])),
            Seen::Ip(v6),
            Seen::Number(u64::MAX),
        ] {
            assert_eq!(reader.value(), expect);
        }
        let read = reader.end().expect("an end");
        assert_eq!((read.outcome, read.reason), (Outcome::Timeout, Reason::Request));
        assert_eq!((read.started, read.ended), (Time::from_nanos(5), Time::from_nanos(8)));
        assert_eq!((read.request_bytes, read.reply_bytes, read.attempts), (7, 9, 3));
        assert_eq!((read.code, read.route, read.cluster), (&b"NO"[..], &b"r"[..], &b""[..]));
        assert_eq!(read.endpoint, b"a:1");
        assert!(reader.0.is_empty());
        assert!(out.len() < 128, "{}", out.len());

        // Half a record is no reason to fail.
        for len in 0..out.len() {
            let mut reader = Reader(&out[..len]);
            for _ in 0..7 {
                reader.value();
            }
            assert_eq!(reader.end(), None);
        }
    }

    #[test]
    fn long_values_are_cut_between_characters() {
        let mut out = Vec::new();
        let long = "é".repeat(MAX_VALUE);
        put_value(&mut out, Ok(Some(Value::Bytes(long.as_bytes()))));
        assert_eq!(Reader(&out).value(), Seen::Bytes(&long.as_bytes()[..MAX_VALUE], true));
        out.clear();
        let odd = format!("x{long}");
        put_value(&mut out, Ok(Some(Value::Bytes(odd.as_bytes()))));
        assert_eq!(Reader(&out).value(), Seen::Bytes(&odd.as_bytes()[..MAX_VALUE - 1], true));
        out.clear();
        put_value(&mut out, Ok(Some(Value::Bytes(&[0xff; 1000]))));
        assert_eq!(Reader(&out).value(), Seen::Bytes(&[0xff; MAX_VALUE], true));
    }
}
