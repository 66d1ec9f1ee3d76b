//! Values of Hessian 2, and how they are written.

use std::collections::BTreeMap;

use crate::hessian::{put_int, put_text};

/// A value.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::exhaustive_enums, reason = "the serialization has these and no others")]
pub enum Value {
    /// Null.
    Null,
    /// A truth value.
    Bool(bool),
    /// An integer of 32 bits.
    Int(i32),
    /// An integer of 64 bits.
    Long(i64),
    /// A number with a fraction.
    Double(f64),
    /// Milliseconds since 1970.
    Date(i64),
    /// A text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A list without a type.
    List(Vec<Value>),
    /// A map without a type.
    Map(Vec<(Value, Value)>),
    /// An object: its class and its fields.
    Object(String, Vec<(String, Value)>),
    /// The list, map or object with this number, in the order in which they begin.
    Ref(u32),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl Value {
    /// The text, if it is one.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The value of a field or of a text key.
    pub fn field(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(_, fields) => fields.iter().find(|(n, _)| n == name).map(|(_, v)| v),
            Self::Map(pairs) => {
                pairs.iter().find(|(key, _)| key.text() == Some(name)).map(|(_, v)| v)
            }
            _ => None,
        }
    }
}

/// Writes the values of one body, which share their class definitions.
#[derive(Debug, Default)]
pub(super) struct Writer {
    classes: BTreeMap<(String, Vec<String>), i32>,
}

impl Writer {
    pub(super) fn put(&mut self, out: &mut Vec<u8>, value: &Value) {
        match value {
            Value::Null => out.push(b'N'),
            Value::Bool(true) => out.push(b'T'),
            Value::Bool(false) => out.push(b'F'),
            Value::Int(n) => put_int(out, *n),
            Value::Long(n) => put_long(out, *n),
            Value::Double(n) => {
                out.push(b'D');
                out.extend_from_slice(&n.to_be_bytes());
            }
            Value::Date(ms) => {
                out.push(0x4a);
                out.extend_from_slice(&ms.to_be_bytes());
            }
            Value::Text(text) => put_text(out, text),
            Value::Bytes(bytes) => put_bytes(out, bytes),
            Value::List(values) => {
                match u8::try_from(values.len()) {
                    Ok(len @ 0..=7) => out.push(0x78 + len),
                    _ => {
                        out.push(0x58);
                        put_int(out, count(values.len()));
                    }
                }
                values.iter().for_each(|value| self.put(out, value));
            }
            Value::Map(pairs) => {
                out.push(b'H');
                for (key, value) in pairs {
                    self.put(out, key);
                    self.put(out, value);
                }
                out.push(b'Z');
            }
            Value::Object(class, fields) => {
                let names = fields.iter().map(|(name, _)| name.clone()).collect();
                let next = count(self.classes.len());
                let number = *self.classes.entry((class.clone(), names)).or_insert(next);
                if number == next {
                    out.push(b'C');
                    put_text(out, class);
                    put_int(out, count(fields.len()));
                    fields.iter().for_each(|(name, _)| put_text(out, name));
                }
                match u8::try_from(number) {
                    Ok(number @ 0..=15) => out.push(0x60 + number),
                    _ => {
                        out.push(b'O');
                        put_int(out, number);
                    }
                }
                fields.iter().for_each(|(_, value)| self.put(out, value));
            }
            Value::Ref(number) => {
                out.push(0x51);
                put_int(out, i32::try_from(*number).unwrap_or(i32::MAX));
            }
        }
    }
}

fn count(n: usize) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

fn put_long(out: &mut Vec<u8>, n: i64) {
    let [.., b2, b1, b0] = n.to_be_bytes();
    match n {
        -0x08..=0x0f => out.push((0xe0 + n) as u8),
        -0x800..=0x7ff => out.extend_from_slice(&[(0xf8 + (n >> 8)) as u8, b0]),
        -0x4_0000..=0x3_ffff => out.extend_from_slice(&[(0x3c + (n >> 16)) as u8, b1, b0]),
        -0x8000_0000..=0x7fff_ffff => {
            out.push(0x59);
            out.extend_from_slice(&[(n >> 24) as u8, b2, b1, b0]);
        }
        _ => {
            out.push(b'L');
            out.extend_from_slice(&n.to_be_bytes());
        }
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    let mut rest = bytes;
    while let Some((chunk, more)) = rest.split_at_checked(0x8000) {
        if more.is_empty() {
            break;
        }
        out.extend_from_slice(&[b'A', 0x80, 0]);
        out.extend_from_slice(chunk);
        rest = more;
    }
    let [high, low] = (rest.len() as u16).to_be_bytes(); // At most 0x8000 are left.
    match rest.len() {
        0..=15 => out.push(0x20 + low),
        16..=0x3ff => out.extend_from_slice(&[0x34 + high, low]),
        _ => out.extend_from_slice(&[b'B', high, low]),
    }
    out.extend_from_slice(rest);
}
