//! Frames onto links: prelude, id, rewritten bytes; or kept until the link is ready.

use bytes::Bytes;
use heptad_core::{Codec, FanOut, Fault, Kind, Meta, Outcome, Part, Reason, Rewrite, Splice, Time};

use crate::{
    Engine, LinkId, SessionId,
    arena::Key,
    calls::Role,
    exchange::Phase,
    leftovers::LARGE,
    link::{Job, JobOf, LinkState, Usage},
    pen::waits_for_prelude,
};

impl<C: Codec> Engine<C> {
    /// Writes a frame to a link, or keeps it until the link is ready.
    pub(crate) fn transmit(
        &mut self,
        now: Time,
        key: Key,
        part: u32,
        link: LinkId,
        frame: &[u8],
        shared: Option<&Bytes>,
    ) {
        let Some(x) = self.exchanges.get_mut(key) else {
            return;
        };
        x.phase = Phase::Sent;
        let id = x.session;
        let ordered = self.traits.ordered;
        let Some(l) = self.links.get_mut(link.0) else {
            return;
        };
        if let Some(s) = self.sessions.get_mut(id.0) {
            if ordered {
                s.sent_via(l.pool, l.endpoint, link);
            } else {
                s.attempts += 1;
            }
        }
        let own = l.usage != Usage::Idle && !matches!(l.usage, Usage::Shared(_));
        if own && (l.state != LinkState::Ready || !l.jobs.is_empty()) {
            let frame = frame.to_vec();
            self.buffered += frame.len();
            let dialing = l.state != LinkState::Ready;
            l.jobs.push_back(Job { of: JobOf::Part(key, part), frame });
            if dialing && let Some(x) = self.exchanges.get_mut(key) {
                x.phase = Phase::Dialing;
            }
            self.place(key, part, link, 0);
            return;
        }
        self.write(now, key, part, link, frame, shared);
    }

    fn place(&mut self, key: Key, part: u32, link: LinkId, wire: u64) {
        let Some(x) = self.exchanges.get_mut(key) else {
            return;
        };
        match &mut x.rare.fan {
            Some(fan) => {
                if let Some(p) = fan.parts.get_mut(part as usize) {
                    p.place = Some((link, wire));
                }
            }
            None => x.place = Some((link, wire)),
        }
    }

    /// Frames that waited for their link.
    pub(crate) fn send_jobs(&mut self, now: Time, link: LinkId) {
        while let Some(l) = self.links.get_mut(link.0) {
            let Some(job) = l.jobs.pop_front() else {
                return;
            };
            self.buffered = self.buffered.saturating_sub(job.frame.len());
            match job.of {
                JobOf::Part(key, part) => {
                    let Some(x) = self.exchanges.get_mut(key) else {
                        continue;
                    };
                    if x.phase == Phase::Settled {
                        continue;
                    }
                    x.phase = Phase::Sent;
                    let id = x.session;
                    self.write(now, key, part, link, &job.frame, None);
                    self.wake(id);
                }
                JobOf::Copy(key) => {
                    self.write_copy(now, key, link, &job.frame, None);
                }
            }
            if self.links.get(link.0).is_some_and(|l| l.prepared) {
                return;
            }
        }
    }

    /// Makes the attempt: id, prelude, rewritten frame.
    fn write(
        &mut self,
        now: Time,
        key: Key,
        part: u32,
        link: LinkId,
        frame: &[u8],
        shared: Option<&Bytes>,
    ) {
        let by_id = !self.in_order();
        let Some(x) = self.exchanges.get_mut(key) else {
            return;
        };
        let Some(s) = self.sessions.get_mut(x.session.0) else {
            return;
        };
        let Some(l) = self.links.get_mut(link.0) else {
            return;
        };
        self.leftovers.furnish(&mut l.out, LARGE);
        let own = !matches!(l.usage, Usage::Shared(_));
        if own && waits_for_prelude(&self.codec, s, l, x, JobOf::Part(key, part), frame) {
            self.buffered += frame.len();
            self.place(key, part, link, 0);
            return self.link_dirty(link);
        }
        let (bytes, replies) = std::mem::take(&mut x.rare.ahead);
        l.out.extend(bytes);
        l.calls.push_preludes(replies);
        let oneway = x.meta.kind == Kind::Oneway;
        let role = Role::Part { session: x.session, exchange: key, part };
        let wire = if oneway { Some(0) } else { l.calls.push(x.tag, role) };
        let mark = l.out.mark();
        let written: Result<u64, Fault> = match wire {
            None => Err(Fault::new(Outcome::Overloaded, Reason::Ids, "no free id")),
            Some(wire) => {
                let split = x.rare.fan.is_some() && x.meta.fan_out == FanOut::Split;
                let whole = (x.of > 1).then_some(Part::new(l.endpoint, x.of as usize, &[]));
                let many = matches!(x.meta.fan_out, FanOut::All | FanOut::Index);
                let edit = Rewrite::new(by_id.then_some(wire), x.rare.request_edits())
                    .part(whole.filter(|_| many));
                if split {
                    // Already written anew for its keys.
                    l.out.extend(frame);
                    Ok(wire)
                } else {
                    let mut splice = Splice::new(frame, shared, &mut l.out);
                    let (from, to) = (&s.conn, &l.conn);
                    let done = self.codec.rewrite(from, to, &x.meta, x.tag, &edit, &mut splice);
                    done.map(|()| wire)
                }
            }
        };
        x.sent = true;
        let (pool, endpoint) = (l.pool, l.endpoint);
        match written {
            Ok(_) if oneway => {
                self.left_link(key, link);
                self.link_dirty(link);
                self.free_link(now, link);
                self.end_silently(now, key, (Outcome::Ok, Reason::None));
            }
            Ok(wire) => {
                self.place(key, part, link, wire);
                if let Some(e) = self.endpoint_mut(pool, endpoint) {
                    e.in_flight += 1;
                }
                if let Some(x) = self.exchanges.get(key)
                    && x.meta.kind == Kind::Open
                    && let Some(s) = self.sessions.get_mut(x.session.0)
                {
                    s.streams.insert(x.meta.id, key);
                }
                self.link_dirty(link);
            }
            Err(fault) => {
                l.out.rollback(mark);
                if let Some(wire) = wire {
                    l.calls.undo(wire);
                }
                self.left_link(key, link);
                self.free_link(now, link);
                self.fail_part(now, key, part, (fault.outcome, fault.reason));
            }
        }
    }

    /// A frame of an open stream, from the client.
    pub(crate) fn stream_frame(
        &mut self,
        now: Time,
        id: SessionId,
        meta: Meta,
        frame: &[u8],
        shared: Option<&Bytes>,
    ) {
        let key = self.sessions.get(id.0).and_then(|s| s.streams.get(&meta.id)).copied();
        let x = key.and_then(|key| self.exchanges.get(key));
        let Some((key, x)) = key.zip(x) else {
            // The stream has just ended at the other side: no fault of the client's.
            self.stats.late_replies += 1;
            return;
        };
        let Some((link, wire)) = x.place else { return };
        let Some(l) = self.links.get_mut(link.0) else {
            return;
        };
        let most = self.pools.get(l.pool).map_or(0, |p| p.cluster.links.max_buffered);
        if l.out.len() >= most && meta.kind != Kind::Reset {
            // The link is others' too and cannot be paused for one stream.
            return self.settle_end(now, key, (Outcome::Overloaded, Reason::LinkBuffer));
        }
        let Some(s) = self.sessions.get(id.0) else {
            return;
        };
        let edit = Rewrite::new(Some(wire), &[]);
        let mark = l.out.mark();
        let mut splice = Splice::new(frame, shared, &mut l.out);
        if self.codec.rewrite(&s.conn, &l.conn, &meta, x.tag, &edit, &mut splice).is_err() {
            l.out.rollback(mark);
        }
        self.link_dirty(link);
        if meta.kind == Kind::Reset {
            self.end_silently(now, key, (Outcome::Cancelled, Reason::Closed));
        }
    }
}
