//! The arithmetic of a rate limit: the generic cell rate algorithm on one atomic number.
//!
//! The number is the point in time up to which permits are spent (the cell's "theoretical arrival
//! time"). It knows no request and no key, and time is an argument.

use std::{
    sync::atomic::{
        AtomicU64,
        Ordering::{Acquire, Relaxed},
    },
    time::Duration,
};

use heptad_core::{Time, units::Rate};

use crate::slots::DEAD;

/// A nanosecond in the unit in which points in time are kept: fine enough for ten million permits
/// a second, and good for 36 years.
const TICK: u64 = 16;

/// The longest time for which permits may be spent ahead, about a year: far from any overflow.
const MOST: u64 = 1 << 59;

/// A rate and a burst.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gcra {
    /// Ticks for one permit, rounded up.
    each: u64,
    /// Ticks for as many permits as may be taken at once.
    depth: u64,
}

/// What a cell gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// So many permits, at least one.
    Some(u64),
    /// The rate is reached.
    Nothing,
    /// The cell has just been given to another key: look again.
    Dead,
}

impl Gcra {
    /// `burst` permits at once and `rate` from then on; `None` if a permit takes no time that can
    /// be told, or the burst more than a year.
    pub(crate) fn new(rate: Rate, burst: u64) -> Option<Self> {
        let nanos = rate.per().as_nanos().checked_mul(TICK.into())?;
        let each = u64::try_from(nanos.div_ceil(rate.count().into())).ok()?;
        // Below this, rounding up would be felt.
        if nanos / u128::from(rate.count()) < u128::from(100 * TICK) || burst == 0 {
            return None;
        }
        let depth = each.checked_mul(burst).filter(|depth| *depth <= MOST)?;
        Some(Self { each, depth })
    }

    fn ticks(now: Time) -> u64 {
        now.as_nanos().saturating_mul(TICK).min(u64::MAX - 2 * MOST)
    }

    /// Takes up to `most` permits from `cell`; all that are there if there are fewer.
    pub(crate) fn take(self, cell: &AtomicU64, now: Time, most: u64) -> Taken {
        let now = Self::ticks(now);
        let mut spent = cell.load(Relaxed);
        loop {
            if spent == DEAD {
                return Taken::Dead;
            }
            let from = spent.max(now);
            let room = (now + self.depth).saturating_sub(from) / self.each;
            let n = room.min(most);
            if n == 0 {
                return Taken::Nothing;
            }
            // Acquire: whoever finds that the cell has a new key must see which.
            match cell.compare_exchange_weak(spent, from + n * self.each, Acquire, Relaxed) {
                Ok(_) => return Taken::Some(n),
                Err(newer) => spent = newer,
            }
        }
    }

    /// Puts back permits that were taken and not used. Time that has passed since is not given
    /// twice, because a cell never holds more than the burst.
    pub(crate) fn give_back(self, cell: &AtomicU64, n: u64) {
        let _ = cell.fetch_update(Relaxed, Relaxed, |spent| {
            (spent != DEAD).then(|| spent.saturating_sub(n.saturating_mul(self.each)))
        });
    }

    /// Whether a cell with this number has been full for `span`: it is as good as a new one.
    pub(crate) fn is_full(self, spent: u64, now: Time, span: Duration) -> bool {
        let span = Self::ticks(Time::ZERO + span);
        spent.saturating_add(span) <= Self::ticks(now)
    }

    /// How many permits the rate brings in a time.
    pub(crate) fn in_time(self, span: Duration) -> u64 {
        Self::ticks(Time::ZERO + span) / self.each
    }

    /// How many permits can be taken at once.
    pub(crate) fn burst(self) -> u64 {
        self.depth / self.each
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rate(text: &str) -> Rate {
        text.parse().expect(text)
    }

    fn at(nanos: u64) -> Time {
        Time::from_nanos(nanos)
    }

    #[test]
    fn a_burst_and_then_the_rate() {
        let gcra = Gcra::new(rate("10/s"), 3).expect("a limit");
        let cell = AtomicU64::new(0);
        let take = |ms: u64| gcra.take(&cell, at(ms * 1_000_000), 1) == Taken::Some(1);
        assert_eq!([0, 0, 0, 0].map(take), [true, true, true, false]);
        assert_eq!([99, 100, 100, 199, 200].map(take), [false, true, false, false, true]);
        // A long pause brings no more than the burst.
        assert_eq!([9000; 4].map(take), [true, true, true, false]);
        // A worker whose clock is a little behind is not given more.
        assert!(!take(8000));
    }

    #[test]
    fn many_are_taken_as_far_as_there_are_and_can_be_put_back() {
        let gcra = Gcra::new(rate("1000/s"), 100).expect("a limit");
        let cell = AtomicU64::new(0);
        assert_eq!(gcra.take(&cell, at(0), 64), Taken::Some(64));
        assert_eq!(gcra.take(&cell, at(0), 64), Taken::Some(36));
        assert_eq!(gcra.take(&cell, at(0), 64), Taken::Nothing);
        gcra.give_back(&cell, 10);
        assert_eq!(gcra.take(&cell, at(0), 64), Taken::Some(10));
        // 50 ms later 50 are there; 100 put back make the burst, not 150.
        gcra.give_back(&cell, 100);
        assert_eq!(gcra.take(&cell, at(50_000_000), 1000), Taken::Some(100));
    }

    #[test]
    fn a_dead_cell_gives_and_takes_nothing() {
        let gcra = Gcra::new(rate("1000/s"), 100).expect("a limit");
        let cell = AtomicU64::new(DEAD);
        assert_eq!(gcra.take(&cell, at(5), 1), Taken::Dead);
        gcra.give_back(&cell, 1);
        assert_eq!(cell.load(Relaxed), DEAD);
    }

    #[test]
    fn limits_that_cannot_be_kept_are_refused() {
        for (text, burst, good) in [
            ("1/365d", 1, true),
            ("1/d", 365, true),
            ("1/d", 1000, false),
            ("10000000/s", 1000, true),
            ("10000001/s", 1000, false),
            ("1/s", 0, false),
            ("18446744073709551615/ms", 1, false),
            ("1/18446744073709551s", u64::MAX, false),
        ] {
            assert_eq!(Gcra::new(rate(text), burst).is_some(), good, "{text} {burst}");
        }
        // The end of time does not overflow.
        let gcra = Gcra::new(rate("1/365d"), 1).expect("a limit");
        let cell = AtomicU64::new(0);
        assert_eq!(gcra.take(&cell, Time::NEVER, 5), Taken::Some(1));
        assert_eq!(gcra.take(&cell, Time::NEVER, 5), Taken::Nothing);
        assert_ne!(cell.load(Relaxed), DEAD);
    }

    /// The meaning of the limit, said without buckets: in every stretch of time that begins with a
    /// permit and ends now there were at most `burst` plus what the rate brings in it.
    struct Naive {
        each: u128,
        burst: u128,
        granted: Vec<u64>,
    }

    impl Naive {
        fn ask(&mut self, now: u64) -> bool {
            let fits = self.granted.iter().enumerate().all(|(i, first)| {
                let within = (self.granted.len() - i + 1) as u128;
                within.saturating_sub(self.burst) * self.each <= u128::from(now - first)
            });
            if fits {
                self.granted.push(now);
            }
            fits
        }
    }

    proptest! {
        #[test]
        fn agrees_with_every_stretch_of_time(
            // Rates whose permits are whole ticks, so that both are exact.
            each in prop::sample::select(vec![100_u64, 1000, 12_345, 1_000_000]),
            burst in 1_u64..20,
            steps in prop::collection::vec((0_u64..4, 0_u64..30), 1..200),
        ) {
            let rate = Rate::new(1, Duration::from_nanos(each)).expect("a rate");
            let gcra = Gcra::new(rate, burst).expect("a limit");
            let mut naive = Naive { each: each.into(), burst: burst.into(), granted: Vec::new() };
            let cell = AtomicU64::new(0);
            let mut now = 0;
            for (coarse, fine) in steps {
                // Often at once, often just around the time of one permit, sometimes long after.
                now += [0, each * fine / 15, each.saturating_sub(1) + fine % 3, each * fine][coarse as usize];
                let expect = naive.ask(now);
                let got = gcra.take(&cell, at(now), 1) == Taken::Some(1);
                prop_assert_eq!(got, expect, "at {}", now);
            }
        }

        #[test]
        fn however_it_is_leased_no_more_is_used(
            count in 1_u64..5000,
            burst in 1_u64..500,
            steps in prop::collection::vec((0_u64..3_000_000, 1_u64..80, 0_u64..80), 1..200),
        ) {
            let rate = Rate::new(count, Duration::from_secs(1)).expect("a rate");
            let gcra = Gcra::new(rate, burst).expect("a limit");
            let cell = AtomicU64::new(0);
            let (mut now, mut used, mut spare) = (0_u64, 0_u64, 0_u64);
            for (step, most, back) in steps {
                now += step;
                if let Taken::Some(n) = gcra.take(&cell, at(now), most) {
                    prop_assert!(n <= most);
                    spare += n;
                }
                let back = back.min(spare);
                gcra.give_back(&cell, back);
                used += spare - back;
                spare = 0;
                let brought = u128::from(now) * u128::from(count) / 1_000_000_000;
                prop_assert!(u128::from(used) <= brought + u128::from(burst));
            }
        }
    }
}
