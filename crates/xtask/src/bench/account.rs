//! What the kernel knows of a process: time on the processor, memory.

use std::{fs, time::Duration};

/// Time that all threads of a process were on a processor.
///
/// From `schedstat`, which counts nanoseconds; `stat` counts ticks of 10 ms.
pub(super) fn cpu(pid: u32) -> Result<Duration, String> {
    let tasks = format!("/proc/{pid}/task");
    let mut sum = 0;
    for task in fs::read_dir(&tasks).map_err(|e| format!("{tasks}: {e}"))? {
        let file = task.map_err(|e| e.to_string())?.path().join("schedstat");
        // A thread may end between the two.
        if let Ok(text) = fs::read_to_string(&file) {
            sum += first_number(&text).ok_or_else(|| format!("{}: {text:?}", file.display()))?;
        }
    }
    Ok(Duration::from_nanos(sum))
}

/// A line of `/proc/PID/status` in KiB, such as `VmHWM` (the peak) or `RssAnon`.
pub(super) fn kib(pid: u32, line: &str) -> Result<u64, String> {
    let file = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&file).map_err(|e| format!("{file}: {e}"))?;
    field(&text, line).ok_or_else(|| format!("{file} has no {line}"))
}

fn field(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':'))?;
    first_number(rest)
}

fn first_number(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_used_some_of_both() {
        let me = std::process::id();
        let before = cpu(me).expect("schedstat is there");
        let mut sum = 0_u64;
        while cpu(me).expect("it stays") < before + Duration::from_millis(20) {
            sum = (0..100_000).fold(sum, |sum, n| std::hint::black_box(sum ^ n));
        }
        assert!(kib(me, "VmHWM").expect("a peak") >= kib(me, "RssAnon").expect("memory"));
    }

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let text = "VmHWMx:\t1 kB\nVmHWM:\t  1234 kB\n";
        assert_eq!(field(text, "VmHWM"), Some(1234));
        assert_eq!(field(text, "Vm"), None);
        assert_eq!(first_number("1761524 3 1\n"), Some(1_761_524));
    }
}
