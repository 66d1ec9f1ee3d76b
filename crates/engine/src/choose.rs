//! Which link a frame takes to an endpoint: shared, held or its own; found, or dialed.

use heptad_core::{Bind, Codec, Flavour, Lane, Outcome, Reason, Time};

use crate::{Engine, LinkId, Links, SessionId, arena::Key, link::Usage, plan::End, session::Held};

/// What kind of link a frame goes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Among frames of other sessions.
    Shared,
    /// The link that the session holds.
    Held(LinkId),
    /// A link for itself: for this exchange, or to be held on a lane.
    Own(Option<Lane>),
}

/// Why there is no link at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoLink {
    /// There will be one: wait.
    Full,
    /// There is none to be had.
    Down(End),
}

/// The session or exchange is not there any more.
const GONE: NoLink = NoLink::Down((Outcome::Cancelled, Reason::Closed));

impl<C: Codec> Engine<C> {
    pub(crate) fn endpoint_mut(
        &mut self,
        pool: usize,
        endpoint: usize,
    ) -> Option<&mut crate::pool::Endpoint> {
        self.pools.get_mut(pool)?.endpoints.get_mut(endpoint)
    }

    /// The link policy of a pool's cluster.
    pub(crate) fn links_of(&self, pool: usize) -> Links {
        self.pools.get(pool).map_or_else(Links::default, |p| p.cluster.links)
    }

    /// Which kind of link an exchange takes to an endpoint.
    pub(crate) fn way(&self, key: Key, pool: usize, endpoint: usize) -> Option<Way> {
        let x = self.exchanges.get(key)?;
        let s = self.sessions.get(x.session.0)?;
        if let Some(h) = s.held(Lane::One, None) {
            return Some(Way::Held(h.link));
        }
        let share = self.pools.get(pool).is_some_and(|p| p.share);
        if x.meta.bind == Bind::Shared && s.held.is_empty() && share {
            // By far the most frequent.
            return Some(Way::Shared);
        }
        let at = Some((pool, endpoint));
        let lanes = s.held.iter().any(|h| h.lane == Lane::PerEndpoint);
        let held = |lane, at| s.held(lane, at).map(|h| Way::Held(h.link));
        let named = held(Lane::Named, None);
        let own_lane = Way::Own(Some(Lane::PerEndpoint));
        let per_endpoint = held(Lane::PerEndpoint, at).unwrap_or(own_lane);
        Some(match x.meta.bind {
            Bind::Hold(Lane::Named) => named.unwrap_or(Way::Own(Some(Lane::Named))),
            Bind::Held(Lane::Named) | Bind::Release(Lane::Named) => named.unwrap_or(Way::Own(None)),
            Bind::Hold(Lane::PerEndpoint) => per_endpoint,
            Bind::Hold(lane) => Way::Own(Some(lane)),
            _ if lanes => per_endpoint,
            Bind::Shared if share => Way::Shared,
            _ => Way::Own(None),
        })
    }

    /// The link that an exchange takes to an endpoint, dialed if need be.
    pub(crate) fn link_for(
        &mut self,
        now: Time,
        key: Key,
        pool: usize,
        endpoint: usize,
    ) -> Result<LinkId, NoLink> {
        let way = self.way(key, pool, endpoint).ok_or(GONE)?;
        self.link_by(now, key, pool, endpoint, way)
    }

    /// The link that an exchange takes to an endpoint by a way that is known.
    pub(crate) fn link_by(
        &mut self,
        now: Time,
        key: Key,
        pool: usize,
        endpoint: usize,
        way: Way,
    ) -> Result<LinkId, NoLink> {
        let x = self.exchanges.get(key).ok_or(GONE)?;
        let id = x.session;
        let s = self.sessions.get(id.0).ok_or(GONE)?;
        let flavour = self.codec.flavour(&s.conn, &x.meta);
        match way {
            Way::Held(link) => {
                let most = self.links_of(pool).max_buffered;
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
        self.links_of(pool).slot_of(id.0.index())
    }

    /// The live link in the session's slot. A session always uses the same slot, so that its
    /// requests stay on one link.
    pub(crate) fn shared_slot(
        &self,
        pool: usize,
        endpoint: usize,
        flavour: Flavour,
        id: SessionId,
    ) -> Option<LinkId> {
        let e = self.pools.get(pool)?.endpoints.get(endpoint)?;
        e.slot(flavour, self.slot_number(pool, id))
    }

    pub(crate) fn shared_link(
        &mut self,
        now: Time,
        pool: usize,
        endpoint: usize,
        flavour: Flavour,
        id: SessionId,
    ) -> Result<LinkId, NoLink> {
        let links = self.links_of(pool);
        let slot = links.slot_of(id.0.index());
        let e = self.pools.get(pool).and_then(|p| p.endpoints.get(endpoint));
        if let Some(link) = e.and_then(|e| e.slot(flavour, slot)) {
            let most = links.max_buffered;
            let room = self.links.get(link.0).is_some_and(|l| l.has_room(most));
            return if room { Ok(link) } else { Err(NoLink::Full) };
        }
        let link = self.dial(now, pool, endpoint, flavour, Usage::Shared(slot))?;
        let of = links.slots();
        if let Some(e) = self.endpoint_mut(pool, endpoint) {
            e.set_slot(flavour, slot, of, Some(link));
        }
        Ok(link)
    }

    pub(crate) fn own_link(
        &mut self,
        now: Time,
        pool: usize,
        endpoint: usize,
        flavour: Flavour,
        id: SessionId,
        lane: Option<Lane>,
    ) -> Result<LinkId, NoLink> {
        let usage = Usage::Own(id, lane);
        let most = self.links_of(pool).max;
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
}
