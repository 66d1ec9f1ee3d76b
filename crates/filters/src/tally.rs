//! Counts of a filter's events: each worker has its own, which only it writes.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// The counts of `N` kinds of events over all workers, those that are gone included.
#[derive(Debug)]
pub(crate) struct Tally<const N: usize> {
    workers: Mutex<Vec<Arc<Counts<N>>>>,
}

/// On cache lines of its own.
#[derive(Debug)]
#[repr(align(128))]
struct Counts<const N: usize>([AtomicU64; N]);

/// The counts of one worker.
#[derive(Debug)]
pub(crate) struct Counter<const N: usize>(Arc<Counts<N>>);

impl<const N: usize> Default for Tally<N> {
    fn default() -> Self {
        Self { workers: Mutex::default() }
    }
}

impl<const N: usize> Tally<N> {
    /// Counts for one more worker.
    pub(crate) fn counter(&self) -> Counter<N> {
        let counts = Arc::new(Counts([const { AtomicU64::new(0) }; N]));
        self.workers.lock().unwrap_or_else(PoisonError::into_inner).push(counts.clone());
        Counter(counts)
    }

    /// The sums.
    pub(crate) fn sums(&self) -> [u64; N] {
        let workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sums = [0_u64; N];
        for worker in workers.iter() {
            for (sum, count) in sums.iter_mut().zip(&worker.0) {
                *sum = sum.wrapping_add(count.load(Relaxed));
            }
        }
        sums
    }
}

impl<const N: usize> Counter<N> {
    /// One more event of a kind.
    pub(crate) fn add(&mut self, kind: usize) {
        if let Some(count) = self.0.0.get(kind) {
            // Nobody else writes it, so that this need not be one step.
            count.store(count.load(Relaxed).wrapping_add(1), Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_over_all_workers_that_ever_were() {
        let tally = Tally::<2>::default();
        let (mut a, mut b) = (tally.counter(), tally.counter());
        a.add(0);
        b.add(0);
        b.add(1);
        b.add(7);
        drop(a);
        assert_eq!(tally.sums(), [2, 1]);
    }
}
