//! The attempts of one link: by order or by id, with ids that are never reused while a late reply
//! may still come.

use heptad_core::{Asked, Pairing, Time};

use crate::{arena::Key, machine::SessionId, ring::Ring};

/// A request on a link. Ends only by its reply or the link's death.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt<T> {
    pub(crate) tag: T,
    pub(crate) role: Role,
    /// When it was abandoned: nobody waits for its reply any more.
    pub(crate) orphaned: Option<Time>,
}

/// What an attempt is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// A part of an exchange.
    Part { session: SessionId, exchange: Key, part: u32 },
    /// A copy of a request.
    Copy { copy: Key },
    /// Bytes ahead of a frame: the reply is swallowed.
    Prelude,
    /// A heartbeat of our own.
    Ping,
}

/// The outstanding attempts of a link.
#[derive(Debug)]
pub(crate) enum Calls<T> {
    InOrder(Ring<Attempt<T>>, usize),
    ById(Ids<T>),
}

/// Slots in use by id. The id on the wire is the slot's number plus one in the low bits and the
/// slot's generation in what bits are left, so that a duplicate or very late reply finds nothing.
#[derive(Debug)]
pub(crate) struct Ids<T> {
    slots: Vec<Slot<T>>,
    /// First freed, first reused: the longest possible time between two uses.
    free: Ring<u32>,
    low_bits: u32,
    /// The low bits, and as many of a generation as there is room for.
    low: u64,
    generations: u64,
    /// So many slots are free before the first of them is used again, as far as the maximum allows.
    rest: usize,
    max: usize,
    used: usize,
}

/// The place of an attempt. One that has ended stays there until another takes its place: nothing is
/// written over it meanwhile.
#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    busy: bool,
    attempt: Attempt<T>,
}

/// So many ids are given before one comes back, as far as the slots that rest and the bits for their
/// generations allow.
const APART: u32 = 1 << 20;
/// The fewest and the most slots that rest.
const REST: (u32, u32) = (4, 64);

impl<T: Copy> Calls<T> {
    pub(crate) fn new(pairing: Pairing, max: u32) -> Self {
        let max = max.max(1);
        match pairing {
            Pairing::ById { bits } => {
                let bits = bits.clamp(1, 64);
                let most = if bits >= 32 { u32::MAX - 1 } else { (1 << bits) - 1 };
                let max = max.min(most);
                let low_bits = 32 - max.leading_zeros();
                let spare = (bits - low_bits.min(bits)).min(32);
                Self::ById(Ids {
                    slots: Vec::new(),
                    free: Ring::default(),
                    low_bits,
                    low: shl(1, low_bits).wrapping_sub(1),
                    generations: (1 << spare) - 1,
                    rest: (APART >> spare.min(31)).clamp(REST.0, REST.1) as usize,
                    max: max as usize,
                    used: 0,
                })
            }
            _ => Self::InOrder(Ring::default(), max as usize),
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::InOrder(ring, _) => ring.len(),
            Self::ById(ids) => ids.used,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn max(&self) -> usize {
        match self {
            Self::InOrder(_, max) => *max,
            Self::ById(ids) => ids.max,
        }
    }

    /// Adds an attempt and gives its id on the wire (0 in order). In order, preludes and the frame
    /// they precede may pass the maximum; with ids, `None` if none is free.
    #[inline(always)]
    pub(crate) fn push(&mut self, tag: T, role: Role) -> Option<u64> {
        match self {
            Self::InOrder(ring, _) => {
                ring.push_back(Attempt { tag, role, orphaned: None });
                Some(0)
            }
            Self::ById(ids) => {
                let attempt = Attempt { tag, role, orphaned: None };
                // A slot rests before it is used again; more than that would only take memory.
                let slot = if ids.free.len() < ids.rest && ids.slots.len() < ids.max {
                    ids.slots.push(Slot { generation: 0, busy: false, attempt });
                    u32::try_from(ids.slots.len() - 1).ok()?
                } else {
                    ids.free.pop_front()?
                };
                let place = ids.slots.get_mut(slot as usize)?;
                place.attempt = attempt;
                place.busy = true;
                ids.used += 1;
                let generation = u64::from(place.generation) & ids.generations;
                Some(u64::from(slot + 1) | shl(generation, ids.low_bits))
            }
        }
    }

    /// Adds attempts whose replies are swallowed.
    pub(crate) fn push_preludes(&mut self, replies: u32)
    where
        T: Default,
    {
        for _ in 0..replies {
            self.push(T::default(), Role::Prelude);
        }
    }

    /// The attempt that a reply with this id is for.
    pub(crate) fn get(&self, id: u64) -> Option<&Attempt<T>> {
        match self {
            Self::InOrder(ring, _) => ring.first(),
            Self::ById(ids) => {
                let place = ids.slots.get(ids.slot(id)?)?;
                (place.busy && ids.is_of(id, place.generation)).then_some(&place.attempt)
            }
        }
    }

    /// Ends the attempt that a reply with this id is for.
    #[inline(always)]
    pub(crate) fn take(&mut self, id: u64) -> Option<Attempt<T>> {
        match self {
            Self::InOrder(ring, _) => ring.pop_front(),
            Self::ById(ids) => {
                let slot = ids.slot(id)?;
                let Slot { generation, busy, .. } = *ids.slots.get(slot)?;
                if !busy || !ids.is_of(id, generation) {
                    return None;
                }
                let place = ids.slots.get_mut(slot)?;
                place.busy = false;
                place.generation = generation.wrapping_add(1);
                ids.used -= 1;
                ids.free.push_back(u32::try_from(slot).ok()?);
                Some(place.attempt)
            }
        }
    }

    /// Takes back the newest attempt, whose frame was not written after all.
    pub(crate) fn undo(&mut self, id: u64) {
        match self {
            Self::InOrder(ring, _) => {
                ring.pop_back();
            }
            Self::ById(_) => {
                self.take(id);
            }
        }
    }

    /// The attempt whose role is `ours`, wherever it is.
    pub(crate) fn find(
        &mut self,
        id: u64,
        ours: impl Fn(&Role) -> bool,
    ) -> Option<&mut Attempt<T>> {
        match self {
            // A client that gave up is usually among the youngest.
            Self::InOrder(ring, _) => ring.find_last(|a| ours(&a.role)),
            Self::ById(ids) => {
                let slot = ids.slot(id)?;
                let Slot { generation, busy, .. } = *ids.slots.get(slot)?;
                if !busy || !ids.is_of(id, generation) {
                    return None;
                }
                ids.slots.get_mut(slot).map(|place| &mut place.attempt).filter(|a| ours(&a.role))
            }
        }
    }

    /// The oldest attempt of a link in order.
    pub(crate) fn oldest(&self) -> Option<&Attempt<T>> {
        match self {
            Self::InOrder(ring, _) => ring.first(),
            Self::ById(_) => None,
        }
    }

    /// All outstanding attempts, in order where there is one.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Attempt<T>> {
        let (ring, slots) = match self {
            Self::InOrder(ring, _) => (Some(ring), None),
            Self::ById(ids) => (None, Some(&ids.slots)),
        };
        let ring = ring.into_iter().flat_map(Ring::iter);
        ring.chain(slots.into_iter().flatten().filter(|s| s.busy).map(|s| s.attempt))
    }
}

impl<T> Ids<T> {
    /// The slot that an id names.
    #[inline]
    fn slot(&self, id: u64) -> Option<usize> {
        usize::try_from((id & self.low).checked_sub(1)?).ok()
    }

    /// Whether an id was given out in this generation of its slot.
    #[inline]
    fn is_of(&self, id: u64, generation: u32) -> bool {
        u64::from(generation) & self.generations == id.checked_shr(self.low_bits).unwrap_or(0)
    }
}

fn shl(value: u64, by: u32) -> u64 {
    value.checked_shl(by).unwrap_or(0)
}

/// What a codec is told about the outstanding requests of a link.
pub(crate) struct Outstanding<'a, T> {
    pub(crate) calls: &'a Calls<T>,
    /// During the greeting everything has the default tag.
    pub(crate) greeting: bool,
}

impl<T: Copy + Default> Asked<T> for Outstanding<'_, T> {
    fn tag(&self, id: u64) -> Option<T> {
        if self.greeting {
            return Some(T::default());
        }
        self.calls.get(id).map(|a| a.tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_comes_back_only_after_all_others_and_with_another_generation() {
        let mut calls = Calls::new(Pairing::ById { bits: 16 }, 4);
        let first = calls.push(1, Role::Prelude).unwrap();
        assert!(calls.take(first).is_some());
        let mut seen = vec![first];
        for tag in 2..=100 {
            let id = calls.push(tag, Role::Prelude).unwrap();
            assert!(id < 1 << 16);
            assert!(!seen[seen.len().saturating_sub(4)..].contains(&id));
            assert_eq!(calls.take(id).unwrap().tag, tag);
            assert!(calls.take(id).is_none(), "a duplicate finds nothing");
            seen.push(id);
        }
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 100, "16 bits with 4 slots leave room for generations");
    }

    #[test]
    fn slots_follow_what_is_in_flight_and_not_the_maximum() {
        for (bits, max, slots) in
            [(32, 1_000_000, 64), (32, 4096, 4), (64, 1_000_000, 4), (24, 255, 16), (16, 4096, 64)]
        {
            let mut calls = Calls::new(Pairing::ById { bits }, max);
            for tag in 0..10_000 {
                let id = calls.push(tag, Role::Prelude).unwrap();
                assert_eq!(calls.take(id).unwrap().tag, tag);
            }
            let Calls::ById(ids) = &calls else { panic!("by id") };
            assert_eq!(ids.slots.len(), slots, "{bits} bits, {max}");
        }
    }

    #[test]
    fn an_id_does_not_come_back_for_a_million_others_if_there_is_room() {
        let mut calls = Calls::new(Pairing::ById { bits: 32 }, 4096);
        let first = calls.push(0, Role::Prelude).unwrap();
        calls.take(first);
        for _ in 0..1 << 20 {
            let id = calls.push(1, Role::Prelude).unwrap();
            assert_ne!(id, first);
            calls.take(id);
        }
    }

    #[test]
    fn sixteen_bits_never_give_more_ids_than_there_are() {
        let mut calls = Calls::new(Pairing::ById { bits: 16 }, 1_000_000);
        let mut n = 0;
        while let Some(id) = calls.push(n, Role::Prelude) {
            assert!((1..1 << 16).contains(&id));
            n += 1;
        }
        assert_eq!(n, 65_535);
    }

    #[test]
    fn sixty_four_bits_round_trip() {
        let mut calls = Calls::new(Pairing::ById { bits: 64 }, 2);
        for tag in 0..10 {
            let id = calls.push(tag, Role::Prelude).unwrap();
            assert_eq!(calls.get(id).unwrap().tag, tag);
            assert!(calls.get(0).is_none() && calls.get(u64::MAX).is_none());
            calls.take(id);
        }
    }
}
