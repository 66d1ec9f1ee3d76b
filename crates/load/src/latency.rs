//! Durations, counted in buckets that are at most 1.6 % wide.

use std::time::Duration;

/// Buckets per power of two.
const FINE: u64 = 64;

/// Counts of durations.
#[derive(Clone, Debug)]
pub struct Latency {
    counts: Vec<u64>,
    total: u64,
}

impl Default for Latency {
    fn default() -> Self {
        Self { counts: vec![0; (FINE * 60) as usize], total: 0 }
    }
}

impl Latency {
    /// Counts one.
    pub fn record(&mut self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX).max(1);
        if let Some(count) = self.counts.get_mut(place(nanos)) {
            *count += 1;
            self.total += 1;
        }
    }

    /// How many were counted.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The duration that `share` (0 to 1) of them do not exceed; zero if there are none.
    pub fn quantile(&self, share: f64) -> Duration {
        let rank = ((self.total as f64 * share).ceil() as u64).clamp(1, self.total.max(1));
        let mut seen = 0;
        for (place, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Duration::from_nanos(highest(place as u64));
            }
        }
        Duration::ZERO
    }

    /// Adds what another counted.
    pub fn add(&mut self, other: &Self) {
        for (mine, other) in self.counts.iter_mut().zip(&other.counts) {
            *mine += other;
        }
        self.total += other.total;
    }
}

fn place(nanos: u64) -> usize {
    if nanos < FINE {
        return nanos as usize;
    }
    let shift = u64::from(nanos.ilog2()) - u64::from(FINE.ilog2());
    ((shift + 1) * FINE + (nanos >> shift) - FINE) as usize
}

/// The longest duration that belongs to a place.
fn highest(place: u64) -> u64 {
    if place < FINE {
        return place;
    }
    let shift = place / FINE - 1;
    ((place % FINE + FINE + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_holds_what_it_says() {
        for nanos in (1..100_000).chain([u64::from(u32::MAX), 1 << 40, (1 << 50) + 12345]) {
            let high = highest(place(nanos) as u64);
            assert!(high >= nanos && high - nanos <= nanos / FINE, "{nanos} {high}");
            assert_eq!(place(high), place(nanos), "{nanos}");
        }
    }

    #[test]
    fn quantiles_are_those_of_a_sorted_list() {
        let mut latency = Latency::default();
        assert_eq!(latency.quantile(0.5), Duration::ZERO);
        for micros in (1..=1000).rev() {
            latency.record(Duration::from_micros(micros));
        }
        for (share, micros) in
            [(0.0, 1.0), (0.5, 500.0), (0.99, 990.0), (0.999, 999.0), (1.0, 1000.0)]
        {
            let found = latency.quantile(share).as_secs_f64() * 1e6;
            assert!((micros..=micros * 1.02).contains(&found), "{share}: {found}");
        }
        let mut slow = Latency::default();
        slow.record(Duration::from_secs(1));
        latency.add(&slow);
        assert_eq!(latency.total(), 1001);
        assert!(latency.quantile(1.0) >= Duration::from_secs(1));
        assert!(latency.quantile(0.99) < Duration::from_millis(1));
    }
}
