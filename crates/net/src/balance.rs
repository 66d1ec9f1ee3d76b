//! Spreads the sessions of a listener over the workers. The kernel hashes connections to workers,
//! which is blind: eight clients may all land on one worker. It knows of counts, never of sockets.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// How many sessions of one listener each worker has. The cells are relaxed: a decision on a
/// slightly old number is as good as any.
#[derive(Debug)]
pub(crate) struct Balance {
    counts: Box<[AtomicUsize]>,
}

/// One session's place at a worker; leaving it is dropping it, on whatever path.
#[derive(Debug)]
pub(crate) struct Place {
    balance: Arc<Balance>,
    worker: usize,
}

impl Balance {
    pub(crate) fn new(workers: usize) -> Arc<Self> {
        Arc::new(Self { counts: (0..workers).map(|_| AtomicUsize::new(0)).collect() })
    }

    pub(crate) fn count(&self, worker: usize) -> usize {
        self.counts.get(worker).map_or(0, |c| c.load(Ordering::Relaxed))
    }

    pub(crate) fn total(&self) -> usize {
        self.counts.iter().map(|c| c.load(Ordering::Relaxed)).sum()
    }

    /// Takes a place for a session that `me` accepted: its own, unless it has clearly more than
    /// the worker with the fewest.
    pub(crate) fn place(self: &Arc<Self>, me: usize) -> Place {
        let own = self.count(me);
        let least = self.counts.iter().map(|c| c.load(Ordering::Relaxed)).enumerate().min_by_key(
            // Among equals the own one comes first.
            |(worker, count)| (*count, *worker != me),
        );
        let worker = match least {
            // An eighth of slack: handing over costs a wake-up, and large numbers spread by
            // themselves.
            Some((worker, count)) if own > count + count / 8 => worker,
            _ => me,
        };
        self.place_at(worker)
    }

    /// Takes a place at this worker.
    pub(crate) fn place_at(self: &Arc<Self>, worker: usize) -> Place {
        if let Some(c) = self.counts.get(worker) {
            c.fetch_add(1, Ordering::Relaxed);
        }
        Place { balance: self.clone(), worker }
    }
}

impl Place {
    pub(crate) const fn worker(&self) -> usize {
        self.worker
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(c) = self.balance.counts.get(self.worker) {
            c.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_sessions_are_spread_evenly_wherever_they_land() {
        for workers in 1..5 {
            let balance = Balance::new(workers);
            let places: Vec<_> = (0..8).map(|_| balance.place(0)).collect();
            let counts: Vec<_> = (0..workers).map(|w| balance.count(w)).collect();
            let (min, max) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
            assert!(max - min <= 1, "{counts:?}");
            drop(places);
            assert_eq!(balance.total(), 0);
        }
    }

    #[test]
    fn many_sessions_stay_where_they_are_if_nearly_even() {
        let balance = Balance::new(2);
        let _a: Vec<_> = (0..105).map(|_| balance.place_at(0)).collect();
        let _b: Vec<_> = (0..100).map(|_| balance.place_at(1)).collect();
        assert_eq!(balance.place(0).worker(), 0);
        let _c: Vec<_> = (0..10).map(|_| balance.place_at(0)).collect();
        assert_eq!(balance.place(0).worker(), 1);
    }
}
