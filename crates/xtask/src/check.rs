//! `cargo xtask check`: everything that is wrong or right without running the program.

use std::{process::Command, process::Stdio, time::Instant};

use crate::{paths, tally::Tally};

/// Name, arguments of cargo, and the environment they need.
type Check = (&'static str, &'static [&'static str], &'static [(&'static str, &'static str)]);

const CHECKS: &[Check] = &[
    ("fmt", &["fmt", "--all", "--check"], &[]),
    ("clippy", &["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"], &[]),
    ("doc", &["doc", "--quiet", "--workspace", "--no-deps"], &[("RUSTDOCFLAGS", "-D warnings")]),
    ("counts", &["xtask", "counts"], &[]),
    ("redis-commands", &["xtask", "redis-commands", "--check"], &[]),
    ("fuzz", &["xtask", "fuzz", "--seconds", "5"], &[]),
    ("sim", &["xtask", "sim", "--seeds", crate::sim::SEEDS], &[]),
];

/// Runs all checks and prints one line each, with the output of those that failed.
pub(crate) fn run() -> Result<bool, String> {
    let mut all = Tally::default();
    for (name, args, env) in CHECKS {
        let start = Instant::now();
        let out = Command::new("cargo")
            .args(*args)
            .envs(env.iter().copied())
            .current_dir(paths::root())
            .stdin(Stdio::null())
            .output()
            .map_err(|e| format!("cargo: {e}"))?;
        let mut one = Tally::default();
        one.check(out.status.success(), || {
            format!(
                "{}{}",
                String::from_utf8_lossy(&out.stdout),
                String::from_utf8_lossy(&out.stderr)
            )
        });
        println!("{}", one.line(&format!("check:{name}"), start.elapsed()));
        for failure in &one.failures {
            println!("{failure}");
        }
        all.add(one);
    }
    println!("{}", all.total());
    Ok(all.failed == 0)
}
