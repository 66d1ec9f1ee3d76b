//! Counts of what passed and failed, and the lines that are printed about them.

use std::{fmt::Write as _, time::Duration};

/// What a runner or a suite counted.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Checks that held.
    pub(crate) passed: u64,
    /// Checks that did not.
    pub(crate) failed: u64,
    /// Facts for the summary line: how many steps of what.
    pub(crate) notes: Vec<String>,
    /// What failed, to be shown in full.
    pub(crate) failures: Vec<String>,
}

impl Tally {
    /// Counts one check; `why` is only built when it failed.
    pub(crate) fn check(&mut self, holds: bool, why: impl FnOnce() -> String) {
        if holds {
            self.passed += 1;
        } else {
            self.fail(why());
        }
    }

    /// Counts one failure.
    pub(crate) fn fail(&mut self, why: String) {
        self.failed += 1;
        self.failures.push(why);
    }

    /// Adds a fact.
    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// Adds what another counted.
    pub(crate) fn add(&mut self, other: Tally) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.notes.extend(other.notes);
        self.failures.extend(other.failures);
    }

    /// One line: name, counts, duration, notes.
    pub(crate) fn line(&self, name: &str, took: Duration) -> String {
        let mut line = format!(
            "{name:<24} {:>6} passed, {} failed {:>6.1} s",
            self.passed,
            self.failed,
            took.as_secs_f32()
        );
        if !self.notes.is_empty() {
            let _ = write!(line, "   {}", self.notes.join("; "));
        }
        line
    }

    /// The last line of a run.
    pub(crate) fn total(&self) -> String {
        format!("{} passed, {} failed", self.passed, self.failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_and_says_so() {
        let mut all = Tally::default();
        all.check(true, || unreachable!());
        let mut part = Tally::default();
        part.check(false, || "why".into());
        all.add(part);
        assert_eq!(all.total(), "1 passed, 1 failed");
        assert_eq!(all.failures, ["why"]);
        assert!(all.line("x", Duration::from_secs(2)).contains("2.0 s"));
    }
}
