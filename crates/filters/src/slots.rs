//! A bounded table of atomic numbers, one for each key, shared by all workers.
//!
//! Finding the number of a key that is known takes no lock and allocates nothing; a key is known by
//! its seeded hash alone, so that long keys cost no memory. It does not know what the numbers mean:
//! whoever claims a slot says which numbers are free to be taken from their keys.

use std::{
    hash::{BuildHasher, Hasher},
    sync::{
        Mutex, PoisonError,
        atomic::{
            AtomicU64,
            Ordering::{AcqRel, Acquire, Relaxed, Release},
        },
    },
};

use foldhash::quality::FixedState;

/// The number of a slot that is between two keys.
pub(crate) const DEAD: u64 = u64::MAX;

/// Slots of a set: their marks are one line of the cache.
const WAYS: usize = 8;

/// Locks for claims, by key.
const STRIPES: usize = 64;

/// A key, as far as the table knows it; never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark(u64);

/// A place in the table. Whose it is may change when its number is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot(u32);

impl Slot {
    /// The slot's place, below [`Slots::len`].
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// The table. A key has its place in either of two sets of slots.
#[derive(Debug)]
pub(crate) struct Slots {
    marks: Box<[AtomicU64]>,
    values: Box<[AtomicU64]>,
    /// Two claims of one key must not find two slots.
    stripes: [Mutex<()>; STRIPES],
    hasher: FixedState,
}

impl Slots {
    /// Room for `keys` keys, and for as many again so that hardly one is ever crowded out.
    pub(crate) fn new(keys: u32, seed: u64) -> Self {
        let sets = (keys as usize * 2).div_ceil(WAYS).next_power_of_two();
        let zeros = || (0..sets * WAYS).map(|_| AtomicU64::new(0)).collect();
        Self {
            marks: zeros(),
            values: zeros(),
            stripes: [const { Mutex::new(()) }; STRIPES],
            hasher: FixedState::with_seed(seed),
        }
    }

    /// How many slots there are.
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    pub(crate) fn mark(&self, key: &[u8]) -> Mark {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(key);
        Mark(hasher.finish().max(1))
    }

    /// The number in a slot. After a change to it [`Slots::holds`] tells whose it was.
    pub(crate) fn value(&self, slot: Slot) -> &AtomicU64 {
        &self.values[slot.index()]
    }

    /// The number at a place.
    pub(crate) fn at(&self, index: usize) -> Option<&AtomicU64> {
        self.values.get(index)
    }

    /// Whether the slot is the key's. True if it was before a change to the number (made with
    /// `Acquire`) and the change was not to another key's number.
    pub(crate) fn holds(&self, slot: Slot, mark: Mark) -> bool {
        self.marks[slot.index()].load(Acquire) == mark.0
    }

    fn sets(&self, mark: Mark) -> [usize; 2] {
        let mask = self.values.len() / WAYS - 1;
        let (low, high) = (mark.0 as usize, (mark.0 >> 32) as usize);
        [(low & mask) * WAYS, (high & mask) * WAYS]
    }

    fn candidates(&self, mark: Mark) -> impl Iterator<Item = usize> {
        self.sets(mark).into_iter().flat_map(|set| set..set + WAYS)
    }

    /// The key's slot, if it has one.
    pub(crate) fn find(&self, mark: Mark) -> Option<Slot> {
        self.sets(mark).into_iter().find_map(|set| {
            let set_marks = self.marks.get(set..set + WAYS)?.first_chunk::<WAYS>()?;
            let way = set_marks.iter().position(|at| at.load(Relaxed) == mark.0)?;
            Some(Slot((set + way) as u32))
        })
    }

    /// The key's slot, or one that becomes its own, with the number 0: one that nobody has yet, or
    /// one whose number is `free`. `None` if all are in use. Takes a lock.
    pub(crate) fn claim(&self, mark: Mark, free: impl Fn(u64) -> bool) -> Option<Slot> {
        let stripe = &self.stripes[(mark.0 >> 16) as usize % STRIPES];
        let _only = stripe.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = self.find(mark) {
            return Some(slot);
        }
        let unused = |set: &usize| {
            (*set..set + WAYS).filter(|at| self.marks[*at].load(Relaxed) == 0).count()
        };
        let [one, two] = self.sets(mark);
        let order = if unused(&two) > unused(&one) { [two, one] } else { [one, two] };
        let of_nobody = order.into_iter().flat_map(|set| set..set + WAYS);
        let of_nobody = of_nobody.filter(|at| self.marks[*at].load(Relaxed) == 0);
        let at = of_nobody.chain(self.candidates(mark)).find(|at| self.seize(*at, mark, &free))?;
        Some(Slot(at as u32))
    }

    /// Gives a slot to another key, unless its number is in use or is just being changed.
    fn seize(&self, at: usize, mark: Mark, free: &impl Fn(u64) -> bool) -> bool {
        let value = &self.values[at];
        let old = value.load(Relaxed);
        if old == DEAD || (old != 0 && !free(old)) {
            return false;
        }
        // From here on whoever still changes the number for its former key sees that it is dead,
        // or, after the last store, another mark.
        if value.compare_exchange(old, DEAD, AcqRel, Relaxed).is_err() {
            return false;
        }
        self.marks[at].store(mark.0, Release);
        value.store(0, Release);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_promised_number_of_keys_has_room() {
        for (keys, seed) in [(1_u32, 1), (9, 2), (100, 3), (10_000, 4), (10_000, 5), (100_000, 6)] {
            let slots = Slots::new(keys, seed);
            let mut taken = vec![false; slots.len()];
            for key in 0..keys {
                let mark = slots.mark(&key.to_be_bytes());
                assert_eq!(slots.find(mark), None);
                let slot = slots.claim(mark, |_| false).expect("room");
                assert!(!std::mem::replace(&mut taken[slot.index()], true), "one slot, one key");
                slots.value(slot).store(1, Relaxed);
            }
            for key in 0..keys {
                let mark = slots.mark(&key.to_be_bytes());
                let slot = slots.find(mark).expect("it was claimed");
                assert!(slots.holds(slot, mark));
                assert_eq!(slots.claim(mark, |_| true), Some(slot));
            }
        }
    }

    #[test]
    fn what_is_in_use_is_not_taken_and_what_is_free_is() {
        let slots = Slots::new(1, 7);
        let mut held = Vec::new();
        for key in 0..8_u8 {
            let mark = slots.mark(&[key]);
            let slot = slots.claim(mark, |_| false).expect("eight slots");
            slots.value(slot).store(u64::from(key) + 1, Relaxed);
            held.push((mark, slot));
        }
        let late = slots.mark(b"late");
        assert_eq!(slots.claim(late, |_| false), None);
        let slot = slots.claim(late, |value| value == 3).expect("one is free");
        assert_eq!(slot, held[2].1);
        assert!(slots.holds(slot, late) && !slots.holds(slot, held[2].0));
        assert_eq!(slots.value(slot).load(Relaxed), 0, "as new");
        assert_eq!(slots.find(held[2].0), None);
        slots.value(slot).store(DEAD, Relaxed);
        assert_eq!(slots.claim(held[2].0, |value| value == DEAD), None, "between two keys");
    }
}
