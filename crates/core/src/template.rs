//! What frames of one kind have in common, so that those that come one behind the other need not be
//! decoded one by one. It knows no protocol: a codec says where ids and lengths are.

use std::ops::Range;

use crate::{Chain, Meta};

/// Frames that begin as one that was decoded, but for their ids and lengths.
///
/// ```text
///  0            length_at            id_at                 head          length
///  |-- the same --|-- u32 --|-- same --|-- u32 or u64 --|-- same --|-- any bytes --|
/// ```
///
/// All numbers are big-endian, and the id may as well come first. Made by
/// [`Codec::template`](crate::Codec::template) of the frame that the others are compared with, which
/// is the `lead` of the methods here.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Template {
    /// The parts of a head that are the same. Empty ones come last.
    same: [Range<usize>; 3],
    head: usize,
    length_at: usize,
    /// Bytes of a frame that its length does not count.
    beyond: u32,
    id: Range<usize>,
    whole: bool,
}

/// Bytes of a length.
const LENGTH: usize = 4;

impl Template {
    /// Frames whose first `head` bytes are the same, but for the length of four bytes at `length_at`,
    /// which does not count `beyond` bytes of the frame, and the id at `id`, of four or eight bytes.
    /// `None` where that makes no sense: they overlap, or are not in the head.
    pub fn new(head: usize, length_at: usize, beyond: u32, id: Range<usize>) -> Option<Self> {
        let length = length_at..length_at.checked_add(LENGTH)?;
        let (first, second) = if length.start < id.start { (&length, &id) } else { (&id, &length) };
        let width = id.end.checked_sub(id.start)?;
        if !matches!(width, 4 | 8) || first.end > second.start || second.end > head {
            return None;
        }
        let mut same = [0..first.start, first.end..second.start, second.end..head];
        same.sort_by_key(Range::is_empty);
        Some(Self { same, head, length_at, beyond, id, whole: false })
    }

    /// Of each frame, [`Meta::head`] is its length.
    pub fn whole_head(mut self) -> Self {
        self.whole = true;
        self
    }

    /// Reads the length and id of the frame at the front of `buf` into `meta`, which is that of
    /// `lead` or of another such frame. `None`, with nothing changed, if it is not all there, does not
    /// begin as `lead`, or has more than `max` bytes.
    #[inline(always)]
    pub fn read<'a>(
        &self,
        lead: &[u8],
        buf: &'a [u8],
        max: usize,
        meta: &mut Meta,
    ) -> Option<&'a [u8]> {
        let (head, wanted) = (buf.get(..self.head)?, lead.get(..self.head)?);
        for part in &self.same {
            if part.is_empty() {
                break;
            }
            if !same(head.get(part.clone())?, wanted.get(part.clone())?) {
                return None;
            }
        }
        let length = head.get(self.length_at..)?.first_chunk::<LENGTH>()?;
        let len = u32::from_be_bytes(*length).checked_add(self.beyond)?;
        let frame =
            buf.get(..len as usize).filter(|frame| (self.head..=max).contains(&frame.len()))?;
        let id = head.get(self.id.clone())?;
        meta.id = match id.first_chunk::<8>() {
            Some(id) => u64::from_be_bytes(*id),
            None => u32::from_be_bytes(*id.first_chunk::<4>()?).into(),
        };
        if self.whole {
            meta.head = len;
        }
        meta.len = len;
        Some(frame)
    }

    /// Appends a frame with another id; of one of four bytes the low half is written.
    #[inline(always)]
    pub fn copy(&self, frame: &[u8], id: u64, out: &mut Chain) {
        let flat = out.tail();
        let start = flat.len();
        flat.extend_from_slice(frame);
        let place = flat.get_mut(start..).and_then(|copy| copy.get_mut(self.id.clone()));
        let place = place.unwrap_or_default();
        match place.first_chunk_mut::<8>() {
            Some(place) => *place = id.to_be_bytes(),
            None => {
                let [_, _, _, _, low @ ..] = id.to_be_bytes();
                if let Some(place) = place.first_chunk_mut::<4>() {
                    *place = low;
                }
            }
        }
    }
}

/// Whether two byte strings are the same. For short ones: the C library takes several times as long
/// to find that out.
#[inline(always)]
pub fn same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    if let (Some(end), Some(other_end)) = (one.last_chunk::<8>(), other.last_chunk::<8>()) {
        let pairs = one.as_chunks::<8>().0.iter().zip(other.as_chunks::<8>().0);
        return pairs.fold(end == other_end, |same, (one, other)| same & (one == other));
    }
    if let (Some(end), Some(other_end)) = (one.last_chunk::<4>(), other.last_chunk::<4>()) {
        return end == other_end && one.first_chunk::<4>() == other.first_chunk::<4>();
    }
    // The first, the last, and the one between them if there is one.
    let ends = one.first() == other.first() && one.last() == other.last();
    ends && one.get(1) == other.get(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_same_is_the_same_byte_for_byte() {
        for len in 0..70 {
            let one: Vec<u8> = (0..len).collect();
            assert!(same(&one, &one.clone()));
            assert!(!same(&one, &[&one[..], b"x"].concat()));
            for at in 0..one.len() {
                let mut other = one.clone();
                other[at] ^= 0x40;
                assert!(!same(&one, &other), "{at} of {len}");
            }
        }
    }

    /// Four bytes, an id of so many, the length of what is behind it, and two bytes more.
    fn frame(id: &[u8], tail: &[u8]) -> Vec<u8> {
        let len = u32::try_from(tail.len() + 2).unwrap();
        [b"head", id, &len.to_be_bytes(), b"..", tail].concat()
    }

    #[test]
    fn frames_that_begin_alike_are_read_and_others_are_not() {
        for width in [4, 8] {
            let id = |n: u8| [vec![0x80; width - 1], vec![n]].concat();
            let beyond = 4 + width + 4;
            let head = beyond + 2;
            let beyond_it = u32::try_from(beyond).unwrap();
            let template = Template::new(head, 4 + width, beyond_it, 4..4 + width).unwrap();
            let lead = frame(&id(1), b"tail");
            let whole = [frame(&id(2), b"another tail"), b"next".to_vec()].concat();
            let mut meta = Meta::request(lead.len());
            let read = template.clone().whole_head().read(&lead, &whole, 100, &mut meta).unwrap();
            assert_eq!(read, &whole[..whole.len() - 4]);
            assert_eq!(meta.len as usize, read.len());
            assert_eq!(meta.head, meta.len, "the head is the whole frame");
            assert_eq!(meta.id.to_be_bytes()[8 - width..], id(2));
            assert_eq!(meta.id >> (8 * width - 1), 1);

            let mut other = Meta::request(lead.len()).head(5);
            assert!(template.read(&lead, &whole, 100, &mut other).is_some());
            assert_eq!(other.head, 5, "a head of its own stays");

            // Each byte that must be the same, and each end.
            for at in (0..4).chain(beyond..head) {
                let mut bad = whole.clone();
                bad[at] ^= 1;
                assert!(template.read(&lead, &bad, 100, &mut meta).is_none(), "{at}");
            }
            for end in 0..whole.len() - 4 {
                assert!(template.read(&lead, &whole[..end], 100, &mut meta).is_none(), "{end}");
            }
            assert!(template.read(&lead, &whole, read.len() - 1, &mut meta).is_none(), "too long");
            // A length that ends within the head, and one that no number can be.
            for len in [1_u32, u32::MAX] {
                let mut bad = whole.clone();
                bad[4 + width..beyond].copy_from_slice(&len.to_be_bytes());
                assert!(template.read(&lead, &bad, usize::MAX, &mut meta).is_none(), "{len}");
            }
            assert_eq!(meta.len as usize, read.len(), "what is not read changes nothing");

            let mut out = Chain::default();
            out.extend(b"ahead");
            template.copy(read, 0x0102_0304_0506_0708, &mut out);
            let new = &0x0102_0304_0506_0708_u64.to_be_bytes()[8 - width..];
            let wanted = [b"ahead", &frame(new, b"another tail")[..]].concat();
            assert_eq!(out.to_vec(), wanted);
        }
    }

    #[test]
    fn places_that_make_no_sense_are_none() {
        assert!(Template::new(12, 0, 4, 8..12).is_some());
        assert!(Template::new(16, 12, 16, 4..12).is_some());
        for (head, at, id) in [
            (11, 0, 8..12),
            (12, 0, 2..6),
            (12, 9, 4..8),
            (12, 4, 0..8),
            (12, 0, 4..7),
            (12, 0, 4..4),
            (12, usize::MAX, 4..8),
        ] {
            assert_eq!(Template::new(head, at, 4, id.clone()), None, "{head} {at} {id:?}");
        }
    }
}
