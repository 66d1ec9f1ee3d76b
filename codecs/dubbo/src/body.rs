//! The body of a request in Hessian 2: its prefix, and everything behind it. The decoder goes
//! through all of it once and notes where the attachments are, so that rules find them without going
//! through the arguments again. It knows offsets and nothing of frames' flags.

use std::io::Write;

use heptad_core::{Found, Unknown};

use crate::{
    frame::FIXED,
    hessian::{Bad, Limits, Reader, Scalar, Text, Units},
};

/// Most texts and chunks in a prefix. It has four texts, of one chunk each unless somebody means
/// to be difficult; the bound keeps the work linear when they come byte by byte.
const PREFIX_PARTS: u32 = 64;

/// What stands in front of the argument types.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Prefix {
    pub(crate) framework: Option<Text>,
    pub(crate) path: Text,
    pub(crate) version: Option<Text>,
    pub(crate) method: Text,
}

impl Prefix {
    /// Reads it from a frame of which all or some has come.
    pub(crate) fn of(frame: &[u8]) -> Result<Self, Bad> {
        let limits = Limits { depth: 0, parts: PREFIX_PARTS };
        let mut reader = Reader::new(frame, FIXED, Units::Utf16, limits);
        let prefix = Self {
            framework: reader.text_or_null()?,
            path: reader.text()?,
            version: reader.text_or_null()?,
            method: reader.text()?,
        };
        // Two readings of the names that rules are about would be one too many.
        if reader.wide { Err(Bad::Malformed) } else { Ok(prefix) }
    }

    /// Where the argument types begin.
    pub(crate) const fn end(&self) -> usize {
        self.method.end()
    }
}

/// An attachment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Entry {
    /// Offset of its key.
    pub(crate) at: usize,
    /// Behind its value.
    pub(crate) end: usize,
    pub(crate) key: Scalar,
    pub(crate) value: Scalar,
}

impl Entry {
    /// Whether its key is this name.
    pub(crate) fn is(&self, frame: &[u8], name: &str) -> bool {
        matches!(self.key, Scalar::Text(key) if key.is(frame, name))
    }
}

/// Where the attachments are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A map, from its tag up to the byte that ends it, which is the body's last.
    Map { at: usize, end: usize },
    /// Nothing, or null, from here to the end of the body.
    None { at: usize },
}

/// What was found when a body was gone through: the offset of the attachments, and two facts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Notes(pub(crate) u32);

impl Notes {
    /// An attachment says that the path is another one.
    const PATH: u32 = 1 << 31;
    /// There are two readings, so that nothing else is noted.
    const WIDE: u32 = 1 << 30;
    /// No rule asks for anything that attachments say, so that nobody has looked there.
    pub(crate) const UNSEEN: Self = Self(1 << 29);

    /// Goes through a whole request.
    pub(crate) fn of(frame: &[u8], prefix: &Prefix, limits: Limits) -> Self {
        let body = Body { frame, at: Some(prefix.end()), values: None, notes: Self(0), limits };
        let (mut wide, mut path) = (false, 0);
        let place = body.walk(Units::Utf16, &mut wide, |entry| {
            let plain = |text: Text| frame.get(text.plain()?);
            let same = match entry.value {
                Scalar::Text(text) => plain(text).is_some() && plain(text) == plain(prefix.path),
                _ => false,
            };
            if !same && entry.is(frame, "path") {
                path = Self::PATH;
            }
        });
        if wide {
            return Self(Self::WIDE);
        }
        let Ok(Place::Map { at, .. } | Place::None { at }) = place else {
            return Self(0);
        };
        u32::try_from(at)
            .ok()
            .filter(|at| *at < Self::UNSEEN.0)
            .map_or(Self(0), |at| Self(at | path))
    }

    /// The body cannot be read.
    pub(crate) const fn is_unreadable(self) -> bool {
        self.0 == 0
    }

    /// The service is what the prefix says.
    pub(crate) const fn is_plain(self) -> bool {
        self.0 != 0 && self.0 & (Self::PATH | Self::WIDE) == 0
    }

    /// Where the attachments begin, if that is certain.
    const fn attachments(self) -> Option<usize> {
        match self.0 & !Self::PATH {
            0 | Self::WIDE => None,
            at if at == Self::UNSEEN.0 => None,
            at => Some(at as usize),
        }
    }
}

/// The body of a whole request, or of a reply with attachments.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Body<'a> {
    frame: &'a [u8],
    /// Where the part in question begins; found again if it is not known.
    at: Option<usize>,
    /// Values in front of the attachments; of a request its types say how many.
    values: Option<u32>,
    notes: Notes,
    limits: Limits,
}

impl<'a> Body<'a> {
    /// A request's, and what was noted of it.
    pub(crate) const fn new(frame: &'a [u8], notes: Notes, limits: Limits) -> Self {
        Self { frame, at: None, values: None, notes, limits }
    }

    /// A reply's, with this many values behind the flag that ends at `at`.
    pub(crate) const fn reply(frame: &'a [u8], at: usize, values: u32, limits: Limits) -> Self {
        Self { frame, at: Some(at), values: Some(values), notes: Notes(0), limits }
    }

    /// The service that a Java server takes: attachments override what the prefix says.
    pub(crate) fn service(&self, scratch: &'a mut Vec<u8>) -> Found<'a> {
        let path = self.prefix()?.path;
        match self.attachment("path")? {
            None => Ok(Some(path.read(self.frame, scratch))),
            Some(Scalar::Text(path)) => Ok(Some(path.read(self.frame, scratch))),
            Some(_) => Err(Unknown),
        }
    }

    /// The method; of a generic call the one that is meant.
    pub(crate) fn method(&self, scratch: &'a mut Vec<u8>) -> Found<'a> {
        let method = self.prefix()?.method;
        if !self.is_generic(method)? {
            return Ok(Some(method.read(self.frame, scratch)));
        }
        match self.certain(|units, wide| self.argument(0, units, wide))? {
            Some(Scalar::Text(name)) => Ok(Some(trimmed(name.read(self.frame, scratch)))),
            _ => Err(Unknown),
        }
    }

    /// An attachment, or what the prefix says in its stead.
    pub(crate) fn header(&self, name: &str, scratch: &'a mut Vec<u8>) -> Found<'a> {
        match self.attachment(name)? {
            None => {
                let prefix = self.prefix()?;
                let text = match name {
                    "version" => prefix.version,
                    "interface" | "path" => Some(prefix.path),
                    _ => None,
                };
                Ok(text.map(|text| text.read(self.frame, scratch)))
            }
            Some(Scalar::Bool(_)) => Err(Unknown),
            Some(value) => show(value, self.frame, scratch),
        }
    }

    /// Every attachment that has a text for its name and one for its value.
    pub(crate) fn headers(&self, each: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), Unknown> {
        let (mut names, mut values) = (Vec::new(), Vec::new());
        self.attachments(&mut |entry| {
            names.clear();
            values.clear();
            if let Scalar::Text(key) = entry.key
                && let Ok(Some(value)) = show(entry.value, self.frame, &mut values)
            {
                each(key.read(self.frame, &mut names), value);
            }
        })?;
        Ok(())
    }

    /// An argument by its place; of a generic call one of those that it carries.
    pub(crate) fn arg(&self, number: u32, scratch: &'a mut Vec<u8>) -> Found<'a> {
        match self.scalar(number)? {
            Some(value) => show(value, self.frame, scratch),
            None => Ok(None),
        }
    }

    /// As [`Body::arg`]; `None` beyond the last one.
    pub(crate) fn scalar(&self, number: u32) -> Result<Option<Scalar>, Unknown> {
        let generic = self.is_generic(self.prefix()?.method)?;
        self.certain(|units, wide| match generic {
            true => self.element(number, units, wide),
            false => self.argument(number, units, wide),
        })
    }

    /// The value of an attachment. Of several with the name the last one, as when they are put into
    /// a map.
    pub(crate) fn attachment(&self, name: &str) -> Result<Option<Scalar>, Unknown> {
        let mut found = None;
        if let Some(mut reader) = self.noted()
            && entries(&mut reader, |entry| {
                if entry.is(self.frame, name) {
                    found = Some(entry.value);
                }
            })
            .is_ok()
        {
            return Ok(found);
        }
        tried(|units, wide| {
            let mut found = None;
            self.walk(units, wide, |entry| {
                if entry.is(self.frame, name) {
                    found = Some(entry.value);
                }
            })?;
            Ok(found)
        })
    }

    /// Reads to the end of the body and calls `each` with every attachment, but only if all of the
    /// body makes sense.
    pub(crate) fn attachments(&self, each: &mut dyn FnMut(&Entry)) -> Result<Place, Unknown> {
        if let Some(mut reader) = self.noted()
            && entries(&mut reader, |_| {}).is_ok()
            && let Some(mut reader) = self.noted()
        {
            return entries(&mut reader, each).map_err(|_| Unknown);
        }
        let read =
            |units, wide: &mut bool| self.walk(units, wide, |_| {}).map(|place| (place, units));
        let (_, units) = tried(read)?;
        self.walk(units, &mut false, each).map_err(|_| Unknown)
    }

    /// A reader in front of the attachments. It does not know the classes that arguments defined;
    /// where an attachment needs them, the arguments must be gone through.
    fn noted(&self) -> Option<Reader<'a>> {
        let at = self.notes.attachments()?;
        Some(Reader::new(self.frame, at, Units::Utf16, self.limits))
    }

    fn prefix(&self) -> Result<Prefix, Unknown> {
        Prefix::of(self.frame).map_err(|_| Unknown)
    }

    /// A call by name: its arguments are the method, the types, and the list of what is meant.
    fn is_generic(&self, method: Text) -> Result<bool, Unknown> {
        let named = method.is(self.frame, "$invoke") || method.is(self.frame, "$invokeAsync");
        if !named {
            return Ok(false);
        }
        let (_, count) = self.reader(Units::Utf16).map_err(|_| Unknown)?;
        Ok(count == 3)
    }

    /// A reader in front of the first argument, and how many there are.
    fn reader(&self, units: Units) -> Result<(Reader<'a>, u32), Bad> {
        let at = match self.at {
            Some(at) => at,
            None => Prefix::of(self.frame)?.end(),
        };
        let mut reader = Reader::new(self.frame, at, units, self.limits);
        if let Some(values) = self.values {
            return Ok((reader, values));
        }
        let types = reader.text()?;
        let plain = types.plain().and_then(|range| self.frame.get(range));
        let count = match plain {
            Some(bytes) => count_types(bytes.iter().copied().map(u16::from)),
            None => count_types(types.utf16(self.frame)),
        };
        Ok((reader, count.ok_or(Bad::Malformed)?))
    }

    /// Reads everything behind the prefix.
    fn walk(&self, units: Units, wide: &mut bool, each: impl FnMut(&Entry)) -> Result<Place, Bad> {
        let (mut reader, count) = self.reader(units)?;
        let place = self.walk_with(&mut reader, count, each);
        *wide = reader.wide;
        place
    }

    fn walk_with(
        &self,
        reader: &mut Reader<'a>,
        count: u32,
        each: impl FnMut(&Entry),
    ) -> Result<Place, Bad> {
        for _ in 0..count {
            reader.skip()?;
        }
        entries(reader, each)
    }

    /// An argument as it stands in the body.
    fn argument(&self, number: u32, units: Units, wide: &mut bool) -> Result<Option<Scalar>, Bad> {
        let (mut reader, count) = self.reader(units)?;
        if number >= count {
            return Ok(None);
        }
        let value = (0..number).try_for_each(|_| reader.skip()).and_then(|()| reader.value());
        *wide |= reader.wide;
        value.map(Some)
    }

    /// An element of the list that is a generic call's third argument.
    fn element(&self, number: u32, units: Units, wide: &mut bool) -> Result<Option<Scalar>, Bad> {
        let (mut reader, _) = self.reader(units)?;
        let mut read = || {
            reader.skip()?;
            reader.skip()?;
            if reader.peek()? == b'N' {
                return Ok(None);
            }
            let count = reader.list()?;
            for n in 0..=number {
                if count.is_some_and(|count| n >= count) || (count.is_none() && reader.end()?) {
                    return Ok(None);
                }
                if n == number {
                    return reader.value().map(Some);
                }
                reader.skip()?;
            }
            Ok(None)
        };
        let value = read();
        *wide |= reader.wide;
        value
    }

    /// What `read` finds in front of the body's end; where there are two readings, the one with
    /// which the whole body makes sense.
    fn certain(
        &self,
        read: impl Fn(Units, &mut bool) -> Result<Option<Scalar>, Bad>,
    ) -> Result<Option<Scalar>, Unknown> {
        let mut wide = false;
        let first = read(Units::Utf16, &mut wide);
        if !wide {
            return first.map_err(|_| Unknown);
        }
        tried(|units, wide| {
            let value = read(units, wide);
            self.walk(units, wide, |_| {})?;
            *wide = true;
            value
        })
    }
}

/// Reads what a request ends with, from behind its arguments.
fn entries(reader: &mut Reader<'_>, mut each: impl FnMut(&Entry)) -> Result<Place, Bad> {
    let at = reader.at();
    let mut place = Place::None { at };
    if !reader.is_at_end() && !reader.null()? {
        if !reader.map()? {
            return Err(Bad::Malformed);
        }
        loop {
            let key_at = reader.at();
            if reader.end()? {
                place = Place::Map { at, end: key_at };
                break;
            }
            let (key, value) = (reader.value()?, reader.value()?);
            each(&Entry { at: key_at, end: reader.at(), key, value });
        }
    }
    if reader.is_at_end() { Ok(place) } else { Err(Bad::Malformed) }
}

/// Reads as the specification has it, and where that depends on what a character counts, the other
/// way too. Both ways may make sense only if they say the same.
fn tried<T: Same>(mut read: impl FnMut(Units, &mut bool) -> Result<T, Bad>) -> Result<T, Unknown> {
    let mut wide = false;
    let first = read(Units::Utf16, &mut wide);
    if !wide {
        return first.map_err(|_| Unknown);
    }
    match (first, read(Units::CodePoints, &mut wide)) {
        // A limit says nothing about which reading is right.
        (Err(Bad::Depth | Bad::Parts), _) | (_, Err(Bad::Depth | Bad::Parts)) => Err(Unknown),
        (Ok(a), Ok(b)) if a.same(&b) => Ok(a),
        (Ok(_), Ok(_)) | (Err(_), Err(_)) => Err(Unknown),
        (Ok(value), Err(_)) | (Err(_), Ok(value)) => Ok(value),
    }
}

/// Whether two readings say the same.
trait Same {
    fn same(&self, other: &Self) -> bool;
}

impl Same for Option<Scalar> {
    fn same(&self, other: &Self) -> bool {
        self == other
    }
}

impl Same for (Place, Units) {
    fn same(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

/// A value as rules see it.
fn show<'a>(value: Scalar, frame: &'a [u8], scratch: &'a mut Vec<u8>) -> Found<'a> {
    Ok(Some(match value {
        Scalar::Null => return Ok(None),
        Scalar::Bool(true) => b"true",
        Scalar::Bool(false) => b"false",
        Scalar::Int(n) => {
            write!(scratch, "{n}").map_err(|_| Unknown)?;
            scratch
        }
        Scalar::Text(text) => text.read(frame, scratch),
        Scalar::Other | Scalar::Container => return Err(Unknown),
    }))
}

/// Java's `trim`, which generic calls put their method through.
fn trimmed(mut text: &[u8]) -> &[u8] {
    while let [0..=0x20, rest @ ..] = text {
        text = rest;
    }
    while let [rest @ .., 0..=0x20] = text {
        text = rest;
    }
    text
}

/// How many types a descriptor has: `Ljava/lang/String;[I` has two.
fn count_types(mut units: impl Iterator<Item = u16>) -> Option<u32> {
    let mut count = 0_u32;
    let mut inside = false;
    while let Some(unit) = units.next() {
        match u8::try_from(unit).ok()? {
            b'[' => {
                inside = true;
                continue;
            }
            b'V' | b'Z' | b'B' | b'C' | b'D' | b'F' | b'I' | b'J' | b'S' => {}
            b'L' => {
                units.find(|unit| *unit == u16::from(b';'))?;
            }
            _ => return None,
        }
        inside = false;
        count = count.checked_add(1)?;
    }
    (!inside).then_some(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_counted() {
        for (text, count) in [
            ("", Some(0)),
            ("I", Some(1)),
            ("[[Ljava/lang/String;", Some(1)),
            ("Ljava/lang/String;[Ljava/lang/String;[Ljava/lang/Object;", Some(3)),
            ("ZBCDFIJSV", Some(9)),
            ("L;", Some(1)),
            ("Ljava/lang/String", None),
            ("[", None),
            ("I[", None),
            ("java.lang.String", None),
        ] {
            assert_eq!(count_types(text.encode_utf16()), count, "{text}");
        }
    }
}
