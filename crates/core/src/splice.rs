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
    pub fn new(frame: &'a [u8], shared: Option<&'a Bytes>, out: &'a mut Chain) -> Self {
        Self { frame, shared, out }
    }

    /// The old frame, for edits that depend on what is there. Of a frame that is cut through, only
    /// its first bytes; at least [`Meta::head`](crate::Meta::head).
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

    /// Appends the whole old frame.
    pub fn keep_all(&mut self) {
        self.keep(0..self.frame.len());
    }
}
