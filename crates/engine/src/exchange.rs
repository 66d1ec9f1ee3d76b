//! A request on the session's side, from admission to the moment its answer has its place.

use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
};

use heptad_core::{Chain, HeaderEdit, Kind, Meta, Outcome, Question, Reason, Time};

use crate::{
    Mirror,
    admit::UNCOUNTED,
    arena::{Arena, Key},
    machine::{LinkId, SessionId},
    memory::Memory,
    plan::End,
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

/// What few exchanges have. Kept apart, and told by marks whether any of it was touched: the usual
/// exchange neither reads nor clears it.
#[derive(Debug, Default)]
pub(crate) struct Rare {
    away: Box<Away>,
    touched: bool,
    ahead: bool,
}

#[derive(Debug, Default)]
struct Away {
    extras: Extras,
    /// The finished reply, while it waits for its turn.
    ready: Chain,
    /// What filters remember.
    numbers: Vec<u64>,
}

impl Rare {
    /// Whether everything is as at the beginning.
    #[inline]
    pub(crate) const fn is_plain(&self) -> bool {
        !self.touched
    }

    /// What is changed of the request's headers: where a filter wants something, that and the
    /// route's, which are in front of it by then.
    #[inline]
    pub(crate) fn request_edits(&self) -> &[HeaderEdit] {
        if self.is_plain() {
            return &[];
        }
        match &self.away.extras {
            Extras { edits, .. } if !edits.is_empty() => edits,
            Extras { request_headers: Some(headers), .. } => headers,
            _ => &[],
        }
    }

    /// The finished reply, while it waits for its turn.
    #[inline]
    pub(crate) fn ready(&self) -> &Chain {
        &self.away.ready
    }

    #[inline]
    pub(crate) fn ready_mut(&mut self) -> &mut Chain {
        self.ahead = true;
        &mut self.away.ready
    }

    /// What filters remember, for [`Memory`].
    #[inline]
    pub(crate) fn numbers(&self) -> &[u64] {
        &self.away.numbers
    }

    #[inline]
    pub(crate) fn numbers_mut(&mut self) -> &mut Vec<u64> {
        &mut self.away.numbers
    }

    /// The extras, and what filters remember.
    pub(crate) fn parts(&mut self) -> (&mut Extras, &mut Vec<u64>) {
        self.touched = true;
        let Away { extras, numbers, .. } = &mut *self.away;
        (extras, numbers)
    }

    /// Gives back what it owns, but for short memory.
    #[inline]
    fn rest(&mut self) {
        if self.ahead {
            self.away.ready = Chain::default();
            self.ahead = false;
        }
        if self.touched {
            self.away.extras.clear();
            self.touched = false;
        }
    }
}

impl Deref for Rare {
    type Target = Extras;

    #[inline]
    fn deref(&self) -> &Extras {
        &self.away.extras
    }
}

impl DerefMut for Rare {
    #[inline]
    fn deref_mut(&mut self) -> &mut Extras {
        self.touched = true;
        &mut self.away.extras
    }
}

/// The parts of an exchange that few have.
#[derive(Debug, Default)]
pub(crate) struct Extras {
    /// What filters want changed.
    pub(crate) edits: Vec<HeaderEdit>,
    /// What an answer must repeat of the request, if it is long.
    long: Vec<u8>,
    pub(crate) reply_headers: Option<Arc<[HeaderEdit]>>,
    pub(crate) request_headers: Option<Arc<[HeaderEdit]>>,
    /// The endpoint, where an attribute's hash decided it.
    pub(crate) chosen: Option<usize>,
    pub(crate) fan: Option<Fan>,
    /// The frame, while it waits.
    pub(crate) frame: Vec<u8>,
    /// The frame as it was sent, where it may have to be sent again elsewhere.
    pub(crate) kept: Vec<u8>,
    /// How often it was, and what goes right ahead of it the next time.
    pub(crate) redirects: u8,
    pub(crate) ahead: (&'static [u8], u32),
    /// Where a copy of it goes (the cluster is a pool's number here), and the copy that is on its way.
    pub(crate) mirror: Option<Mirror>,
    pub(crate) copied: Option<Key>,
    /// What its route answers without asking anybody.
    pub(crate) direct: Option<(Outcome, Arc<str>)>,
    /// A digest of its reply, where the copy's is compared by bytes.
    pub(crate) digest: u64,
    /// Its number among the requests that a tap took; 0 for none.
    pub(crate) tapped: u64,
    /// How it ended and its code's number, for the tap, until it is its turn.
    pub(crate) told: Option<(End, u16)>,
}

impl Extras {
    /// As at the beginning, but for short memory.
    fn clear(&mut self) {
        let mut edits = std::mem::take(&mut self.edits);
        edits.clear();
        let mut long = std::mem::take(&mut self.long);
        long.clear();
        *self = Self { edits, long, ..Self::default() };
    }
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

/// The parts of a fanned-out exchange. Recycled with its buffers.
#[derive(Debug, Default)]
pub(crate) struct Fan {
    pub(crate) parts: Vec<FanPart>,
    /// How many of `parts` are in use.
    pub(crate) used: usize,
    /// How many have no reply yet.
    pub(crate) left: usize,
}

#[derive(Debug, Default)]
pub(crate) struct FanPart {
    pub(crate) endpoint: usize,
    pub(crate) picks: Vec<u32>,
    pub(crate) place: Option<(LinkId, u64)>,
    pub(crate) reply: PartState,
    pub(crate) bytes: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum PartState {
    #[default]
    Open,
    Reply(Meta),
    Failed(Outcome, Reason),
}

impl Fan {
    /// The part for an endpoint; a new one if there is none yet.
    pub(crate) fn part_for(&mut self, endpoint: usize) -> &mut FanPart {
        let used = self.used;
        let at = self.parts.iter().take(used).position(|p| p.endpoint == endpoint);
        let at = at.unwrap_or_else(|| {
            if self.parts.len() == used {
                self.parts.push(FanPart::default());
            }
            self.used += 1;
            used
        });
        let fresh = at == used;
        let part = &mut self.parts[at];
        if fresh {
            part.endpoint = endpoint;
            part.picks.clear();
            part.place = None;
            part.reply = PartState::Open;
            part.bytes.clear();
        }
        part
    }

    pub(crate) fn active(&self) -> &[FanPart] {
        self.parts.get(..self.used).unwrap_or_default()
    }
}

/// A frame for a link that is not ready yet.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) of: JobOf,
    pub(crate) frame: Vec<u8>,
}

/// Whose frame waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JobOf {
    /// A part of an exchange.
    Part(Key, u32),
    /// A copy.
    Copy(Key),
}

/// Whether a frame is a barrier by its kind.
pub(crate) const fn is_control(meta: &Meta) -> bool {
    matches!(meta.kind, Kind::Login | Kind::Control)
}

/// What is told to a human whose request Heptad ended itself.
pub(crate) const fn text(outcome: Outcome, reason: Reason) -> &'static str {
    match (outcome, reason) {
        (_, Reason::CrossShard) => "keys of the request live on different endpoints",
        (_, Reason::SingleEndpoint) => "the command needs a cluster with a single endpoint",
        (_, Reason::Unsupported) => "not supported through this router",
        (_, Reason::Queue) => "too many requests wait for a link to the endpoint",
        (_, Reason::LinkBuffer) => "the link's buffer to the endpoint is full",
        (_, Reason::LinkCount) => "too many links to the endpoint",
        (_, Reason::Buffered) => "too many bytes are buffered",
        (_, Reason::FrameSize) => "the frame is longer than the limit",
        (_, Reason::HeadSize) => "the head of the frame is longer than the limit",
        (_, Reason::ConnectTimeout) => "the endpoint could not be connected in time",
        (_, Reason::Refused) => "the endpoint refused the connection",
        (_, Reason::Greeting) => "the endpoint refused the login or set-up of the link",
        (Outcome::NoRoute, _) => "no route matches the request",
        (Outcome::NoEndpoint, _) => "the cluster has no usable endpoint",
        (Outcome::ConnectFailed, _) => "the endpoint cannot be connected",
        (Outcome::Reset, _) => "the connection to the endpoint broke before the reply came",
        (Outcome::Timeout, _) => "no reply within the time-out",
        (Outcome::Draining, _) => "shutting down",
        (Outcome::Denied, _) => "denied",
        (Outcome::Limited, _) => "over the limit",
        (Outcome::Overloaded, _) => "overloaded",
        _ => "the request could not be served",
    }
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

    /// Whoever reads an error must not have to guess which of two limits it was.
    #[test]
    fn what_is_told_says_what_happened() {
        let reasons = [
            (Reason::CrossShard, "different endpoints"),
            (Reason::SingleEndpoint, "single endpoint"),
            (Reason::Unsupported, "not supported"),
            (Reason::Queue, "wait for a link"),
            (Reason::LinkBuffer, "link's buffer"),
            (Reason::LinkCount, "too many links"),
            (Reason::Buffered, "bytes are buffered"),
            (Reason::FrameSize, "the frame is longer"),
            (Reason::HeadSize, "the head of the frame is longer"),
            (Reason::ConnectTimeout, "connected in time"),
            (Reason::Refused, "refused the connection"),
            (Reason::Greeting, "login or set-up"),
        ];
        for (reason, words) in reasons {
            // A reason says more than an outcome.
            for outcome in [Outcome::BadRequest, Outcome::Overloaded, Outcome::ConnectFailed] {
                assert!(text(outcome, reason).contains(words), "{reason:?}: {words}");
            }
        }
        let outcomes = [
            (Outcome::NoRoute, "no route"),
            (Outcome::NoEndpoint, "no usable endpoint"),
            (Outcome::ConnectFailed, "cannot be connected"),
            (Outcome::Reset, "broke before the reply"),
            (Outcome::Timeout, "time-out"),
            (Outcome::Draining, "shutting down"),
            (Outcome::Denied, "denied"),
            (Outcome::Limited, "over the limit"),
            (Outcome::Overloaded, "overloaded"),
            (Outcome::BadRequest, "could not be served"),
        ];
        for (outcome, words) in outcomes {
            assert!(text(outcome, Reason::None).contains(words), "{outcome:?}: {words}");
        }
    }
}
