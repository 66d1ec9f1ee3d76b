//! Reading values of Hessian 2, as a client or server would: by recursion, with a bound.

use std::fmt;

use super::Value;

/// Deepest nesting that is read.
const DEPTH: usize = 256;

/// Bytes that are not Dubbo, or more of it than is read here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WireError(pub(super) &'static str);

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dubbo: {}", self.0)
    }
}

impl std::error::Error for WireError {}

type Result<T> = std::result::Result<T, WireError>;

const END: WireError = WireError("body ends too early");

/// The values of one body, which share their class definitions.
#[derive(Debug)]
pub(super) struct Source<'a> {
    rest: &'a [u8],
    classes: Vec<(String, Vec<String>)>,
}

impl<'a> Source<'a> {
    pub(super) const fn new(body: &'a [u8]) -> Self {
        Self { rest: body, classes: Vec::new() }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn value(&mut self) -> Result<Value> {
        self.nested(DEPTH)
    }

    /// A text; null is read as an empty one.
    pub(super) fn text(&mut self) -> Result<String> {
        match self.byte()? {
            b'N' => Ok(String::new()),
            tag => self.text_after(tag),
        }
    }

    pub(super) fn int(&mut self) -> Result<i32> {
        let tag = self.byte()?;
        self.int_after(tag)
    }

    fn int_after(&mut self, tag: u8) -> Result<i32> {
        let high = |base: u8| i32::from(tag) - i32::from(base);
        Ok(match tag {
            0x80..=0xbf => high(0x90),
            0xc0..=0xcf => high(0xc8) * 0x100 + i32::from(self.byte()?),
            0xd0..=0xd7 => high(0xd4) * 0x1_0000 + self.short()? as i32,
            b'I' => i32::from_be_bytes(self.array()?),
            _ => return Err(WireError("not an integer")),
        })
    }

    fn count(&mut self) -> Result<u32> {
        u32::try_from(self.int()?).map_err(|_| WireError("a negative number"))
    }

    /// The type of a list or a map: a name, or the number of one.
    fn skip_type(&mut self) -> Result<()> {
        match self.byte()? {
            tag @ (0x80..=0xd7 | b'I') => self.int_after(tag).map(drop),
            tag => self.text_after(tag).map(drop),
        }
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(n).ok_or(END)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(END)?;
        self.rest = rest;
        Ok(*taken)
    }

    fn byte(&mut self) -> Result<u8> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    fn short(&mut self) -> Result<usize> {
        Ok(u16::from_be_bytes(self.array()?).into())
    }

    fn at_end(&mut self) -> Result<bool> {
        let ends = *self.rest.first().ok_or(END)? == b'Z';
        if ends {
            self.byte()?;
        }
        Ok(ends)
    }

    fn nested(&mut self, depth: usize) -> Result<Value> {
        let depth = depth.checked_sub(1).ok_or(WireError("nested too deeply"))?;
        let tag = self.byte()?;
        let low = |base: u8| i64::from(tag) - i64::from(base);
        Ok(match tag {
            b'N' => Value::Null,
            b'T' | b'F' => Value::Bool(tag == b'T'),
            0x80..=0xd7 | b'I' => Value::Int(self.int_after(tag)?),
            0xd8..=0xef => Value::Long(low(0xe0)),
            0xf0..=0xff => Value::Long((low(0xf8) << 8) + i64::from(self.byte()?)),
            0x38..=0x3f => Value::Long((low(0x3c) << 16) + self.short()? as i64),
            0x59 => Value::Long(i32::from_be_bytes(self.array()?).into()),
            b'L' => Value::Long(i64::from_be_bytes(self.array()?)),
            0x5b => Value::Double(0.0),
            0x5c => Value::Double(1.0),
            0x5d => Value::Double(f64::from(self.byte()? as i8)),
            0x5e => Value::Double(f64::from(i16::from_be_bytes(self.array()?))),
            0x5f => Value::Double(f64::from(i32::from_be_bytes(self.array()?)) * 0.001),
            b'D' => Value::Double(f64::from_be_bytes(self.array()?)),
            0x4a => Value::Date(i64::from_be_bytes(self.array()?)),
            0x4b => Value::Date(i64::from(i32::from_be_bytes(self.array()?)) * 60_000),
            0x00..=0x1f | 0x30..=0x33 | b'R' | b'S' => Value::Text(self.text_after(tag)?),
            0x20..=0x2f | 0x34..=0x37 | b'A' | b'B' => Value::Bytes(self.bytes_after(tag)?),
            0x51 => Value::Ref(self.count()?),
            0x55 | b'V' | 0x57 | 0x58 | 0x70..=0x7f => {
                if matches!(tag, 0x55 | b'V' | 0x70..=0x77) {
                    self.skip_type()?;
                }
                let count = match tag {
                    0x55 | 0x57 => None,
                    b'V' | 0x58 => Some(self.count()?),
                    _ => Some(u32::from(tag & 7)),
                };
                Value::List(self.list(count, depth)?)
            }
            b'H' | b'M' => {
                if tag == b'M' {
                    self.skip_type()?;
                }
                let mut pairs = Vec::new();
                while !self.at_end()? {
                    pairs.push((self.nested(depth)?, self.nested(depth)?));
                }
                Value::Map(pairs)
            }
            b'C' => {
                let class = self.text()?;
                let fields = (0..self.count()?).map(|_| self.text()).collect::<Result<_>>()?;
                self.classes.push((class, fields));
                self.nested(depth)?
            }
            b'O' => {
                let number = self.count()?;
                self.object(number as usize, depth)?
            }
            0x60..=0x6f => self.object((tag - 0x60).into(), depth)?,
            _ => return Err(WireError("not a value")),
        })
    }

    fn list(&mut self, count: Option<u32>, depth: usize) -> Result<Vec<Value>> {
        let mut values = Vec::new();
        loop {
            let ends = match count {
                Some(count) => values.len() >= count as usize,
                None => self.at_end()?,
            };
            if ends {
                return Ok(values);
            }
            values.push(self.nested(depth)?);
        }
    }

    fn object(&mut self, number: usize, depth: usize) -> Result<Value> {
        let known = self.classes.get(number).cloned();
        let (class, names) = known.ok_or(WireError("unknown class"))?;
        let fields = names.into_iter().map(|name| Ok((name, self.nested(depth)?)));
        Ok(Value::Object(class, fields.collect::<Result<_>>()?))
    }

    fn bytes_after(&mut self, mut tag: u8) -> Result<Vec<u8>> {
        let mut all = Vec::new();
        loop {
            let len = match tag {
                0x20..=0x2f => usize::from(tag - 0x20),
                0x34..=0x37 => usize::from(tag - 0x34) * 256 + usize::from(self.byte()?),
                b'A' | b'B' => self.short()?,
                _ => return Err(WireError("not bytes")),
            };
            all.extend_from_slice(self.take(len)?);
            if tag != b'A' {
                return Ok(all);
            }
            tag = self.byte()?;
        }
    }

    fn text_after(&mut self, mut tag: u8) -> Result<String> {
        let mut units = Vec::new();
        loop {
            let len = match tag {
                0x00..=0x1f => usize::from(tag),
                0x30..=0x33 => usize::from(tag - 0x30) * 256 + usize::from(self.byte()?),
                b'R' | b'S' => self.short()?,
                _ => return Err(WireError("not a text")),
            };
            let until = units.len() + len;
            while units.len() < until {
                let first = self.byte()?;
                let (mut c, more) = match first {
                    0x00..=0x7f => (u32::from(first), 0),
                    0xc0..=0xdf => (u32::from(first & 0x1f), 1),
                    0xe0..=0xef => (u32::from(first & 0x0f), 2),
                    0xf0..=0xf7 => (u32::from(first & 0x07), 3),
                    _ => return Err(WireError("not UTF-8")),
                };
                for _ in 0..more {
                    c = c << 6 | u32::from(self.byte()? & 0x3f);
                }
                match u16::try_from(c) {
                    Ok(unit) => units.push(unit),
                    Err(_) => {
                        let c = char::from_u32(c).ok_or(WireError("not UTF-8"))?;
                        units.extend_from_slice(c.encode_utf16(&mut [0; 2]));
                    }
                }
            }
            if tag != b'R' {
                return String::from_utf16(&units).map_err(|_| WireError("half a character"));
            }
            tag = self.byte()?;
        }
    }
}
