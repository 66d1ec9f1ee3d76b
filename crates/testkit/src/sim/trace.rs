//! The last events of a run, and a digest of all of them.

use std::{collections::VecDeque, fmt};

use heptad_core::Time;

/// A ring of lines.
#[derive(Debug)]
pub(crate) struct Trace {
    lines: VecDeque<String>,
    digest: u64,
    kept: usize,
}

/// Lines kept, unless the environment variable `SIM_TRACE` says otherwise.
const KEPT: usize = 120;

impl Default for Trace {
    fn default() -> Self {
        let kept = std::env::var("SIM_TRACE").ok().and_then(|n| n.parse().ok());
        Self { lines: VecDeque::new(), digest: 0, kept: kept.unwrap_or(KEPT) }
    }
}

impl Trace {
    pub(crate) fn note(&mut self, now: Time, line: fmt::Arguments<'_>) {
        if self.kept == 0 {
            return;
        }
        let line = format!("{:>14.3} ms  {line}", now.as_nanos() as f64 / 1e6);
        for byte in line.bytes() {
            self.digest = (self.digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        if self.lines.len() >= self.kept {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    /// Equal for equal runs.
    pub(crate) fn digest(&self) -> u64 {
        self.digest
    }

    /// Keeps so many lines from now on. With none there is no digest either.
    pub(crate) fn keep(&mut self, lines: usize) {
        self.kept = lines;
    }

    pub(crate) fn print(&self, seed: u64) {
        if self.kept == 0 {
            return;
        }
        eprintln!("--- the last {} events; replay with SIM_SEED={seed}", self.lines.len());
        for line in &self.lines {
            eprintln!("{line}");
        }
    }
}

/// Bytes as a short readable text.
pub(crate) fn show(bytes: &[u8]) -> String {
    let shown = bytes.get(..48).unwrap_or(bytes).escape_ascii();
    let more = if bytes.len() > 48 { "…" } else { "" };
    format!("{} B \"{shown}\"{more}", bytes.len())
}
