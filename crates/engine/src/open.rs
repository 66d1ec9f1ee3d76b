//! A session's exchanges: in the order of requests for ordered protocols, in nearly that order for
//! others, where one that ends early gives its place to the last one.

use crate::{arena::Key, ring::Ring};

/// Exchanges of a session that have not left it.
#[derive(Debug, Default)]
pub(crate) struct Open {
    keys: Ring<Key>,
    /// How many have left at the front. Slots are counted from the first one ever, so that those
    /// behind need not hear of it.
    left: u32,
}

impl Open {
    /// Adds one at the end, and says which slot it has.
    #[inline(always)]
    pub(crate) fn push(&mut self, key: Key) -> u32 {
        let slot = self.slot_of(self.keys.len());
        self.keys.push_back(key);
        slot
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    #[inline]
    pub(crate) fn front(&self) -> Option<Key> {
        self.keys.front()
    }

    #[inline]
    pub(crate) fn back(&self) -> Option<Key> {
        self.keys.back()
    }

    /// The first one leaves.
    #[inline]
    pub(crate) fn pop_front(&mut self) {
        if self.keys.pop_front().is_some() {
            self.left = self.left.wrapping_add(1);
        }
    }

    /// One leaves its slot, if it is there; who has got that slot instead.
    #[inline]
    pub(crate) fn leave(&mut self, slot: u32, key: Key) -> Option<Key> {
        match slot.wrapping_sub(self.left) {
            0 if self.front() == Some(key) => {
                self.pop_front();
                None
            }
            at => self.leave_from_within(at as usize, key),
        }
    }

    #[inline(never)]
    fn leave_from_within(&mut self, at: usize, key: Key) -> Option<Key> {
        if self.keys.get(at) != Some(key) {
            return None;
        }
        self.keys.swap_remove_back(at);
        self.keys.get(at)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Key> {
        self.keys.iter()
    }

    /// The slot of the one at a place.
    #[allow(clippy::cast_possible_truncation, reason = "numbers of slots go round")]
    pub(crate) fn slot_of(&self, at: usize) -> u32 {
        self.left.wrapping_add(at as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u64) -> Key {
        Key::from_bits(n)
    }

    #[test]
    fn whoever_leaves_is_found_by_its_slot_and_nobody_else_leaves() {
        for first in [0, u32::MAX - 2] {
            let mut open = Open { left: first, ..Open::default() };
            let mut slots: Vec<(u32, Key)> = (1..7).map(|n| (open.push(key(n)), key(n))).collect();
            for leaves in [1, 2, 4, 5, 3, 6] {
                assert_eq!(open.front().is_some(), !open.is_empty());
                let at = slots.iter().position(|s| s.1 == key(leaves)).unwrap();
                let (slot, _) = slots.remove(at);
                assert_eq!(open.leave(slot, key(9)), None, "somebody else's slot");
                if let Some(moved) = open.leave(slot, key(leaves)) {
                    slots.iter_mut().find(|s| s.1 == moved).unwrap().0 = slot;
                }
                assert_eq!(open.leave(slot, key(leaves)), None, "it has left");
                assert_eq!(open.len(), slots.len());
                for (at, key) in open.iter().enumerate() {
                    assert!(slots.contains(&(open.slot_of(at), key)), "{leaves}: {slots:?}");
                }
            }
        }
    }
}
