//! The clock of the whole process: the one place where time is read.

use std::time::{Duration, Instant};

use heptad_core::Time;

/// Counts from the moment it was made; copies agree with each other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: Instant,
}

impl Clock {
    #[allow(clippy::disallowed_methods, reason = "this is where time comes from")]
    pub(crate) fn new() -> Self {
        Self { origin: Instant::now() }
    }

    pub(crate) fn now(self) -> Time {
        let nanos = self.origin.elapsed().as_nanos();
        Time::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// When a timer has to fire for `at`. Far points are brought near: a timer that fires early
    /// does no harm.
    pub(crate) fn instant(self, at: Time) -> tokio::time::Instant {
        const FAR: Duration = Duration::from_secs(3600);
        let wait = at.since(self.now()).min(FAR);
        tokio::time::Instant::now() + wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_never_goes_back_and_copies_agree() {
        let clock = Clock::new();
        let copy = clock;
        let a = clock.now();
        let b = copy.now();
        let c = clock.now();
        assert!(a <= b && b <= c);
    }

    #[test]
    fn a_far_point_is_a_near_timer() {
        let clock = Clock::new();
        let near = clock.instant(Time::NEVER);
        assert!(near <= tokio::time::Instant::now() + Duration::from_secs(3601));
    }
}
