//! A list of numbers that needs the heap only when it gets long.

/// The first `N` numbers in place, the others in a vector.
#[derive(Debug)]
pub(crate) struct Small<const N: usize> {
    first: [u32; N],
    len: usize,
    rest: Vec<u32>,
}

impl<const N: usize> Default for Small<N> {
    fn default() -> Self {
        Self { first: [0; N], len: 0, rest: Vec::new() }
    }
}

impl<const N: usize> Small<N> {
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn push(&mut self, number: u32) {
        match self.first.get_mut(self.len) {
            Some(place) => *place = number,
            None => self.rest.push(number),
        }
        self.len += 1;
    }

    pub(crate) fn pop(&mut self) -> Option<u32> {
        self.len = self.len.checked_sub(1)?;
        if self.len < N { self.first.get(self.len).copied() } else { self.rest.pop() }
    }

    pub(crate) fn get(&self, at: usize) -> Option<u32> {
        if at >= self.len {
            return None;
        }
        self.first.get(at).or_else(|| self.rest.get(at.checked_sub(N)?)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_list_on_both_sides_of_its_edge() {
        let mut small = Small::<3>::default();
        for n in 0..10 {
            small.push(n);
            assert_eq!((small.len(), small.get(n as usize)), (n as usize + 1, Some(n)));
        }
        assert_eq!((small.get(2), small.get(3), small.get(10)), (Some(2), Some(3), None));
        for n in (0..10).rev() {
            assert_eq!(small.pop(), Some(n));
            assert_eq!(small.get(n as usize), None);
        }
        assert_eq!(small.pop(), None);
    }
}
