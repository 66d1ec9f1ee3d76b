//! From an admitted request to frames on links: which endpoints, which links, in which order.

use bytes::Bytes;
use heptad_core::{
    Bind, Codec, FanOut, Fault, Flavour, Kind, Lane, Meta, Outcome, Part, Reason, Rewrite, Splice,
    Time,
};

use crate::{
    Engine, LinkId, SessionId,
    arena::Key,
    calls::{Attempt, Role},
    exchange::{Job, PartState, Phase},
    link::{LinkState, Usage},
    plan::End,
    session::{Held, Session},
};

/// What kind of link a frame goes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Among frames of other sessions.
    Shared,
    /// The link that the session holds.
    Held(LinkId),
    /// A link for itself: for this exchange, or to be held on a lane.
    Own(Option<Lane>),
}

/// Why there is no link at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NoLink {
    /// There will be one: wait.
    Full,
    /// There is none to be had.
    Down(End),
}

impl<C: Codec> Engine<C> {
    /// Sends an admitted exchange on its way, or parks it.
    pub(crate) fn dispatch(&mut self, now: Time, key: Key, frame: &[u8], shared: Option<&Bytes>) {
        let Some(x) = self.exchanges.get(key) else {
            return;
        };
        let (Some(pool), meta, tag, of) = (x.pool, x.meta, x.tag, x.of) else {
            return;
        };
        let Some(s) = self.sessions.get(x.session.0) else {
            return;
        };
        let Some(p) = self.pools.get_mut(pool) else {
            return;
        };
        if p.endpoints.is_empty() {
            return self.settle_end(now, key, (Outcome::NoEndpoint, Reason::None));
        }
        // A held link decides by itself; so does the endpoint of a lane that is named.
        let held = s.held(Lane::One, None).or(match meta.bind {
            Bind::Hold(Lane::Named) | Bind::Held(Lane::Named) | Bind::Release(Lane::Named) => {
                s.held(Lane::Named, None)
            }
            _ => None,
        });
        let spread = of > 1 && held.is_none() && p.balancer.is_hashing();
        let one = match meta.fan_out {
            _ if held.is_some() => held.map(|h| h.endpoint),
            _ if x.redirects > 0 => x.chosen,
            FanOut::All if of > 1 => None,
            FanOut::Split if spread => None,
            FanOut::Home => Some(0),
            FanOut::Index => Some(self.codec.index(&meta, tag, frame, of).min(of - 1)),
            FanOut::Same | FanOut::Split => {
                let mut first = None;
                self.codec.keys(&meta, tag, frame, &mut |k| {
                    first = first.or_else(|| p.pick(now, Some(k)));
                });
                first.or_else(|| p.pick(now, None))
            }
            _ => match x.chosen {
                Some(at) => Some(at),
                None => {
                    self.scratch.clear();
                    p.pick(now, self.codec.key(&meta, frame, &mut self.scratch))
                }
            },
        };
        match (one, meta.fan_out) {
            (Some(endpoint), _) => self.dispatch_one(now, key, pool, endpoint, frame, shared),
            (None, FanOut::All | FanOut::Split) => self.fan_out(now, key, pool, frame, shared),
            _ => self.settle_end(now, key, (Outcome::NoEndpoint, Reason::None)),
        }
    }

    fn dispatch_one(
        &mut self,
        now: Time,
        key: Key,
        pool: usize,
        endpoint: usize,
        frame: &[u8],
        shared: Option<&Bytes>,
    ) {
        self.keep(key, pool, frame);
        if let Some(x) = self.exchanges.get_mut(key) {
            x.endpoint = endpoint;
        }
        if self.must_wait(now, key, pool, endpoint) {
            return self.park(key, Phase::Quiet, frame);
        }
        let (queue, waiting) = (self.limits().queue, self.waiting(pool, endpoint));
        // Who comes later must not overtake those who wait for the same thing.
        let link = if waiting > 0 && self.queues(key, pool, endpoint) {
            Err(NoLink::Full)
        } else {
            self.link_for(now, key, pool, endpoint)
        };
        match link {
            Ok(link) => self.transmit(now, key, 0, link, frame, shared),
            Err(NoLink::Down(end)) => self.settle_end(now, key, end),
            Err(NoLink::Full) if waiting >= queue => {
                self.settle_end(now, key, (Outcome::Overloaded, Reason::Queue));
            }
            Err(NoLink::Full) => {
                self.park(key, Phase::Queued, frame);
                if let Some(e) = self.endpoint_mut(pool, endpoint) {
                    e.waiting.push_back(key);
                    self.stats.waiting += 1;
                }
            }
        }
    }

    fn waiting(&self, pool: usize, endpoint: usize) -> usize {
        let e = self.pools.get(pool).and_then(|p| p.endpoints.get(endpoint));
        e.map_or(0, |e| e.waiting.len())
    }

    pub(crate) fn endpoint_mut(
        &mut self,
        pool: usize,
        endpoint: usize,
    ) -> Option<&mut crate::pool::Endpoint> {
        self.pools.get_mut(pool)?.endpoints.get_mut(endpoint)
    }

    /// Whether the exchange needs a link that others wait for too.
    fn queues(&self, key: Key, pool: usize, endpoint: usize) -> bool {
        self.way(key, pool, endpoint).is_some_and(|way| !matches!(way, Way::Held(_)))
    }

    /// Which kind of link an exchange takes to an endpoint.
    fn way(&self, key: Key, pool: usize, endpoint: usize) -> Option<Way> {
        let x = self.exchanges.get(key)?;
        let s = self.sessions.get(x.session.0)?;
        if let Some(h) = s.held(Lane::One, None) {
            return Some(Way::Held(h.link));
        }
        let at = Some((pool, endpoint));
        let lanes = s.held.iter().any(|h| h.lane == Lane::PerEndpoint);
        let per_endpoint = match s.held(Lane::PerEndpoint, at) {
            Some(h) => Way::Held(h.link),
            None => Way::Own(Some(Lane::PerEndpoint)),
        };
        let share = self.pools.get(pool).is_some_and(|p| p.share);
        Some(match x.meta.bind {
            Bind::Hold(Lane::Named) => match s.held(Lane::Named, None) {
                Some(h) => Way::Held(h.link),
                None => Way::Own(Some(Lane::Named)),
            },
            Bind::Held(Lane::Named) | Bind::Release(Lane::Named) => {
                match s.held(Lane::Named, None) {
                    Some(h) => Way::Held(h.link),
                    None => Way::Own(None),
                }
            }
            Bind::Hold(Lane::PerEndpoint) => per_endpoint,
            Bind::Hold(lane) => Way::Own(Some(lane)),
            _ if lanes => per_endpoint,
            Bind::Shared if share => Way::Shared,
            _ => Way::Own(None),
        })
    }

    /// Whether the session's earlier requests must end before this one may go over the link that
    /// it would take (invariant 7).
    fn must_wait(&mut self, now: Time, key: Key, pool: usize, endpoint: usize) -> bool {
        if !self.traits.ordered {
            return false;
        }
        let Some(way) = self.way(key, pool, endpoint) else {
            return false;
        };
        let Some(x) = self.exchanges.get(key) else {
            return false;
        };
        let (id, meta) = (x.session, x.meta);
        let Some(s) = self.sessions.get(id.0) else {
            return false;
        };
        if Self::quiet(s, key) {
            return false;
        }
        match way {
            Way::Own(_) => true,
            Way::Held(link) => s.elsewhere(pool, endpoint, link),
            Way::Shared => {
                let flavour = self.codec.flavour(&s.conn, &meta);
                match self.shared_slot(now, pool, endpoint, flavour, id) {
                    Some(link) => s.elsewhere(pool, endpoint, link),
                    None => s.via.iter().any(|v| (v.pool, v.endpoint) == (pool, endpoint)),
                }
            }
        }
    }

    /// Whether an exchange is the session's first and nothing of the session is on any link.
    fn quiet(s: &Session<C>, key: Key) -> bool {
        s.attempts == 0 && s.open.front() == Some(&key)
    }

    /// Lets the exchange that waits for quiet go on, once it is quiet.
    pub(crate) fn go_on_when_quiet(&mut self, now: Time, id: SessionId) {
        let Some(s) = self.sessions.get(id.0) else {
            return;
        };
        let Some(&key) = s.open.front() else { return };
        if self.phase(key) == Some(Phase::Quiet) && Self::quiet(s, key) {
            let frame = self.unpark(key);
            self.dispatch(now, key, &frame, None);
        }
    }

    fn unpark(&mut self, key: Key) -> Vec<u8> {
        let Some(x) = self.exchanges.get_mut(key) else {
            return Vec::new();
        };
        x.phase = Phase::Sent;
        let frame = std::mem::take(&mut x.frame);
        self.buffered = self.buffered.saturating_sub(frame.len());
        frame
    }

    /// Lets exchanges that wait for a link to an endpoint go on, as far as there are links.
    pub(crate) fn serve_waiting(&mut self, now: Time, pool: usize, endpoint: usize) {
        loop {
            let Some(e) = self.endpoint_mut(pool, endpoint) else {
                return;
            };
            let Some(&key) = e.waiting.front() else {
                return;
            };
            if self.phase(key) == Some(Phase::Queued) {
                match self.link_for(now, key, pool, endpoint) {
                    Err(NoLink::Full) => return,
                    Ok(link) => {
                        let frame = self.unpark(key);
                        let id = self.exchanges.get(key).map(|x| x.session);
                        self.transmit(now, key, 0, link, &frame, None);
                        if let Some(id) = id {
                            self.wake(id);
                        }
                    }
                    Err(NoLink::Down(end)) => {
                        self.unpark(key);
                        self.settle_end(now, key, end);
                    }
                }
            }
            self.stats.waiting = self.stats.waiting.saturating_sub(1);
            if let Some(e) = self.endpoint_mut(pool, endpoint) {
                e.waiting.pop_front();
            }
        }
    }

    /// The link that an exchange takes to an endpoint, dialed if need be.
    fn link_for(
        &mut self,
        now: Time,
        key: Key,
        pool: usize,
        endpoint: usize,
    ) -> Result<LinkId, NoLink> {
        let gone = NoLink::Down((Outcome::Cancelled, Reason::Closed));
        let way = self.way(key, pool, endpoint).ok_or(gone)?;
        let x = self.exchanges.get(key).ok_or(gone)?;
        let (id, meta) = (x.session, x.meta);
        let s = self.sessions.get(id.0).ok_or(gone)?;
        let flavour = self.codec.flavour(&s.conn, &meta);
        match way {
            Way::Held(link) => {
                let most = self.pools.get(pool).map_or(0, |p| p.cluster.links.max_buffered);
                if self.links.get(link.0).is_some_and(|l| l.out.len() >= most) {
                    return Err(NoLink::Down((Outcome::Overloaded, Reason::LinkBuffer)));
                }
                Ok(link)
            }
            Way::Own(lane) => {
                let link = self.own_link(now, pool, endpoint, flavour, id, lane)?;
                if let Some(lane) = lane
                    && let Some(s) = self.sessions.get_mut(id.0)
                {
                    s.held.push(Held { lane, pool, endpoint, link });
                }
                Ok(link)
            }
            Way::Shared => self.shared_link(now, pool, endpoint, flavour, id),
        }
    }

    fn slot_number(&self, pool: usize, id: SessionId) -> usize {
        let slots = self.pools.get(pool).map_or(1, |p| p.cluster.links.per_endpoint.max(1));
        id.0.index() % slots
    }

    /// The live link in the session's slot. A session always uses the same slot, so that its
    /// requests stay on one link.
    fn shared_slot(
        &self,
        _now: Time,
        pool: usize,
        endpoint: usize,
        flavour: Flavour,
        id: SessionId,
    ) -> Option<LinkId> {
        let e = self.pools.get(pool)?.endpoints.get(endpoint)?;
        e.slot(flavour, self.slot_number(pool, id))
    }

    fn shared_link(
        &mut self,
        now: Time,
        pool: usize,
        endpoint: usize,
        flavour: Flavour,
        id: SessionId,
    ) -> Result<LinkId, NoLink> {
        let slot = self.slot_number(pool, id);
        if let Some(link) = self.shared_slot(now, pool, endpoint, flavour, id) {
            let most = self.pools.get(pool).map_or(0, |p| p.cluster.links.max_buffered);
            let room = self.links.get(link.0).is_some_and(|l| l.has_room(most));
            return if room { Ok(link) } else { Err(NoLink::Full) };
        }
        let link = self.dial(now, pool, endpoint, flavour, Usage::Shared(slot))?;
        let of = self.pools.get(pool).map_or(1, |p| p.cluster.links.per_endpoint.max(1));
        if let Some(e) = self.endpoint_mut(pool, endpoint) {
            e.set_slot(flavour, slot, of, Some(link));
        }
        Ok(link)
    }

    fn own_link(
        &mut self,
        now: Time,
        pool: usize,
        endpoint: usize,
        flavour: Flavour,
        id: SessionId,
        lane: Option<Lane>,
    ) -> Result<LinkId, NoLink> {
        let usage = Usage::Own(id, lane);
        let most = self.pools.get(pool).map_or(1, |p| p.cluster.links.max);
        let Self { pools, links, .. } = self;
        let Some(e) = pools.get_mut(pool).and_then(|p| p.endpoints.get_mut(endpoint)) else {
            return Err(NoLink::Down((Outcome::NoEndpoint, Reason::None)));
        };
        let fits = |l: &LinkId| links.get(l.0).is_some_and(|l| l.flavour == flavour);
        if let Some(at) = e.idle.iter().rposition(fits) {
            let link = e.idle.remove(at);
            if let Some(l) = links.get_mut(link.0) {
                l.usage = usage;
            }
            return Ok(link);
        }
        if e.own >= most {
            // A free link of another flavour makes room.
            let Some(old) = e.idle.first().copied() else {
                return Err(NoLink::Full);
            };
            self.end_link(now, old, (Outcome::Ok, Reason::Idle), true);
        }
        let link = self.dial(now, pool, endpoint, flavour, usage)?;
        if let Some(e) = self.endpoint_mut(pool, endpoint) {
            e.own += 1;
        }
        Ok(link)
    }

    fn dial(
        &mut self,
        now: Time,
        pool: usize,
        endpoint: usize,
        flavour: Flavour,
        usage: Usage,
    ) -> Result<LinkId, NoLink> {
        let down = NoLink::Down((Outcome::ConnectFailed, Reason::None));
        if self.endpoint_mut(pool, endpoint).is_none_or(|e| e.is_down(now)) {
            return Err(down);
        }
        self.open_link(now, pool, endpoint, flavour, usage).ok_or(down)
    }

    /// Writes a frame to a link, or keeps it until the link is ready.
    fn transmit(
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
            l.jobs.push_back(Job { exchange: key, part, frame });
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
        match &mut x.fan {
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
            let Some(x) = self.exchanges.get_mut(job.exchange) else {
                continue;
            };
            if x.phase != Phase::Settled {
                x.phase = Phase::Sent;
                let id = x.session;
                self.write(now, job.exchange, job.part, link, &job.frame, None);
                self.wake(id);
                if self.links.get(link.0).is_some_and(|l| l.prepared) {
                    return;
                }
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
        let Some(x) = self.exchanges.get_mut(key) else {
            return;
        };
        let Some(s) = self.sessions.get_mut(x.session.0) else {
            return;
        };
        let Some(l) = self.links.get_mut(link.0) else {
            return;
        };
        let own = !matches!(l.usage, Usage::Shared(_));
        if own && !std::mem::take(&mut l.prepared) {
            let prelude =
                self.codec.prelude(&mut s.conn, &mut l.conn, &x.meta, x.tag, l.out.tail());
            for _ in 0..prelude.replies {
                let attempt =
                    Attempt { tag: C::Tag::default(), role: Role::Prelude, orphaned: None };
                l.calls.push(attempt);
            }
            if prelude.wait && prelude.replies > 0 {
                l.prepared = true;
                let frame = frame.to_vec();
                self.buffered += frame.len();
                l.jobs.push_front(Job { exchange: key, part, frame });
                self.place(key, part, link, 0);
                return self.link_dirty(link);
            }
        }
        let (bytes, replies) = std::mem::take(&mut x.ahead);
        l.out.extend(bytes);
        for _ in 0..replies {
            let attempt = Attempt { tag: C::Tag::default(), role: Role::Prelude, orphaned: None };
            l.calls.push(attempt);
        }
        let oneway = x.meta.kind == Kind::Oneway;
        let role = Role::Part { session: x.session, exchange: key, part };
        let wire = if oneway {
            Some(0)
        } else {
            l.calls.push(Attempt { tag: x.tag, role, orphaned: None })
        };
        let by_id = !matches!(self.traits.pairing, heptad_core::Pairing::InOrder);
        let mark = l.out.mark();
        let written: Result<u64, Fault> = match wire {
            None => Err(Fault::new(Outcome::Overloaded, Reason::Ids, "no free id")),
            Some(wire) => {
                let headers = x.request_headers.as_deref().unwrap_or(&[]);
                let split = x.fan.is_some() && x.meta.fan_out == FanOut::Split;
                let whole = (x.of > 1).then_some(Part::new(l.endpoint, x.of, &[]));
                let many = matches!(x.meta.fan_out, FanOut::All | FanOut::Index);
                let edit =
                    Rewrite::new(by_id.then_some(wire), headers).part(whole.filter(|_| many));
                if split {
                    // Already written anew for its keys.
                    l.out.extend(frame);
                    Ok(wire)
                } else {
                    let mut splice = Splice::new(frame, shared, &mut l.out);
                    self.codec.rewrite(&l.conn, &x.meta, x.tag, &edit, &mut splice).map(|()| wire)
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
                if self.exchanges.get(key).is_some_and(|x| x.meta.kind == Kind::Open)
                    && let Some(x) = self.exchanges.get(key)
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

    /// A frame for several endpoints.
    fn fan_out(&mut self, now: Time, key: Key, pool: usize, frame: &[u8], shared: Option<&Bytes>) {
        let Some(x) = self.exchanges.get(key) else {
            return;
        };
        let (meta, tag, of) = (x.meta, x.tag, x.of);
        let Some(p) = self.pools.get(pool) else {
            return;
        };
        let mut fan = self.fans.pop().unwrap_or_default();
        fan.used = 0;
        if meta.fan_out == FanOut::All {
            for endpoint in 0..of {
                fan.part_for(endpoint);
            }
        } else {
            let mut n = 0;
            let mut nobody = false;
            self.codec.keys(&meta, tag, frame, &mut |k| {
                match p.locate(k) {
                    Some(endpoint) => fan.part_for(endpoint).picks.push(n),
                    None => nobody = true,
                }
                n += 1;
            });
            if nobody || fan.used == 0 {
                self.fans.push(fan);
                return self.settle_end(now, key, (Outcome::NoEndpoint, Reason::None));
            }
        }
        fan.left = fan.used;
        if fan.used == 1 {
            let endpoint = fan.active().first().map_or(0, |p| p.endpoint);
            self.fans.push(fan);
            return self.dispatch_one(now, key, pool, endpoint, frame, shared);
        }
        let blocked = (0..fan.used).any(|i| {
            let endpoint = fan.parts.get(i).map_or(0, |p| p.endpoint);
            self.must_wait(now, key, pool, endpoint)
        });
        if blocked {
            self.fans.push(fan);
            return self.park(key, Phase::Quiet, frame);
        }
        if let Some(x) = self.exchanges.get_mut(key) {
            x.fan = Some(fan);
        }
        self.send_parts(now, key, pool, frame, shared);
    }

    fn send_parts(
        &mut self,
        now: Time,
        key: Key,
        pool: usize,
        frame: &[u8],
        shared: Option<&Bytes>,
    ) {
        let mut bytes = std::mem::take(&mut self.bytes);
        let used = self.exchanges.get(key).and_then(|x| x.fan.as_ref()).map_or(0, |f| f.used);
        for at in 0..used {
            let Some(x) = self.exchanges.get_mut(key) else {
                break;
            };
            let (meta, tag, of) = (x.meta, x.tag, x.of);
            let Some(part) = x.fan.as_ref().and_then(|f| f.parts.get(at)) else {
                break;
            };
            let endpoint = part.endpoint;
            let number = u32::try_from(at).unwrap_or(u32::MAX);
            bytes.clear();
            let split = if meta.fan_out == FanOut::Split {
                let part = Part::new(endpoint, of, &part.picks);
                self.codec.split(&meta, tag, frame, &part, &mut bytes)
            } else {
                Ok(())
            };
            let (piece, piece_shared) = match meta.fan_out {
                FanOut::Split => (&bytes[..], None),
                _ => (frame, shared),
            };
            match split.map(|()| self.link_for(now, key, pool, endpoint)) {
                Ok(Ok(link)) => self.transmit(now, key, number, link, piece, piece_shared),
                Ok(Err(NoLink::Full)) => {
                    self.fail_part(now, key, number, (Outcome::Overloaded, Reason::LinkCount));
                }
                Ok(Err(NoLink::Down(end))) => self.fail_part(now, key, number, end),
                Err(fault) => self.fail_part(now, key, number, (fault.outcome, fault.reason)),
            }
        }
        bytes.clear();
        self.bytes = bytes;
    }

    /// A part will get no reply.
    pub(crate) fn fail_part(&mut self, now: Time, key: Key, part: u32, end: End) {
        let Some(x) = self.exchanges.get_mut(key) else {
            return;
        };
        if x.phase == Phase::Settled {
            return;
        }
        let Some(fan) = &mut x.fan else {
            x.place = None;
            return self.settle_end(now, key, end);
        };
        if let Some(p) = fan.parts.get_mut(part as usize)
            && p.reply == PartState::Open
        {
            p.reply = PartState::Failed(end.0, end.1);
            p.place = None;
            fan.left = fan.left.saturating_sub(1);
            if fan.left == 0 {
                self.join(now, key);
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
        let edit = Rewrite::new(Some(wire), &[]);
        let mark = l.out.mark();
        let mut splice = Splice::new(frame, shared, &mut l.out);
        if self.codec.rewrite(&l.conn, &meta, x.tag, &edit, &mut splice).is_err() {
            l.out.rollback(mark);
        }
        self.link_dirty(link);
        if meta.kind == Kind::Reset {
            self.end_silently(now, key, (Outcome::Cancelled, Reason::Closed));
        }
    }
}
