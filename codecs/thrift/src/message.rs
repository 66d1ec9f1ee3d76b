//! The head of a message: method, type and sequence id, in each of the protocols. Knows nothing of
//! frames, nor of what follows the head.

use std::ops::Range;

use heptad_core::{Fault, Reason};

use crate::{
    cursor::{Cursor, Parse, Varint},
    dialect::Protocol,
};

/// The types of messages.
pub(crate) mod kind {
    pub(crate) const CALL: u8 = 1;
    pub(crate) const REPLY: u8 = 2;
    pub(crate) const EXCEPTION: u8 = 3;
    pub(crate) const ONEWAY: u8 = 4;
}

/// The head of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) protocol: Protocol,
    pub(crate) kind: u8,
    pub(crate) seq: u32,
    pub(crate) name: Range<usize>,
    /// Where the struct begins.
    pub(crate) body: usize,
}

impl Head {
    /// Reads the head at the cursor.
    ///
    /// ```text
    /// strict   u16 8001, u8, u8 type | u32 length, name | u32 seq
    /// old                              u32 length, name | u8 type | u32 seq
    /// compact  82 | type << 5 | 1 | varint seq | varint length, name
    /// JSON     [1,"name",type,seq,
    /// ```
    pub(crate) fn parse(protocol: Protocol, cursor: &mut Cursor<'_>) -> Parse<Self> {
        let (kind, seq, name);
        match protocol {
            Protocol::Strict => {
                let [v0, v1, _, ty] = cursor.array()?;
                if [v0, v1] != [0x80, 1] {
                    return Err(BAD_VERSION.into());
                }
                let len = cursor.size()?;
                name = text(cursor, len)?;
                kind = ty;
                seq = cursor.u32()?;
            }
            Protocol::Old => {
                let len = cursor.size()?;
                name = text(cursor, len)?;
                kind = cursor.u8()?;
                seq = cursor.u32()?;
            }
            Protocol::Compact => {
                let [id, first] = cursor.array()?;
                if id != 0x82 || first & 0x1f != 1 {
                    return Err(BAD_VERSION.into());
                }
                kind = first >> 5;
                seq = cursor.varint32()?;
                let len = cursor.varsize()?;
                name = text(cursor, len)?;
            }
            Protocol::Json => {
                for expected in *b"[1,\"" {
                    if cursor.u8()? != expected {
                        return Err(BAD_VERSION.into());
                    }
                }
                let start = cursor.at();
                loop {
                    match cursor.u8()? {
                        b'"' => break,
                        b'\\' | 0..0x20 => {
                            return Err(Fault::malformed("a method's name with escapes").into());
                        }
                        // It has no length that could be asked for, and is looked at again.
                        _ if cursor.at() - start > LONGEST_JSON_NAME => {
                            return Err(LONG_NAME.into());
                        }
                        _ => {}
                    }
                }
                name = start..cursor.at() - 1;
                comma(cursor)?;
                kind = u8::try_from(number(cursor)?).unwrap_or(0);
                comma(cursor)?;
                seq = number(cursor)? as u32;
                comma(cursor)?;
            }
        }
        Ok(Self { protocol, kind, seq, name, body: cursor.at() })
    }

    /// Service and method: what is in front of the first colon of the name, if there is one, and
    /// the rest.
    pub(crate) fn names(&self, buf: &[u8]) -> (Option<Range<usize>>, Range<usize>) {
        let Range { start, end } = self.name;
        let name = buf.get(start..end).unwrap_or_default();
        match memchr::memchr(b':', name) {
            Some(n) => (Some(start..start + n), start + n + 1..end),
            None => (None, start..end),
        }
    }
}

const BAD_VERSION: Fault = Fault::malformed("not a Thrift message, or one of another version");

/// Longest name of a method in JSON.
const LONGEST_JSON_NAME: usize = 1024;
const LONG_NAME: Fault = Fault::too_large(Reason::HeadSize, "a method's name is too long");

fn text(cursor: &mut Cursor<'_>, len: u32) -> Parse<Range<usize>> {
    let start = cursor.at();
    cursor.take(len as usize)?;
    Ok(start..cursor.at())
}

fn comma(cursor: &mut Cursor<'_>) -> Parse<()> {
    match cursor.u8()? {
        b',' => Ok(()),
        _ => Err(Fault::malformed("JSON that is not a Thrift message").into()),
    }
}

/// An integer of 32 bits as it is usually written, up to what follows it.
fn number(cursor: &mut Cursor<'_>) -> Parse<i32> {
    let bad = Fault::malformed("JSON with a number that Thrift does not have there");
    let negative = cursor.peek()? == b'-';
    if negative {
        cursor.u8()?;
    }
    let mut value = 0_i64;
    let mut digits = 0;
    while let digit @ b'0'..=b'9' = cursor.peek()? {
        // One spelling for each number, so that it can be given back as it was.
        if digits >= 10 || (digits == 1 && value == 0) {
            return Err(bad.into());
        }
        cursor.u8()?;
        value = value * 10 + i64::from(digit - b'0');
        digits += 1;
    }
    let value = if negative { -value } else { value };
    if digits == 0 || (negative && value == 0) {
        return Err(bad.into());
    }
    i32::try_from(value).map_err(|_| bad.into())
}

/// What is written ahead of a name, and between name and struct.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Around {
    bytes: [u8; 32],
    split: usize,
    len: usize,
}

impl Around {
    /// For a name of `name` bytes.
    pub(crate) fn new(protocol: Protocol, kind: u8, seq: u32, name: usize) -> Self {
        let mut me = Self { bytes: [0; 32], split: 0, len: 0 };
        let name = u32::try_from(name).unwrap_or(u32::MAX);
        match protocol {
            Protocol::Strict => {
                me.put(&[0x80, 1, 0, kind]);
                me.put(&name.to_be_bytes());
                me.split = me.len;
                me.put(&seq.to_be_bytes());
            }
            Protocol::Old => {
                me.put(&name.to_be_bytes());
                me.split = me.len;
                me.put(&[kind]);
                me.put(&seq.to_be_bytes());
            }
            Protocol::Compact => {
                me.put(&[0x82, kind << 5 | 1]);
                me.put(Varint::new(seq.into()).as_slice());
                me.put(Varint::new(name.into()).as_slice());
                me.split = me.len;
            }
            Protocol::Json => {
                me.put(b"[1,\"");
                me.split = me.len;
                me.put(b"\",");
                me.decimal(kind.into());
                me.put(b",");
                me.decimal(seq as i32);
                me.put(b",");
            }
        }
        me
    }

    pub(crate) fn before(&self) -> &[u8] {
        self.bytes.get(..self.split).unwrap_or_default()
    }

    pub(crate) fn after(&self) -> &[u8] {
        self.bytes.get(self.split..self.len).unwrap_or_default()
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// The longest is 22 bytes.
    fn put(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if let Some(place) = self.bytes.get_mut(self.len) {
                *place = *byte;
                self.len += 1;
            }
        }
    }

    fn decimal(&mut self, n: i32) {
        if n < 0 {
            self.put(b"-");
        }
        let mut digits = [0; 10];
        let mut left = n.unsigned_abs();
        let mut first = digits.len();
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (left % 10) as u8;
            left /= 10;
            first -= 1;
            if left == 0 {
                break;
            }
        }
        self.put(digits.get(first..).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_read_as_written() {
        for protocol in [Protocol::Strict, Protocol::Old, Protocol::Compact, Protocol::Json] {
            for seq in [0, 1, 127, 128, 0x7fff_ffff, 0x8000_0000, u32::MAX, -10_i32 as u32] {
                for name in ["", "ping", "Service:method"] {
                    let around = Around::new(protocol, kind::CALL, seq, name.len());
                    let bytes = [around.before(), name.as_bytes(), around.after()].concat();
                    assert_eq!(bytes.len(), around.len() + name.len());
                    let mut cursor = Cursor::whole(&bytes, 0);
                    let head = Head::parse(protocol, &mut cursor).expect("it is whole");
                    assert_eq!((head.kind, head.seq, head.body), (1, seq, bytes.len()));
                    assert_eq!(bytes.get(head.name), Some(name.as_bytes()));
                }
            }
        }
    }
}
