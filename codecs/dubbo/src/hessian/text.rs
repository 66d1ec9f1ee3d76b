//! Texts: one or more chunks of UTF-8 whose lengths count characters, not bytes.
//!
//! Java writes a character outside of the basic plane as two surrogates of three bytes each, others
//! as UTF-8 has it. Both are read. Forms that decoders disagree about (overlong ones, bytes that
//! continue nothing) are refused, because a rule must see what the server sees.

use super::{Bad, Reader, Units};

/// Where a text stands. Equal are two at the same place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text {
    /// Offset of its first tag.
    at: usize,
    /// Behind its last byte.
    end: usize,
    /// Offset of its characters, if they are ASCII and in one chunk.
    plain: Option<usize>,
    units: Units,
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.end) == (other.at, other.end)
    }
}

impl Text {
    /// The offsets of the text, if it stands there as it is read.
    pub(crate) fn plain(&self) -> Option<std::ops::Range<usize>> {
        self.plain.map(|at| at..self.end)
    }

    /// Behind its last byte.
    pub(crate) const fn end(&self) -> usize {
        self.end
    }

    /// As UTF-8: where it stands in `bytes`, or decoded into `scratch`.
    pub(crate) fn read<'a>(&self, bytes: &'a [u8], scratch: &'a mut Vec<u8>) -> &'a [u8] {
        if let Some(plain) = self.plain().and_then(|range| bytes.get(range)) {
            return plain;
        }
        let from = scratch.len();
        for c in char::decode_utf16(self.utf16(bytes)) {
            let c = c.unwrap_or(char::REPLACEMENT_CHARACTER);
            scratch.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
        scratch.get(from..).unwrap_or_default()
    }

    /// Whether it says the same as `other`.
    pub(crate) fn is(&self, bytes: &[u8], other: &str) -> bool {
        match self.plain().and_then(|range| bytes.get(range)) {
            Some(plain) => plain == other.as_bytes(),
            None => self.utf16(bytes).eq(other.encode_utf16()),
        }
    }

    /// The units of UTF-16, chunk by chunk.
    pub(crate) fn utf16<'a>(&self, bytes: &'a [u8]) -> impl Iterator<Item = u16> + 'a {
        let bytes = bytes.get(..self.end).unwrap_or_default();
        let mut reader = Reader::new(bytes, self.at, self.units, Default::default());
        let (mut left, mut last, mut low) = (0, false, None);
        std::iter::from_fn(move || {
            if let Some(low) = low.take() {
                return Some(low);
            }
            while left == 0 {
                if last {
                    return None;
                }
                let tag = reader.byte().ok()?;
                (left, last) = reader.chunk(tag).ok()?;
            }
            let (c, units) = reader.character().ok()?;
            left = left.saturating_sub(units);
            if c < 0x1_0000 {
                return u16::try_from(c).ok();
            }
            let c = c - 0x1_0000;
            low = u16::try_from(0xdc00 | (c & 0x3ff)).ok();
            u16::try_from(0xd800 | (c >> 10)).ok()
        })
    }
}

impl Reader<'_> {
    /// A text, to its end.
    pub(crate) fn text(&mut self) -> Result<Text, Bad> {
        self.part()?;
        let tag = self.byte()?;
        self.text_after(tag)
    }

    /// A text, or null.
    pub(crate) fn text_or_null(&mut self) -> Result<Option<Text>, Bad> {
        if self.null()? { Ok(None) } else { self.text().map(Some) }
    }

    pub(super) fn text_after(&mut self, mut tag: u8) -> Result<Text, Bad> {
        let at = self.at.saturating_sub(1);
        let mut whole = true;
        loop {
            let (len, last) = self.chunk(tag)?;
            let start = self.at;
            let ascii = self.characters(len)?;
            if last {
                let plain = (whole && ascii).then_some(start);
                return Ok(Text { at, end: self.at, plain, units: self.units });
            }
            whole = false;
            self.part()?;
            tag = self.byte()?;
        }
    }

    /// How many characters a chunk has, and whether it is the last one.
    fn chunk(&mut self, tag: u8) -> Result<(usize, bool), Bad> {
        Ok(match tag {
            0x00..=0x1f => (usize::from(tag), true),
            0x30..=0x33 => (usize::from(tag - 0x30) << 8 | usize::from(self.byte()?), true),
            b'R' | b'S' => (u16::from_be_bytes(self.array()?).into(), tag == b'S'),
            _ => return Err(Bad::Malformed),
        })
    }

    /// Passes over characters; whether all of them are ASCII.
    fn characters(&mut self, len: usize) -> Result<bool, Bad> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let Some(run) = rest.get(..len) else {
            // Nobody is asked to wait for a text that is broken already.
            return self.count_characters(len).map(|()| true);
        };
        if run.is_ascii() {
            self.at += len;
            return Ok(true);
        }
        self.count_characters(len).map(|()| false)
    }

    fn count_characters(&mut self, len: usize) -> Result<(), Bad> {
        let mut left = len;
        while left > 0 {
            let (_, units) = match self.character() {
                // This one may take two units; what is left has a byte for each at least.
                Err(Bad::Short(end)) => {
                    return Err(Bad::Short(end.saturating_add(left.saturating_sub(2))));
                }
                other => other?,
            };
            left = left.checked_sub(units).ok_or(Bad::Malformed)?;
        }
        Ok(())
    }

    /// A character and how many units of the length it takes.
    fn character(&mut self) -> Result<(u32, usize), Bad> {
        let first = self.byte()?;
        let more = |reader: &mut Self| match reader.byte()? {
            byte @ 0x80..=0xbf => Ok(u32::from(byte & 0x3f)),
            _ => Err(Bad::Malformed),
        };
        let lead = u32::from(first);
        let (c, least, units) = match first {
            0x00..=0x7f => (lead, 0, 1),
            0xc0..=0xdf => ((lead & 0x1f) << 6 | more(self)?, 0x80, 1),
            0xe0..=0xef => ((lead & 0x0f) << 12 | more(self)? << 6 | more(self)?, 0x800, 1),
            0xf0..=0xf4 => {
                self.wide = true;
                let c = (lead & 0x07) << 18 | more(self)? << 12 | more(self)? << 6 | more(self)?;
                let units = if self.units == Units::Utf16 { 2 } else { 1 };
                (c, 0x1_0000, units)
            }
            _ => return Err(Bad::Malformed),
        };
        if c < least || c > 0x10_ffff { Err(Bad::Malformed) } else { Ok((c, units)) }
    }
}
