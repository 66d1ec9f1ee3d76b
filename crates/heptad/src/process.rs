//! What the operating system says about this process. Linux only; elsewhere the facts are absent.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Facts of this process, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Process {
    /// When it started, since the Unix epoch.
    pub started: Duration,
    /// Memory in RAM.
    pub resident_bytes: Option<u64>,
    /// User and system CPU time.
    pub cpu: Option<Duration>,
}

/// The kernel counts CPU time and start times in these, whatever its own tick is.
const TICKS_PER_SECOND: u64 = 100;

impl Process {
    /// Reads the facts now.
    pub fn read() -> Self {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        // The second field is the program's name in brackets and may hold anything.
        let fields: Vec<&str> = stat
            .rsplit_once(')')
            .map(|(_, rest)| rest.split_ascii_whitespace().collect())
            .unwrap_or_default();
        // proc_pid_stat(5), counted from the third field on.
        let field = |n: usize| fields.get(n - 3).and_then(|f| f.parse::<u64>().ok());
        let cpu = field(14).zip(field(15)).map(|(user, system)| ticks(user + system));
        let started = field(22).and_then(|n| Some(boot_time()? + ticks(n)));
        Self { started: started.unwrap_or_else(now), resident_bytes: resident_bytes(), cpu }
    }
}

fn ticks(n: u64) -> Duration {
    Duration::from_millis(n * 1000 / TICKS_PER_SECOND)
}

fn boot_time() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    let line = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    Some(Duration::from_secs(line.trim().parse().ok()?))
}

fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[allow(clippy::disallowed_methods, reason = "not on the request path; asked for by a scrape")]
fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_facts_are_plausible() {
        let process = Process::read();
        assert!(process.resident_bytes > Some(100 << 10), "{process:?}");
        assert!(process.cpu < Some(Duration::from_secs(3600)) && process.cpu.is_some());
        let age = now().saturating_sub(process.started);
        assert!(age < Duration::from_secs(24 * 3600), "{process:?}");
    }
}
