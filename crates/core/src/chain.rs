//! An out-buffer: small pieces copied into one flat run, large ones shared.

use std::collections::VecDeque;

use bytes::Bytes;

/// Pieces of at least this many bytes are shared instead of copied, where they can be.
pub const SHARE_FROM: usize = 4096;

/// Bytes waiting to be written to a connection, in order.
///
/// Small frames are appended to a flat `Vec`; large ones are kept as [`Bytes`] between two parts of
/// it. [`Chain::pieces`] gives them for a vectored write and [`Chain::consume`] removes what was
/// written.
#[derive(Debug, Default)]
pub struct Chain {
    flat: Vec<u8>,
    /// Flat bytes already written.
    done: usize,
    /// Shared pieces; each comes before the flat byte at its offset.
    shared: Option<Box<Shared>>,
    shared_len: usize,
}

/// Most chains never have any, and pay a pointer for it.
type Shared = VecDeque<(usize, Bytes)>;

/// A point in a [`Chain`] to roll back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mark {
    flat: usize,
    shared: usize,
}

/// A contiguous run of bytes of a [`Chain`].
pub type Piece<'a> = &'a [u8];

impl Chain {
    /// Bytes not yet written.
    pub fn len(&self) -> usize {
        self.flat.len() - self.done + self.shared_len
    }

    /// Whether everything was written.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies `bytes` to the end.
    #[inline]
    pub fn extend(&mut self, bytes: &[u8]) {
        self.flat.extend_from_slice(bytes);
    }

    /// Adds `bytes` to the end, without a copy where it is large enough to be worth it.
    pub fn push(&mut self, bytes: Bytes) {
        if bytes.len() < SHARE_FROM {
            self.extend(&bytes);
        } else {
            self.shared_len += bytes.len();
            let at = self.flat.len();
            self.shared.get_or_insert_default().push_back((at, bytes));
        }
    }

    /// The flat tail, for a codec that writes an answer in place. Only appending is allowed.
    #[inline]
    pub fn tail(&mut self) -> &mut Vec<u8> {
        &mut self.flat
    }

    /// Everything in one run, if it is one.
    pub fn flat(&self) -> Option<&[u8]> {
        if self.shared_len == 0 { self.flat.get(self.done..) } else { None }
    }

    /// Calls `each` with the runs in order until it returns `false`.
    pub fn pieces<'a>(&'a self, mut each: impl FnMut(Piece<'a>) -> bool) {
        let mut at = self.done;
        for (before, bytes) in self.shared.as_deref().into_iter().flatten() {
            if let Some(run) = self.flat.get(at..*before)
                && !run.is_empty()
                && !each(run)
            {
                return;
            }
            at = *before;
            if !each(bytes) {
                return;
            }
        }
        if let Some(run) = self.flat.get(at..)
            && !run.is_empty()
        {
            each(run);
        }
    }

    /// Removes the first `n` bytes; `n` must not be more than [`Chain::len`].
    pub fn consume(&mut self, mut n: usize) {
        if self.shared_len == 0 && n + self.done >= self.flat.len() {
            // All that there is, as nearly always.
            self.flat.clear();
            self.done = 0;
            return;
        }
        while n > 0 {
            let first = self.shared.as_deref_mut().and_then(VecDeque::front_mut);
            let edge = first.as_ref().map_or(self.flat.len(), |(before, _)| *before);
            let run = edge.saturating_sub(self.done);
            if run > 0 {
                let step = run.min(n);
                self.done += step;
                n -= step;
                continue;
            }
            let Some((_, bytes)) = first else {
                break;
            };
            let step = bytes.len().min(n);
            bytes::Buf::advance(bytes, step);
            self.shared_len -= step;
            n -= step;
            if bytes.is_empty()
                && let Some(shared) = &mut self.shared
            {
                shared.pop_front();
            }
        }
        if self.is_empty() {
            self.flat.clear();
            self.done = 0;
        } else if self.done > 64 * 1024 && self.done > self.flat.len() / 2 {
            // A connection that is never quite empty must not grow for ever.
            self.flat.drain(..self.done);
            for (before, _) in self.shared.as_deref_mut().into_iter().flatten() {
                *before -= self.done;
            }
            self.done = 0;
        }
    }

    /// Where the end is now, for [`Chain::rollback`].
    pub fn mark(&self) -> Mark {
        Mark { flat: self.flat.len(), shared: self.pieces_shared() }
    }

    /// Forgets everything added since `mark` was taken. Nothing may have been consumed since.
    pub fn rollback(&mut self, mark: Mark) {
        self.flat.truncate(mark.flat);
        while self.pieces_shared() > mark.shared {
            if let Some((_, bytes)) = self.shared.as_deref_mut().and_then(VecDeque::pop_back) {
                self.shared_len -= bytes.len();
            }
        }
    }

    fn pieces_shared(&self) -> usize {
        self.shared.as_ref().map_or(0, |shared| shared.len())
    }

    /// Moves everything of `other` to the end of this chain.
    pub fn append(&mut self, other: &mut Chain) {
        if self.is_bare() && self.is_empty() {
            std::mem::swap(self, other);
            return;
        }
        let mut at = other.done;
        for (before, bytes) in other.shared.iter_mut().flat_map(|shared| shared.drain(..)) {
            self.flat.extend_from_slice(other.flat.get(at..before).unwrap_or_default());
            at = before;
            self.shared_len += bytes.len();
            let end = self.flat.len();
            self.shared.get_or_insert_default().push_back((end, bytes));
        }
        self.flat.extend_from_slice(other.flat.get(at..).unwrap_or_default());
        other.clear();
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.flat.clear();
        self.done = 0;
        if let Some(shared) = &mut self.shared {
            shared.clear();
        }
        self.shared_len = 0;
    }

    /// Gives memory back if more than `keep` bytes are reserved and nothing is waiting.
    pub fn shrink(&mut self, keep: usize) {
        if self.is_empty() && self.flat.capacity() > keep {
            self.flat = Vec::new();
            self.shared = None;
        }
    }

    /// Takes the buffer of a chain that is empty, for another one to use.
    pub fn take_buffer(&mut self) -> Vec<u8> {
        if !self.is_empty() {
            return Vec::new();
        }
        self.shared = None;
        self.done = 0;
        let mut buffer = std::mem::take(&mut self.flat);
        buffer.clear();
        buffer
    }

    /// Whether it has no buffer, and would have to allocate one.
    pub fn is_bare(&self) -> bool {
        self.flat.capacity() == 0
    }

    /// Gives a chain without a buffer one that is empty.
    pub fn lend_buffer(&mut self, buffer: Vec<u8>) {
        if self.is_bare() && buffer.is_empty() {
            self.flat = buffer;
        }
    }

    /// All bytes in one piece; for tests and tools.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut all = Vec::with_capacity(self.len());
        self.pieces(|p| {
            all.extend_from_slice(p);
            true
        });
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_come_in_order_and_consume_stops_anywhere() {
        let big = Bytes::from(vec![b'x'; SHARE_FROM]);
        for cut in 0..=SHARE_FROM + 6 {
            let mut c = Chain::default();
            c.extend(b"abc");
            c.push(big.clone());
            c.extend(b"def");
            let all = c.to_vec();
            assert_eq!(all.len(), c.len());
            c.consume(cut);
            assert_eq!(c.to_vec(), all[cut..], "cut {cut}");
            assert_eq!(c.len(), all.len() - cut);
        }
    }

    #[test]
    fn a_buffer_goes_from_an_empty_chain_to_a_bare_one() {
        let mut a = Chain::default();
        a.extend(b"abc");
        assert_eq!(a.take_buffer().capacity(), 0, "not while something waits");
        a.consume(3);
        let buffer = a.take_buffer();
        assert!(a.is_bare() && buffer.is_empty() && buffer.capacity() >= 3);
        let at = buffer.as_ptr();
        let mut b = Chain::default();
        b.lend_buffer(buffer);
        b.extend(b"d");
        b.lend_buffer(Vec::with_capacity(9));
        assert_eq!((b.to_vec(), b.tail().as_ptr()), (b"d".to_vec(), at));
    }

    #[test]
    fn append_moves_everything_behind_what_is_there() {
        let mut a = Chain::default();
        a.extend(b"1");
        let mut b = Chain::default();
        b.extend(b"22");
        b.push(Bytes::from(vec![b'3'; SHARE_FROM]));
        b.extend(b"4");
        b.consume(1);
        a.append(&mut b);
        assert!(b.is_empty());
        let all = a.to_vec();
        assert_eq!(&all[..3], b"123");
        assert_eq!(all.len(), 3 + SHARE_FROM);
        assert_eq!(all.last(), Some(&b'4'));
    }

    #[test]
    fn rollback_forgets_what_came_after_the_mark() {
        let mut c = Chain::default();
        c.extend(b"abc");
        let mark = c.mark();
        c.extend(b"def");
        c.push(Bytes::from(vec![b'x'; SHARE_FROM]));
        c.rollback(mark);
        assert_eq!(c.to_vec(), b"abc");
        assert_eq!(c.len(), 3);
    }

    #[test]
    fn a_chain_that_is_never_empty_does_not_grow_for_ever() {
        let mut c = Chain::default();
        c.extend(&[0; 10]);
        for _ in 0..10_000 {
            c.extend(&[1; 100]);
            c.consume(100);
        }
        assert_eq!(c.len(), 10);
        assert!(c.tail().capacity() < 1 << 20);
    }
}
