//! The usual case in one go: a request over a shared link that is there, and its good reply. What
//! is not usual is left alone and takes the long way, which comes to the same result; nothing has
//! changed until it is clear that nothing stands in the way.

use bytes::Bytes;
use heptad_core::{
    Accepted, Bind, Codec, FanOut, Kind, Meta, Outcome, Reason, Rewrite, Splice, Time,
};

use crate::{
    ConnId, Engine, Event, LinkId,
    arena::Key,
    calls::{Attempt, Role},
    exchange::{Exchange, Phase},
    leftovers::LARGE,
    link::Usage,
};

/// By how much a frame may well grow when it is rewritten.
const HEAD: usize = 64;

impl<C: Codec> Engine<C> {
    /// Sends a request that its filters have passed, if it goes to one endpoint and over a shared
    /// link; false, with nothing changed, if it is not plainly that.
    pub(crate) fn forward_express(
        &mut self,
        now: Time,
        key: Key,
        frame: &[u8],
        shared: Option<&Bytes>,
    ) -> bool {
        let Self { exchanges, sessions, pools, codec, scratch, .. } = self;
        let Some(x) = exchanges.get_mut(key) else {
            return false;
        };
        let Some((pool, p)) = x.pool.and_then(|at| Some((at, pools.get_mut(at)?))) else {
            return false;
        };
        let Some(s) = sessions.get_mut(x.session.0) else {
            return false;
        };
        let Meta { kind, bind, fan_out, .. } = x.meta;
        let usual = kind == Kind::Request && bind == Bind::Shared && x.direct.is_none();
        let one = x.of == 1 || fan_out == FanOut::One;
        let alone = x.mirror.is_none() && x.request_headers.is_none() && s.held.is_empty();
        if !(usual && one && alone) || p.endpoints.is_empty() {
            return false;
        }
        match codec.accepted(&mut s.conn, &x.meta, x.tag, frame) {
            Accepted::Forward => {}
            accepted => {
                self.answer_locally(now, key, accepted);
                return true;
            }
        }
        let endpoint = match x.chosen {
            _ if x.of == 1 => Some(0),
            Some(at) => Some(at),
            None => {
                scratch.clear();
                let key = codec.key(&s.conn, &x.meta, frame, scratch).ok().flatten();
                p.pick(now, key)
            }
        };
        match endpoint {
            Some(at) => self.dispatch_one(now, key, pool, at, frame, shared),
            None => self.settle_end(now, key, (Outcome::NoEndpoint, Reason::None)),
        }
        true
    }

    /// Writes a request to the shared link of its session; false if that is not all there is to do.
    pub(crate) fn send_express(
        &mut self,
        key: Key,
        pool: usize,
        endpoint: usize,
        frame: &[u8],
        shared: Option<&Bytes>,
    ) -> bool {
        let (ordered, by_id) = (self.traits.ordered, !self.in_order());
        let Self { exchanges, sessions, links, pools, codec, leftovers, events, .. } = self;
        let (Some(x), Some(p)) = (exchanges.get_mut(key), pools.get_mut(pool)) else {
            return false;
        };
        let id = x.session;
        let Some(s) = sessions.get_mut(id.0) else {
            return false;
        };
        let Meta { kind, bind, fan_out, .. } = x.meta;
        let several = x.of > 1 && matches!(fan_out, FanOut::All | FanOut::Index);
        let usual = kind == Kind::Request && bind == Bind::Shared && p.share && !p.redirects;
        if !usual || several || x.redirects > 0 || x.fan.is_some() || !s.held.is_empty() {
            return false;
        }
        let policy = p.cluster.links;
        let Some(e) = p.endpoints.get_mut(endpoint).filter(|e| e.waiting.is_empty()) else {
            return false;
        };
        let flavour = codec.flavour(&s.conn, &x.meta);
        let Some(link) = e.slot(flavour, id.0.index() % policy.slots()) else {
            return false;
        };
        let Some(l) = links.get_mut(link.0).filter(|l| l.has_room(policy.max_buffered)) else {
            return false;
        };
        // Invariant 7.
        if ordered && s.elsewhere(pool, endpoint, link) {
            return false;
        }
        let role = Role::Part { session: id, exchange: key, part: 0 };
        let Some(wire) = l.calls.push(Attempt { tag: x.tag, role, orphaned: None }) else {
            return false;
        };
        let headers = match &x.request_headers {
            _ if !x.edits.is_empty() => &x.edits,
            Some(headers) => &headers[..],
            None => &[],
        };
        leftovers.furnish(&mut l.out, LARGE);
        let mark = l.out.mark();
        let mut splice = Splice::new(frame, shared, &mut l.out);
        let edit = Rewrite::new(by_id.then_some(wire), headers);
        if codec.rewrite(&s.conn, &l.conn, &x.meta, x.tag, &edit, &mut splice).is_err() {
            l.out.rollback(mark);
            l.calls.undo(wire);
            return false;
        }
        if ordered {
            s.sent_via(pool, endpoint, link);
        } else {
            s.attempts += 1;
        }
        x.phase = Phase::Sent;
        x.endpoint = endpoint;
        x.sent = true;
        x.place = Some((link, wire));
        e.in_flight += 1;
        if let Some(conn) = l.note_dirty(link) {
            events.push_back(Event::Write(conn));
        }
        true
    }

    /// Settles an exchange with the reply to its only attempt; false if that is not all there is
    /// to do.
    pub(crate) fn reply_express(
        &mut self,
        now: Time,
        link: LinkId,
        attempt: &Attempt<C::Tag>,
        meta: &Meta,
        frame: &[u8],
        shared: Option<&Bytes>,
    ) -> bool {
        let Role::Part { session: id, exchange: key, .. } = attempt.role else {
            return false;
        };
        let good = meta.outcome == Outcome::Ok && meta.kind == Kind::Reply;
        if !good || attempt.orphaned.is_some() || matches!(meta.bind, Bind::Release(_)) {
            return false;
        }
        let (ordered, by_id) = (self.traits.ordered, !self.in_order());
        let hard = self.limits().hard_mark;
        let Self { exchanges, sessions, links, pools, codec, leftovers, stats, .. } = self;
        let (Some(x), Some(s)) = (exchanges.get_mut(key), sessions.get_mut(id.0)) else {
            return false;
        };
        let Some(l) = links.get_mut(link.0) else {
            return false;
        };
        let Meta { kind, bind, fan_out, quiet, .. } = x.meta;
        let asked = kind == Kind::Request && bind == Bind::Shared && !quiet;
        let one = x.fan.is_none() && (x.of <= 1 || fan_out != FanOut::Index);
        let alone =
            x.kept.is_empty() && x.copied.is_none() && x.tapped == 0 && x.reply_headers.is_none();
        let open = x.phase == Phase::Sent && s.unread() <= hard;
        let stays = matches!(l.usage, Usage::Shared(_)) && !l.prepared && !l.draining;
        if !(asked && one && alone && open && stays) {
            return false;
        }
        let front = !ordered || s.open.front() == Some(&key);
        let out = if front { &mut s.out } else { &mut x.ready };
        leftovers.furnish(out, frame.len() + HEAD);
        let (mark, before) = (out.mark(), out.len());
        let edit = Rewrite::new(by_id.then_some(x.meta.id), &[]);
        let mut splice = Splice::new(frame, shared, out);
        if codec.rewrite(&l.conn, &s.conn, meta, x.tag, &edit, &mut splice).is_err() {
            out.rollback(mark);
            return false;
        }
        let wrote = out.len() - before;
        if !front {
            s.ahead += wrote;
        }
        if ordered {
            s.ended_via(link);
        } else {
            s.attempts = s.attempts.saturating_sub(1);
        }
        s.active = now;
        let at = (l.pool, l.endpoint);
        let mut waits = false;
        if let Some(e) = pools.get_mut(at.0).and_then(|p| p.endpoints.get_mut(at.1)) {
            e.in_flight = e.in_flight.saturating_sub(1);
            waits = !e.waiting.is_empty();
        }
        x.place = None;
        x.phase = Phase::Settled;
        let end = (Outcome::Ok, Reason::None);
        stats.ended(x.series, x.method, end, 0, x.sent.then(|| now - x.started));
        if let Some(series) = stats.series.get_mut(x.series as usize) {
            series.in_flight = series.in_flight.saturating_sub(1);
        }
        self.filters_done(now, key, end, 0, wrote);
        if !ordered {
            self.retire_unordered(id, key);
        } else if front {
            self.forget(key);
        }
        if ordered
            && front
            && let Some(s) = self.sessions.get_mut(id.0)
        {
            s.open.pop_front();
            // What is behind it may have its reply.
            let next = s.open.front().copied().and_then(|key| self.exchanges.get(key));
            if next.is_some_and(Exchange::is_settled) {
                self.flush_order(id);
            }
        }
        if let Some(s) = self.sessions.get_mut(id.0) {
            if !s.dirty && !s.out.is_empty() {
                s.dirty = true;
                self.events.push_back(Event::Write(ConnId::Session(id)));
            }
            // What is behind it may have waited for it.
            if !s.plain() || (s.attempts == 0 && !s.open.is_empty()) {
                self.wake(id);
            }
        }
        if waits {
            self.kicks.push_back(at);
        }
        true
    }
}
