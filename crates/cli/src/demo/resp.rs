//! As much of Redis's protocol as the demo's own stores and clients speak (RESP2, no inline
//! commands). Written apart from the codec, so that the demo does not check the codec with itself;
//! knows nothing of sockets.

use std::fmt::Write as _;

/// A value on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Simple(String),
    Error(String),
    Int(i64),
    Bulk(Vec<u8>),
    Nil,
    Array(Vec<Value>),
}

/// Longest string and largest array that are accepted; the demo's own messages are far below.
const MAX_LEN: usize = 1 << 20;
const MAX_DEPTH: usize = 4;

/// The bytes are not RESP2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotResp;

impl Value {
    /// `OK`.
    pub(crate) fn ok() -> Self {
        Self::Simple("OK".to_owned())
    }

    /// A bulk string.
    pub(crate) fn bulk(text: impl Into<Vec<u8>>) -> Self {
        Self::Bulk(text.into())
    }

    /// The first word of an error: its code.
    pub(crate) fn code(&self) -> Option<&str> {
        match self {
            Self::Error(text) => text.split(' ').next(),
            _ => None,
        }
    }

    /// Appends the value.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Simple(text) => line(out, '+', text),
            Self::Error(text) => line(out, '-', text),
            Self::Int(n) => line(out, ':', n),
            Self::Nil => out.extend_from_slice(b"$-1\r\n"),
            Self::Bulk(bytes) => {
                line(out, '$', bytes.len());
                out.extend_from_slice(bytes);
                out.extend_from_slice(b"\r\n");
            }
            Self::Array(items) => {
                line(out, '*', items.len());
                for item in items {
                    item.encode(out);
                }
            }
        }
    }

    /// Takes the first value of `buf` apart and tells how many bytes it had; `None` until all of it
    /// is there.
    pub(crate) fn decode(buf: &[u8]) -> Result<Option<(Self, usize)>, NotResp> {
        let mut at = 0;
        let value = decode(buf, &mut at, MAX_DEPTH)?;
        Ok(value.map(|value| (value, at)))
    }
}

/// Appends a command.
pub(crate) fn command(out: &mut Vec<u8>, words: &[&str]) {
    line(out, '*', words.len());
    for word in words {
        line(out, '$', word.len());
        out.extend_from_slice(word.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

fn line(out: &mut Vec<u8>, sign: char, text: impl std::fmt::Display) {
    let mut buf = String::new();
    let _ = write!(buf, "{sign}{text}\r\n"); // A String takes everything.
    out.extend_from_slice(buf.as_bytes());
}

fn decode(buf: &[u8], at: &mut usize, depth: usize) -> Result<Option<Value>, NotResp> {
    let rest = buf.get(*at..).unwrap_or_default();
    let Some(end) = rest.windows(2).position(|pair| pair == b"\r\n") else {
        return if rest.len() > MAX_LEN { Err(NotResp) } else { Ok(None) };
    };
    let head = rest.get(..end).unwrap_or_default();
    let text = std::str::from_utf8(head).map_err(|_| NotResp)?;
    let mut chars = text.chars();
    let sign = chars.next().ok_or(NotResp)?;
    let text = chars.as_str();
    *at += end + 2;
    let number = || text.parse::<i64>().map_err(|_| NotResp);
    let length = || match number()? {
        -1 => Ok(None),
        n => usize::try_from(n).ok().filter(|n| *n <= MAX_LEN).map(Some).ok_or(NotResp),
    };
    Ok(Some(match sign {
        '+' => Value::Simple(text.to_owned()),
        '-' => Value::Error(text.to_owned()),
        ':' => Value::Int(number()?),
        '$' => match length()? {
            None => Value::Nil,
            Some(len) => {
                let Some(bytes) = buf.get(*at..*at + len + 2) else { return Ok(None) };
                let bytes = bytes.strip_suffix(b"\r\n").ok_or(NotResp)?;
                *at += len + 2;
                Value::bulk(bytes)
            }
        },
        '*' => match length()? {
            None => Value::Nil,
            Some(_) if depth == 0 => return Err(NotResp),
            Some(len) => {
                let mut items = Vec::new();
                for _ in 0..len {
                    match decode(buf, at, depth - 1)? {
                        Some(item) => items.push(item),
                        None => return Ok(None),
                    }
                }
                Value::Array(items)
            }
        },
        _ => return Err(NotResp),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded_and_never_early() {
        let value = Value::Array(vec![
            Value::ok(),
            Value::Error("WRONGTYPE no".to_owned()),
            Value::Int(-7),
            Value::bulk("a\r\nb"),
            Value::Nil,
            Value::Array(Vec::new()),
        ]);
        let mut bytes = Vec::new();
        value.encode(&mut bytes);
        assert_eq!(Value::decode(&bytes), Ok(Some((value, bytes.len()))));
        for cut in 0..bytes.len() {
            assert_eq!(Value::decode(&bytes[..cut]), Ok(None), "cut {cut}");
        }
    }

    #[test]
    fn rubbish_and_bombs_are_refused() {
        for bytes in ["?\r\n", "\r\n", "$x\r\n", "$-2\r\n", "$1\r\nabc", "$99999999\r\n"] {
            assert_eq!(Value::decode(bytes.as_bytes()), Err(NotResp), "{bytes:?}");
        }
        assert_eq!(Value::decode("*1\r\n".repeat(9).as_bytes()), Err(NotResp));
    }

    #[test]
    fn a_command_is_an_array_of_strings() {
        let mut bytes = Vec::new();
        command(&mut bytes, &["GET", "k"]);
        assert_eq!(bytes, b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n");
    }
}
