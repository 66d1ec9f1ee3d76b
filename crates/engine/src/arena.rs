//! A slab whose keys carry a generation, so that a key outlives its value without harm.

use std::num::NonZeroU64;

/// Index and generation in one number; an old key finds nothing. Generations begin with 1, so that
/// no key takes as much room as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key(NonZeroU64);

#[allow(clippy::cast_possible_truncation, reason = "the halves of what `new` put together")]
impl Key {
    const fn new(index: u32, generation: u32) -> Self {
        Self::from_bits((generation as u64) << 32 | index as u64)
    }

    /// The slot's number; reused after the value is gone.
    pub(crate) const fn index(self) -> usize {
        self.slot() as usize
    }

    const fn slot(self) -> u32 {
        self.0.get() as u32
    }

    const fn generation(self) -> u32 {
        (self.0.get() >> 32) as u32
    }

    /// As a number, for whoever must hand it back.
    pub(crate) const fn to_bits(self) -> u64 {
        self.0.get()
    }

    /// The key that [`Key::to_bits`] gave; any other number finds nothing, or something else.
    pub(crate) const fn from_bits(bits: u64) -> Self {
        Self(match NonZeroU64::new(bits) {
            Some(bits) => bits,
            None => NonZeroU64::MAX,
        })
    }
}

/// In this order, so that what is in front of a value is next to the value's own front.
#[derive(Debug)]
#[repr(C)]
struct Slot<T> {
    generation: u32,
    /// No key to a retired value was ever given out, so only a look at all values asks for this.
    live: bool,
    value: Option<T>,
}

/// Values by [`Key`]; insert and remove in constant time, no allocation once warm.
#[derive(Debug)]
pub(crate) struct Arena<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    len: usize,
}

/// The generation after another.
const fn next(generation: u32) -> u32 {
    match generation.wrapping_add(1) {
        0 => 1,
        other => other,
    }
}

impl<T> Default for Arena<T> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), len: 0 }
    }
}

impl<T> Arena<T> {
    pub(crate) fn insert(&mut self, value: T) -> Key {
        let (key, place) = self.place();
        *place = Some(value);
        key
    }

    /// A new key and its place: with a value at rest there, if one was retired; else the caller puts
    /// one there. What that owns needs no new memory, and it is not moved.
    #[inline(always)]
    pub(crate) fn place(&mut self) -> (Key, &mut Option<T>) {
        self.len += 1;
        let index = match self.free.pop() {
            Some(index) => index,
            None => self.grow(),
        };
        let slot = &mut self.slots[index as usize];
        slot.live = true;
        (Key::new(index, slot.generation), &mut slot.value)
    }

    #[inline(never)]
    fn grow(&mut self) -> u32 {
        let index = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        self.slots.push(Slot { generation: 1, live: true, value: None });
        index
    }

    #[inline]
    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        let slot = self.slots.get(key.index())?;
        if slot.generation == key.generation() { slot.value.as_ref() } else { None }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let slot = self.slots.get_mut(key.index())?;
        if slot.generation == key.generation() { slot.value.as_mut() } else { None }
    }

    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        let slot = self.slots.get_mut(key.index())?;
        if slot.generation != key.generation() {
            return None;
        }
        let value = slot.value.take()?;
        slot.live = false;
        slot.generation = next(slot.generation);
        self.free.push(key.slot());
        self.len -= 1;
        Some(value)
    }

    /// As [`Arena::remove`], where nobody wants the value: it stays at its place, at rest after
    /// `rest`, until [`Arena::place`] or [`Arena::insert`] takes the place.
    #[inline(always)]
    pub(crate) fn retire(&mut self, key: Key, rest: impl FnOnce(&mut T)) {
        if let Some(slot) = self.slots.get_mut(key.index())
            && slot.generation == key.generation()
            && let Some(value) = &mut slot.value
        {
            rest(value);
            slot.live = false;
            slot.generation = next(slot.generation);
            self.free.push(key.slot());
            self.len -= 1;
        }
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        self.slots.iter().enumerate().filter(|(_, s)| s.live).filter_map(|(i, s)| {
            let index = u32::try_from(i).ok()?;
            s.value.as_ref().map(|v| (Key::new(index, s.generation), v))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_key_finds_nothing() {
        let mut a = Arena::default();
        let one = a.insert("one");
        assert_eq!(a.remove(one), Some("one"));
        let two = a.insert("two");
        assert_eq!(one.index(), two.index());
        assert_eq!(a.get(one), None);
        assert_eq!(a.remove(one), None);
        assert_eq!(a.get(two), Some(&"two"));
        a.retire(one, |_| panic!("it is gone"));
        assert_eq!(a.get(two), Some(&"two"));
        a.retire(two, |value| *value = "rests");
        assert_eq!((a.get(two), a.len(), a.iter().count()), (None, 0, 0));
        assert_eq!(a.remove(two), None);
        let (again, value) = a.place();
        assert_eq!(value.replace("again"), Some("rests"));
        assert_eq!((a.get(again), a.get(two), a.iter().count()), (Some(&"again"), None, 1));
        let (new, value) = a.place();
        assert_eq!(value.replace("new"), None);
        assert_eq!((a.get(new), a.get(again), a.len()), (Some(&"new"), Some(&"again"), 2));
        assert_eq!(a.remove(new), Some("new"));
        a.retire(again, |_| ());
        let two = a.insert("two");
        assert_eq!(a.get(two), Some(&"two"));
        assert_eq!(a.len(), 1);
    }
}
