//! Several protocols on one port: an engine for each, and sessions that belong to none before their
//! first bytes have told which they are.
//!
//! Knows no protocol: each part brings a function that looks at bytes. Parts share nothing; the
//! driver sees one machine, so ids of parts are translated on their way.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::Arc,
    time::Duration,
};

use foldhash::fast::FixedState;
use heptad_core::{Chain, Sniff, Time};

use crate::{
    ConnId, EndpointRow, Event, LinkId, Lost, Machine, Peer, Plan, SessionId, Stats,
    arena::{Arena, Key},
};

/// What says of a connection's first bytes whether they are its protocol's.
pub type LooksAt = Arc<dyn Fn(&[u8]) -> Sniff + Send + Sync>;

/// A protocol of a [`Sniffer`].
pub struct Sniffed {
    sniff: LooksAt,
    machine: Box<dyn Machine>,
    /// From its sessions to the driver's.
    outer: HashMap<SessionId, SessionId, FixedState>,
}

impl Sniffed {
    /// What looks at a session's first bytes, and the machine that gets it.
    pub fn new(sniff: LooksAt, machine: Box<dyn Machine>) -> Self {
        Self { sniff, machine, outer: HashMap::default() }
    }
}

impl fmt::Debug for Sniffed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sniffed").finish_non_exhaustive()
    }
}

/// A machine of several protocols. A session goes to the first of them that says yes when all those
/// before it have said no; to the first of all, whose answer it then gets, if none does.
#[derive(Debug)]
pub struct Sniffer {
    parts: Vec<Sniffed>,
    sessions: Arena<Place>,
    /// Sessions that have said something, and until when it must be clear what.
    deadlines: VecDeque<(Time, SessionId)>,
    events: VecDeque<Event>,
    tickets: HashMap<u64, (usize, u64), FixedState>,
    next_ticket: u64,
    most: usize,
    draining: bool,
    /// Of sessions that have no protocol yet.
    stats: Stats,
}

#[derive(Debug)]
enum Place {
    /// Nobody knows yet.
    Unknown(Peer, Vec<u8>),
    /// With a part, under a name of its own.
    Known(usize, SessionId),
}

/// How long a session may take to say what it is, once it has begun.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes after which nobody is asked any more.
const ENOUGH: usize = 4 << 10;

impl Sniffer {
    /// A machine of these protocols, most likely one first, for a plan with as many others beside
    /// it ([`Plan::also`]).
    pub fn new(plan: &Plan, parts: Vec<Sniffed>) -> Self {
        Self {
            parts,
            sessions: Arena::default(),
            deadlines: VecDeque::new(),
            events: VecDeque::new(),
            tickets: HashMap::default(),
            next_ticket: 0,
            most: plan.limits.sessions,
            draining: false,
            stats: Stats::default(),
        }
    }

    /// Which part these bytes are for; `None`: more must come.
    fn decide(&self, bytes: &[u8], last: bool) -> Option<usize> {
        for (at, part) in self.parts.iter().enumerate() {
            match (part.sniff)(bytes) {
                Sniff::Yes => return Some(at),
                Sniff::No => {}
                _ if last => return Some(at),
                _ => return None,
            }
        }
        Some(0)
    }

    /// Gives a session to its part, if it is clear which one that is.
    fn settle(&mut self, now: Time, id: SessionId, last: bool) {
        let Some(Place::Unknown(_, bytes)) = self.sessions.get(id.0) else {
            return;
        };
        let Some(at) = self.decide(bytes, last || bytes.len() >= ENOUGH) else {
            return;
        };
        let (Some(part), Some(place)) = (self.parts.get_mut(at), self.sessions.get_mut(id.0))
        else {
            return;
        };
        let Place::Unknown(peer, bytes) = place else { return };
        let (peer, bytes) = (peer.clone(), std::mem::take(bytes));
        match part.machine.open_session(now, peer) {
            Some(inner) => {
                *place = Place::Known(at, inner);
                part.outer.insert(inner, id);
                part.machine.session_read(now, inner, &bytes);
            }
            None => self.close(id),
        }
    }

    fn close(&mut self, id: SessionId) {
        self.sessions.remove(id.0);
        self.events.push_back(Event::Close(ConnId::Session(id)));
    }

    fn inner(&self, id: SessionId) -> Option<(usize, SessionId)> {
        match self.sessions.get(id.0)? {
            Place::Known(at, inner) => Some((*at, *inner)),
            Place::Unknown(..) => None,
        }
    }

    /// Does something to the part that a link belongs to.
    fn link(&mut self, id: LinkId, act: impl FnOnce(&mut dyn Machine, LinkId)) {
        let (at, inner) = id.0.untagged();
        if let Some(part) = self.parts.get_mut(at) {
            act(&mut *part.machine, LinkId(inner));
        }
    }

    /// Does something to the part that a session belongs to.
    fn session(&mut self, id: SessionId, act: impl FnOnce(&mut dyn Machine, SessionId)) {
        if let Some((at, inner)) = self.inner(id)
            && let Some(part) = self.parts.get_mut(at)
        {
            act(&mut *part.machine, inner);
        }
    }

    /// A part's event in the driver's words; `None` if it is about nobody.
    fn outward(&mut self, at: usize, event: Event) -> Option<Event> {
        let tag = |LinkId(key): LinkId| LinkId(key.tagged(at));
        let part = self.parts.get_mut(at)?;
        Some(match event {
            Event::Dial(id, address) => Event::Dial(tag(id), address),
            Event::Write(ConnId::Link(id)) => Event::Write(ConnId::Link(tag(id))),
            Event::Close(ConnId::Link(id)) => Event::Close(ConnId::Link(tag(id))),
            Event::Write(ConnId::Session(id)) => {
                Event::Write(ConnId::Session(*part.outer.get(&id)?))
            }
            Event::Close(ConnId::Session(id)) => {
                let outer = part.outer.remove(&id)?;
                self.sessions.remove(outer.0);
                Event::Close(ConnId::Session(outer))
            }
            Event::Read(id) => Event::Read(*part.outer.get(&id)?),
            Event::Ask(ticket, ask) => {
                self.next_ticket += 1;
                self.tickets.insert(self.next_ticket, (at, ticket));
                Event::Ask(self.next_ticket, ask)
            }
        })
    }

    /// The sessions of the drained or the impatient that have said nothing that anybody knows.
    fn forget_unknown(&mut self) {
        let unknown: Vec<_> = self
            .sessions
            .iter()
            .filter(|(_, place)| matches!(place, Place::Unknown(..)))
            .map(|(key, _)| SessionId(key))
            .collect();
        unknown.into_iter().for_each(|id| self.close(id));
    }
}

impl Machine for Sniffer {
    fn open_session(&mut self, _: Time, peer: Peer) -> Option<SessionId> {
        if self.sessions.len() >= self.most || self.draining {
            return None;
        }
        Some(SessionId(self.sessions.insert(Place::Unknown(peer, Vec::new()))))
    }

    fn session_read(&mut self, now: Time, id: SessionId, bytes: &[u8]) {
        match self.sessions.get_mut(id.0) {
            None => {}
            Some(Place::Known(..)) => {
                self.session(id, |machine, inner| machine.session_read(now, inner, bytes));
            }
            Some(Place::Unknown(_, heard)) => {
                if heard.is_empty() {
                    self.deadlines.push_back((now + PATIENCE, id));
                }
                heard.extend_from_slice(bytes);
                self.settle(now, id, false);
            }
        }
    }

    fn session_eof(&mut self, now: Time, id: SessionId) {
        if let Some(Place::Unknown(_, heard)) = self.sessions.get(id.0) {
            if heard.is_empty() {
                return self.close(id);
            }
            self.settle(now, id, true);
        }
        self.session(id, |machine, inner| machine.session_eof(now, inner));
    }

    fn session_lost(&mut self, now: Time, id: SessionId) {
        if let Some((at, inner)) = self.inner(id)
            && let Some(part) = self.parts.get_mut(at)
        {
            part.outer.remove(&inner);
            part.machine.session_lost(now, inner);
        }
        self.sessions.remove(id.0);
    }

    fn wants_read(&self, id: SessionId) -> bool {
        match self.sessions.get(id.0) {
            None => false,
            Some(Place::Unknown(..)) => true,
            Some(Place::Known(at, inner)) => {
                self.parts.get(*at).is_some_and(|part| part.machine.wants_read(*inner))
            }
        }
    }

    fn link_up(&mut self, now: Time, id: LinkId) {
        self.link(id, |machine, inner| machine.link_up(now, inner));
    }

    fn link_read(&mut self, now: Time, id: LinkId, bytes: &[u8]) {
        self.link(id, |machine, inner| machine.link_read(now, inner, bytes));
    }

    fn link_lost(&mut self, now: Time, id: LinkId, why: Lost) {
        self.link(id, |machine, inner| machine.link_lost(now, inner, why));
    }

    fn timeouts(&mut self, now: Time) {
        self.parts.iter_mut().for_each(|part| part.machine.timeouts(now));
        while let Some((at, id)) = self.deadlines.front().copied()
            && at <= now
        {
            self.deadlines.pop_front();
            if let Some(Place::Unknown(..)) = self.sessions.get(id.0) {
                self.close(id);
            }
        }
    }

    fn next_timeout(&mut self) -> Option<Time> {
        while let Some((_, id)) = self.deadlines.front()
            && !matches!(self.sessions.get(id.0), Some(Place::Unknown(..)))
        {
            self.deadlines.pop_front();
        }
        let own = self.deadlines.front().map(|(at, _)| *at);
        let parts = self.parts.iter_mut().filter_map(|part| part.machine.next_timeout());
        parts.chain(own).min()
    }

    fn resumed(&mut self, now: Time, ticket: u64, answer: &[u8]) {
        if let Some((at, inner)) = self.tickets.remove(&ticket)
            && let Some(part) = self.parts.get_mut(at)
        {
            part.machine.resumed(now, inner, answer);
        }
    }

    fn poll_event(&mut self) -> Option<Event> {
        if let Some(event) = self.events.pop_front() {
            return Some(event);
        }
        for at in 0..self.parts.len() {
            while let Some(event) = self.parts.get_mut(at)?.machine.poll_event() {
                if let Some(event) = self.outward(at, event) {
                    return Some(event);
                }
            }
        }
        None
    }

    fn out(&mut self, id: ConnId) -> Option<&Chain> {
        let (at, inner) = match id {
            ConnId::Session(id) => {
                let (at, inner) = self.inner(id)?;
                (at, ConnId::Session(inner))
            }
            ConnId::Link(id) => {
                let (at, inner) = id.0.untagged();
                (at, ConnId::Link(LinkId(inner)))
            }
        };
        self.parts.get_mut(at)?.machine.out(inner)
    }

    fn gathers(&self, id: LinkId) -> bool {
        let (at, inner) = id.0.untagged();
        self.parts.get(at).is_some_and(|part| part.machine.gathers(LinkId(inner)))
    }

    fn written(&mut self, now: Time, id: ConnId, n: usize) {
        match id {
            ConnId::Session(id) => self.session(id, |machine, inner| {
                machine.written(now, ConnId::Session(inner), n);
            }),
            ConnId::Link(id) => {
                self.link(id, |machine, inner| machine.written(now, ConnId::Link(inner), n));
            }
        }
    }

    fn swap(&mut self, now: Time, plan: Arc<Plan>) {
        self.most = plan.limits.sessions;
        let plans = std::iter::once(&plan).chain(&plan.also);
        for (part, plan) in self.parts.iter_mut().zip(plans) {
            part.machine.swap(now, plan.clone());
        }
    }

    fn drain(&mut self, now: Time) {
        self.draining = true;
        self.parts.iter_mut().for_each(|part| part.machine.drain(now));
        self.forget_unknown();
    }

    fn sessions(&self) -> usize {
        self.sessions.len()
    }

    fn stats(&self) -> &Stats {
        &self.stats
    }

    fn collect(&self) -> Stats {
        let mut sum = Stats::new();
        self.parts.iter().for_each(|part| sum.add(&part.machine.collect()));
        sum
    }

    fn answered(&self) -> u64 {
        self.parts.iter().map(|part| part.machine.answered()).sum()
    }

    fn endpoints(&self) -> Vec<EndpointRow> {
        self.parts.iter().flat_map(|part| part.machine.endpoints()).collect()
    }

    fn check(&self) {
        let mut known = 0;
        for (key, place) in self.sessions.iter() {
            if let Place::Known(at, inner) = place {
                let part = self.parts.get(*at).expect("a part");
                let outer = part.outer.get(inner);
                assert_eq!(outer, Some(&SessionId(key)), "names of sessions are found both ways");
                known += 1;
            }
        }
        let inner: usize = self.parts.iter().map(|part| part.outer.len()).sum();
        assert_eq!(inner, known, "no name outlives its session");
        self.parts.iter().for_each(|part| part.machine.check());
    }
}

/// Bits of an index that say whose it is.
const TAG: u32 = 28;

impl Key {
    /// A key of a part, told apart from those of others.
    fn tagged(self, part: usize) -> Self {
        let bits = self.to_bits();
        Self::from_bits(bits | (part as u64) << TAG)
    }

    /// Whose key it is, and the key as its owner knows it.
    fn untagged(self) -> (usize, Self) {
        let part = self.index() >> TAG;
        (part, Self::from_bits(self.to_bits() & !((part as u64) << TAG)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_parts_are_told_apart_and_given_back() {
        let mut seen = std::collections::HashSet::new();
        for bits in [1 << 32, 1, 7 << 32 | 5, (1 << TAG) - 1, u64::from(u32::MAX) << 32] {
            let key = Key::from_bits(bits);
            for part in 0..16 {
                let tagged = key.tagged(part);
                assert!(seen.insert(tagged), "{key:?} of part {part}");
                assert_eq!(tagged.untagged(), (part, key));
            }
        }
    }
}
