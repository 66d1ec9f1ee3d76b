//! A rewritten frame as a list of edits, so that an edit costs the edit and not the frame.

use std::ops::Range;

use bytes::Bytes;

use crate::{Chain, chain::SHARE_FROM};

/// Where [`Codec::rewrite`](crate::Codec::rewrite) writes the new frame: pieces of its own and
/// ranges of the old frame, in order.
#[derive(Debug)]
pub struct Splice<'a> {
    frame: &'a [u8],
    shared: Option<&'a Bytes>,
    out: &'a mut Chain,
}

impl<'a> Splice<'a> {
    /// A splice of `frame` into `out`. If the frame is also there as shared bytes, long ranges are
    /// shared instead of copied; `shared` must then have the same content as `frame`.
    #[inline]
    pub fn new(frame: &'a [u8], shared: Option<&'a Bytes>, out: &'a mut Chain) -> Self {
        Self { frame, shared, out }
    }

    /// The old frame, for edits that depend on what is there. Of a frame that is cut through, only
    /// its first bytes; at least [`Meta::head`](crate::Meta::head).
    #[inline]
    pub fn frame(&self) -> &'a [u8] {
        self.frame
    }

    /// Appends bytes of the codec's own.
    pub fn put(&mut self, bytes: &[u8]) {
        self.out.extend(bytes);
    }

    /// Appends a range of the old frame; the part of it that lies outside of the frame is left out.
    pub fn keep(&mut self, range: Range<usize>) {
        let end = range.end.min(self.frame.len());
        let start = range.start.min(end);
        match self.shared {
            Some(shared) if end - start >= SHARE_FROM && shared.len() >= end => {
                self.out.push(shared.slice(start..end));
            }
            _ => self.out.extend(self.frame.get(start..end).unwrap_or_default()),
        }
    }

    /// Appends the whole old frame with these bytes in the place of as many others at `at`: what
    /// becomes of a frame whose id alone changes. Nothing is replaced beyond the frame's end.
    #[inline(always)]
    pub fn keep_but<const N: usize>(&mut self, at: usize, bytes: &[u8; N]) {
        if self.shared.is_some() && self.frame.len() >= SHARE_FROM {
            return self.share_but(at, bytes);
        }
        let flat = self.out.tail();
        let start = flat.len();
        flat.extend_from_slice(self.frame);
        let kept = flat.get_mut(start..).and_then(|kept| kept.get_mut(at..));
        let kept = kept.unwrap_or_default();
        match kept.first_chunk_mut() {
            Some(kept) => *kept = *bytes,
            None => kept.iter_mut().zip(bytes).for_each(|(kept, byte)| *kept = *byte),
        }
    }

    #[inline(never)]
    fn share_but(&mut self, at: usize, bytes: &[u8]) {
        let len = self.frame.len();
        self.keep(0..at);
        self.put(bytes.get(..len.saturating_sub(at)).unwrap_or(bytes));
        self.keep(at.saturating_add(bytes.len())..len);
    }

    /// Appends the whole old frame.
    #[inline]
    pub fn keep_all(&mut self) {
        match self.shared {
            Some(_) if self.frame.len() >= SHARE_FROM => self.keep(0..self.frame.len()),
            _ => self.out.extend(self.frame),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_replaced_whether_frames_are_copied_or_shared() {
        for len in [0, 1, 9, SHARE_FROM - 1, SHARE_FROM, 3 * SHARE_FROM] {
            let frame = vec![b'x'; len];
            let shared = Bytes::from(frame.clone());
            for at in [0, 1, 5, len / 2, len.saturating_sub(2), len, len + 3] {
                let mut wanted = frame.clone();
                for (byte, new) in wanted.iter_mut().skip(at).zip(b"1234") {
                    *byte = *new;
                }
                for shared in [None, Some(&shared)] {
                    let mut out = Chain::default();
                    out.extend(b"ahead");
                    Splice::new(&frame, shared, &mut out).keep_but(at, b"1234");
                    assert_eq!(out.to_vec(), [b"ahead", &wanted[..]].concat(), "{at} of {len}");
                }
            }
        }
    }
}
