//! What is asked of a simulation when it has run: how requests, sessions and links ended, and that
//! nothing is left.

use std::time::Duration;

use heptad_core::{Outcome, Reason};
use heptad_engine::ConnId;

use super::{End, Sim};

impl Sim {
    /// Every client leaves, and after a while nothing may be left of them.
    ///
    /// # Panics
    /// If something is.
    pub fn finish(&mut self) {
        for at in 0..self.wires.len() {
            if self.wire(at).is_some_and(|w| matches!(w.id, ConnId::Session(_))) {
                self.ask_script(at, |_, io| io.end(End::Reset));
            }
        }
        self.run(Duration::from_secs(120));
        self.machine.check();
        assert_eq!(self.machine.sessions(), 0, "sessions are left");
        for row in self.machine.endpoints() {
            assert_eq!(row.waiting, 0, "requests wait for nobody: {row:?}");
        }
        let stats = self.machine.stats();
        for series in &stats.series {
            assert_eq!(series.in_flight, 0, "exchanges are left: {}", series.route);
        }
        assert_eq!(stats.waiting, 0, "waiting requests are counted");
        assert_eq!(stats.sessions, 0, "sessions are counted");
    }

    /// As [`Sim::finish`], and no attempt is left either: every endpoint has answered.
    ///
    /// # Panics
    /// If something is left.
    pub fn finish_clean(&mut self) {
        self.finish();
        for row in self.machine.endpoints() {
            assert_eq!(row.in_flight, 0, "attempts are left: {row:?}");
        }
    }

    /// Most bytes that ever waited to be written to one session, and to one link, as seen when they
    /// could be written.
    pub fn longest_out(&self) -> (usize, usize) {
        (self.longest[0], self.longest[1])
    }

    /// Keeps the last `lines` events from now on; all of them for `usize::MAX`. With 0 a run is
    /// quicker, and has no digest.
    pub fn keep_trace(&mut self, lines: usize) {
        self.trace.keep(lines);
    }

    /// Adds a line of the caller's own to the events.
    pub fn note(&mut self, text: &str) {
        self.trace.note(self.now, format_args!("{text}"));
    }

    /// Prints the events that were kept.
    pub fn print_trace(&self) {
        self.trace.print(self.seed);
    }

    /// How many requests ended so.
    pub fn ended(&self, outcome: Outcome, reason: Reason) -> u64 {
        let counts = self.machine.stats().series.iter().flat_map(|s| &s.counts);
        counts.filter(|c| (c.outcome, c.reason) == (outcome, reason)).map(|c| c.count).sum()
    }

    /// How many requests ended at all.
    pub fn ended_all(&self) -> u64 {
        self.machine.stats().series.iter().flat_map(|s| &s.counts).map(|c| c.count).sum()
    }

    /// How many sessions Heptad ended so.
    pub fn session_ends(&self, outcome: Outcome, reason: Reason) -> u64 {
        let mut ends = self.machine.stats().session_ends.iter();
        ends.find(|e| (e.0, e.1) == (outcome, reason)).map_or(0, |e| e.2)
    }

    /// How many links ended so.
    pub fn link_ends(&self, outcome: Outcome, reason: Reason) -> u64 {
        let mut ends = self.machine.stats().link_ends.iter();
        ends.find(|e| (e.0, e.1) == (outcome, reason)).map_or(0, |e| e.2)
    }
}
