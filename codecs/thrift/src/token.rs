//! Structs of the binary and the compact protocol as a sequence of tokens: without recursion, in
//! bounded space, and going on where it stopped when more bytes have come. Knows no message.

use std::ops::Range;

use heptad_core::{Ctx, Fault, Reason};

use crate::cursor::{Bound, Cursor, Parse, unzigzag};

/// How values are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Binary,
    Compact,
}

/// The type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Bool,
    I8,
    I16,
    I32,
    I64,
    Double,
    Bytes,
    Struct,
    Map,
    Set,
    List,
    Uuid,
}

impl Type {
    pub(crate) fn of_binary(byte: u8) -> Option<Self> {
        Some(match byte {
            2 => Self::Bool,
            3 => Self::I8,
            4 => Self::Double,
            6 => Self::I16,
            8 => Self::I32,
            10 => Self::I64,
            11 => Self::Bytes,
            12 => Self::Struct,
            13 => Self::Map,
            14 => Self::Set,
            15 => Self::List,
            16 => Self::Uuid,
            _ => return None,
        })
    }

    fn of_compact(nibble: u8) -> Option<Self> {
        Some(match nibble {
            1 | 2 => Self::Bool,
            3 => Self::I8,
            4 => Self::I16,
            5 => Self::I32,
            6 => Self::I64,
            7 => Self::Double,
            8 => Self::Bytes,
            9 => Self::List,
            10 => Self::Set,
            11 => Self::Map,
            12 => Self::Struct,
            13 => Self::Uuid,
            _ => return None,
        })
    }

    pub(crate) const fn to_binary(self) -> u8 {
        match self {
            Self::Bool => 2,
            Self::I8 => 3,
            Self::Double => 4,
            Self::I16 => 6,
            Self::I32 => 8,
            Self::I64 => 10,
            Self::Bytes => 11,
            Self::Struct => 12,
            Self::Map => 13,
            Self::Set => 14,
            Self::List => 15,
            Self::Uuid => 16,
        }
    }

    pub(crate) const fn to_compact(self) -> u8 {
        match self {
            Self::Bool => 1,
            Self::I8 => 3,
            Self::I16 => 4,
            Self::I32 => 5,
            Self::I64 => 6,
            Self::Double => 7,
            Self::Bytes => 8,
            Self::List => 9,
            Self::Set => 10,
            Self::Map => 11,
            Self::Struct => 12,
            Self::Uuid => 13,
        }
    }

    /// Fewest bytes of a value, and whether all values have so many.
    const fn size(self, encoding: Encoding) -> (usize, bool) {
        match (self, encoding) {
            (Self::Bool | Self::I8, _) => (1, true),
            (Self::Double, _) => (8, true),
            (Self::Uuid, _) => (16, true),
            (_, Encoding::Compact) | (Self::Struct, _) => (1, false),
            (Self::I16, _) => (2, true),
            (Self::I32, _) => (4, true),
            (Self::I64, _) => (8, true),
            (Self::Bytes, _) => (4, false),
            (Self::Set | Self::List, _) => (5, false),
            (Self::Map, _) => (6, false),
        }
    }
}

/// What a container is, ahead of its elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seq {
    /// [`Type::List`], [`Type::Set`] or [`Type::Map`].
    pub(crate) kind: Type,
    /// Elements, or pairs.
    pub(crate) len: u32,
    /// The type of the elements, or of keys and values. An empty container need not tell.
    pub(crate) types: [Option<Type>; 2],
}

/// A piece of a struct.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    Struct,
    Field(Type, i16),
    Stop,
    Seq(Seq),
    Bool(bool),
    I8(u8),
    I16(i16),
    I32(i32),
    I64(i64),
    Double(u64),
    Uuid([u8; 16]),
    /// Where the bytes are; they need not be there yet.
    Bytes(Range<usize>),
    /// So many elements of a fixed size were stepped over.
    Skipped,
}

/// What must not be passed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Where the struct must have ended.
    pub(crate) end: Bound,
    pub(crate) depth: u32,
    pub(crate) parts: u32,
}

impl Bounds {
    pub(crate) const fn new(cx: &Ctx, end: Bound) -> Self {
        Self { end, depth: cx.max_depth, parts: cx.max_parts }
    }
}

/// Where a walk is inside of a struct or a container.
#[derive(Clone, Copy, Debug)]
enum Level {
    Struct { last: i16, value: Option<Pending> },
    Seq { left: u32, types: [Option<Type>; 2] },
}

/// The value of a field whose head has been read.
#[derive(Clone, Copy, Debug)]
enum Pending {
    Of(Type),
    Bool(bool),
}

/// A walk through a struct.
#[derive(Clone, Debug, Default)]
pub(crate) struct Walk {
    at: usize,
    stack: Vec<Level>,
    /// How many tokens were looked for: what the cost of a walk is measured by.
    pub(crate) steps: u64,
}

impl Walk {
    /// Starts with the struct at this offset.
    pub(crate) fn start(&mut self, at: usize) {
        self.at = at;
        self.stack.clear();
        self.stack.push(Level::Struct { last: 0, value: None });
    }

    /// How many structs and containers the walk is in.
    pub(crate) fn depth(&self) -> usize {
        self.stack.len()
    }

    /// Goes to the end of the struct.
    pub(crate) fn finish(
        &mut self,
        encoding: Encoding,
        buf: &[u8],
        bounds: &Bounds,
    ) -> Parse<usize> {
        while self.step(encoding, buf, bounds, true)?.is_some() {}
        Ok(self.at)
    }

    /// The next token; `None` at the end of the struct.
    pub(crate) fn next(
        &mut self,
        encoding: Encoding,
        buf: &[u8],
        bounds: &Bounds,
    ) -> Parse<Option<Token>> {
        self.step(encoding, buf, bounds, false)
    }

    fn step(
        &mut self,
        encoding: Encoding,
        buf: &[u8],
        bounds: &Bounds,
        skip: bool,
    ) -> Parse<Option<Token>> {
        self.steps += 1;
        let mut cursor = Cursor::new(buf, self.at, bounds.end, bounds.end);
        let Some(top) = self.stack.last().copied() else {
            return Ok(None);
        };
        let (token, level) = match top {
            Level::Struct { last, value: None } => match field(encoding, &mut cursor, last)? {
                None => {
                    self.stack.pop();
                    self.leave();
                    self.at = cursor.at();
                    return Ok(Some(Token::Stop));
                }
                Some((id, value)) => {
                    let ty = match value {
                        Pending::Of(ty) => ty,
                        Pending::Bool(_) => Type::Bool,
                    };
                    (Token::Field(ty, id), Level::Struct { last: id, value: Some(value) })
                }
            },
            Level::Struct { last, value: Some(value) } => {
                let token = match value {
                    Pending::Bool(value) => Token::Bool(value),
                    Pending::Of(ty) => self::value(encoding, &mut cursor, ty, skip)?,
                };
                (token, Level::Struct { last, value: None })
            }
            Level::Seq { left, types: [even, odd] } => {
                let ty = if left.is_multiple_of(2) { even } else { odd };
                let ty = ty.ok_or(BAD_TYPE)?;
                let token = value(encoding, &mut cursor, ty, skip)?;
                (token, Level::Seq { left: left.saturating_sub(1), types: [even, odd] })
            }
        };
        let inner = match &token {
            Token::Struct => Some(Level::Struct { last: 0, value: None }),
            Token::Seq(seq) => self.enter(encoding, &mut cursor, seq, bounds, skip)?,
            _ => None,
        };
        if inner.is_some() && self.stack.len() >= bounds.depth as usize {
            return Err(DEEP.into());
        }
        // Nothing can fail from here on, so that a step is made whole or not at all.
        self.at = cursor.at();
        if let Some(top) = self.stack.last_mut() {
            *top = level;
        }
        self.stack.extend(inner);
        self.leave();
        Ok(Some(token))
    }

    /// Leaves containers that have no more elements.
    fn leave(&mut self) {
        while let Some(Level::Seq { left: 0, .. }) = self.stack.last() {
            self.stack.pop();
        }
    }

    /// Checks what a container announces, and steps over elements that all have one size.
    fn enter(
        &self,
        encoding: Encoding,
        cursor: &mut Cursor<'_>,
        seq: &Seq,
        bounds: &Bounds,
        skip: bool,
    ) -> Parse<Option<Level>> {
        if seq.len > bounds.parts {
            return Err(MANY.into());
        }
        if seq.len == 0 {
            return Ok(Some(Level::Seq { left: 0, types: seq.types }));
        }
        let [Some(even), Some(odd)] = seq.types else {
            return Err(BAD_TYPE.into());
        };
        let (mut size, mut fixed) = even.size(encoding);
        let mut left = seq.len;
        if seq.kind == Type::Map {
            let (odd, odd_fixed) = odd.size(encoding);
            size += odd;
            fixed &= odd_fixed;
            left = left.saturating_mul(2); // At most twice `i32::MAX`.
        }
        let least = (seq.len as usize).saturating_mul(size);
        if least > bounds.end.at.saturating_sub(cursor.at()) {
            return Err(bounds.end.fault.into());
        }
        if skip && fixed {
            cursor.skip(least)?;
            left = 0;
        }
        Ok(Some(Level::Seq { left, types: seq.types }))
    }
}

const BAD_TYPE: Fault = Fault::malformed("a type that Thrift does not have");
const BAD_BOOL: Fault = Fault::malformed("a bool that is neither true nor false");
const DEEP: Fault = Fault::too_large(Reason::Depth, "the Thrift message is nested too deeply");
const MANY: Fault = Fault::too_large(Reason::Parts, "a Thrift container has too many elements");

/// The head of the next field; `None` at the end of the struct.
fn field(encoding: Encoding, cursor: &mut Cursor<'_>, last: i16) -> Parse<Option<(i16, Pending)>> {
    let first = cursor.u8()?;
    match encoding {
        _ if first == 0 => Ok(None),
        Encoding::Binary => {
            let ty = Type::of_binary(first).ok_or(BAD_TYPE)?;
            Ok(Some((cursor.u16()? as i16, Pending::Of(ty))))
        }
        Encoding::Compact => {
            let ty = Type::of_compact(first & 0x0f).ok_or(BAD_TYPE)?;
            let id = match first >> 4 {
                0 => unzigzag(cursor.varint32()?.into()) as i16,
                delta => last.wrapping_add(delta.into()),
            };
            let value = match ty {
                Type::Bool => Pending::Bool(first & 0x0f == 1),
                ty => Pending::Of(ty),
            };
            Ok(Some((id, value)))
        }
    }
}

/// A value, or what is ahead of its parts.
fn value(encoding: Encoding, cursor: &mut Cursor<'_>, ty: Type, skip: bool) -> Parse<Token> {
    let compact = encoding == Encoding::Compact;
    Ok(match ty {
        Type::Bool => match (cursor.u8()?, compact) {
            _ if skip => Token::Skipped,
            (1, _) => Token::Bool(true),
            (0, _) | (2, true) => Token::Bool(false),
            _ => return Err(BAD_BOOL.into()),
        },
        Type::I8 => Token::I8(cursor.u8()?),
        Type::I16 if compact => Token::I16(unzigzag(cursor.varint64()?) as i16),
        Type::I32 if compact => Token::I32(unzigzag(cursor.varint64()?) as i32),
        Type::I64 if compact => Token::I64(unzigzag(cursor.varint64()?)),
        Type::I16 => Token::I16(i16::from_be_bytes(cursor.array()?)),
        Type::I32 => Token::I32(i32::from_be_bytes(cursor.array()?)),
        Type::I64 => Token::I64(i64::from_be_bytes(cursor.array()?)),
        Type::Double if compact => Token::Double(u64::from_le_bytes(cursor.array()?)),
        Type::Double => Token::Double(u64::from_be_bytes(cursor.array()?)),
        Type::Uuid => Token::Uuid(cursor.array()?),
        Type::Bytes => {
            let len = if compact { cursor.varsize()? } else { cursor.size()? } as usize;
            let at = cursor.at();
            cursor.skip(len)?;
            Token::Bytes(at..cursor.at())
        }
        Type::Struct => Token::Struct,
        Type::Map if compact => match cursor.varsize()? {
            0 => Token::Seq(Seq { kind: ty, len: 0, types: [None; 2] }),
            len => {
                let types = cursor.u8()?;
                let types = [Type::of_compact(types >> 4), Type::of_compact(types & 0x0f)];
                Token::Seq(Seq { kind: ty, len, types })
            }
        },
        Type::Map => {
            let types = [Type::of_binary(cursor.u8()?), Type::of_binary(cursor.u8()?)];
            Token::Seq(Seq { kind: ty, len: cursor.size()?, types })
        }
        Type::Set | Type::List if compact => {
            let first = cursor.u8()?;
            let of = Type::of_compact(first & 0x0f);
            let len = match first >> 4 {
                15 => cursor.varsize()?,
                len => len.into(),
            };
            Token::Seq(Seq { kind: ty, len, types: [of; 2] })
        }
        Type::Set | Type::List => {
            let of = Type::of_binary(cursor.u8()?);
            Token::Seq(Seq { kind: ty, len: cursor.size()?, types: [of; 2] })
        }
    })
}
