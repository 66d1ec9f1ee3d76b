//! A request on the session's side, from admission to the moment its answer has its place.

use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
};

use heptad_core::{Chain, HeaderEdit, Kind, Meta, Outcome, Question, Reason, Time};

use crate::{
    Mirror,
    admit::UNCOUNTED,
    arena::Key,
    machine::{LinkId, SessionId},
    memory::Memory,
    plan::End,
};

/// A request in flight. Settles exactly once.
#[derive(Debug)]
pub(crate) struct Exchange<T> {
    pub(crate) session: SessionId,
    /// As the client sent it; `meta.id` is the client's id.
    pub(crate) meta: Meta,
    pub(crate) tag: T,
    /// Handles of its counters.
    pub(crate) series: u32,
    pub(crate) method: u32,
    /// The filter chain it began with, and what each filter remembers.
    pub(crate) chain: u32,
    pub(crate) memory: Memory,
    pub(crate) started: Time,
    pub(crate) deadline: Time,
    pub(crate) phase: Phase,
    /// The pool and endpoint it goes to, once chosen.
    pub(crate) pool: Option<usize>,
    pub(crate) endpoint: usize,
    /// How many endpoints the cluster has.
    pub(crate) of: usize,
    /// Where its attempt is, if it has only one.
    pub(crate) place: Option<(LinkId, u64)>,
    /// Where it is in an unordered session's list.
    pub(crate) slot: usize,
    /// At least one attempt was made.
    pub(crate) sent: bool,
    /// What an answer must repeat of the request.
    pub(crate) words: Vec<u8>,
    /// The finished reply, while it waits for its turn.
    pub(crate) ready: Chain,
    pub(crate) rare: Rare,
}

/// What few exchanges have. Kept apart, and told by one mark whether any of it was touched: the
/// usual exchange neither reads nor clears it.
#[derive(Debug, Default)]
pub(crate) struct Rare {
    touched: bool,
    extras: Extras,
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
        match &self.extras {
            _ if self.is_plain() => &[],
            Extras { edits, .. } if !edits.is_empty() => edits,
            Extras { request_headers: Some(headers), .. } => headers,
            _ => &[],
        }
    }
}

impl Deref for Rare {
    type Target = Extras;

    #[inline]
    fn deref(&self) -> &Extras {
        &self.extras
    }
}

impl DerefMut for Rare {
    #[inline]
    fn deref_mut(&mut self) -> &mut Extras {
        self.touched = true;
        &mut self.extras
    }
}

/// The parts of an exchange that few have.
#[derive(Debug, Default)]
pub(crate) struct Extras {
    /// What filters want changed.
    pub(crate) edits: Vec<HeaderEdit>,
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
        *self = Self { edits, ..Self::default() };
    }
}

/// Longest memory for an answer's words that an exchange at rest keeps.
const KEEP: usize = 256;

impl<T> Exchange<T> {
    /// A request that has just come, not yet routed.
    pub(crate) fn new(session: SessionId, meta: Meta, tag: T, chain: u32, now: Time) -> Self {
        Self {
            session,
            meta,
            tag,
            series: UNCOUNTED,
            method: UNCOUNTED,
            chain,
            memory: Memory::default(),
            started: now,
            deadline: Time::NEVER,
            phase: Phase::Sent,
            pool: None,
            endpoint: 0,
            of: 1,
            place: None,
            slot: 0,
            sent: false,
            words: Vec::new(),
            ready: Chain::default(),
            rare: Rare::default(),
        }
    }

    /// Makes one at rest what [`Exchange::new`] makes.
    #[inline(always)]
    pub(crate) fn renew(&mut self, session: SessionId, meta: &Meta, tag: T, chain: u32, now: Time) {
        // Every field by its name, so that none is forgotten and tells one client of another;
        // `rest` has cleared the last three.
        let Self {
            session: of_session,
            meta: of_meta,
            tag: of_tag,
            series,
            method,
            chain: of_chain,
            memory,
            started,
            deadline,
            phase,
            pool,
            endpoint,
            of,
            place,
            slot,
            sent,
            words: _,
            ready: _,
            rare: _,
        } = self;
        *of_session = session;
        *of_meta = *meta;
        *of_tag = tag;
        *series = UNCOUNTED;
        *method = UNCOUNTED;
        *of_chain = chain;
        memory.clear();
        *started = now;
        *deadline = Time::NEVER;
        *phase = Phase::Sent;
        *pool = None;
        *endpoint = 0;
        *of = 1;
        *place = None;
        *slot = 0;
        *sent = false;
    }

    /// Keeps what an answer would have to repeat of the request.
    #[inline]
    pub(crate) fn keep_words(&mut self, words: &[u8]) {
        if !words.is_empty() {
            let most = words.len().min(Question::<T>::KEPT);
            self.words.extend_from_slice(words.get(..most).unwrap_or_default());
        }
    }

    /// Whether it is over; its reply may wait for its turn.
    pub(crate) fn is_settled(&self) -> bool {
        self.phase == Phase::Settled
    }

    /// Gives back what it owns, but for short memory; [`Exchange::renew`] sets the rest.
    #[inline]
    pub(crate) fn rest(&mut self) {
        self.words.clear();
        if self.words.capacity() > KEEP {
            self.words = Vec::new();
        }
        if !self.ready.is_bare() {
            self.ready = Chain::default();
        }
        if self.rare.touched {
            self.rare.extras.clear();
            self.rare.touched = false;
        }
    }
}

/// How far an exchange is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// A filter waits for something: the number of the filter.
    Asking(usize),
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
