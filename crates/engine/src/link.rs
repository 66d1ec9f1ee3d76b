//! A connection to an endpoint as the engine sees it.

use std::collections::VecDeque;

use heptad_core::{Chain, Codec, Flavour, Lane, Meta, Time};

use crate::{
    arena::Key,
    calls::Calls,
    machine::{ConnId, LinkId, SessionId},
    pool::Pool,
    timers::{Due, Timers},
};

/// A connection to an endpoint.
pub(crate) struct Link<C: Codec> {
    pub(crate) conn: C::Conn,
    pub(crate) pool: usize,
    pub(crate) endpoint: usize,
    pub(crate) flavour: Flavour,
    pub(crate) state: LinkState,
    pub(crate) usage: Usage,
    pub(crate) calls: Calls<C::Tag>,
    pub(crate) input: Vec<u8>,
    pub(crate) need: usize,
    /// What was decoded of a reply whose end is still on the way.
    pub(crate) begun: Option<Meta>,
    /// The greeting; written before anything else.
    pub(crate) greeting: Chain,
    pub(crate) out: Chain,
    pub(crate) dirty: bool,
    /// The prelude of the first job was sent; the job follows when it was answered.
    pub(crate) prepared: bool,
    /// Frames that wait until a link of one session's own is ready.
    pub(crate) jobs: VecDeque<Job>,
    /// No new attempts; closed when the last one has ended.
    pub(crate) draining: bool,
    /// Attempts that nobody waits for.
    pub(crate) orphans: usize,
    /// When it must be ready, or was last heard of, or became idle.
    pub(crate) since: Time,
    /// When the endpoint last sent something.
    pub(crate) heard: Time,
    /// A heartbeat is unanswered since then.
    pub(crate) pinged: Option<Time>,
    /// The next time the engine looks at it.
    pub(crate) look: Time,
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinkState {
    Dialing,
    Greeting,
    Ready,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Usage {
    /// In the pool's slot with this number, for frames of all sessions.
    Shared(usize),
    /// Of one session: for one exchange, or held on a lane.
    Own(SessionId, Option<Lane>),
    /// Ready for the next one that needs a link of its own.
    Idle,
}

impl<C: Codec> Link<C> {
    /// What may be written now.
    pub(crate) fn writable(&self) -> &Chain {
        if self.greeting.is_empty() && self.state == LinkState::Ready {
            &self.out
        } else {
            &self.greeting
        }
    }

    /// Tells the driver, once, that there is something to write.
    pub(crate) fn note_dirty(&mut self, id: LinkId) -> Option<ConnId> {
        if self.dirty || self.state == LinkState::Dialing || self.writable().is_empty() {
            return None;
        }
        self.dirty = true;
        Some(ConnId::Link(id))
    }

    /// Whether it was for one exchange alone, and nothing of that is left.
    pub(crate) fn is_done(&self) -> bool {
        let nothing = self.calls.is_empty() && self.jobs.is_empty();
        nothing && self.state == LinkState::Ready && matches!(self.usage, Usage::Own(_, None))
    }

    /// Whether it may be used by another session.
    pub(crate) fn goes_on(&self, codec: &C, pool: &Pool) -> bool {
        !self.draining && !pool.retired && codec.reusable(&self.conn)
    }

    /// Puts it among the free ones of its endpoint.
    #[inline(never)]
    pub(crate) fn give_back(&mut self, id: LinkId, p: &mut Pool, timers: &mut Timers, now: Time) {
        self.usage = Usage::Idle;
        self.since = now;
        if let Some(e) = p.endpoints.get_mut(self.endpoint) {
            e.idle.push(id);
        }
        self.look_at(id, now + p.cluster.links.idle_timeout, timers);
    }

    /// Makes sure that it is looked at no later than `at`.
    pub(crate) fn look_at(&mut self, id: LinkId, at: Time, timers: &mut Timers) {
        if at < self.look {
            self.look = at;
            timers.at(at, Due::Link(id));
        }
    }

    pub(crate) fn has_room(&self, max_buffered: usize) -> bool {
        self.calls.len() < self.calls.max() && self.out.len() < max_buffered
    }
}
