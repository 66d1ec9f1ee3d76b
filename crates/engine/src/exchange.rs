//! A request on the session's side, from admission to the moment its answer has its place.

use heptad_core::{Kind, Meta, Question, Time};

use crate::{
    admit::UNCOUNTED,
    arena::{Arena, Key},
    machine::{LinkId, SessionId},
    memory::Memory,
    rare::Rare,
};

/// A request in flight. Settles exactly once.
///
/// In this order: what every exchange needs is together at the front, in three lines of the cache. With
/// many in flight, each line is one to wait for, at the request and again at the reply.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Exchange<T> {
    pub(crate) session: SessionId,
    /// As the client sent it; `meta.id` is the client's id.
    pub(crate) meta: Meta,
    /// Where its attempt is, if it has only one.
    pub(crate) place: Option<(LinkId, u64)>,
    pub(crate) started: Time,
    pub(crate) deadline: Time,
    /// Which filters remember something of it.
    pub(crate) memory: Memory,
    pub(crate) rare: Rare,
    /// The pool and endpoint it goes to, once chosen.
    pub(crate) pool: Option<u32>,
    pub(crate) endpoint: u32,
    /// How many endpoints the cluster has.
    pub(crate) of: u32,
    /// Where it is in an unordered session's list.
    pub(crate) slot: u32,
    /// Handles of its counters.
    pub(crate) series: u32,
    pub(crate) method: u32,
    /// The filter chain it began with.
    pub(crate) chain: u32,
    pub(crate) phase: Phase,
    /// At least one attempt was made.
    pub(crate) sent: bool,
    /// How many bytes of `words` count.
    kept: u8,
    pub(crate) tag: T,
    words: [u8; SHORT],
}

/// So many bytes of what an answer must repeat of a request are kept in place: the names of most.
const SHORT: usize = 80;

/// A copy of that, for requests of which answers must repeat the same.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Words {
    kept: u8,
    bytes: [u8; SHORT],
}

impl<T> Exchange<T> {
    fn new(session: SessionId, meta: Meta, tag: T, chain: u32, now: Time) -> Self {
        Self {
            session,
            meta,
            place: None,
            started: now,
            deadline: Time::NEVER,
            memory: Memory::default(),
            rare: Rare::default(),
            pool: None,
            endpoint: 0,
            of: 1,
            slot: 0,
            series: UNCOUNTED,
            method: UNCOUNTED,
            chain,
            phase: Phase::Sent,
            sent: false,
            kept: 0,
            tag,
            words: [0; SHORT],
        }
    }

    /// Makes one at rest what [`Exchange::new`] makes.
    #[inline(always)]
    fn renew(&mut self, session: SessionId, meta: &Meta, tag: T, chain: u32, now: Time) {
        // Every field by its name, so that none is forgotten and tells one client of another; `rest`
        // has cleared `rare`, and of `words` nothing counts.
        let Self {
            session: of_session,
            meta: of_meta,
            place,
            started,
            deadline,
            memory,
            rare: _,
            pool,
            endpoint,
            of,
            slot,
            series,
            method,
            chain: of_chain,
            phase,
            sent,
            kept,
            tag: of_tag,
            words: _,
        } = self;
        *of_session = session;
        *of_meta = *meta;
        *place = None;
        *started = now;
        *deadline = Time::NEVER;
        *memory = Memory::default();
        *pool = None;
        *endpoint = 0;
        *of = 1;
        *slot = 0;
        *series = UNCOUNTED;
        *method = UNCOUNTED;
        *of_chain = chain;
        *phase = Phase::Sent;
        *sent = false;
        *kept = 0;
        *of_tag = tag;
    }

    /// The number of the pool it goes to.
    #[inline]
    pub(crate) fn pool(&self) -> Option<usize> {
        self.pool.map(|pool| pool as usize)
    }

    /// Keeps what an answer would have to repeat of the request.
    #[inline]
    pub(crate) fn keep_words(&mut self, words: &[u8]) {
        if words.is_empty() {
            return;
        }
        match (self.words.get_mut(..words.len()), u8::try_from(words.len())) {
            (Some(place), Ok(len)) => {
                // Eight at a time: a call would cost more than it copies.
                let (pairs, rest) = words.as_chunks::<8>();
                let (places, rest_of) = place.as_chunks_mut::<8>();
                places.iter_mut().zip(pairs).for_each(|(place, pair)| *place = *pair);
                rest_of.iter_mut().zip(rest).for_each(|(place, byte)| *place = *byte);
                self.kept = len;
            }
            _ => self.keep_long(words),
        }
    }

    /// What it keeps, if that is not long.
    pub(crate) fn short_words(&self) -> Option<Words> {
        let short = self.kept > 0 || self.rare.long.is_empty();
        short.then_some(Words { kept: self.kept, bytes: self.words })
    }

    /// Keeps what another one does. Only the lines of the cache that this takes are touched.
    #[inline(always)]
    pub(crate) fn keep_same(&mut self, other: &Words) {
        let chunks = usize::from(other.kept).div_ceil(8);
        let (places, _) = self.words.as_chunks_mut::<8>();
        let (pairs, _) = other.bytes.as_chunks::<8>();
        places.iter_mut().zip(pairs).take(chunks).for_each(|(place, pair)| *place = *pair);
        self.kept = other.kept;
    }

    #[inline(never)]
    fn keep_long(&mut self, words: &[u8]) {
        let most = words.len().min(Question::<T>::KEPT);
        let long = &mut self.rare.long;
        long.clear();
        long.extend_from_slice(words.get(..most).unwrap_or_default());
    }

    /// What an answer must repeat of the request.
    pub(crate) fn words(&self) -> &[u8] {
        match self.kept {
            0 => &self.rare.long,
            len => self.words.get(..len.into()).unwrap_or_default(),
        }
    }

    /// Whether it is over; its reply may wait for its turn.
    pub(crate) fn is_settled(&self) -> bool {
        self.phase == Phase::Settled
    }

    /// Gives back what it owns, but for short memory; [`Exchange::renew`] sets the rest.
    #[inline]
    pub(crate) fn rest(&mut self) {
        self.rare.rest();
    }
}

impl<T: Copy> Arena<Exchange<T>> {
    /// A request that has just come, not yet routed.
    #[inline(always)]
    pub(crate) fn begin(
        &mut self,
        session: SessionId,
        meta: &Meta,
        tag: T,
        chain: u32,
        now: Time,
    ) -> (Key, &mut Exchange<T>) {
        let (key, place) = self.place();
        match place {
            Some(x) => {
                x.renew(session, meta, tag, chain, now);
                (key, x)
            }
            none => (key, none.insert(Exchange::new(session, *meta, tag, chain, now))),
        }
    }
}

/// The number of a thing as an exchange keeps it: there are never that many.
#[inline]
pub(crate) fn short(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// How far an exchange is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// A filter waits for something: the number of the filter.
    Asking(u16),
    /// Waits until the session's earlier attempts have ended.
    Quiet,
    /// Waits for a link to the chosen endpoint.
    Queued,
    /// Its frame is with a link of its own that is not ready yet.
    Dialing,
    /// On its way.
    Sent,
    /// Settled; its reply waits for its turn.
    Settled,
}

impl Phase {
    /// Waits for what a filter asked for.
    pub(crate) fn asking(filter: usize) -> Self {
        Self::Asking(u16::try_from(filter).unwrap_or(u16::MAX))
    }
}

/// Whether a frame is a barrier by its kind.
pub(crate) const fn is_control(meta: &Meta) -> bool {
    matches!(meta.kind, Kind::Login | Kind::Control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_of_one_is_kept_of_others_like_it() {
        const { assert!(SHORT.is_multiple_of(8)) };
        for len in 0..=SHORT {
            let said: Vec<u8> = (0..).take(len).collect();
            let mut arena = Arena::<Exchange<u16>>::default();
            let mut begin = |old: &[u8]| {
                let session = SessionId(Key::from_bits(1));
                let (key, _) = arena.begin(session, &Meta::default(), 0, 0, Time::ZERO);
                let x = arena.get_mut(key).unwrap();
                x.keep_words(old);
                key
            };
            let (one, other) = (begin(&said), begin(&[b'x'; SHORT]));
            let words = arena.get(one).and_then(Exchange::short_words).unwrap();
            let other = arena.get_mut(other).unwrap();
            other.keep_same(&words);
            assert_eq!(other.words(), said);
            other.kept = 0;
            other.keep_words(&[b'x'; SHORT + 1]);
            assert!(other.short_words().is_none(), "long ones are not copied");
        }
    }

    #[test]
    fn an_exchange_takes_four_lines_of_the_cache_with_its_generation() {
        assert_eq!(size_of::<Exchange<u16>>() + 8, 4 * 64);
        assert!(std::mem::offset_of!(Exchange<u16>, words) + 8 <= 3 * 64);
    }
}
