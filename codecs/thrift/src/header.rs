//! THeader: the fixed part, transforms, and info headers, of a frame and remembered ones. Knows
//! nothing of the message that follows.
//!
//! ```text
//! u32 length | u16 0fff | u16 flags | u32 seq | u16 size / 4 | size bytes of header | payload
//!
//! header:  varint protocol | varint n, n varints: transforms | info blocks | zeros up to its end
//! block:   varint 1 (key-value) or 2 (persistent) | varint n, n pairs
//! pair:    varint length, name | varint length, value
//! ```

use std::{collections::BTreeMap, ops::Range};

use heptad_core::{Fault, HeaderEdit, Reason};

use crate::cursor::{Bound, Cursor, Parse};

/// Bytes of the fixed part behind the length.
pub(crate) const FIXED: usize = 10;

const MAGIC: u16 = 0x0fff;
const ZLIB: u32 = 1;
pub(crate) const PAIRS: u32 = 1;
const PERSISTENT: u32 = 2;

/// What was done to the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transform {
    None,
    Zlib,
    /// Something that cannot be undone here.
    Unknown,
}

/// The header of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) flags: u16,
    pub(crate) seq: u32,
    pub(crate) protocol: u32,
    pub(crate) transform: Transform,
    /// Info blocks and zeros.
    pub(crate) infos: Range<usize>,
    /// Where the payload begins.
    pub(crate) payload: usize,
}

impl Header {
    /// Reads the header from its magic number on; the whole of it must be there.
    pub(crate) fn parse(cursor: &mut Cursor<'_>) -> Parse<Self> {
        if cursor.u16()? != MAGIC {
            return Err(Fault::malformed("not a THeader frame").into());
        }
        let flags = cursor.u16()?;
        let seq = cursor.u32()?;
        let size = usize::from(cursor.u16()?) * 4;
        let mut head = *cursor;
        cursor.take(size)?;
        let payload = cursor.at();
        head = head.until(Bound { at: payload, fault: BAD_HEADER });
        let protocol = head.varint32()?;
        let count = head.varint32()?;
        let mut transform = Transform::None;
        for i in 0..count {
            transform = match head.varint32()? {
                ZLIB if i == 0 => Transform::Zlib,
                // It may have data, so that nothing can be read behind it.
                _ => {
                    transform = Transform::Unknown;
                    break;
                }
            };
        }
        let infos = if transform == Transform::Unknown { payload } else { head.at() };
        Ok(Self { flags, seq, protocol, transform, infos: infos..payload, payload })
    }
}

const BAD_HEADER: Fault = Fault::malformed("a THeader that is shorter than what it contains");

/// One info header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Info<'a> {
    pub(crate) persistent: bool,
    pub(crate) name: &'a [u8],
    pub(crate) value: &'a [u8],
    /// Where the pair is in the frame.
    at: usize,
    end: usize,
}

/// Goes through info blocks.
#[derive(Clone, Debug)]
pub(crate) struct Infos<'a> {
    cursor: Cursor<'a>,
    end: usize,
    persistent: bool,
    left: u32,
    /// Where blocks begin that are not known, up to the end of the header.
    pub(crate) unknown: Option<usize>,
    /// Blocks are broken.
    pub(crate) broken: bool,
}

impl<'a> Infos<'a> {
    /// The blocks at `range`, of which all must be there.
    pub(crate) fn new(frame: &'a [u8], range: Range<usize>) -> Self {
        let end = Bound { at: range.end, fault: BAD_HEADER };
        let cursor = Cursor::new(frame, range.start, end, end);
        Self { cursor, end: range.end, persistent: false, left: 0, unknown: None, broken: false }
    }

    fn pair(&mut self) -> Parse<Option<Info<'a>>> {
        while self.left == 0 {
            let at = self.cursor.at();
            if at >= self.end {
                return Ok(None);
            }
            match self.cursor.varint32()? {
                0 => {
                    self.cursor.skip(self.end.saturating_sub(self.cursor.at()))?;
                    return Ok(None);
                }
                block @ (PAIRS | PERSISTENT) => {
                    self.persistent = block == PERSISTENT;
                    self.left = self.cursor.varint32()?;
                }
                _ => {
                    self.unknown = Some(at);
                    self.cursor.skip(self.end.saturating_sub(self.cursor.at()))?;
                    return Ok(None);
                }
            }
        }
        self.left -= 1;
        let at = self.cursor.at();
        let len = self.cursor.varsize()?;
        let name = self.cursor.take(len as usize)?;
        let len = self.cursor.varsize()?;
        let value = self.cursor.take(len as usize)?;
        Ok(Some(Info { persistent: self.persistent, name, value, at, end: self.cursor.at() }))
    }
}

impl<'a> Iterator for Infos<'a> {
    type Item = Info<'a>;

    fn next(&mut self) -> Option<Info<'a>> {
        if self.broken {
            return None;
        }
        self.pair().unwrap_or_else(|_| {
            self.broken = true;
            None
        })
    }
}

/// What a look at all info headers of a frame found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Survey {
    pub(crate) pairs: u32,
    /// What remembering the persistent ones may cost, as [`Persistent`] counts.
    pub(crate) persistent: usize,
}

/// Looks at all info headers once.
pub(crate) fn survey(frame: &[u8], header: &Header) -> Result<Survey, Fault> {
    let mut infos = Infos::new(frame, header.infos.clone());
    let mut survey = Survey::default();
    for info in &mut infos {
        survey.pairs += 1;
        if info.persistent {
            survey.persistent += Persistent::cost(info.name, info.value);
        }
    }
    if infos.broken { Err(BAD_HEADER) } else { Ok(survey) }
}

/// Info headers that hold for the rest of a connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Persistent {
    pairs: BTreeMap<Box<[u8]>, Box<[u8]>>,
    pub(crate) bytes: usize,
}

impl Persistent {
    /// What a pair counts as: its bytes, and what it costs to keep them.
    fn cost(name: &[u8], value: &[u8]) -> usize {
        name.len() + value.len() + 32
    }

    /// Remembers those of a frame; the last of a name counts.
    pub(crate) fn remember(&mut self, frame: &[u8], header: &Header) {
        for info in Infos::new(frame, header.infos.clone()).filter(|info| info.persistent) {
            self.bytes += Self::cost(info.name, info.value);
            if let Some(old) = self.pairs.insert(info.name.into(), info.value.into()) {
                self.bytes = self.bytes.saturating_sub(Self::cost(info.name, &old));
            }
        }
    }

    pub(crate) fn value(&self, name: &[u8]) -> Option<&[u8]> {
        self.pairs.get(name).map(|value| &**value)
    }
}

/// The info headers of a frame to be written.
pub(crate) struct Rewritten<'a> {
    /// The frame they are in now.
    pub(crate) frame: &'a [u8],
    /// Where they are; empty if the frame has no THeader.
    pub(crate) infos: Range<usize>,
    /// What the connection that it came on remembers.
    pub(crate) known: Option<&'a Persistent>,
    pub(crate) edits: &'a [HeaderEdit],
}

/// A piece of what is to be written.
pub(crate) enum Piece<'a> {
    /// A range of the old frame.
    Old(Range<usize>),
    /// A pair.
    New(&'a [u8], &'a [u8]),
}

impl<'a> Rewritten<'a> {
    /// Whether the info blocks stay as they are.
    pub(crate) fn unchanged(&self) -> bool {
        self.edits.is_empty()
            && self.known.is_none()
            && !Infos::new(self.frame, self.infos.clone()).any(|info| info.persistent)
    }

    /// The pairs as they are after all edits, what counts last. No pair is written as a persistent
    /// one: the other connection is not this client's alone. Returns where blocks are that are not
    /// known.
    pub(crate) fn pairs(&self, mut each: impl FnMut(Piece<'a>)) -> Range<usize> {
        let edits = self.edits;
        let known = self.known.iter().flat_map(|known| &known.pairs);
        for (name, value) in known {
            if !ends(edits, name) {
                each(Piece::New(name, value));
            }
        }
        let mut unknown = self.infos.end..self.infos.end;
        for persistent in [true, false] {
            let mut infos = Infos::new(self.frame, self.infos.clone());
            for info in infos.by_ref().filter(|info| info.persistent == persistent) {
                let twice = || self.known.and_then(|k| k.value(info.name)) == Some(info.value);
                let gone = ends(edits, info.name) || (persistent && twice());
                if !gone {
                    each(Piece::Old(info.at..info.end));
                }
            }
            unknown.start = infos.unknown.unwrap_or(unknown.end);
        }
        for (i, edit) in edits.iter().enumerate() {
            if let HeaderEdit::Set { name, value } | HeaderEdit::Add { name, value } = edit
                && !ends(edits.get(i + 1..).unwrap_or_default(), name.as_bytes())
            {
                each(Piece::New(name.as_bytes(), value.as_bytes()));
            }
        }
        unknown
    }
}

/// Whether one of the edits takes away what has this name.
fn ends(edits: &[HeaderEdit], known: &[u8]) -> bool {
    edits.iter().any(|edit| match edit {
        HeaderEdit::Set { name, .. } | HeaderEdit::Remove { name } => name.as_bytes() == known,
        _ => false,
    })
}

/// The size of a header of this many bytes, as it is written, and the zeros it needs.
pub(crate) fn size(len: usize) -> Result<(u16, &'static [u8]), Fault> {
    let units = len.div_ceil(4);
    let units_16 = u16::try_from(units)
        .map_err(|_| Fault::too_large(Reason::HeadSize, "THeader headers are too long"))?;
    let zeros = (units * 4).saturating_sub(len);
    Ok((units_16, ZEROS.get(..zeros).unwrap_or_default()))
}

const ZEROS: &[u8] = &[0; 3];

/// The fixed part from the magic number on.
pub(crate) fn fixed(flags: u16, seq: u32, size: u16) -> [u8; FIXED] {
    let ([m0, m1], [f0, f1]) = (MAGIC.to_be_bytes(), flags.to_be_bytes());
    let ([s0, s1, s2, s3], [n0, n1]) = (seq.to_be_bytes(), size.to_be_bytes());
    [m0, m1, f0, f1, s0, s1, s2, s3, n0, n1]
}
