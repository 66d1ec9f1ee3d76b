//! `cargo xtask mutants`: a fixed sample of what cargo-mutants would change in the engine, the rules
//! and the balancers; the tests of those crates and the simulator must catch nine of ten.

use std::{
    fs,
    process::{Command, Stdio},
};

use crate::{paths, setup, tally::Tally};

/// One of so many mutants of each crate is tried, always the same ones.
const SAMPLE: &[(&str, &str)] =
    &[("heptad-engine", "31/120"), ("heptad-route", "7/60"), ("heptad-cluster", "7/60")];
/// Of a hundred, that must be caught.
const LEAST: u64 = 90;

/// Tries the sample, or another share of a crate's mutants: `CRATE K/N`.
pub(crate) fn run(args: &[String]) -> Result<bool, String> {
    let chosen: Vec<(String, String)> = match args {
        [] => SAMPLE.iter().map(|(name, shard)| ((*name).into(), (*shard).into())).collect(),
        [name, shard] => vec![(name.clone(), shard.clone())],
        _ => return Err("give nothing, or a crate and a share of its mutants: K/N".to_owned()),
    };
    let program = setup::cargo_mutants()?;
    let mut all = Tally::default();
    for (name, shard) in &chosen {
        // The engine is tried by the simulator, the others by tests of their own.
        let tests = if name == "heptad-engine" { "heptad-engine,heptad-testkit" } else { name };
        let out = paths::target().join("mutants").join(name);
        fs::create_dir_all(&out).map_err(|e| format!("{}: {e}", out.display()))?;
        let status = Command::new(&program)
            .args(["mutants", "--package", name, "--shard", shard])
            .args(["--sharding", "round-robin", "--no-shuffle"])
            .args(["--test-package", tests])
            .args(["--baseline", "skip", "--timeout", "900", "--build-timeout", "600"])
            .arg("--output")
            .arg(&out)
            .current_dir(paths::root())
            .stdin(Stdio::null())
            .status()
            .map_err(|e| format!("cargo mutants: {e}"))?;
        // 2: some were missed, 3: some took too long, which shows as well that they were noticed.
        if !matches!(status.code(), Some(0 | 2 | 3)) {
            return Err(format!("cargo mutants: {status}"));
        }
        let list = |file: &str| -> Vec<String> {
            let text = fs::read_to_string(out.join("mutants.out").join(file)).unwrap_or_default();
            text.lines().map(str::to_owned).collect()
        };
        let caught = list("caught.txt").len() + list("timeout.txt").len();
        let missed = list("missed.txt");
        println!("mutants:{name:<16} {caught} caught, {} missed", missed.len());
        missed.iter().for_each(|mutant| println!("    {mutant}"));
        all.passed += caught as u64;
        all.failed += missed.len() as u64;
    }
    let tried = all.passed + all.failed;
    let share = (all.passed * 100).checked_div(tried).unwrap_or(0);
    println!("{} of {tried} mutants are caught: {share} %, at least {LEAST} % must be", all.passed);
    Ok(share >= LEAST)
}
