//! A slab whose keys carry a generation, so that a key outlives its value without harm.

/// Index and generation; an old key finds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key {
    index: u32,
    generation: u32,
}

impl Key {
    /// The slot's number; reused after the value is gone.
    pub(crate) const fn index(self) -> usize {
        self.index as usize
    }

    /// As a number, for whoever must hand it back.
    pub(crate) const fn to_bits(self) -> u64 {
        (self.generation as u64) << 32 | self.index as u64
    }

    /// The key that [`Key::to_bits`] gave; any other number finds nothing, or something else.
    pub(crate) const fn from_bits(bits: u64) -> Self {
        #[allow(
            clippy::cast_possible_truncation,
            reason = "the halves of what `to_bits` put together"
        )]
        Self { index: bits as u32, generation: (bits >> 32) as u32 }
    }
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

/// Values by [`Key`]; insert and remove in constant time, no allocation once warm.
#[derive(Debug)]
pub(crate) struct Arena<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    len: usize,
}

impl<T> Default for Arena<T> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), len: 0 }
    }
}

impl<T> Arena<T> {
    pub(crate) fn insert(&mut self, value: T) -> Key {
        self.len += 1;
        if let Some(index) = self.free.pop()
            && let Some(slot) = self.slots.get_mut(index as usize)
        {
            slot.value = Some(value);
            return Key { index, generation: slot.generation };
        }
        let index = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        self.slots.push(Slot { generation: 0, value: Some(value) });
        Key { index, generation: 0 }
    }

    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        let slot = self.slots.get(key.index())?;
        if slot.generation == key.generation { slot.value.as_ref() } else { None }
    }

    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let slot = self.slots.get_mut(key.index())?;
        if slot.generation == key.generation { slot.value.as_mut() } else { None }
    }

    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        let slot = self.slots.get_mut(key.index())?;
        if slot.generation != key.generation {
            return None;
        }
        let value = slot.value.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(key.index);
        self.len -= 1;
        Some(value)
    }

    /// As [`Arena::remove`], where nobody wants the value: it is dropped at its place.
    pub(crate) fn forget(&mut self, key: Key) {
        if let Some(slot) = self.slots.get_mut(key.index())
            && slot.generation == key.generation
            && slot.value.is_some()
        {
            slot.value = None;
            slot.generation = slot.generation.wrapping_add(1);
            self.free.push(key.index);
            self.len -= 1;
        }
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        self.slots.iter().enumerate().filter_map(|(i, s)| {
            let index = u32::try_from(i).ok()?;
            s.value.as_ref().map(|v| (Key { index, generation: s.generation }, v))
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
        a.forget(one);
        assert_eq!(a.get(two), Some(&"two"));
        a.forget(two);
        assert_eq!((a.get(two), a.len()), (None, 0));
        let two = a.insert("two");
        assert_eq!(a.get(two), Some(&"two"));
        assert_eq!(a.len(), 1);
    }
}
