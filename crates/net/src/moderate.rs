//! Whether a worker that is about to sleep does so for a moment with its ears shut, so that it finds
//! more to do at once when it wakes: what drivers of network cards call interrupt moderation.
//!
//! Where clients and servers are busy, a proxy that is quicker than they are is woken for one or two
//! requests at a time. Most of what it does then is to go to sleep, to be woken, and to wake others
//! who had just gone to sleep. With pauses, requests and replies come together: fewer system calls
//! and fewer wake-ups, here and at both ends.
//!
//! Pauses do harm where the worker is what everybody waits for, and no good where too little comes
//! together in them. Both show only without pauses, so there are none for some milliseconds now and
//! then. Knows no socket and no clock: it is told how the turns went.

use std::time::Duration;

use heptad_core::Time;

/// What is asked for. The system adds its slack, 50 µs unless told otherwise.
const PAUSE: Duration = Duration::from_micros(40);
/// How long a pause really is, about.
const REALLY: Duration = Duration::from_micros(90);

/// How long a look at the traffic without pauses lasts, and how much of that, at its begin, is not
/// counted: the aftermath of pauses.
const LOOK: Duration = Duration::from_millis(8);
const SETTLE: Duration = Duration::from_millis(2);
/// How long pauses are made before the next look: at first, for it may have been an error, and
/// after looks that said again and again that they pay.
const KEEP: (Duration, Duration) = (Duration::from_millis(32), Duration::from_millis(512));
/// No pauses if the worker is at work for so many per cent of the time without them: on average
/// over some looks, because a moment says little, and in the last one.
const BUSY: u128 = 66;
const BUSY_NOW: u128 = 80;
/// So much of the average is the last look's: one part of these.
const LOOKS: u128 = 4;
/// So many requests and replies must be expected in a pause.
const FEW: u128 = 4;

/// One worker's decision on pauses.
#[derive(Debug)]
pub(crate) struct Moderation {
    /// Pauses are made; else it is being looked.
    pauses: bool,
    /// When that began.
    since: Time,
    /// How long pauses are made next.
    keep: Duration,
    /// Per cent of the time that the worker was at work, averaged over looks.
    busy: u128,
    /// The end of the last turn, and the requests answered by then.
    ended: Time,
    answered: u64,
    look: Look,
}

/// What was seen without pauses.
#[derive(Clone, Copy, Debug, Default)]
struct Look {
    /// How long it was, how much of that at work, and the requests answered.
    time: Duration,
    busy: Duration,
    answered: u64,
}

impl Moderation {
    pub(crate) fn new() -> Self {
        Self {
            pauses: false,
            since: Time::ZERO,
            keep: KEEP.0,
            busy: 100,
            ended: Time::ZERO,
            answered: 0,
            look: Look::default(),
        }
    }

    /// A turn has ended: how long to pause before the next. `busy` is what the turn took, `answered`
    /// how many requests were by then.
    pub(crate) fn pause(&mut self, now: Time, busy: Duration, answered: u64) -> Option<Duration> {
        // An engine that was made anew counts from zero.
        let new = answered.saturating_sub(self.answered);
        let lasts = now.since(self.since);
        if self.pauses {
            if lasts >= self.keep {
                self.pauses = false;
                self.keep = (self.keep * 2).min(KEEP.1);
                self.since = now;
            }
        } else {
            if lasts >= SETTLE {
                self.look.time += now.since(self.ended);
                self.look.busy += busy;
                self.look.answered += new;
            }
            if lasts >= LOOK {
                self.pauses = self.pays();
                if !self.pauses {
                    self.keep = KEEP.0;
                }
                self.since = now;
                self.look = Look::default();
            }
        }
        self.ended = now;
        self.answered = answered;
        (self.pauses && new > 0).then_some(PAUSE)
    }

    /// Whether pauses would pay, after a look.
    fn pays(&mut self) -> bool {
        let Look { time, busy, answered } = self.look;
        let time = time.as_nanos().max(1);
        let expected = 2 * u128::from(answered) * REALLY.as_nanos() / time;
        if expected < FEW {
            return false;
        }
        let busy = busy.as_nanos() * 100 / time;
        self.busy = (self.busy * (LOOKS - 1) + busy) / LOOKS;
        busy < BUSY_NOW && self.busy < BUSY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A worker's turns, one behind the other.
    struct Turns {
        moderation: Moderation,
        now: u64,
        answered: u64,
    }

    impl Turns {
        fn new() -> Self {
            Self { moderation: Moderation::new(), now: 7_000_000, answered: 0 }
        }

        /// For so many milliseconds, turns of some microseconds' length and work with so many
        /// requests each; how many of them were followed by a pause.
        fn run(&mut self, millis: u64, length: u64, busy: u64, requests: u64) -> usize {
            let end = self.now + millis * 1_000_000;
            let mut pauses = 0;
            while self.now < end {
                self.now += length * 1000;
                self.answered += requests;
                let busy = Duration::from_micros(busy);
                let pause = self.moderation.pause(Time::from_nanos(self.now), busy, self.answered);
                pauses += usize::from(pause.is_some());
            }
            pauses
        }
    }

    #[test]
    fn a_worker_that_idles_between_many_small_turns_pauses_and_looks_now_and_then() {
        let mut turns = Turns::new();
        // 50 000 requests in a second, half of the time at work.
        assert_eq!(turns.run(24, 20, 10, 1), 0, "first it looks");
        turns.run(20, 20, 10, 1);
        let pauses = turns.run(1000, 20, 10, 1);
        assert!((46_000..50_000).contains(&pauses), "{pauses} of 50 000 turns");
    }

    #[test]
    fn a_worker_that_everybody_waits_for_does_not_pause() {
        assert_eq!(Turns::new().run(1000, 20, 17, 1), 0);
    }

    #[test]
    fn nobody_waits_where_little_comes_together() {
        // A lone client: a reply every 60 µs. With 22 000 in a second, less than four in 90 µs.
        assert_eq!(Turns::new().run(1000, 60, 20, 1), 0);
        assert_eq!(Turns::new().run(1000, 46, 10, 1), 0);
        assert!(Turns::new().run(1000, 44, 10, 1) > 0);
    }

    #[test]
    fn pauses_end_when_they_no_longer_pay() {
        let mut turns = Turns::new();
        assert!(turns.run(100, 20, 10, 1) > 0);
        turns.run(300, 20, 17, 1);
        assert_eq!(turns.run(1000, 20, 17, 1), 0);
    }

    #[test]
    fn a_turn_that_answered_nobody_is_not_followed_by_a_pause() {
        let mut turns = Turns::new();
        assert!(turns.run(100, 20, 10, 1) > 0);
        assert_eq!(turns.run(100, 20, 1, 0), 0);
    }

    #[test]
    fn a_moment_of_leisure_is_not_enough_to_begin() {
        let mut turns = Turns::new();
        for _ in 0..50 {
            assert_eq!(turns.run(8, 20, 10, 1), 0);
            turns.run(24, 20, 18, 1);
        }
    }

    #[test]
    fn an_engine_that_counts_from_zero_again_does_no_harm() {
        let mut turns = Turns::new();
        turns.run(100, 20, 10, 1);
        turns.answered = 0;
        assert!(turns.run(1000, 20, 10, 1) > 0);
    }
}
