//! From an admitted request to frames on links: which endpoints, which links, in which order.

use bytes::Bytes;
use heptad_core::{Bind, Codec, FanOut, Lane, Outcome, Part, Reason, Time};

use crate::{
    Engine, SessionId,
    aim::Whole,
    arena::Key,
    choose::{NoLink, Way},
    exchange::{Phase, short},
    fan::PartState,
    plan::End,
    session::Session,
};

impl<C: Codec> Engine<C> {
    /// Sends an admitted exchange on its way, or parks it.
    pub(crate) fn dispatch(&mut self, now: Time, key: Key, frame: &[u8], shared: Option<&Bytes>) {
        let Some(x) = self.exchanges.get(key) else {
            return;
        };
        let (Some(pool), meta, tag, of) = (x.pool(), x.meta, x.tag, x.of as usize) else {
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
        let whole = Whole { codec: &self.codec, conn: &s.conn, meta: &meta, tag, frame };
        let one = match held {
            Some(held) => Some(held.endpoint),
            None if x.rare.redirects > 0 => x.rare.chosen,
            None => {
                self.scratch.clear();
                whole.one(of, spread, x.rare.chosen, &mut self.scratch, |key| p.pick(now, key))
            }
        };
        match (one, meta.fan_out) {
            (Some(endpoint), _) => self.dispatch_one(now, key, pool, endpoint, frame, shared),
            (None, FanOut::All | FanOut::Split) => self.fan_out(now, key, pool, frame, shared),
            _ => self.settle_end(now, key, (Outcome::NoEndpoint, Reason::None)),
        }
    }

    pub(crate) fn dispatch_one(
        &mut self,
        now: Time,
        key: Key,
        pool: usize,
        endpoint: usize,
        frame: &[u8],
        shared: Option<&Bytes>,
    ) {
        if !self.send_express(now, key, pool, endpoint, frame, shared) {
            self.dispatch_the_long_way(now, key, pool, endpoint, frame, shared);
        }
    }

    /// A frame for one endpoint that is not plainly for a link that is there.
    pub(crate) fn dispatch_the_long_way(
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
            x.endpoint = short(endpoint);
        }
        let Some(way) = self.way(key, pool, endpoint) else {
            return self.settle_end(now, key, (Outcome::Cancelled, Reason::Closed));
        };
        if self.must_wait(key, pool, endpoint, way) {
            return self.park(key, Phase::Quiet, frame);
        }
        let waiting = self.waiting(pool, endpoint);
        let queue = self.limits().queue;
        // Who comes later must not overtake those who wait for the same thing.
        let link = if waiting > 0 && !matches!(way, Way::Held(_)) {
            Err(NoLink::Full)
        } else {
            self.link_by(now, key, pool, endpoint, way)
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

    /// Whether the session's earlier requests must end before this one may go over the link that
    /// it would take (invariant 7).
    fn must_wait(&self, key: Key, pool: usize, endpoint: usize, way: Way) -> bool {
        if !self.traits.ordered {
            return false;
        }
        let Some(x) = self.exchanges.get(key) else {
            return false;
        };
        let id = x.session;
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
                let flavour = self.codec.flavour(&s.conn, &x.meta);
                match self.shared_slot(pool, endpoint, flavour, id) {
                    Some(link) => s.elsewhere(pool, endpoint, link),
                    None => s.via().any(|v| (v.pool, v.endpoint) == (pool, endpoint)),
                }
            }
        }
    }

    /// Whether an exchange is the session's first and nothing of the session is on any link.
    fn quiet(s: &Session<C>, key: Key) -> bool {
        s.attempts == 0 && s.open.front() == Some(key)
    }

    /// Lets the exchange that waits for quiet go on, once it is quiet.
    pub(crate) fn go_on_when_quiet(&mut self, now: Time, id: SessionId) {
        let Some(s) = self.sessions.get(id.0) else {
            return;
        };
        if s.attempts > 0 {
            return;
        }
        let Some(key) = s.open.front() else { return };
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
        let frame = std::mem::take(&mut x.rare.frame);
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
            let queued = self.phase(key) == Some(Phase::Queued);
            let way = if queued { self.way(key, pool, endpoint) } else { None };
            if way.is_some_and(|way| self.must_wait(key, pool, endpoint, way)) {
                // The link it waited for drains, and what went before it is still there.
                if let Some(x) = self.exchanges.get_mut(key) {
                    x.phase = Phase::Quiet;
                }
            } else if queued {
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

    /// A frame for several endpoints.
    fn fan_out(&mut self, now: Time, key: Key, pool: usize, frame: &[u8], shared: Option<&Bytes>) {
        let Some(x) = self.exchanges.get(key) else {
            return;
        };
        let (id, meta, tag, of) = (x.session, x.meta, x.tag, x.of as usize);
        let Some(s) = self.sessions.get(id.0) else {
            return;
        };
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
            let _ = self.codec.keys(&s.conn, &meta, tag, frame, &mut |k| {
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
            let way = self.way(key, pool, endpoint);
            way.is_some_and(|way| self.must_wait(key, pool, endpoint, way))
        });
        if blocked {
            self.fans.push(fan);
            return self.park(key, Phase::Quiet, frame);
        }
        if let Some(x) = self.exchanges.get_mut(key) {
            x.rare.fan = Some(fan);
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
        let used = self.exchanges.get(key).and_then(|x| x.rare.fan.as_ref()).map_or(0, |f| f.used);
        for at in 0..used {
            let Some(x) = self.exchanges.get_mut(key) else {
                break;
            };
            let (meta, tag, of) = (x.meta, x.tag, x.of as usize);
            let Some(part) = x.rare.fan.as_ref().and_then(|f| f.parts.get(at)) else {
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
        let Some(fan) = &mut x.rare.fan else {
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
}
