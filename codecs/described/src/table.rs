//! A compiled description: tables that decoding, editing and answering read. No YAML, no names of
//! keys; everything was judged when they were made.

use heptad_core::{Kind, Outcome, Traits};

/// Most bytes that may stand in front of the first part: they are edited on the stack.
pub(crate) const MOST_INITIAL: usize = 64;

/// A protocol.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) name: Box<str>,
    pub(crate) traits: Traits,
    /// Frames end with these bytes; empty: they have a length.
    pub(crate) delimiter: Box<[u8]>,
    pub(crate) versions: Box<[Version]>,
    pub(crate) shapes: Box<[Shape]>,
    pub(crate) statuses: Box<[Status]>,
    /// The status for each outcome of Heptad's own, by its number in `Outcome::ALL`.
    pub(crate) says: Box<[u64]>,
    /// The status of a success.
    pub(crate) ok: u64,
}

#[derive(Debug)]
pub(crate) struct Version {
    pub(crate) magic: Box<[u8]>,
    /// Bytes that every frame has, and that tell which one it is.
    pub(crate) least: usize,
    pub(crate) kind: Option<Masked>,
    /// By value: what clients and what servers send.
    pub(crate) kinds: Kinds,
    pub(crate) answers: Answers,
    /// Bytes of a request that answers repeat something of.
    pub(crate) kept: usize,
}

/// What the values of a kind field mean: an index of a shape for each side.
#[derive(Debug)]
pub(crate) struct Kinds {
    /// For values below 16, which most protocols make do with.
    pub(crate) small: [[u8; 2]; 16],
    pub(crate) large: Box<[(u64, [u8; 2])]>,
}

/// In [`Kinds`]: no frame has this value.
pub(crate) const UNKNOWN: u8 = 255;
/// In [`Kinds`]: only the other side sends it.
pub(crate) const UNEXPECTED: u8 = 254;

impl Kinds {
    pub(crate) fn of(&self, value: u64, side: usize) -> u8 {
        let place = usize::try_from(value).ok().and_then(|value| self.small.get(value));
        let sides = match place {
            Some(sides) => *sides,
            None => match self.large.iter().find(|(known, _)| *known == value) {
                Some((_, sides)) => *sides,
                None => return UNKNOWN,
            },
        };
        sides.get(side).copied().unwrap_or(UNKNOWN)
    }
}

/// One kind of frame in one version.
#[derive(Debug)]
pub(crate) struct Shape {
    pub(crate) kind: Kind,
    pub(crate) version: u8,
    /// Whether clients and whether servers send it.
    pub(crate) sides: [bool; 2],
    /// What the kind field says.
    pub(crate) value: u64,
    pub(crate) initial: usize,
    pub(crate) length: Option<Length>,
    pub(crate) head: Option<Length>,
    pub(crate) body: bool,
    pub(crate) crc: Option<Option<Masked>>,
    pub(crate) id: Option<Id>,
    pub(crate) parts: Box<[Part]>,
    /// Headers that decoding looks for, and what they tell.
    pub(crate) named: Box<[Named]>,
    /// Fields of the protobuf part that decoding looks for.
    pub(crate) numbered: Box<[Numbered]>,
    /// Service, method and key: absent means that it cannot be told.
    pub(crate) unknown: [bool; 3],
    /// Of service, method and key only what stands behind the last of these counts.
    pub(crate) after: [Option<u8>; 3],
    pub(crate) service: Option<Fixed>,
    pub(crate) method: Option<Fixed>,
    pub(crate) key: Option<Fixed>,
    pub(crate) status: Option<Field>,
    pub(crate) timeout: Option<Timeout>,
    pub(crate) oneway: Option<Expect>,
    pub(crate) app_error: Option<Expect>,
    /// The number of the part with headers.
    pub(crate) headers: Option<usize>,
    /// Length fields that grow with the headers.
    pub(crate) grow: Box<[Field]>,
    /// A lone length that covers everything, for templates.
    pub(crate) total: Option<(Field, i64)>,
    /// The field that covers the body alone.
    pub(crate) rest: Option<Field>,
}

impl Shape {
    /// Whether it asks for something: then what is wrong with it can be answered.
    pub(crate) const fn asks(&self) -> bool {
        matches!(self.kind, Kind::Request | Kind::Oneway | Kind::Open)
    }

    /// Whether a frame of this kind can be written from end to end with another id alone by
    /// replacing bytes at a fixed place.
    pub(crate) fn crc_of(&self, frame: &[u8]) -> usize {
        match self.crc {
            None => 0,
            Some(None) => 4,
            Some(Some(when)) => match when.read(frame) {
                Some(0) | None => 0,
                Some(_) => 4,
            },
        }
    }
}

/// A number at a fixed place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) at: usize,
    pub(crate) width: u8,
    pub(crate) little: bool,
}

impl Field {
    pub(crate) const fn end(self) -> usize {
        self.at.saturating_add(self.width as usize)
    }

    /// The largest number that fits.
    pub(crate) const fn most(self) -> u64 {
        match self.width {
            0 => 0,
            1..8 => (1 << (self.width * 8)) - 1,
            _ => u64::MAX,
        }
    }

    #[inline]
    pub(crate) fn read(self, frame: &[u8]) -> Option<u64> {
        let bytes = frame.get(self.at..)?;
        let number = match self.width {
            1 => return bytes.first().map(|byte| u64::from(*byte)),
            2 => {
                let bytes = u16::from_be_bytes(*bytes.first_chunk()?);
                u64::from(if self.little { bytes.swap_bytes() } else { bytes })
            }
            4 => {
                let bytes = u32::from_be_bytes(*bytes.first_chunk()?);
                u64::from(if self.little { bytes.swap_bytes() } else { bytes })
            }
            8 => {
                let bytes = u64::from_be_bytes(*bytes.first_chunk()?);
                if self.little { bytes.swap_bytes() } else { bytes }
            }
            width => {
                let fold = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
                let bytes = bytes.get(..usize::from(width))?.iter();
                if self.little { bytes.rev().fold(0, fold) } else { bytes.fold(0, fold) }
            }
        };
        Some(number)
    }

    /// The number's bytes as they stand in a frame; how many count is the field's width.
    pub(crate) fn bytes(self, number: u64) -> [u8; 8] {
        match self.little {
            true => number.to_le_bytes(),
            false => (number << (64 - 8 * u32::from(self.width.clamp(1, 8)))).to_be_bytes(),
        }
    }

    /// Writes the number at its place; `false` if it does not fit or the place is not there.
    #[must_use]
    pub(crate) fn write(self, frame: &mut [u8], number: u64) -> bool {
        let bytes = self.bytes(number);
        match (frame.get_mut(self.at..self.end()), bytes.get(..usize::from(self.width))) {
            (Some(place), Some(bytes)) if number <= self.most() => {
                place.copy_from_slice(bytes);
                true
            }
            _ => false,
        }
    }
}

/// Some bits of a field.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Masked {
    pub(crate) field: Field,
    pub(crate) mask: u64,
}

impl Masked {
    #[inline]
    pub(crate) fn read(self, frame: &[u8]) -> Option<u64> {
        Some(self.field.read(frame)? & self.mask)
    }
}

/// What fields add up to, and a number on top.
#[derive(Debug)]
pub(crate) struct Length {
    pub(crate) first: Field,
    pub(crate) more: Box<[Field]>,
    pub(crate) base: i64,
}

impl Length {
    /// `None`: the fields are not there, or what they add up to is no length.
    #[inline]
    pub(crate) fn of(&self, frame: &[u8]) -> Option<u64> {
        let mut sum = self.first.read(frame)?;
        for field in &self.more {
            sum = sum.saturating_add(field.read(frame)?);
        }
        match self.base {
            base @ 0.. => Some(sum.saturating_add(base.unsigned_abs())),
            base => sum.checked_sub(base.unsigned_abs()),
        }
    }

    pub(crate) fn fields(&self) -> impl Iterator<Item = Field> {
        std::iter::once(self.first).chain(self.more.iter().copied())
    }
}

/// Where the id stands.
#[derive(Debug)]
pub(crate) enum Id {
    Fixed(Field),
    /// A field of the protobuf part.
    Numbered(u32),
    /// A header, in decimal digits.
    Named(Box<str>),
}

/// Something at a fixed place.
#[derive(Debug)]
pub(crate) enum Fixed {
    Text { at: usize, size: usize },
    Number { field: Field, names: Box<[(u64, Box<str>)]> },
}

/// Where a time-out stands.
#[derive(Debug)]
pub(crate) enum Timeout {
    Fixed(Field),
    Named(Box<str>),
    Numbered(u32),
}

/// What a header or a protobuf field tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    Service,
    Method,
    Key,
    Id,
    Status,
    Oneway,
    AppError,
}

/// A header that is looked for.
#[derive(Debug)]
pub(crate) struct Named {
    pub(crate) name: Box<[u8]>,
    pub(crate) slot: Slot,
    /// It counts only if the one in front of it in the table is not there.
    pub(crate) fallback: bool,
}

/// A protobuf field that is looked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Numbered {
    /// The field whose message it stands in; 0 for none.
    pub(crate) within: u32,
    pub(crate) number: u32,
    pub(crate) slot: Slot,
}

/// What a header or a protobuf field must be.
#[derive(Debug)]
pub(crate) enum Expect {
    Text(Box<[u8]>),
    Number(u64),
    Other(u64),
}

/// A stretch behind the initial bytes.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) what: What,
    pub(crate) extent: Extent,
}

#[derive(Debug)]
pub(crate) enum What {
    Service,
    Method,
    Key,
    Opaque,
    Status(Field),
    Headers(Form),
    Protobuf(Protobuf),
}

/// How long a part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Up to the end of the head.
    Rest,
    /// The field's place counts from the part's first byte.
    Prefix(Field),
    Field(Field),
    Size(usize),
}

/// How headers are written.
#[derive(Debug)]
pub(crate) struct Form {
    pub(crate) written: Written,
    /// The first of several counts.
    pub(crate) first: bool,
}

#[derive(Debug)]
pub(crate) enum Written {
    /// Widths of the lengths of names and of values; places count from the length's first byte.
    Pairs {
        name: Field,
        value: Field,
        nulls: bool,
    },
    Lines {
        separator: Box<[u8]>,
        terminator: Box<[u8]>,
    },
    Json,
}

#[derive(Debug)]
pub(crate) struct Protobuf {
    pub(crate) headers: Option<u32>,
    /// The field whose message has the headers; 0 for none.
    pub(crate) within: u32,
    pub(crate) fields: Box<[(Box<str>, u32)]>,
}

#[derive(Debug)]
pub(crate) struct Status {
    pub(crate) value: u64,
    pub(crate) name: Box<str>,
    pub(crate) outcome: Outcome,
}

/// The number of a status in `Meta::code` if it does not fit there.
pub(crate) const OTHER: u32 = u32::MAX;

#[derive(Debug, Default)]
pub(crate) struct Answers {
    pub(crate) error: Option<Template>,
    pub(crate) stream_error: Option<Template>,
    pub(crate) direct: Option<Template>,
    pub(crate) ping: Option<Template>,
    pub(crate) pong: Option<Template>,
    pub(crate) cancel: Option<Template>,
    pub(crate) goaway: Option<Template>,
}

#[derive(Debug)]
pub(crate) struct Template {
    /// An index of the shapes.
    pub(crate) shape: usize,
    pub(crate) initial: Box<[u8]>,
    /// From, to, width.
    pub(crate) copy: Box<[(usize, usize, usize)]>,
    pub(crate) status: Option<u64>,
    pub(crate) parts: Box<[Box<[Piece]>]>,
    pub(crate) body: Box<[Piece]>,
    /// Other bodies for some requests.
    pub(crate) instead: Box<[Instead]>,
}

/// A body for requests with this byte at an offset.
#[derive(Debug)]
pub(crate) struct Instead {
    pub(crate) at: usize,
    pub(crate) is: u8,
    pub(crate) body: Box<[Piece]>,
}

#[derive(Debug)]
pub(crate) enum Piece {
    Bytes(Box<[u8]>),
    Text(crate::model::TextForm),
    Id(crate::model::NumberForm),
    Status(crate::model::NumberForm),
}
