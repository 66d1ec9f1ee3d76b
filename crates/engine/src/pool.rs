//! One cluster as one worker sees it: the balancer, and the links and queues of each endpoint.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use heptad_cluster::{Balance, Balancer};
use heptad_core::{Codec, Flavour, Time};

use crate::{Cluster, arena::Key, exchange::Exchange, machine::LinkId};

/// A cluster's links and queues.
pub(crate) struct Pool {
    pub(crate) cluster: Cluster,
    pub(crate) balancer: Balancer,
    pub(crate) endpoints: Vec<Endpoint>,
    /// Whether calls share links.
    pub(crate) share: bool,
    /// Whether endpoints say where keys have moved to.
    pub(crate) redirects: bool,
    /// No longer in the plan: gone once its last link is.
    pub(crate) retired: bool,
}

/// An endpoint's links and queue.
#[derive(Debug, Default)]
pub(crate) struct Endpoint {
    pub(crate) address: Arc<str>,
    /// Shared links: a fixed number of slots for each flavour in use.
    pub(crate) shared: Vec<(Flavour, Vec<Option<LinkId>>)>,
    /// Links of one session's own that are free; the last one used first.
    pub(crate) idle: Vec<LinkId>,
    /// Links of one session's own, those in `idle` included.
    pub(crate) own: usize,
    /// Attempts in flight.
    pub(crate) in_flight: u32,
    /// Exchanges that wait for a link, first come first served.
    pub(crate) waiting: VecDeque<Key>,
    /// Dials that failed in a row, and until when no other is made.
    pub(crate) failures: u32,
    pub(crate) down_until: Option<Time>,
}

/// Endpoints of a cluster that are not in its plan and were learned from redirects.
const MAX_LEARNED: usize = 100;
/// The first pause after a failed dial; doubled with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
/// The longest pause between dials.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

impl Pool {
    pub(crate) fn new(cluster: Cluster, share: bool, seed: u64) -> Self {
        let endpoints = cluster
            .spec
            .endpoints
            .iter()
            .map(|e| Endpoint { address: Arc::from(&*e.address), ..Endpoint::default() })
            .collect();
        Self {
            balancer: cluster.balancer.fork(seed),
            share: cluster.links.share.unwrap_or(share),
            redirects: cluster.spec.balance == Balance::Slots,
            cluster,
            endpoints,
            retired: false,
        }
    }

    /// The endpoint for a request that goes to one; `None` if there is none for it.
    #[inline(always)]
    pub(crate) fn choose<C: Codec>(
        &mut self,
        codec: &C,
        now: Time,
        x: &Exchange<C::Tag>,
        conn: &C::Conn,
        frame: &[u8],
        scratch: &mut Vec<u8>,
    ) -> Option<usize> {
        if x.of == 1 {
            return Some(0);
        }
        scratch.clear();
        let key = codec.key(conn, &x.meta, frame, scratch).ok().flatten();
        self.pick(now, key)
    }

    /// The endpoint for a key, or any usable one.
    pub(crate) fn pick(&mut self, now: Time, key: Option<&[u8]>) -> Option<usize> {
        let Self { balancer, endpoints, .. } = self;
        let load = |i: usize| endpoints.get(i).map_or(u32::MAX, |e| e.in_flight);
        let usable = |i: usize| endpoints.get(i).is_some_and(|e| !e.is_down(now));
        balancer.pick(key, &load, &usable).or_else(|| {
            // All are down: one of them is tried all the same, so that the answer says why.
            balancer.pick(key, &load, &|_| true)
        })
    }

    /// The endpoint with an address, which is remembered if it is new. `None` if too many were new.
    pub(crate) fn learn(&mut self, address: &str) -> Option<usize> {
        if let Some(at) = self.endpoints.iter().position(|e| &*e.address == address) {
            return Some(at);
        }
        if self.endpoints.len() >= self.cluster.spec.endpoints.len() + MAX_LEARNED {
            return None;
        }
        self.endpoints.push(Endpoint { address: address.into(), ..Endpoint::default() });
        Some(self.endpoints.len() - 1)
    }

    /// The endpoint that owns a key, where keys have owners.
    pub(crate) fn locate(&self, key: &[u8]) -> Option<usize> {
        self.balancer.locate(key)
    }
}

impl Endpoint {
    pub(crate) fn is_down(&self, now: Time) -> bool {
        self.down_until.is_some_and(|until| now < until)
    }

    /// A dial failed.
    pub(crate) fn failed(&mut self, now: Time) {
        let pause = FIRST_PAUSE.saturating_mul(1 << self.failures.min(16)).min(LONGEST_PAUSE);
        self.failures = self.failures.saturating_add(1);
        self.down_until = Some(now + pause);
    }

    /// A link became ready.
    pub(crate) fn recovered(&mut self) {
        self.failures = 0;
        self.down_until = None;
    }

    /// The shared link in the slot that a session uses.
    pub(crate) fn slot(&self, flavour: Flavour, slot: usize) -> Option<LinkId> {
        let (_, slots) = self.shared.iter().find(|(f, _)| *f == flavour)?;
        *slots.get(slot)?
    }

    /// Puts a link into its slot, or empties the slot.
    pub(crate) fn set_slot(
        &mut self,
        flavour: Flavour,
        slot: usize,
        of: usize,
        link: Option<LinkId>,
    ) {
        let at = self.shared.iter().position(|(f, _)| *f == flavour).unwrap_or_else(|| {
            self.shared.push((flavour, vec![None; of]));
            self.shared.len() - 1
        });
        if let Some((_, slots)) = self.shared.get_mut(at) {
            if let Some(place) = slots.get_mut(slot) {
                *place = link;
            }
            if link.is_none() && slots.iter().all(Option::is_none) {
                self.shared.swap_remove(at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_between_dials_grow_to_a_bound() {
        let mut e = Endpoint::default();
        let mut last = Duration::ZERO;
        for _ in 0..40 {
            e.failed(Time::ZERO);
            let pause = e.down_until.unwrap() - Time::ZERO;
            assert!(pause >= last && pause <= LONGEST_PAUSE);
            last = pause;
        }
        assert_eq!(last, LONGEST_PAUSE);
        e.recovered();
        assert!(!e.is_down(Time::ZERO));
    }
}
