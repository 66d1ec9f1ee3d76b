//! The structural invariants, checked by tests and the simulator after every step.

use std::collections::HashMap;

use heptad_core::Codec;

use crate::{
    Engine, LinkId, SessionId,
    calls::Role,
    exchange::Phase,
    link::{JobOf, LinkState, Usage},
};

impl<C: Codec> Engine<C> {
    /// Panics with a description if something does not add up.
    pub(crate) fn check_invariants(&self) {
        let mut attempts: HashMap<SessionId, usize> = HashMap::new();
        let mut in_flight: HashMap<(usize, usize), u32> = HashMap::new();
        let mut own: HashMap<(usize, usize), usize> = HashMap::new();
        for (key, link) in self.links.iter() {
            let id = LinkId(key);
            let at = (link.pool, link.endpoint);
            for attempt in link.calls.iter() {
                if let Role::Part { session, exchange, .. } = attempt.role {
                    *attempts.entry(session).or_default() += 1;
                    *in_flight.entry(at).or_default() += 1;
                    assert!(
                        attempt.orphaned.is_some() || self.exchanges.get(exchange).is_some(),
                        "an attempt without an exchange is an orphan"
                    );
                }
            }
            for job in &link.jobs {
                if let JobOf::Part(key, _) = job.of
                    && let Some(x) = self.exchanges.get(key)
                {
                    *attempts.entry(x.session).or_default() += 1;
                }
            }
            assert_eq!(
                link.orphans,
                link.calls.iter().filter(|a| a.orphaned.is_some()).count(),
                "orphans are counted"
            );
            assert!(link.calls.len() <= link.calls.max() + 4096, "a link has a bound");
            match link.usage {
                Usage::Shared(slot) => {
                    let e = &self.pools[link.pool].endpoints[link.endpoint];
                    let here = e.slot(link.flavour, slot) == Some(id);
                    assert!(here || link.draining, "a shared link is in its slot");
                    assert!(link.jobs.is_empty(), "a shared link queues in its out-buffer");
                }
                Usage::Idle => {
                    *own.entry(at).or_default() += 1;
                    // A heartbeat may be on its way.
                    assert!(link.calls.iter().all(|a| a.role == Role::Ping));
                    assert_eq!(link.state, LinkState::Ready, "an idle link is ready");
                    assert!(self.pools[link.pool].endpoints[link.endpoint].idle.contains(&id));
                }
                Usage::Own(session, lane) => {
                    *own.entry(at).or_default() += 1;
                    if lane.is_some()
                        && let Some(s) = self.sessions.get(session.0)
                    {
                        assert!(s.held.iter().any(|h| h.link == id), "who holds a link knows it");
                    }
                }
            }
        }
        let mut buffered = 0;
        for (key, s) in self.sessions.iter() {
            let id = SessionId(key);
            buffered += s.counted;
            assert_eq!(
                s.attempts,
                attempts.get(&id).copied().unwrap_or(0),
                "a session's attempts are counted"
            );
            let ahead: usize = s
                .open
                .iter()
                .filter_map(|k| self.exchanges.get(k))
                .map(|x| x.rare.ready().len())
                .sum();
            assert_eq!(s.ahead, ahead, "replies ahead of their turn are counted");
            for (at, k) in s.open.iter().enumerate() {
                let x = self.exchanges.get(k).expect("what is open exists");
                assert_eq!(x.session, id);
                assert!(x.slot == s.open.slot_of(at), "an exchange knows its slot");
            }
            if self.traits.ordered {
                let first = s.open.front().and_then(|k| self.phase(k));
                assert_ne!(first, Some(Phase::Settled), "a reply whose turn it is was handed out");
                let mut seen: HashMap<(usize, usize), LinkId> = HashMap::new();
                for via in s.via() {
                    let other = seen.insert((via.pool, via.endpoint), via.link);
                    assert!(
                        other.is_none_or(|o| o == via.link),
                        "an ordered session is on one link of an endpoint (invariant 7)"
                    );
                }
            }
            for held in &s.held {
                let link = self.links.get(held.link.0).expect("a held link is alive");
                assert_eq!(link.usage, Usage::Own(id, Some(held.lane)));
            }
        }
        for (key, x) in self.exchanges.iter() {
            assert!(self.sessions.get(x.session.0).is_some(), "an exchange has a session");
            let s = &self.sessions.get(x.session.0).expect("just seen");
            assert!(s.open.iter().any(|k| k == key), "an exchange is open in its session");
            buffered += x.rare.kept.len();
            if matches!(x.phase, Phase::Queued | Phase::Quiet | Phase::Asking(..)) {
                buffered += x.rare.frame.len();
            }
        }
        let mut live = vec![0; self.chains.len()];
        for (_, x) in self.exchanges.iter().filter(|(_, x)| x.phase != Phase::Settled) {
            live[x.chain as usize] += 1;
        }
        let counted: Vec<usize> = self.chains.iter().map(|chain| chain.live).collect();
        assert_eq!(counted, live, "a chain counts its exchanges");
        for (_, link) in self.links.iter() {
            buffered += link.jobs.iter().map(|j| j.frame.len()).sum::<usize>();
        }
        assert_eq!(self.buffered, buffered, "buffered bytes are counted");
        for (p, pool) in self.pools.iter().enumerate() {
            for (e, endpoint) in pool.endpoints.iter().enumerate() {
                let at = (p, e);
                assert_eq!(endpoint.in_flight, in_flight.get(&at).copied().unwrap_or(0));
                assert_eq!(endpoint.own, own.get(&at).copied().unwrap_or(0), "own links counted");
            }
        }
    }
}
