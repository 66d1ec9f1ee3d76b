//! Buffers for inputs that end inside of a frame and for what waits to be written. A connection has
//! one only while it needs it, so that idle ones cost nothing; the next connection that needs one
//! gets the one used last, which is still in the cache, without an allocation.

use heptad_core::Chain;

/// Emptied buffers of one engine.
#[derive(Debug, Default)]
pub(crate) struct Leftovers {
    /// Those of less than [`LARGE`] bytes, and the others: a long reply does not get a short buffer
    /// that would have to grow, and a short one a long buffer only if there is no other.
    small: Vec<Vec<u8>>,
    large: Vec<Vec<u8>>,
    /// Their capacities.
    bytes: usize,
}

/// Most buffers kept, the largest that is, and most bytes of all together.
const COUNT: usize = 1024;
const BYTES: usize = 256 << 10;
const TOTAL: usize = 2 << 20;
/// What a buffer has that is made anew, so that it seldom has to grow.
const SMALL: usize = 1 << 10;
/// The same where many frames come together, as on a link.
pub(crate) const LARGE: usize = 4 << 10;

impl Leftovers {
    /// Appends what is left of a read to an input, which may be without a buffer.
    pub(crate) fn append(&mut self, input: &mut Vec<u8>, rest: &[u8]) {
        if rest.is_empty() {
            return;
        }
        if input.capacity() == 0
            && let Some(spare) = self.pop(rest.len() > SMALL)
        {
            *input = spare;
        }
        input.extend_from_slice(rest);
    }

    /// Takes the buffer of an input that nothing is left of.
    pub(crate) fn recycle(&mut self, mut input: Vec<u8>) {
        let size = input.capacity();
        let list = if size < LARGE { &mut self.small } else { &mut self.large };
        if (1..=BYTES).contains(&size) && list.len() < COUNT && self.bytes + size <= TOTAL {
            input.clear();
            self.bytes += size;
            list.push(input);
        }
    }

    /// Sees to it that about so many bytes can be written to a chain.
    #[inline]
    pub(crate) fn furnish(&mut self, out: &mut Chain, bytes: usize) {
        if out.is_bare() {
            let large = bytes > SMALL;
            let fresh = if large { LARGE.max(bytes) } else { SMALL };
            let spare = match large {
                true => self.pop(true),
                false => self.pop(false).or_else(|| self.pop(true)),
            };
            out.lend_buffer(spare.unwrap_or_else(|| Vec::with_capacity(fresh)));
        }
    }

    /// Takes the buffer of a chain that was written.
    pub(crate) fn strip(&mut self, out: &mut Chain) {
        if out.is_empty() {
            self.recycle(out.take_buffer());
        }
    }

    fn pop(&mut self, large: bool) -> Option<Vec<u8>> {
        let buffer = if large { &mut self.large } else { &mut self.small }.pop()?;
        self.bytes -= buffer.capacity();
        Some(buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_used_again_and_bounded() {
        let mut all = Leftovers::default();
        let mut input = Vec::new();
        all.append(&mut input, b"abc");
        all.append(&mut input, b"def");
        assert_eq!(input, b"abcdef");
        let at = input.as_ptr();
        all.recycle(input);
        let mut next = Vec::new();
        all.append(&mut next, b"");
        assert_eq!(next.capacity(), 0, "an idle connection has none");
        all.append(&mut next, b"x");
        assert_eq!((next.as_ptr(), next.as_slice()), (at, &b"x"[..]));
        all.recycle(Vec::new());
        all.recycle(Vec::with_capacity(BYTES + 1));
        assert!(all.small.is_empty() && all.large.is_empty());
        for _ in 0..2 * COUNT {
            all.recycle(Vec::with_capacity(10));
        }
        assert_eq!((all.small.len(), all.bytes), (COUNT, 10 * COUNT));
        let mut all = Leftovers::default();
        for _ in 0..2 * TOTAL / BYTES {
            all.recycle(Vec::with_capacity(BYTES));
        }
        assert_eq!(all.bytes, TOTAL);
    }

    #[test]
    fn a_chain_that_was_written_keeps_nothing() {
        let mut all = Leftovers::default();
        let mut out = Chain::default();
        all.furnish(&mut out, 5);
        out.extend(b"reply");
        all.strip(&mut out);
        assert_eq!(out.to_vec(), b"reply");
        out.consume(5);
        let at = out.tail().as_ptr();
        all.strip(&mut out);
        assert!(out.is_bare());
        let mut next = Chain::default();
        all.furnish(&mut next, LARGE);
        assert!(next.tail().capacity() >= LARGE);
        let mut next = Chain::default();
        all.furnish(&mut next, 5);
        assert_eq!(next.tail().as_ptr(), at);
        assert_eq!(all.bytes, 0);
    }
}
