//! redis-benchmark as the one who sends: it knows nothing of us, but checks no contents.

use std::{process::Command, time::Duration};

use heptad_load::Command as RedisCommand;

use super::{
    account,
    cases::{Case, Work},
    peers::Running,
    rounds::{Plan, Sample},
};
use crate::{paths, rig::run_bounded};

/// The key it asks for when it is not told to make up some.
pub(super) const KEY: &str = "key:__rand_int__";

/// What it prints about a test.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Line {
    rate: f64,
    p50: Duration,
    p99: Duration,
}

/// Finds out how much to ask for, and asks for that much.
pub(super) fn run(case: &Case, proxy: &Running, plan: Plan) -> Result<Sample, String> {
    // Every client several times, and twice: the first run finds cold caches.
    let few = (case.connections * case.depth * 20).max(5000) as u64;
    ask(case, proxy, few, plan)?;
    let warm = ask(case, proxy, few, plan)?;
    let requests = ((warm.rate * plan.measure.as_secs_f64()) as u64).max(few);
    let before = proxy.pid().map(account::cpu).transpose()?;
    let line = ask(case, proxy, requests, plan)?;
    let after = proxy.pid().map(account::cpu).transpose()?;
    let cpu = before.zip(after).map(|(before, after)| after.saturating_sub(before));
    Ok(Sample {
        requests,
        elapsed: Duration::from_secs_f64(requests as f64 / line.rate.max(1.0)),
        cpu,
        p50: line.p50,
        p99: line.p99,
        ..Sample::default()
    })
}

fn ask(case: &Case, proxy: &Running, requests: u64, plan: Plan) -> Result<Line, String> {
    let test = match case.work {
        Work::Redis(RedisCommand::Get) => "get",
        Work::Redis(RedisCommand::Set) => "set",
        _ => return Err("redis-benchmark has no such test".to_owned()),
    };
    let program = paths::program("redis-benchmark").ok_or("redis-benchmark is not installed")?;
    let mut command = Command::new(program);
    command
        .args(["-h", "127.0.0.1", "-p", &proxy.port.to_string(), "--csv", "-t", test])
        .args(["-c", &case.connections.to_string(), "-P", &case.depth.to_string()])
        .args(["-d", &case.bytes.to_string(), "-n", &requests.to_string()]);
    let out = run_bounded(&mut command, plan.measure * 20 + Duration::from_secs(30))?;
    let text = String::from_utf8_lossy(&out.stdout);
    let complaint = String::from_utf8_lossy(&out.stderr);
    // Some proxies have no CONFIG, which it only mentions.
    let wrong = complaint.lines().find(|l| l.contains("rror") && !l.contains("CONFIG"));
    match wrong {
        Some(wrong) => return Err(format!("redis-benchmark: {wrong}")),
        None if !out.status.success() => {
            return Err(format!("redis-benchmark: {} {text} {complaint}", out.status));
        }
        None => {}
    }
    parse(&text, test).ok_or_else(|| format!("redis-benchmark printed {text:?}"))
}

fn parse(text: &str, test: &str) -> Option<Line> {
    let unquoted = |l: &str| -> Vec<String> {
        l.split(',').map(|cell| cell.trim().trim_matches('"').to_owned()).collect()
    };
    let lines: Vec<Vec<String>> = text.lines().map(unquoted).collect();
    let head = lines.iter().find(|l| l.first().is_some_and(|cell| cell == "test"))?;
    let line = lines.iter().find(|l| l.first().is_some_and(|c| c.eq_ignore_ascii_case(test)))?;
    let cell = |name: &str| -> Option<f64> {
        line.get(head.iter().position(|cell| cell == name)?)?.parse().ok()
    };
    let millis = |name: &str| cell(name).map(|ms| Duration::from_secs_f64(ms / 1e3));
    Some(Line {
        rate: cell("rps")?,
        p50: millis("p50_latency_ms")?,
        p99: millis("p99_latency_ms")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_table_is_read_by_the_names_of_columns() {
        let text = "WARNING: x\n\"test\",\"rps\",\"avg_latency_ms\",\"min_latency_ms\",\
            \"p50_latency_ms\",\"p95_latency_ms\",\"p99_latency_ms\",\"max_latency_ms\"\n\
            \"GET\",\"25000.00\",\"1.2\",\"0.1\",\"1.5\",\"2.0\",\"2.5\",\"9.0\"\n";
        let line = parse(text, "get").expect("a line");
        assert_eq!(line.rate, 25000.0);
        assert_eq!(line.p50, Duration::from_micros(1500));
        assert_eq!(line.p99, Duration::from_micros(2500));
        assert_eq!(parse(text, "set"), None);
    }
}
