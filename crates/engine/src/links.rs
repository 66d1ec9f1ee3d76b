//! Links: opening and greeting them, hearing replies, and what follows from their end.

use bytes::Bytes;
use heptad_core::{
    Answer, Bind, Codec, Flavour, Greet, Kind, Lane, Meta, Outcome, Question, Reason, Side, Step,
    Time,
};

use crate::{
    ConnId, Engine, Event, LinkId, SessionId,
    arena::Key,
    calls::{Attempt, Calls, Outstanding, Role},
    exchange::JobOf,
    link::{Link, LinkState, Usage},
    plan::End,
    stats::Seen,
    timers::Due,
};

/// Inputs of at least this size are decoded as shared bytes.
const SHARE_INPUT: usize = 16 << 10;

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

    fn greet(&mut self, now: Time, id: LinkId, heard: Option<(&Meta, &[u8])>) {
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

    /// Bytes from an endpoint.
    pub(crate) fn hear(&mut self, now: Time, id: LinkId, bytes: &[u8]) {
        let Some(l) = self.links.get_mut(id.0) else {
            return;
        };
        l.heard = now;
        l.pinged = None;
        if l.input.is_empty() {
            let taken = self.read_replies(now, id, bytes, None);
            if let Some(l) = self.links.get_mut(id.0) {
                self.leftovers.append(&mut l.input, bytes.get(taken..).unwrap_or_default());
            }
        } else {
            l.input.extend_from_slice(bytes);
            if l.input.len() < l.need {
                return;
            }
            let input = std::mem::take(&mut l.input);
            let rest = if input.len() >= SHARE_INPUT {
                let shared = Bytes::from(input);
                let taken = self.read_replies(now, id, &shared, Some(&shared));
                crate::intake::rest_of(shared, taken)
            } else {
                let taken = self.read_replies(now, id, &input, None);
                crate::intake::rest_of_own(input, taken)
            };
            if rest.is_empty() {
                self.leftovers.recycle(rest);
            } else if let Some(l) = self.links.get_mut(id.0) {
                l.input = rest;
            }
        }
    }

    /// Takes whole frames from the front of `buf` and returns how many bytes they had.
    fn read_replies(&mut self, now: Time, id: LinkId, buf: &[u8], shared: Option<&Bytes>) -> usize {
        let mut at = 0;
        let max = self.ctx.max_frame as usize;
        loop {
            let Some(l) = self.links.get_mut(id.0) else {
                return buf.len();
            };
            let rest = buf.get(at..).unwrap_or_default();
            if rest.is_empty() || rest.len() < l.need {
                return at;
            }
            let asked = Outstanding { calls: &l.calls, greeting: l.state != LinkState::Ready };
            // A reply is decoded exactly once, even if its end comes later.
            let step = match l.begun.take() {
                Some(meta) => Ok(Step::Frame(meta, ())),
                None => self.codec.decode_reply(&mut l.conn, &asked, &self.ctx, rest),
            };
            // Looked at where it is, as requests are.
            if let Ok(Step::Frame(meta, ())) = &step
                && let len = meta.len as usize
                && (1..=max).contains(&len)
                && let Some(frame) = rest.get(..len)
            {
                l.need = 0;
                let piece = shared.map(|b| b.slice(at..(at + len).min(b.len())));
                at += len;
                self.heard_frame(now, id, meta, frame, piece.as_ref());
                continue;
            }
            match step {
                Ok(Step::Need(n)) if n <= max => {
                    l.need = n.max(rest.len() + 1);
                    return at;
                }
                Ok(Step::Skip(n)) => {
                    l.need = 0;
                    at += n.clamp(1, rest.len());
                }
                Ok(Step::Frame(meta, ())) if meta.len as usize <= max => {
                    // Its end is on the way. One of no bytes would be found for ever.
                    l.need = (meta.len as usize).max(rest.len() + 1);
                    l.begun = Some(meta);
                    return at;
                }
                Ok(Step::Need(_) | Step::Frame(..)) => {
                    self.end_link(now, id, (Outcome::TooLarge, Reason::FrameSize), true);
                    return buf.len();
                }
                Err(fault) => {
                    // It was the endpoint that did not follow the protocol, not the client.
                    let outcome = match fault.outcome {
                        Outcome::BadRequest => Outcome::Reset,
                        other => other,
                    };
                    self.end_link(now, id, (outcome, fault.reason), true);
                    return buf.len();
                }
                _ => {
                    self.end_link(now, id, (Outcome::Reset, Reason::Malformed), true);
                    return buf.len();
                }
            }
        }
    }

    fn heard_frame(
        &mut self,
        now: Time,
        id: LinkId,
        meta: &Meta,
        frame: &[u8],
        shared: Option<&Bytes>,
    ) {
        let Some(l) = self.links.get_mut(id.0) else {
            return;
        };
        if l.state != LinkState::Ready {
            return self.greet(now, id, Some((meta, frame)));
        }
        match meta.kind {
            Kind::Ping => {
                let question = Question::new(meta, C::Tag::default());
                let mark = l.out.mark();
                let pong = self.codec.answer(&mut l.conn, &question, &Answer::Pong, l.out.tail());
                if pong.is_err() {
                    l.out.rollback(mark);
                }
                self.link_dirty(id);
            }
            Kind::GoAway => self.drain_link(now, id),
            Kind::Push => self.push(now, id, meta, frame, shared),
            Kind::Data => self.stream_data(now, id, meta, frame, shared),
            Kind::Reply | Kind::End | Kind::Reset | Kind::Pong => {
                let Some(attempt) = l.calls.take(meta.id) else {
                    if self.in_order() {
                        // A reply that nobody asked for: whatever comes next would be taken for
                        // the reply to another request.
                        self.end_link(now, id, (Outcome::Reset, Reason::Unexpected), true);
                    }
                    self.stats.late_replies += 1;
                    return;
                };
                self.heard_reply(now, id, attempt, meta, frame, shared);
            }
            _ => self.end_link(now, id, (Outcome::Reset, Reason::Unexpected), true),
        }
    }

    fn heard_reply(
        &mut self,
        now: Time,
        id: LinkId,
        attempt: Attempt<C::Tag>,
        meta: &Meta,
        frame: &[u8],
        shared: Option<&Bytes>,
    ) {
        if self.reply_express(now, id, &attempt, meta, frame, shared) {
            return;
        }
        if let Role::Part { session, exchange, part } = attempt.role {
            self.attempt_over(id, session, attempt.orphaned.is_some());
            if attempt.orphaned.is_some() || self.exchanges.get(exchange).is_none() {
                self.stats.late_replies += 1;
            } else {
                self.reply(now, id, exchange, part, meta, frame, shared);
            }
            if let Bind::Release(lane) = meta.bind {
                self.release(now, session, lane);
            }
            self.wake(session);
        }
        if let Role::Copy { copy } = attempt.role {
            if attempt.orphaned.is_some()
                && let Some(l) = self.links.get_mut(id.0)
            {
                l.orphans = l.orphans.saturating_sub(1);
                self.stats.late_replies += 1;
            }
            self.copy_replied(id, copy, meta, frame);
        }
        if let Some(l) = self.links.get(id.0)
            && l.prepared
            && l.calls.is_empty()
        {
            self.send_jobs(now, id);
            self.link_dirty(id);
        }
        self.free_link(now, id);
        let Some(l) = self.links.get(id.0) else {
            return;
        };
        let at = (l.pool, l.endpoint);
        if l.draining && l.calls.is_empty() && l.jobs.is_empty() {
            self.end_link(now, id, (Outcome::Draining, Reason::None), true);
        }
        if self.has_waiting(at) {
            self.kicks.push_back(at);
        }
    }

    /// An attempt has ended: the endpoint's and the session's counts of it.
    fn attempt_over(&mut self, id: LinkId, session: SessionId, orphaned: bool) {
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
    fn release(&mut self, now: Time, id: SessionId, lane: Lane) {
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
    fn push(&mut self, now: Time, id: LinkId, meta: &Meta, frame: &[u8], shared: Option<&Bytes>) {
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
    fn stream_data(
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
