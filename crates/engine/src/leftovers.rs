//! Buffers for inputs that end inside of a frame. A connection has one only while it needs it, so
//! that idle ones cost nothing; the next connection that needs one gets it without an allocation.

/// Emptied buffers of one engine.
#[derive(Debug, Default)]
pub(crate) struct Leftovers(Vec<Vec<u8>>);

/// Most buffers kept, and the largest that is.
const COUNT: usize = 32;
const BYTES: usize = 32 << 10;

impl Leftovers {
    /// Appends what is left of a read to an input, which may be without a buffer.
    pub(crate) fn append(&mut self, input: &mut Vec<u8>, rest: &[u8]) {
        if rest.is_empty() {
            return;
        }
        if input.capacity() == 0
            && let Some(spare) = self.0.pop()
        {
            *input = spare;
        }
        input.extend_from_slice(rest);
    }

    /// Takes the buffer of an input that nothing is left of.
    pub(crate) fn recycle(&mut self, mut input: Vec<u8>) {
        if (1..=BYTES).contains(&input.capacity()) && self.0.len() < COUNT {
            input.clear();
            self.0.push(input);
        }
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
        assert!(all.0.is_empty());
        for _ in 0..2 * COUNT {
            all.recycle(Vec::with_capacity(10));
        }
        assert_eq!(all.0.len(), COUNT);
    }
}
