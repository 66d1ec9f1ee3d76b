//! Finding the end of any value, however nested, with a list of levels instead of recursion.

use super::{Bad, Reader, small::Small};

/// Bounds of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Deepest nesting.
    pub(crate) depth: u32,
    /// Most values, names of fields and chunks.
    pub(crate) parts: u32,
}

impl Default for Limits {
    fn default() -> Self {
        let cx = heptad_core::Ctx::default();
        Self { depth: cx.max_depth, parts: cx.max_parts }
    }
}

/// A level is the number of values it still needs, or one of these. Counts are at most the number
/// of bytes in a body and never get that large.
const LIST: u32 = u32::MAX;
const MAP_KEY: u32 = u32::MAX - 1;
const MAP_VALUE: u32 = u32::MAX - 2;

impl Reader<'_> {
    /// Passes over one value.
    pub(crate) fn skip(&mut self) -> Result<(), Bad> {
        match self.enter()? {
            None | Some(0) => Ok(()),
            Some(_) if self.limits.depth == 0 => Err(Bad::Depth),
            Some(level) => self.skip_levels(level),
        }
    }

    /// Passes over what is left of a value that others are in.
    fn skip_levels(&mut self, mut level: u32) -> Result<(), Bad> {
        let mut levels = Small::<32>::default();
        loop {
            // One step of the innermost level: it ends, or it gets its next value.
            match level {
                0 => match levels.pop() {
                    Some(outer) => {
                        level = outer;
                        continue;
                    }
                    None => return Ok(()),
                },
                LIST | MAP_KEY if self.end()? => {
                    level = 0;
                    continue;
                }
                LIST => {}
                MAP_KEY => level = MAP_VALUE,
                MAP_VALUE => level = MAP_KEY,
                _ => level -= 1,
            }
            if let Some(inner) = self.enter()? {
                if inner == 0 {
                    continue;
                }
                if levels.len() + 1 >= self.limits.depth as usize {
                    return Err(Bad::Depth);
                }
                levels.push(level);
                level = inner;
            }
        }
    }

    /// Passes over a value without others in it, or goes into one that has: its level.
    fn enter(&mut self) -> Result<Option<u32>, Bad> {
        loop {
            self.part()?;
            let tag = self.byte()?;
            if let Some(count) = self.list_after(tag)? {
                return Ok(Some(count.unwrap_or(LIST)));
            }
            match tag {
                b'N' | b'T' | b'F' | 0x5b | 0x5c => {}
                0x80..=0xd7 | b'I' => drop(self.int_after(tag)?),
                0xd8..=0xff | 0x38..=0x3f | 0x59 | b'L' => drop(self.long_after(tag)?),
                0x5d => self.advance(1)?,
                0x5e => self.advance(2)?,
                0x5f | 0x4b => self.advance(4)?,
                b'D' | 0x4a => self.advance(8)?,
                0x00..=0x1f | 0x30..=0x33 | b'R' | b'S' => drop(self.text_after(tag)?),
                0x20..=0x2f | 0x34..=0x37 | b'A' | b'B' => self.bytes_after(tag)?,
                0x51 => {
                    // What it refers to is of no interest, so that a cycle is nothing special.
                    u32::try_from(self.int()?).map_err(|_| Bad::Malformed)?;
                }
                b'H' => return Ok(Some(MAP_KEY)),
                b'M' => {
                    self.type_name()?;
                    return Ok(Some(MAP_KEY));
                }
                b'C' => {
                    // A definition is no value: the object follows, or one more definition.
                    self.definition()?;
                    continue;
                }
                b'O' => {
                    let class = usize::try_from(self.int()?).map_err(|_| Bad::Malformed)?;
                    return self.class(class).map(Some);
                }
                0x60..=0x6f => return self.class(usize::from(tag - 0x60)).map(Some),
                _ => return Err(Bad::Malformed),
            }
            return Ok(None);
        }
    }

    fn class(&self, number: usize) -> Result<u32, Bad> {
        self.classes.get(number).ok_or(Bad::Malformed)
    }

    fn definition(&mut self) -> Result<(), Bad> {
        self.text()?;
        let fields = self.count()?;
        for _ in 0..fields {
            self.text()?;
        }
        self.classes.push(fields);
        Ok(())
    }

    pub(super) fn part(&mut self) -> Result<(), Bad> {
        self.limits.parts = self.limits.parts.checked_sub(1).ok_or(Bad::Parts)?;
        Ok(())
    }

    fn bytes_after(&mut self, mut tag: u8) -> Result<(), Bad> {
        loop {
            let (len, last) = match tag {
                0x20..=0x2f => (usize::from(tag - 0x20), true),
                0x34..=0x37 => (usize::from(tag - 0x34) << 8 | usize::from(self.byte()?), true),
                b'A' | b'B' => (u16::from_be_bytes(self.array()?).into(), tag == b'B'),
                _ => return Err(Bad::Malformed),
            };
            self.advance(len)?;
            if last {
                return Ok(());
            }
            self.part()?;
            tag = self.byte()?;
        }
    }
}
