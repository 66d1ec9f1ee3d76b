//! The bench itself: two tiny cases over Heptad and HAProxy, every reply right, every figure there.
//!
//! Nothing is decided by how fast anything was.

use std::{collections::BTreeSet, process::Command, time::Duration};

use tempfile::TempDir;

use crate::{
    paths,
    rig::{Middle, run_bounded},
    tally::Tally,
};

/// What `--case` is given; the first means a closed and an open loop.
const CASES: [&str; 2] = ["thrift/128B/50x1/shared", "redis-set/64B/50x16/redis-benchmark"];

pub(super) fn run(middle: Middle) -> Result<Tally, String> {
    let peers: &[&str] =
        if middle == Middle::Heptad { &["haproxy", "heptad"] } else { &["haproxy", "direct"] };
    let mut tally = Tally::default();
    let dir = TempDir::with_prefix("heptad-bench-").map_err(|e| e.to_string())?;
    let (csv, svg) = (dir.path().join("bench.csv"), dir.path().join("bench.svg"));
    let me = std::env::current_exe().map_err(|e| e.to_string())?;
    let mut command = Command::new(me);
    command
        .env("HEPTAD", paths::heptad())
        .args(["bench", "--quick", "--no-build", "--rounds", "1", "--seconds", "0.5"])
        .args(["--peers", &peers.join(","), "--case", CASES[0], "--case", CASES[1]])
        .arg("--csv")
        .arg(&csv)
        .arg("--svg")
        .arg(&svg);
    let out = run_bounded(&mut command, Duration::from_secs(100))?;
    let shown = String::from_utf8_lossy(&out.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&out.stderr).into_owned();
    // 1: a requirement was missed, which a busy machine may do; 2: it could not measure.
    tally.check(matches!(out.status.code(), Some(0 | 1)), || {
        format!("{}: {shown}{complaint}", out.status)
    });
    let text = std::fs::read_to_string(&csv).map_err(|e| format!("{shown}{complaint}{e}"))?;
    let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let head = lines.next().unwrap_or_default();
    let mut seen = BTreeSet::new();
    for line in lines {
        let cell = |name: &str| {
            let at = head.iter().position(|cell| *cell == name)?;
            line.get(at).copied()
        };
        let number = |name: &str| cell(name).and_then(|n| n.parse::<f64>().ok()).unwrap_or(-1.0);
        let whole = || format!("{line:?}\n{shown}");
        tally.check(number("errors") == 0.0, whole);
        tally.check(number("requests") > 0.0, whole);
        let proxy = cell("peer") != Some("direct");
        tally.check(proxy == (number("cpu_seconds") > 0.0), whole);
        tally.check(proxy == (number("peak_kib") > 0.0), whole);
        seen.insert((cell("case").unwrap_or_default(), cell("peer").unwrap_or_default()));
    }
    for case in CASES {
        for peer in peers.iter().copied() {
            tally.check(seen.contains(&(case, peer)), || format!("no {peer} in {case}:\n{text}"));
        }
        tally.check(shown.contains(case), || format!("{case} is not shown:\n{shown}"));
    }
    let svg = std::fs::read_to_string(&svg).map_err(|e| e.to_string())?;
    let whole = svg.starts_with("<svg") && svg.ends_with("</svg>\n") && svg.contains("heptad");
    tally.check(whole == (middle == Middle::Heptad), || svg.clone());
    tally.note(format!("{} cases, {}", CASES.len(), peers.join(" and ")));
    Ok(tally)
}
