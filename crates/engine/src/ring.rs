//! A queue of small values. As `VecDeque`, but its places are a power of two and always filled, which
//! makes each step a handful of instructions: several of these are gone through for each request.

/// Values in the order in which they came.
#[derive(Debug)]
pub(crate) struct Ring<T> {
    /// Empty, or a power of two of places.
    places: Vec<T>,
    /// Where the first value is, counted on without end.
    head: usize,
    len: usize,
}

impl<T> Default for Ring<T> {
    fn default() -> Self {
        Self { places: Vec::new(), head: 0, len: 0 }
    }
}

impl<T: Copy> Ring<T> {
    /// The fewest places there are, once there are any.
    const FEWEST: usize = 4;

    /// Without values, but memory for at least so many.
    pub(crate) fn with_room(room: usize) -> Self {
        Self { places: Vec::with_capacity(room.next_power_of_two()), ..Self::default() }
    }

    #[inline]
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    const fn place(&self, at: usize) -> usize {
        self.head.wrapping_add(at) & self.places.len().wrapping_sub(1)
    }

    #[inline(always)]
    pub(crate) fn push_back(&mut self, value: T) {
        if self.len == self.places.len() {
            self.grow(value);
        }
        let place = self.place(self.len);
        if let Some(place) = self.places.get_mut(place) {
            *place = value;
            self.len += 1;
        }
    }

    /// Twice the places, or the first ones; `value` fills those that are not in use.
    #[cold]
    #[inline(never)]
    fn grow(&mut self, value: T) {
        // Without places there is none to turn.
        let first = self.place(0).min(self.places.len());
        self.places.rotate_left(first);
        self.head = 0;
        let more = (2 * self.places.len()).max(Self::FEWEST);
        self.places.resize(more, value);
    }

    /// The value so far behind the first.
    #[inline]
    pub(crate) fn get(&self, at: usize) -> Option<T> {
        if at < self.len { self.places.get(self.place(at)).copied() } else { None }
    }

    #[inline(always)]
    pub(crate) fn front(&self) -> Option<T> {
        self.get(0)
    }

    /// The first value where it is.
    #[inline(always)]
    pub(crate) fn first(&self) -> Option<&T> {
        if self.len > 0 { self.places.get(self.place(0)) } else { None }
    }

    /// The last value that `ours` says is meant.
    pub(crate) fn find_last(&mut self, ours: impl Fn(&T) -> bool) -> Option<&mut T> {
        let at = (0..self.len).rev().find(|at| self.get(*at).is_some_and(|value| ours(&value)))?;
        let place = self.place(at);
        self.places.get_mut(place)
    }

    #[inline(always)]
    pub(crate) fn back(&self) -> Option<T> {
        self.get(self.len.wrapping_sub(1))
    }

    #[inline(always)]
    pub(crate) fn pop_front(&mut self) -> Option<T> {
        let first = self.front()?;
        self.head = self.head.wrapping_add(1);
        self.len -= 1;
        Some(first)
    }

    pub(crate) fn pop_back(&mut self) -> Option<T> {
        let last = self.back()?;
        self.len -= 1;
        Some(last)
    }

    /// Takes out a value, and puts the last one into its place.
    pub(crate) fn swap_remove_back(&mut self, at: usize) -> Option<T> {
        let value = self.get(at)?;
        let last = self.back()?;
        let place = self.place(at);
        if let Some(place) = self.places.get_mut(place) {
            *place = last;
        }
        self.len -= 1;
        Some(value)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = T> {
        (0..self.len).filter_map(|at| self.get(at))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    #[test]
    fn it_does_what_the_standard_queue_does() {
        let mut rng = fastrand::Rng::with_seed(5);
        for head in [0, usize::MAX - 7] {
            let mut ring = Ring { head, ..Ring::default() };
            let mut queue = VecDeque::new();
            for n in 0..20_000_u64 {
                // It grows for a while, then it shrinks.
                match rng.u64(0..12) {
                    0..=6 if n % 2000 < 1000 => (ring.push_back(n), queue.push_back(n)).0,
                    0 | 1 => (ring.push_back(n), queue.push_back(n)).0,
                    2 => {
                        let at = rng.usize(0..=queue.len());
                        assert_eq!(ring.swap_remove_back(at), queue.swap_remove_back(at));
                    }
                    3 => assert_eq!(ring.pop_back(), queue.pop_back()),
                    4 => {
                        let small = |value: &u64| *value % 7 < 3;
                        let found = ring.find_last(small).map(|value| *value);
                        assert_eq!(found, queue.iter().copied().rfind(small));
                    }
                    _ => assert_eq!(ring.pop_front(), queue.pop_front()),
                }
                assert_eq!((ring.len(), ring.is_empty()), (queue.len(), queue.is_empty()));
                assert_eq!(ring.front(), queue.front().copied());
                assert_eq!(ring.first(), queue.front());
                assert_eq!(ring.back(), queue.back().copied());
                assert_eq!(ring.get(queue.len()), None);
                if n % 64 == 0 {
                    assert!(ring.iter().eq(queue.iter().copied()));
                }
            }
        }
    }
}
