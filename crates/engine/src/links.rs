//! Links: opening and greeting them, and what follows from their end.

use bytes::Bytes;
use heptad_core::{Codec, Flavour, Greet, Lane, Meta, Outcome, Reason, Side, Time};

use crate::{
    ConnId, Engine, Event, LinkId, SessionId,
    arena::Key,
    calls::{Calls, Role},
    link::{JobOf, Link, LinkState, Usage},
    plan::End,
    stats::Seen,
    timers::Due,
};

impl<C: Codec> Engine<C> {
    /// Asks the driver to dial; `None` if there is no such endpoint.
    pub(crate) fn open_link(
        &mut self,
        now: Time,
        pool: usize,
        endpoint: usize,
        flavour: Flavour,
        usage: Usage,
    ) -> Option<LinkId> {
        let p = self.pools.get(pool)?;
        let address = p.endpoints.get(endpoint)?.address.clone();
        let upstream = p.cluster.upstream.downcast_ref().unwrap_or(&self.upstream);
        let conn = self.codec.open(Side::Link(upstream), flavour);
        let calls = Calls::new(self.traits.pairing, p.cluster.links.max_in_flight);
        let deadline = now + p.cluster.connect_timeout;
        let id = LinkId(self.links.insert(Link {
            conn,
            pool,
            endpoint,
            flavour,
            state: LinkState::Dialing,
            usage,
            calls,
            input: Vec::new(),
            need: 0,
            begun: None,
            greeting: heptad_core::Chain::default(),
            out: heptad_core::Chain::default(),
            dirty: false,
            prepared: false,
            jobs: std::collections::VecDeque::new(),
            // Whoever still waits in a retired pool is served, and nothing stays behind.
            draining: p.retired,
            orphans: 0,
            since: deadline,
            heard: now,
            pinged: None,
            look: Time::NEVER,
        }));
        self.look_at(id, deadline);
        self.stats.links_dialed += 1;
        self.stats.links += 1;
        self.events.push_back(Event::Dial(id, address));
        Some(id)
    }

    /// The driver connected a link.
    pub(crate) fn connected(&mut self, now: Time, id: LinkId) {
        let Some(l) = self.links.get_mut(id.0) else {
            return;
        };
        if l.state == LinkState::Dialing {
            l.state = LinkState::Greeting;
            l.heard = now;
            self.greet(now, id, None);
        }
    }

    pub(crate) fn greet(&mut self, now: Time, id: LinkId, heard: Option<(&Meta, &[u8])>) {
        let Some(l) = self.links.get_mut(id.0) else {
            return;
        };
        match self.codec.greet(&mut l.conn, heard, l.greeting.tail()) {
            Ok(Greet::Ready) => self.link_ready(now, id),
            Ok(_) => self.link_dirty(id),
            Err(_) => self.end_link(now, id, (Outcome::ConnectFailed, Reason::Greeting), true),
        }
    }

    fn link_ready(&mut self, now: Time, id: LinkId) {
        let Some(l) = self.links.get_mut(id.0) else {
            return;
        };
        l.state = LinkState::Ready;
        l.since = now;
        l.heard = now;
        l.look = Time::NEVER;
        let at = (l.pool, l.endpoint);
        if let Some(e) = self.endpoint_mut(at.0, at.1) {
            e.recovered();
        }
        self.send_jobs(now, id);
        self.link_dirty(id);
        // Whoever it was dialed for may be gone.
        self.free_link(now, id);
        let links = self.links_of(at.0);
        self.look_at(id, now + links.ping.unwrap_or(links.idle_timeout));
        self.kicks.push_back(at);
    }

    /// An attempt has ended: the endpoint's and the session's counts of it.
    pub(crate) fn attempt_over(&mut self, id: LinkId, session: SessionId, orphaned: bool) {
        let Some(l) = self.links.get_mut(id.0) else {
            return;
        };
        if orphaned {
            l.orphans = l.orphans.saturating_sub(1);
        }
        let at = (l.pool, l.endpoint);
        if let Some(e) = self.endpoint_mut(at.0, at.1) {
            e.in_flight = e.in_flight.saturating_sub(1);
        }
        self.session_left(session, id);
    }

    fn session_left(&mut self, session: SessionId, link: LinkId) {
        let ordered = self.traits.ordered;
        if let Some(s) = self.sessions.get_mut(session.0) {
            if ordered {
                s.ended_via(link);
            } else {
                s.attempts = s.attempts.saturating_sub(1);
            }
        }
        self.wake(session);
    }

    /// A frame was not sent after all, or needs no reply.
    pub(crate) fn left_link(&mut self, key: Key, link: LinkId) {
        if let Some(x) = self.exchanges.get(key) {
            let session = x.session;
            self.session_left(session, link);
        }
    }

    /// Gives a link of one exchange's own back once that exchange is done.
    pub(crate) fn free_link(&mut self, now: Time, id: LinkId) {
        let Some(l) = self.links.get_mut(id.0) else {
            return;
        };
        if !l.is_done() {
            return;
        }
        match self.pools.get_mut(l.pool) {
            Some(p) if l.goes_on(&self.codec, p) => {
                l.give_back(id, p, &mut self.timers, now);
                self.kicks.push_back((l.pool, l.endpoint));
            }
            _ => self.end_link(now, id, (Outcome::Ok, Reason::None), true),
        }
    }

    /// A reply released the links that a session held on a lane.
    pub(crate) fn release(&mut self, now: Time, id: SessionId, lane: Lane) {
        let Some(s) = self.sessions.get_mut(id.0) else {
            return;
        };
        let mut freed = Vec::new();
        s.held.retain(|h| {
            if h.lane == lane {
                freed.push(h.link);
            }
            h.lane != lane
        });
        for link in freed {
            if let Some(l) = self.links.get_mut(link.0) {
                l.usage = Usage::Own(id, None);
            }
            self.free_link(now, link);
        }
    }

    /// Sent without being asked: for the session that has the link to itself.
    pub(crate) fn push(
        &mut self,
        now: Time,
        id: LinkId,
        meta: &Meta,
        frame: &[u8],
        shared: Option<&Bytes>,
    ) {
        let owner = match self.links.get(id.0).map(|l| l.usage) {
            Some(Usage::Own(session, _)) => Some(session),
            _ => None,
        };
        match owner {
            Some(session) if self.sessions.get(session.0).is_some() => {
                self.write_session(now, id, session, C::Tag::default(), meta, None, frame, shared);
            }
            _ => self.stats.pushes_dropped += 1,
        }
    }

    /// A frame of an open stream, from the endpoint.
    pub(crate) fn stream_data(
        &mut self,
        now: Time,
        id: LinkId,
        meta: &Meta,
        frame: &[u8],
        shared: Option<&Bytes>,
    ) {
        let attempt = self.links.get(id.0).and_then(|l| l.calls.get(meta.id)).copied();
        let found = attempt.and_then(|a| match a.role {
            Role::Part { exchange, session, .. } => {
                let x = self.exchanges.get_mut(exchange)?;
                // The stream has begun to answer: from here on it may take its time.
                x.deadline = Time::NEVER;
                Some((session, x.meta.id, a.tag))
            }
            _ => None,
        });
        match found {
            Some((session, client, tag)) => {
                self.write_session(now, id, session, tag, meta, Some(client), frame, shared);
            }
            None => self.stats.late_replies += 1,
        }
    }

    pub(crate) fn leave_slot(
        &mut self,
        id: LinkId,
        pool: usize,
        endpoint: usize,
        flavour: Flavour,
        slot: usize,
    ) {
        let of = self.links_of(pool).slots();
        if let Some(e) = self.endpoint_mut(pool, endpoint)
            && e.slot(flavour, slot) == Some(id)
        {
            e.set_slot(flavour, slot, of, None);
        }
    }

    /// The end of a link: settles its own attempts and nothing else. `close`: the driver does not
    /// know yet.
    pub(crate) fn end_link(&mut self, now: Time, id: LinkId, end: End, close: bool) {
        let Some(l) = self.links.remove(id.0) else {
            return;
        };
        if close {
            self.events.push_back(Event::Close(ConnId::Link(id)));
        }
        self.stats.links = self.stats.links.saturating_sub(1);
        self.stats.link_ended(end);
        let (pool, endpoint) = (l.pool, l.endpoint);
        match l.usage {
            Usage::Shared(slot) => self.leave_slot(id, pool, endpoint, l.flavour, slot),
            Usage::Own(..) | Usage::Idle => {
                if let Some(e) = self.endpoint_mut(pool, endpoint) {
                    e.own = e.own.saturating_sub(1);
                    e.idle.retain(|other| *other != id);
                }
            }
        }
        let mut retry = None;
        if let Some(e) = self.endpoint_mut(pool, endpoint) {
            let attempts = l.calls.iter().filter(|a| matches!(a.role, Role::Part { .. })).count();
            e.in_flight = e.in_flight.saturating_sub(u32::try_from(attempts).unwrap_or(u32::MAX));
            if end.0 == Outcome::ConnectFailed {
                e.failed(now);
                retry = e.down_until;
            }
        }
        if let Some(at) = retry {
            let number = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
            self.timers.at(at, Due::Endpoint(number(pool), number(endpoint)));
        }
        for attempt in l.calls.iter() {
            match attempt.role {
                Role::Part { session, exchange, part } => {
                    self.session_left(session, id);
                    if attempt.orphaned.is_none() {
                        self.fail_part(now, exchange, part, end);
                    }
                }
                Role::Copy { copy } => self.copy_ended(copy, Seen::new(end.0, 0)),
                Role::Prelude | Role::Ping => {}
            }
        }
        for job in l.jobs {
            self.buffered = self.buffered.saturating_sub(job.frame.len());
            match job.of {
                JobOf::Part(key, part) => {
                    self.left_link(key, id);
                    self.fail_part(now, key, part, end);
                }
                JobOf::Copy(copy) => self.copy_ended(copy, Seen::new(end.0, 0)),
            }
        }
        // What a session kept on a link of its own is lost with it, and the client must know.
        if let Usage::Own(session, Some(_)) = l.usage
            && let Some(s) = self.sessions.get_mut(session.0)
        {
            s.held.retain(|h| h.link != id);
            if !s.closing {
                s.closing = true;
                self.stats.session_ended((Outcome::Reset, Reason::Closed));
            }
            self.wake(session);
        }
        self.kicks.push_back((pool, endpoint));
    }
}
