//! `cargo xtask sim`: random worlds in the simulator, many of them or one with all its events.

use std::process::{Command, Stdio};

use crate::paths;

/// Seeds that `cargo xtask check` runs.
pub(crate) const SEEDS: &str = "3000";

/// Passes the arguments on; see `crates/testkit/tests/scale/main.rs`.
pub(crate) fn run(args: &[String]) -> Result<bool, String> {
    let mut rest = args.iter().map(String::as_str);
    while let Some(arg) = rest.next() {
        let number = rest.next().is_some_and(|value| value.parse::<f64>().is_ok());
        if !matches!(arg, "--seed" | "--seeds" | "--hours") || !number {
            return Err("give --seed S, --seeds N or --hours H, each with a number".to_owned());
        }
    }
    let status = Command::new("cargo")
        .args(["test", "--quiet", "--profile", "sim", "-p", "heptad-testkit", "--test", "scale"])
        .arg("--")
        .args(if args.is_empty() { &["--seeds", SEEDS][..] } else { &[] })
        .args(args)
        .current_dir(paths::root())
        .stdin(Stdio::null())
        .status()
        .map_err(|e| format!("cargo test: {e}"))?;
    Ok(status.success())
}
