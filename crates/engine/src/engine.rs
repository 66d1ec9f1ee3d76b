//! The engine's state, and the inputs and outputs of [`Machine`]; what happens in between is in the
//! sibling modules, in the order of a request's life: intake, admit, dispatch, links, settle.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use foldhash::fast::FixedState;
use heptad_core::{Chain, Codec, Ctx, FilterWorker, Outcome, Pairing, Reason, Side, Time, Traits};
use heptad_route::Scratch;

use crate::{
    ConnId, EndpointRow, Event, Limits, LinkId, Lost, Machine, Peer, Plan, SessionId, Stats,
    admit::UNCOUNTED,
    arena::{Arena, Key},
    copies::Copied,
    exchange::{Exchange, Phase},
    fan::Fan,
    known::{Known, Way},
    leftovers::Leftovers,
    link::{Link, LinkState, Usage},
    pool::Pool,
    session::{Session, Stall},
    tap::Tapping,
    timers::{Due, Timers},
};

/// The router for one listener and one worker.
pub struct Engine<C: Codec> {
    pub(crate) codec: C,
    pub(crate) traits: Traits,
    pub(crate) ctx: Ctx,
    pub(crate) plan: Arc<Plan>,
    /// For each cluster of the plan its pool.
    pub(crate) pool_of: Vec<usize>,
    /// For each route its counters without a cluster.
    pub(crate) no_route: u32,
    pub(crate) empty: Arc<str>,
    /// Counters of routes and pools that were used.
    pub(crate) series_of: HashMap<(usize, Option<usize>), u32, FixedState>,
    /// What `series_of` said last for each route.
    pub(crate) series_at: Vec<(Option<usize>, u32)>,
    /// For each route where it leads, if it is a plain one; and what is known of methods.
    pub(crate) ways: Vec<Option<Way>>,
    pub(crate) known: Known,
    pub(crate) sessions: Arena<Session<C>>,
    pub(crate) links: Arena<Link<C>>,
    pub(crate) exchanges: Arena<Exchange<C::Tag>>,
    pub(crate) copies: Arena<Copied<C::Tag>>,
    pub(crate) pools: Vec<Pool>,
    pub(crate) upstream: C::Upstream,
    /// Filter chains: the last one is the plan's, older ones live until their requests ended.
    pub(crate) chains: Vec<FilterChain>,
    pub(crate) rng: fastrand::Rng,
    pub(crate) hash_seed: u64,
    pub(crate) timers: Timers,
    pub(crate) events: VecDeque<Event>,
    /// Sessions to look at before the input is done.
    pub(crate) wake: VecDeque<SessionId>,
    /// Endpoints whose waiting requests may go on.
    pub(crate) kicks: VecDeque<(usize, usize)>,
    pub(crate) stats: Stats,
    pub(crate) buffered: usize,
    pub(crate) draining: bool,
    pub(crate) find: Scratch,
    pub(crate) scratch: Vec<u8>,
    pub(crate) words: [Vec<u8>; 2],
    pub(crate) leftovers: Leftovers,
    pub(crate) bytes: Vec<u8>,
    pub(crate) fans: Vec<Fan>,
    pub(crate) spare_frames: Vec<Vec<u8>>,
    pub(crate) tapping: Tapping,
}

/// How long a request that waits by its own will, and takes nothing, is waited for after its client
/// has said that it will send no more.
const LAST_WAIT: std::time::Duration = std::time::Duration::from_secs(1);

pub(crate) struct FilterChain {
    pub(crate) workers: Vec<Box<dyn FilterWorker>>,
    pub(crate) live: usize,
}

impl<C: Codec> Engine<C> {
    /// An engine for one worker. `seed` is all the randomness it ever has.
    pub fn new(codec: C, plan: Arc<Plan>, seed: u64) -> Self {
        let traits = codec.traits();
        let empty: Arc<str> = Arc::from("");
        let mut stats = Stats::new();
        let no_route = stats.series(&empty, &empty);
        let mut engine = Self {
            traits,
            ctx: Ctx::default(),
            codec,
            plan: plan.clone(),
            pool_of: Vec::new(),
            no_route,
            empty,
            series_of: HashMap::default(),
            series_at: Vec::new(),
            ways: Vec::new(),
            known: Known::default(),
            sessions: Arena::default(),
            links: Arena::default(),
            exchanges: Arena::default(),
            copies: Arena::default(),
            pools: Vec::new(),
            upstream: C::Upstream::default(),
            chains: Vec::new(),
            rng: fastrand::Rng::with_seed(seed),
            hash_seed: fastrand::Rng::with_seed(!seed).u64(..),
            timers: Timers::default(),
            events: VecDeque::new(),
            wake: VecDeque::new(),
            kicks: VecDeque::new(),
            stats,
            buffered: 0,
            draining: false,
            find: Scratch::default(),
            scratch: Vec::new(),
            words: Default::default(),
            leftovers: Leftovers::default(),
            bytes: Vec::new(),
            fans: Vec::new(),
            spare_frames: Vec::new(),
            tapping: Tapping::default(),
        };
        engine.adopt(plan);
        engine
    }

    /// Takes over a plan: pools of unchanged clusters live on, others are retired.
    fn adopt(&mut self, plan: Arc<Plan>) {
        self.ctx = plan.frames(&self.traits);

        let mut pool_of = Vec::with_capacity(plan.clusters.len());
        for cluster in &plan.clusters {
            let same = self.pools.iter().position(|p| {
                !p.retired
                    && p.cluster.name == cluster.name
                    && p.cluster.fingerprint == cluster.fingerprint
            });
            pool_of.push(same.unwrap_or_else(|| {
                let seed = self.rng.u64(..);
                self.pools.push(Pool::new(cluster.clone(), self.traits.share, seed));
                self.pools.len() - 1
            }));
        }
        for (at, pool) in self.pools.iter_mut().enumerate() {
            pool.retired |= !pool_of.contains(&at);
        }
        self.pool_of = pool_of;
        let seed = &mut self.rng;
        self.chains.push(FilterChain {
            workers: plan.filters.iter().map(|f| f.worker(seed.u64(..))).collect(),
            live: 0,
        });
        self.series_of.clear();
        self.series_at.clear();
        self.series_at.resize(plan.routes.len(), (None, UNCOUNTED));
        let ways = plan.routes.iter().map(|route| Way::of(route, &self.pool_of, &mut self.timers));
        self.ways = ways.collect();
        self.known.begin(&plan.table);
        self.plan = plan;
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.plan.limits
    }

    pub(crate) fn in_order(&self) -> bool {
        !matches!(self.traits.pairing, Pairing::ById { .. })
    }

    /// Puts a session on the list of those to look at.
    pub(crate) fn wake(&mut self, id: SessionId) {
        if let Some(s) = self.sessions.get_mut(id.0)
            && !s.woken
        {
            s.woken = true;
            self.wake.push_back(id);
        }
    }

    /// Does what follows from an input until nothing follows any more.
    pub(crate) fn work(&mut self, now: Time) {
        loop {
            if let Some(id) = self.wake.pop_front() {
                if let Some(s) = self.sessions.get_mut(id.0) {
                    s.woken = false;
                    self.pump(now, id);
                }
            } else if let Some((pool, endpoint)) = self.kicks.pop_front() {
                self.serve_waiting(now, pool, endpoint);
            } else {
                return;
            }
        }
    }

    pub(crate) fn session_dirty(&mut self, id: SessionId) {
        if let Some(s) = self.sessions.get_mut(id.0)
            && !s.dirty
            && !s.out.is_empty()
        {
            s.dirty = true;
            self.events.push_back(Event::Write(ConnId::Session(id)));
        }
    }

    pub(crate) fn link_dirty(&mut self, id: LinkId) {
        if let Some(l) = self.links.get_mut(id.0)
            && let Some(conn) = l.note_dirty(id)
        {
            self.events.push_back(Event::Write(conn));
        }
    }
}

impl<C: Codec> Machine for Engine<C> {
    fn open_session(&mut self, now: Time, peer: Peer) -> Option<SessionId> {
        if self.draining {
            self.stats.session_ended((Outcome::Draining, Reason::None));
            return None;
        }
        if self.sessions.len() >= self.limits().sessions {
            self.stats.session_ended((Outcome::Overloaded, Reason::Sessions));
            return None;
        }
        let conn = self.codec.open(Side::Session, heptad_core::Flavour::default());
        let id = SessionId(self.sessions.insert(Session::new(conn, peer, now, self.hash_seed)));
        self.stats.sessions_opened += 1;
        self.stats.sessions += 1;
        if let Some(idle) = self.limits().idle_timeout {
            self.timers.at(now + idle, Due::Session(id));
        }
        Some(id)
    }

    fn session_read(&mut self, now: Time, id: SessionId, bytes: &[u8]) {
        self.intake(now, id, bytes);
        self.work(now);
    }

    fn session_eof(&mut self, now: Time, id: SessionId) {
        let Some(s) = self.sessions.get_mut(id.0) else {
            return;
        };
        s.eof = true;
        // A request that waits by its own will must not wait for a client that is gone: a blocked
        // pop would take an element out of a list. One that takes nothing may have its answer if
        // that comes soon; all others are answered in their time.
        let mut takes = false;
        let soon = now + LAST_WAIT;
        for key in s.open.iter() {
            if let Some(x) = self.exchanges.get_mut(key)
                && x.meta.wait_ms > 0
            {
                takes |= !x.meta.idempotent;
                if soon < x.deadline {
                    x.deadline = soon;
                    self.timers.at(soon, Due::Exchange(key));
                }
            }
        }
        if takes {
            self.drop_session(now, id, (Outcome::Cancelled, Reason::Closed));
            self.events.push_back(Event::Close(ConnId::Session(id)));
        } else {
            self.wake(id);
        }
        self.work(now);
    }

    fn session_lost(&mut self, now: Time, id: SessionId) {
        self.drop_session(now, id, (Outcome::Cancelled, Reason::Closed));
        self.work(now);
    }

    fn wants_read(&self, id: SessionId) -> bool {
        self.sessions.get(id.0).is_some_and(|s| self.reads(s))
    }

    fn link_up(&mut self, now: Time, id: LinkId) {
        self.connected(now, id);
        self.work(now);
    }

    fn link_read(&mut self, now: Time, id: LinkId, bytes: &[u8]) {
        self.hear(now, id, bytes);
        self.work(now);
    }

    fn link_lost(&mut self, now: Time, id: LinkId, why: Lost) {
        let Some(l) = self.links.get(id.0) else {
            return;
        };
        let end = match (l.state, why) {
            (LinkState::Dialing, Lost::Refused) => (Outcome::ConnectFailed, Reason::Refused),
            (LinkState::Ready, _) => (Outcome::Reset, Reason::Closed),
            _ => (Outcome::ConnectFailed, Reason::Closed),
        };
        self.end_link(now, id, end, false);
        self.work(now);
    }

    fn timeouts(&mut self, now: Time) {
        while let Some((at, due)) = self.timers.pop(now) {
            match due {
                Due::Exchange(key) => self.expire(now, key),
                Due::Copy(key) => self.copy_expired(now, key),
                Due::Wait(key) => self.resume_filter(now, key.to_bits(), &[]),
                Due::Link(id) => self.look_at_link(now, at, id),
                Due::Session(id) => self.look_at_session(now, id),
                Due::Endpoint(pool, endpoint) => {
                    self.kicks.push_back((pool as usize, endpoint as usize));
                }
            }
            self.work(now);
        }
    }

    fn next_timeout(&mut self) -> Option<Time> {
        let Self { exchanges, copies, links, sessions, .. } = self;
        self.timers.next(|at, due| match due {
            Due::Exchange(key) => {
                exchanges.get(*key).is_some_and(|x| x.phase != Phase::Settled && x.deadline <= at)
            }
            Due::Copy(key) => copies.get(*key).is_some(),
            Due::Wait(key) => {
                exchanges.get(*key).is_some_and(|x| matches!(x.phase, Phase::Asking(_)))
            }
            Due::Link(id) => links.get(id.0).is_some_and(|l| l.look == at),
            Due::Session(id) => sessions.get(id.0).is_some(),
            Due::Endpoint(..) => true,
        })
    }

    fn resumed(&mut self, now: Time, ticket: u64, answer: &[u8]) {
        self.resume_filter(now, ticket, answer);
        self.work(now);
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn out(&mut self, id: ConnId) -> Option<&Chain> {
        let chain = match id {
            ConnId::Session(id) => &self.sessions.get(id.0)?.out,
            ConnId::Link(id) => {
                let l = self.links.get(id.0)?;
                if l.state == LinkState::Dialing {
                    return None;
                }
                l.writable()
            }
        };
        (!chain.is_empty()).then_some(chain)
    }

    fn gathers(&self, id: LinkId) -> bool {
        self.links.get(id.0).is_some_and(|l| matches!(l.usage, Usage::Shared(_)))
    }

    fn written(&mut self, now: Time, id: ConnId, n: usize) {
        match id {
            ConnId::Session(id) => {
                let soft = self.limits().soft_mark;
                let Some(s) = self.sessions.get_mut(id.0) else {
                    return;
                };
                let n = n.min(s.out.len());
                s.out.consume(n);
                self.stats.sent_bytes += n as u64;
                s.active = now;
                if s.out.is_empty() {
                    s.dirty = false;
                    self.leftovers.strip(&mut s.out);
                }
                let look = s.closing || s.eof || s.leaving || s.stall == Stall::Room || s.paused;
                if look && s.unread() <= soft {
                    self.wake(id);
                }
            }
            ConnId::Link(id) => {
                let Some(l) = self.links.get_mut(id.0) else {
                    return;
                };
                let chain = if l.greeting.is_empty() { &mut l.out } else { &mut l.greeting };
                let n = n.min(chain.len());
                chain.consume(n);
                if l.writable().is_empty() {
                    l.dirty = false;
                    self.leftovers.strip(&mut l.out);
                }
                let at = (l.pool, l.endpoint);
                if self.has_waiting(at) {
                    self.kicks.push_back(at);
                }
            }
        }
        self.work(now);
    }

    fn swap(&mut self, now: Time, plan: Arc<Plan>) {
        self.adopt(plan);
        self.chains_swept();
        let retired: Vec<LinkId> = self
            .links
            .iter()
            .filter(|(_, l)| self.pools.get(l.pool).is_some_and(|p| p.retired))
            .map(|(key, _)| LinkId(key))
            .collect();
        for id in retired {
            self.drain_link(now, id);
        }
        self.work(now);
    }

    fn drain(&mut self, now: Time) {
        self.draining = true;
        let all: Vec<SessionId> = self.sessions.iter().map(|(key, _)| SessionId(key)).collect();
        for id in all {
            let Some(s) = self.sessions.get_mut(id.0) else {
                continue;
            };
            s.leaving = true;
            self.codec.drain(&mut s.conn, s.out.tail());
            self.session_dirty(id);
            self.wake(id);
        }
        self.work(now);
    }

    fn sessions(&self) -> usize {
        self.sessions.len()
    }

    fn stats(&self) -> &Stats {
        &self.stats
    }

    fn endpoints(&self) -> Vec<EndpointRow> {
        let mut rows = Vec::new();
        for (at, pool) in self.pools.iter().enumerate().filter(|(_, p)| !p.retired) {
            for (e, endpoint) in pool.endpoints.iter().enumerate() {
                let links = self.links.iter().filter(|(_, l)| (l.pool, l.endpoint) == (at, e));
                rows.push(EndpointRow {
                    cluster: pool.cluster.name.clone(),
                    address: endpoint.address.clone(),
                    links: links.count(),
                    in_flight: endpoint.in_flight as usize,
                    waiting: endpoint.waiting.len(),
                    backing_off: endpoint.down_until.is_some(),
                });
            }
        }
        rows
    }

    fn check(&self) {
        self.check_invariants();
    }
}

impl<C: Codec> Engine<C> {
    /// Drops filter chains that no request uses any more; their numbers stay.
    fn chains_swept(&mut self) {
        let last = self.chains.len().saturating_sub(1);
        for chain in self.chains.iter_mut().take(last).filter(|c| c.live == 0) {
            chain.workers = Vec::new();
        }
    }

    pub(crate) fn has_waiting(&self, (pool, endpoint): (usize, usize)) -> bool {
        self.pools
            .get(pool)
            .and_then(|p| p.endpoints.get(endpoint))
            .is_some_and(|e| !e.waiting.is_empty())
    }

    /// The key of an exchange that is in this phase.
    pub(crate) fn phase(&self, key: Key) -> Option<Phase> {
        self.exchanges.get(key).map(|x| x.phase)
    }
}
