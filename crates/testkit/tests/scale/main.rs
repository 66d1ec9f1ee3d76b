//! Some thousand random worlds, each from a seed: topologies, protocols, networks, faults and
//! configuration swaps. `cargo xtask sim` runs more of them, or one with all its events.
//!
//!     --seeds N    the seeds 0 to N-1
//!     --seed S     one, and print every event
//!     --hours H    new seeds for so long, with a line each minute

mod awesome;
mod book;
mod dubbo;
mod redis;
mod run;
mod scripts;
mod thrift;
mod tongue;
mod topology;

use std::{
    panic::catch_unwind,
    process::ExitCode,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use heptad_core::Outcome;
use run::Ends;

/// Seeds of a plain `cargo test`, which has no optimisation; `cargo xtask check` runs thousands.
const SEEDS: u64 = 300;

/// How requests can end in these worlds, each of which must happen.
const EXPECTED: [Outcome; 9] = [
    Outcome::Ok,
    Outcome::AppError,
    Outcome::Timeout,
    Outcome::Reset,
    Outcome::ConnectFailed,
    Outcome::Overloaded,
    Outcome::NoRoute,
    Outcome::Denied,
    Outcome::Limited,
];

#[derive(Default)]
struct Sum {
    ends: Ends,
    failed: Vec<u64>,
}

#[allow(clippy::disallowed_methods, reason = "how long it ran is for people to know")]
fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |name: &str| {
        let at = args.iter().position(|arg| arg == name)?;
        let value = args.get(at + 1).and_then(|value| value.parse::<f64>().ok());
        Some(value.unwrap_or_else(|| panic!("{name} needs a number")))
    };
    if let Some(seed) = number("--seed") {
        let ends = run::run(seed as u64, true);
        eprintln!("\nseed {seed} holds: {}", show(&ends));
        return ExitCode::SUCCESS;
    }
    let start = Instant::now();
    let until = number("--hours").map(|hours| Duration::from_secs_f64(hours * 3600.0));
    let seeds = number("--seeds").map_or(SEEDS, |n| n as u64);
    // A long run goes where no other has been.
    let first = match until {
        Some(_) => SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_secs() << 24),
        None => 0,
    };
    let next = AtomicU64::new(first);
    let sum = Mutex::new(Sum::default());
    let minute = AtomicU64::new(1);
    let worker = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            let over = match until {
                Some(until) => start.elapsed() >= until,
                None => seed >= seeds,
            };
            if over || sum.lock().expect("a sum").failed.len() >= 3 {
                return;
            }
            let result = catch_unwind(|| run::run(seed, false));
            let mut sum = sum.lock().expect("a sum");
            match result {
                Ok(ends) => {
                    for (outcome, n) in ends {
                        *sum.ends.entry(outcome).or_default() += n;
                    }
                }
                Err(_) => {
                    eprintln!("seed {seed} fails; `cargo xtask sim --seed {seed}` shows it all");
                    sum.failed.push(seed);
                }
            }
            let passed = start.elapsed().as_secs() / 60;
            if until.is_some() && passed >= minute.load(Ordering::Relaxed) {
                minute.store(passed + 1, Ordering::Relaxed);
                println!("{passed} min, {} seeds: {}", seed - first, show(&sum.ends));
            }
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(worker);
        }
    });
    let Sum { ends, mut failed } = sum.into_inner().expect("a sum");
    let seeds = next.into_inner().saturating_sub(first + threads as u64);
    println!("{seeds} seeds in {:.1} s: {}", start.elapsed().as_secs_f32(), show(&ends));
    let missing: Vec<_> = EXPECTED.iter().filter(|o| !ends.contains_key(o)).collect();
    if seeds >= 300 && !missing.is_empty() {
        println!("no request ended as {missing:?}: these worlds are too kind");
        failed.push(0);
    }
    let verdict = if failed.is_empty() { "ok" } else { "FAILED" };
    let passed = seeds - failed.len().min(seeds as usize) as u64;
    println!("test result: {verdict}. {passed} passed; {} failed", failed.len());
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn show(ends: &Ends) -> String {
    let all = ends.iter().map(|(outcome, n)| format!("{n} {}", outcome.as_str()));
    all.collect::<Vec<_>>().join(", ")
}
