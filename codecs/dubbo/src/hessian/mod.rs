//! Hessian 2 values as a router needs them: where one ends, and what a text or a number says.
//!
//! Nothing is built from what is read. The reader keeps no call stack of its own per nesting: levels
//! are numbers on a bounded list, so that a hostile peer can neither exhaust the stack nor make it
//! do more work than its bytes are worth. It knows the serialization and nothing of Dubbo.

mod skip;
mod small;
mod text;
mod write;

pub(crate) use skip::Limits;
pub(crate) use small::Small;
pub(crate) use text::Text;
pub(crate) use write::{pieces, put_int, put_text, text_len};

/// Why reading ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bad {
    /// The bytes end; at least this many are needed, counted from the first.
    Short(usize),
    /// Not the serialization, or a form of it that servers do not agree on.
    Malformed,
    /// More nested than allowed.
    Depth,
    /// More values than allowed.
    Parts,
}

/// What a four-byte character counts in the length of a text. The specification counts units of
/// UTF-16, and so do Java and JavaScript; Python and others count it once. The reader of a body
/// with such characters has to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Units {
    Utf16,
    CodePoints,
}

/// A place in a body, and what must be remembered of the values in front of it.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    units: Units,
    /// A four-byte character was read, so that [`Units`] mattered.
    pub(crate) wide: bool,
    limits: Limits,
    /// Fields of each class definition.
    classes: Small<16>,
}

/// A value that a rule can ask for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Scalar {
    Null,
    Bool(bool),
    /// Both integer types.
    Int(i64),
    Text(Text),
    /// Without a form of text: numbers with fractions, dates, bytes, references.
    Other,
    /// A list, map or object: counts for references.
    Container,
}

impl<'a> Reader<'a> {
    /// Reads `bytes` from the offset `at`.
    pub(crate) fn new(bytes: &'a [u8], at: usize, units: Units, limits: Limits) -> Self {
        Self { bytes, at, units, wide: false, limits, classes: Small::default() }
    }

    pub(crate) const fn at(&self) -> usize {
        self.at
    }

    pub(crate) const fn is_at_end(&self) -> bool {
        self.at >= self.bytes.len()
    }

    pub(crate) fn peek(&self) -> Result<u8, Bad> {
        self.bytes.get(self.at).copied().ok_or(Bad::Short(self.at.saturating_add(1)))
    }

    fn byte(&mut self) -> Result<u8, Bad> {
        let byte = self.peek()?;
        self.at += 1;
        Ok(byte)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Bad> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let bytes = rest.first_chunk::<N>().ok_or(Bad::Short(self.at.saturating_add(N)))?;
        self.at += N;
        Ok(*bytes)
    }

    fn advance(&mut self, n: usize) -> Result<(), Bad> {
        let end = self.at.saturating_add(n);
        if end > self.bytes.len() {
            return Err(Bad::Short(end));
        }
        self.at = end;
        Ok(())
    }

    /// Takes a null.
    pub(crate) fn null(&mut self) -> Result<bool, Bad> {
        let null = self.peek()? == b'N';
        self.at += usize::from(null);
        Ok(null)
    }

    /// Takes the byte that ends a list or a map.
    pub(crate) fn end(&mut self) -> Result<bool, Bad> {
        let ends = self.peek()? == b'Z';
        self.at += usize::from(ends);
        Ok(ends)
    }

    /// An integer of 32 bits in any form; also the type or class of a value by its number.
    pub(crate) fn int(&mut self) -> Result<i32, Bad> {
        let tag = self.byte()?;
        self.int_after(tag)
    }

    fn int_after(&mut self, tag: u8) -> Result<i32, Bad> {
        Ok(match tag {
            0x80..=0xbf => i32::from(tag) - 0x90,
            0xc0..=0xcf => ((i32::from(tag) - 0xc8) << 8) + i32::from(self.byte()?),
            0xd0..=0xd7 => {
                ((i32::from(tag) - 0xd4) << 16) + i32::from(u16::from_be_bytes(self.array()?))
            }
            b'I' => i32::from_be_bytes(self.array()?),
            _ => return Err(Bad::Malformed),
        })
    }

    fn long_after(&mut self, tag: u8) -> Result<i64, Bad> {
        Ok(match tag {
            0xd8..=0xef => i64::from(tag) - 0xe0,
            0xf0..=0xff => ((i64::from(tag) - 0xf8) << 8) + i64::from(self.byte()?),
            0x38..=0x3f => {
                ((i64::from(tag) - 0x3c) << 16) + i64::from(u16::from_be_bytes(self.array()?))
            }
            0x59 => i64::from(i32::from_be_bytes(self.array()?)),
            b'L' => i64::from_be_bytes(self.array()?),
            _ => return Err(Bad::Malformed),
        })
    }

    /// Reads one value of any sort, to its end.
    pub(crate) fn value(&mut self) -> Result<Scalar, Bad> {
        let tag = self.peek()?;
        match tag {
            b'N' | b'T' | b'F' => {
                self.at += 1;
                Ok(match tag {
                    b'N' => Scalar::Null,
                    _ => Scalar::Bool(tag == b'T'),
                })
            }
            0x80..=0xd7 | b'I' => Ok(Scalar::Int(self.int()?.into())),
            0xd8..=0xff | 0x38..=0x3f | 0x59 | b'L' => {
                self.at += 1;
                Ok(Scalar::Int(self.long_after(tag)?))
            }
            0x00..=0x1f | 0x30..=0x33 | b'R' | b'S' => Ok(Scalar::Text(self.text()?)),
            _ => {
                self.skip()?;
                Ok(match tag {
                    b'C' | b'H' | b'M' | b'O' | b'V' | 0x55 | 0x57 | 0x58 | 0x60..=0x7f => {
                        Scalar::Container
                    }
                    _ => Scalar::Other,
                })
            }
        }
    }

    /// Goes into a list: how many values it has, `None` if it ends with a byte of its own
    /// ([`Reader::end`]).
    pub(crate) fn list(&mut self) -> Result<Option<u32>, Bad> {
        let tag = self.byte()?;
        self.list_after(tag)?.ok_or(Bad::Malformed)
    }

    /// `None`: not a list.
    fn list_after(&mut self, tag: u8) -> Result<Option<Option<u32>>, Bad> {
        Ok(Some(match tag {
            0x55 => {
                self.type_name()?;
                None
            }
            b'V' => {
                self.type_name()?;
                Some(self.count()?)
            }
            0x57 => None,
            0x58 => Some(self.count()?),
            0x70..=0x77 => {
                self.type_name()?;
                Some(u32::from(tag - 0x70))
            }
            0x78..=0x7f => Some(u32::from(tag - 0x78)),
            _ => return Ok(None),
        }))
    }

    /// Goes into a map, which ends with [`Reader::end`]; `false`, and nothing taken, if the value is
    /// something else.
    pub(crate) fn map(&mut self) -> Result<bool, Bad> {
        match self.peek()? {
            b'H' => self.at += 1,
            b'M' => {
                self.at += 1;
                self.type_name()?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// How many values follow. Each has a byte at least: more than there are bytes is a lie.
    fn count(&mut self) -> Result<u32, Bad> {
        let count = u32::try_from(self.int()?).map_err(|_| Bad::Malformed)?;
        if count as usize > self.bytes.len().saturating_sub(self.at) {
            return Err(Bad::Malformed);
        }
        Ok(count)
    }

    /// A type: its name, or the number of one that was named before.
    fn type_name(&mut self) -> Result<(), Bad> {
        match self.peek()? {
            0x80..=0xd7 | b'I' => self.int().map(drop),
            _ => self.text().map(drop),
        }
    }
}
