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
        // By far the most texts are short.
        if let 0..=0x1f = tag
            && let start = self.at
            && let end = start.saturating_add(tag.into())
            && self.bytes.get(start..end).is_some_and(is_ascii)
        {
            self.at = end;
            return Ok(Text { at, end, plain: Some(start), units: self.units });
        }
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
    ///
    /// Nothing is looked at before as many bytes are there as the characters have at least, so that
    /// it makes no difference how the bytes came.
    fn characters(&mut self, len: usize) -> Result<bool, Bad> {
        let end = self.at.saturating_add(len);
        let run = self.bytes.get(self.at..end).ok_or(Bad::Short(end))?;
        if is_ascii(run) {
            self.at = end;
            return Ok(true);
        }
        let mut left = len;
        while left > 0 {
            let (more, units) = self.shape(self.peek()?)?;
            self.wide |= more == 3; // Even if it does not fit: it may, counted otherwise.
            left = left.checked_sub(units).ok_or(Bad::Malformed)?;
            let end = self.at.saturating_add(1 + more).saturating_add(left);
            if end > self.bytes.len() {
                return Err(Bad::Short(end));
            }
            self.character()?;
        }
        Ok(false)
    }

    /// How many bytes follow a character's first one, and how many units of the length it takes.
    fn shape(&self, first: u8) -> Result<(usize, usize), Bad> {
        Ok(match first {
            0x00..=0x7f => (0, 1),
            0xc0..=0xdf => (1, 1),
            0xe0..=0xef => (2, 1),
            0xf0..=0xf4 => (3, if self.units == Units::Utf16 { 2 } else { 1 }),
            _ => return Err(Bad::Malformed),
        })
    }

    /// A character and how many units of the length it takes.
    fn character(&mut self) -> Result<(u32, usize), Bad> {
        let first = self.byte()?;
        let (more, units) = self.shape(first)?;
        let (mask, least) = match more {
            0 => (0x7f, 0),
            1 => (0x1f, 0x80),
            2 => (0x0f, 0x800),
            _ => (0x07, 0x1_0000),
        };
        let mut c = u32::from(first & mask);
        for _ in 0..more {
            match self.byte()? {
                byte @ 0x80..=0xbf => c = c << 6 | u32::from(byte & 0x3f),
                _ => return Err(Bad::Malformed),
            }
        }
        if (least..=0x10_ffff).contains(&c) { Ok((c, units)) } else { Err(Bad::Malformed) }
    }
}

/// As the method of slices, which is made for longer ones.
fn is_ascii(run: &[u8]) -> bool {
    let Some(last) = run.last_chunk::<8>() else {
        return run.iter().fold(0, |all, byte| all | byte) < 0x80;
    };
    if run.len() > 64 {
        return run.is_ascii();
    }
    let (eights, _) = run.as_chunks::<8>();
    let all = eights
        .iter()
        .fold(u64::from_ne_bytes(*last), |all, eight| all | u64::from_ne_bytes(*eight));
    all & 0x8080_8080_8080_8080 == 0
}
