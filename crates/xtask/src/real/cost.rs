//! What each filter costs: instructions of the whole router for each exchange, its writer's thread
//! included, counted by valgrind while redis-benchmark speaks to it.
//!
//! Counts of instructions do not depend on the machine's mood; by how much they may grow is a rule,
//! so this decides a test.

use std::{
    fs,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{
    paths,
    rig::{Middle, Proxy, RedisServer, run_bounded},
    tally::Tally,
};

/// The filters as they are measured, one by one and all together. Nothing is refused: a request
/// that is refused costs less than one that is sent.
const FILTERS: &[(&str, &str)] = &[
    (
        "authorize",
        "authorize: { deny: [ { method: FLUSHALL }, { source.ip: 10.0.0.0/8 } ], \
         allow: [ { method: { any: [ GET, SET, MGET ] } } ] }",
    ),
    ("limit_rate", "limit_rate: { per: source.ip, rate: 1000000/s, burst: 1000000 }"),
    ("limit_concurrency", "limit_concurrency: { per: route, max: 100000 }"),
    ("inject_fault", "inject_fault: { match: { method: DEL }, percent: 50, delay: 1ms }"),
    ("trace, 1 %", "trace: { sample: 1, otlp: 'http://127.0.0.1:9' }"),
    ("access_log, 1 %", "access_log: { path: '@DIR@/some.log', sample: 1 }"),
];

/// Beside those: a line for every request.
const EVERY_LINE: (&str, &str) = ("access_log, all", "access_log: { path: '@DIR@/all.log' }");

/// What all filters together may cost, as a share of an exchange without any.
const MOST: f64 = 1.3;
/// The same when every request is logged, line by line.
const MOST_EVERY_LINE: f64 = 1.85;
/// What all filters together cost at least: with less, they were not there. One alone may cost less
/// than redis-benchmark's batches make the counts differ.
const LEAST: f64 = 1.1;

/// Exchanges that are counted, and those before, which warm up.
const COUNTED: u64 = 10_000;
const WARM: u64 = 2_000;

pub(super) fn run(_: Middle) -> Result<Tally, String> {
    let server = RedisServer::start()?;
    let mut all = Tally::default();
    let bare = measure(&server, &[])?;
    all.note(format!("none: {bare} instructions an exchange"));
    let ratio = |count: u64| count as f64 / bare as f64;
    for filter in FILTERS.iter().chain([&EVERY_LINE]) {
        let count = measure(&server, &[filter.1])?;
        all.note(format!("{}: {:.3}", filter.0, ratio(count)));
    }
    let (_, log) = EVERY_LINE;
    let (sampled, others): (Vec<_>, Vec<_>) =
        FILTERS.iter().map(|(_, filter)| *filter).partition(|f| f.starts_with("access_log"));
    let some = measure(&server, &[&others[..], &sampled[..]].concat())?;
    let every = measure(&server, &[&others[..], &[log]].concat())?;
    for (name, count, most) in
        [("all", some, MOST), ("all, every request logged", every, MOST_EVERY_LINE)]
    {
        all.note(format!("{name}: {:.3} of {most}", ratio(count)));
        all.check(ratio(count) <= most, || {
            format!("{name}: {count} instructions an exchange, {:.3} of {bare}", ratio(count))
        });
        all.check(ratio(count) >= LEAST, || {
            format!("{name}: {count} instructions an exchange beside {bare}: filters are missing")
        });
    }
    Ok(all)
}

/// Instructions for each exchange with these filters.
fn measure(server: &RedisServer, filters: &[&str]) -> Result<u64, String> {
    let template = paths::real().join("config/filters.yaml");
    let text = fs::read_to_string(&template).map_err(|e| e.to_string())?;
    let text = text.replace(
        "@FILTERS@",
        &format!(
            "[ {} ]",
            filters.iter().map(|f| format!("{{ {f} }}")).collect::<Vec<_>>().join(", ")
        ),
    );
    let dir = TempDir::with_prefix("heptad-cost-").map_err(|e| e.to_string())?;
    let out = dir.path().join("counts");
    let valgrind = paths::program("valgrind").ok_or("valgrind is not installed")?;
    let mut command = Command::new(valgrind);
    command.args(["--tool=callgrind", "-q"]);
    command.arg(format!("--callgrind-out-file={}", out.display())).arg(paths::heptad());
    let proxy = Proxy::start_under(&mut command, &text, &[server.port])?;
    bench(&proxy, WARM)?;
    control(&proxy, "-z")?;
    bench(&proxy, COUNTED)?;
    control(&proxy, "-d")?;
    let dumped = dir.path().join("counts.1");
    Ok(total(&dumped)? / COUNTED)
}

fn bench(proxy: &Proxy, requests: u64) -> Result<(), String> {
    let program = paths::program("redis-benchmark").ok_or("redis-benchmark is not installed")?;
    let mut command = Command::new(program);
    command.args(["-p", &proxy.port.to_string(), "-c", "50", "-n", &requests.to_string()]);
    command.args(["-t", "get", "--csv"]);
    let ran = run_bounded(&mut command, Duration::from_secs(60))?;
    let said =
        String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
    if !ran.status.success() || !said.contains("\"GET\"") || said.contains("Error") {
        return Err(format!("redis-benchmark: {said}\n{}", proxy.log()));
    }
    Ok(())
}

/// Tells callgrind what to do with its counts.
fn control(proxy: &Proxy, what: &str) -> Result<(), String> {
    let program = paths::program("callgrind_control").ok_or("callgrind_control is missing")?;
    let mut command = Command::new(program);
    command.arg(what).arg(proxy.process.0.id().to_string());
    let ran = run_bounded(&mut command, Duration::from_secs(20))?;
    if !ran.status.success() {
        return Err(format!("callgrind_control {what}: {}", String::from_utf8_lossy(&ran.stderr)));
    }
    Ok(())
}

/// The sum that callgrind wrote, once it has.
fn total(path: &Path) -> Result<u64, String> {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let text = fs::read_to_string(path).unwrap_or_default();
        let sum = text.lines().find_map(|line| {
            line.strip_prefix("totals:").or_else(|| line.strip_prefix("summary:"))
        });
        if let Some(sum) = sum {
            return sum.trim().parse().map_err(|_| format!("counts without a sum: {sum}"));
        }
        if Instant::now() > end {
            return Err(format!("callgrind has written no counts to {}", path.display()));
        }
        thread::sleep(Duration::from_millis(20));
    }
}
