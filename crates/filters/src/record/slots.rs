//! Buffers for requests in flight, used again and again: a filter's eight bytes of memory hold the
//! number of one.

/// Buffers by number. Once there were as many requests in flight as there will be, no more are
/// allocated, and each keeps the room that it has grown to.
#[derive(Debug, Default)]
pub(crate) struct Slots<B> {
    buffers: Vec<B>,
    free: Vec<u32>,
}

impl<B: Default> Slots<B> {
    /// The number of a buffer that nobody uses, and the buffer, as it was left.
    pub(crate) fn take(&mut self) -> Option<(u32, &mut B)> {
        let at = match self.free.pop() {
            Some(at) => at,
            None => {
                let at = u32::try_from(self.buffers.len()).ok()?;
                self.buffers.push(B::default());
                // So that giving it back never allocates.
                self.free.reserve(self.buffers.len());
                at
            }
        };
        Some((at, self.buffers.get_mut(at as usize)?))
    }

    /// The buffer of this number.
    pub(crate) fn get(&mut self, at: u32) -> Option<&mut B> {
        self.buffers.get_mut(at as usize)
    }

    /// Gives a buffer back.
    pub(crate) fn give(&mut self, at: u32) {
        self.free.push(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_come_back_with_their_room() {
        let mut slots = Slots::<Vec<u8>>::default();
        let (a, buffer) = slots.take().expect("a buffer");
        buffer.extend_from_slice(&[1; 100]);
        let (b, _) = slots.take().expect("another");
        assert_ne!(a, b);
        assert_eq!(slots.get(a).expect("still there").len(), 100);
        slots.give(a);
        let (again, buffer) = slots.take().expect("the first one");
        assert_eq!((again, buffer.capacity() >= 100), (a, true));
    }
}
