//! Copies of requests to another cluster: sent beside the request and never waited for. Their
//! replies are dropped, or compared with the original's.
//!
//! A copy is not an exchange: it has no place in its session's order, no deadline that anybody
//! would notice and no answer. Only requests that may go over any link are copied; what belongs to
//! a session's own link would mean something else elsewhere.

use std::sync::Arc;

use bytes::Bytes;
use foldhash::fast::FixedState;
use heptad_core::{
    Bind, Chain, Codec, FanOut, Fault, HeaderEdit, Kind, Meta, Outcome, Reason, Rewrite, Splice,
    Time,
};

use crate::{
    Compare, Engine, LinkId, SessionId,
    arena::Key,
    calls::Role,
    exchange::Phase,
    link::{Job, JobOf, LinkState, Usage},
    stats::{Difference, Seen},
    timers::Due,
};

/// Copies in flight of one engine; more requests are not copied.
const MOST: usize = 4096;

/// A copy in flight.
pub(crate) struct Copied<T> {
    session: SessionId,
    /// As the client sent it.
    meta: Meta,
    tag: T,
    headers: Option<Arc<[HeaderEdit]>>,
    /// The place of its counters.
    series: usize,
    compare: Compare,
    method: u32,
    place: Option<(LinkId, u64)>,
    /// What came of the original, and of the copy.
    original: Option<Seen>,
    copy: Option<Seen>,
    /// The original has ended without anything to compare with.
    alone: bool,
}

impl<C: Codec> Engine<C> {
    /// Sends a copy of a request that is about to be dispatched, if its route says so.
    pub(crate) fn copy(&mut self, now: Time, key: Key, frame: &[u8], shared: Option<&Bytes>) {
        let Some(x) = self.exchanges.get(key) else {
            return;
        };
        let Some(mirror) = x.rare.mirror else { return };
        let (id, meta, tag) = (x.session, x.meta, x.tag);
        let copied = matches!(meta.kind, Kind::Request | Kind::Oneway)
            && meta.bind == Bind::Shared
            && meta.wait_ms == 0
            && !matches!(meta.fan_out, FanOut::All | FanOut::Index | FanOut::Alone);
        let Some(s) = self.sessions.get(id.0) else {
            return;
        };
        let pool = mirror.cluster;
        if !copied || !s.held.is_empty() {
            return;
        }
        let (route, headers, method) = (x.series, x.rare.request_headers.clone(), x.method);
        let cluster = self.pools.get(pool).map_or(&self.empty, |p| &p.cluster.name);
        let route = self.stats.series.get(route as usize).map_or(&self.empty, |s| &s.route);
        let series = self.stats.mirrors.place(&route.clone(), cluster);
        let full = self.copies.len() >= MOST;
        let sent = !full && {
            let copied = self.copies.insert(Copied {
                session: id,
                meta,
                tag,
                headers,
                series,
                compare: mirror.compare,
                method,
                place: None,
                original: None,
                copy: None,
                alone: mirror.compare == Compare::None,
            });
            let sent = self.send_copy(now, copied, pool, frame, shared);
            if sent {
                if let Some(x) = self.exchanges.get_mut(key) {
                    x.rare.copied = Some(copied);
                }
                self.timers.at(now + mirror.timeout, Due::Copy(copied));
            } else {
                self.copies.remove(copied);
            }
            sent
        };
        let counts = self.stats.mirrors.of(series);
        if sent { counts.sent += 1 } else { counts.dropped += 1 }
    }

    /// Finds an endpoint and a link. What would have to wait for room is not sent.
    fn send_copy(
        &mut self,
        now: Time,
        key: Key,
        pool: usize,
        frame: &[u8],
        shared: Option<&Bytes>,
    ) -> bool {
        let Some(copy) = self.copies.get(key) else {
            return false;
        };
        let (id, meta) = (copy.session, copy.meta);
        let Some(s) = self.sessions.get(id.0) else {
            return false;
        };
        let flavour = self.codec.flavour(&s.conn, &meta);
        let Some(p) = self.pools.get_mut(pool) else {
            return false;
        };
        self.scratch.clear();
        let by = self.codec.key(&s.conn, &meta, frame, &mut self.scratch);
        let Some(endpoint) = p.pick(now, by.ok().flatten()) else {
            return false;
        };
        let found = if p.share {
            self.shared_link(now, pool, endpoint, flavour, id)
        } else {
            self.own_link(now, pool, endpoint, flavour, id, None)
        };
        let Ok(link) = found else { return false };
        let Some(l) = self.links.get_mut(link.0) else {
            return false;
        };
        let own = !matches!(l.usage, Usage::Shared(_));
        if own && (l.state != LinkState::Ready || !l.jobs.is_empty()) {
            self.buffered += frame.len();
            l.jobs.push_back(Job { of: JobOf::Copy(key), frame: frame.to_vec() });
            return true;
        }
        self.write_copy(now, key, link, frame, shared)
    }

    /// Makes the copy's attempt; whether it was written.
    pub(crate) fn write_copy(
        &mut self,
        now: Time,
        key: Key,
        link: LinkId,
        frame: &[u8],
        shared: Option<&Bytes>,
    ) -> bool {
        let by_id = !self.in_order();
        let copy = self.copies.get_mut(key);
        let session = copy.as_ref().and_then(|c| self.sessions.get_mut(c.session.0));
        let (Some(copy), Some(s)) = (copy, session) else {
            // Its session, whose state it needs, is gone.
            self.copies.remove(key);
            self.free_link(now, link);
            return false;
        };
        let Some(l) = self.links.get_mut(link.0) else {
            return false;
        };
        let own = !matches!(l.usage, Usage::Shared(_));
        if own && !std::mem::take(&mut l.prepared) {
            let prelude =
                self.codec.prelude(&mut s.conn, &mut l.conn, &copy.meta, copy.tag, l.out.tail());
            l.calls.push_preludes(prelude.replies);
            if prelude.wait && prelude.replies > 0 {
                l.prepared = true;
                self.buffered += frame.len();
                l.jobs.push_front(Job { of: JobOf::Copy(key), frame: frame.to_vec() });
                self.link_dirty(link);
                return true;
            }
        }
        let oneway = copy.meta.kind == Kind::Oneway;
        let wire = if oneway { Some(0) } else { l.calls.push(copy.tag, Role::Copy { copy: key }) };
        let mark = l.out.mark();
        let no_id = Fault::new(Outcome::Overloaded, Reason::Ids, "no free id");
        let written = wire.ok_or(no_id).and_then(|wire| {
            let headers = copy.headers.as_deref().unwrap_or(&[]);
            let edit = Rewrite::new(by_id.then_some(wire), headers);
            let mut splice = Splice::new(frame, shared, &mut l.out);
            self.codec.rewrite(&s.conn, &l.conn, &copy.meta, copy.tag, &edit, &mut splice)
        });
        copy.place = wire.map(|wire| (link, wire));
        if written.is_err() {
            l.out.rollback(mark);
            if let Some(wire) = wire.filter(|_| !oneway) {
                l.calls.undo(wire);
            }
        }
        self.link_dirty(link);
        if written.is_err() || oneway {
            self.copies.remove(key);
            self.free_link(now, link);
        }
        written.is_ok()
    }

    /// The reply to a copy.
    pub(crate) fn copy_replied(&mut self, link: LinkId, key: Key, meta: &Meta, frame: &[u8]) {
        let Some(copy) = self.copies.get_mut(key) else {
            return;
        };
        copy.place = None;
        let (id, tag, client, bytes) =
            (copy.session, copy.tag, copy.meta.id, copy.compare == Compare::Bytes);
        let mut seen = Seen::new(meta.outcome, 0);
        if meta.outcome != Outcome::Ok {
            seen.code = self.stats.code(self.codec.code_name(meta, frame));
        }
        if bytes {
            seen.bytes = self.digest(link, id, meta, tag, client, frame);
        }
        self.copy_ended(key, seen);
    }

    /// The copy will get no reply, or has got one.
    pub(crate) fn copy_ended(&mut self, key: Key, seen: Seen) {
        if let Some(copy) = self.copies.get_mut(key) {
            copy.place = None;
            copy.copy = Some(seen);
        }
        self.compare(key);
    }

    /// The original has ended.
    pub(crate) fn original_ended(&mut self, key: Key, seen: Seen) {
        if let Some(copy) = self.copies.get_mut(key) {
            copy.original = Some(seen);
            // A client that left says nothing about the endpoints.
            copy.alone |= seen.outcome == Outcome::Cancelled;
        }
        self.compare(key);
    }

    fn compare(&mut self, key: Key) {
        let Some(copy) = self.copies.get(key) else {
            return;
        };
        let Some(theirs) = copy.copy else { return };
        if copy.alone {
            self.copies.remove(key);
            return;
        }
        let Some(ours) = copy.original else { return };
        let (series, method) = (copy.series, copy.method);
        self.copies.remove(key);
        let counts = self.stats.mirrors.of(series);
        if ours == theirs {
            counts.same += 1;
        } else {
            counts.different += 1;
            self.stats.mirrors.sample(Difference::new(series, method, ours, theirs));
        }
    }

    /// The time for a copy's reply has passed.
    pub(crate) fn copy_expired(&mut self, now: Time, key: Key) {
        let Some(copy) = self.copies.get(key) else {
            return;
        };
        let Some((link, wire)) = copy.place else {
            // Still with a link that is not ready, or only the original is missing.
            if copy.copy.is_none() {
                self.copy_ended(key, Seen::new(Outcome::Timeout, 0));
            }
            return;
        };
        self.copy_ended(key, Seen::new(Outcome::Timeout, 0));
        let Some(l) = self.links.get_mut(link.0) else {
            return;
        };
        let ours = |role: &Role| *role == Role::Copy { copy: key };
        if let Some(attempt) = l.calls.find(wire, ours) {
            attempt.orphaned = Some(now);
            let tag = attempt.tag;
            self.orphaned(now, link, wire, tag);
        }
    }

    /// A digest of a reply as the client would see it; 0 if it cannot be told.
    pub(crate) fn digest(
        &self,
        link: LinkId,
        id: SessionId,
        meta: &Meta,
        tag: C::Tag,
        client: u64,
        frame: &[u8],
    ) -> u64 {
        use std::hash::BuildHasher;
        let (Some(l), Some(s)) = (self.links.get(link.0), self.sessions.get(id.0)) else {
            return 0;
        };
        let mut chain = Chain::default();
        let edit = Rewrite::new((!self.in_order()).then_some(client), &[]);
        let mut splice = Splice::new(frame, None, &mut chain);
        match self.codec.rewrite(&l.conn, &s.conn, meta, tag, &edit, &mut splice) {
            Ok(()) => FixedState::default().hash_one(chain.to_vec()),
            Err(_) => 0,
        }
    }

    /// What an original that has settled looks like to its copy.
    pub(crate) fn tell_copy(&mut self, key: Key, outcome: Outcome, code: u16) {
        let Some(x) = self.exchanges.get_mut(key) else {
            return;
        };
        debug_assert_eq!(x.phase, Phase::Settled);
        if let Some(copied) = x.rare.copied.take() {
            let mut seen = Seen::new(outcome, code);
            seen.bytes = x.rare.digest;
            self.original_ended(copied, seen);
        }
    }
}
