//! `cargo xtask fuzz`: builds the targets in `fuzz/`, runs each for a while and prints a row for it.
//!
//! A finding stays in `target/fuzz/findings`; once it is mended, its file goes to the corpus, where
//! ordinary tests run it for ever.

mod coverage;
mod seeds;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Instant,
};

use crate::{paths, setup};

/// A target and the corpus that it begins with.
struct Target {
    name: String,
    corpus: String,
}

/// Runs what the arguments ask for; `Ok(false)` if there is a finding.
pub(crate) fn run(args: &[String]) -> Result<bool, String> {
    let (mut seconds, mut only, mut how) = (60, None, "");
    let mut args = args.iter().map(String::as_str);
    while let Some(arg) = args.next() {
        match arg {
            "--seconds" => {
                let text = args.next().unwrap_or_default();
                seconds = text.parse().map_err(|_| "--seconds: not a number")?;
            }
            "--only" => only = args.next().map(str::to_owned),
            "--coverage" | "--record" | "--merge" => how = arg,
            other => return Err(format!("there is no option `{other}`")),
        }
    }
    match how {
        "--coverage" => return coverage::run(),
        "--record" => {
            crate::setup::run()?;
            seeds::record()?;
        }
        _ => {}
    }
    setup::fuzzer()?;
    let all = targets()?;
    let folder = build()?;
    if how == "--record" || how == "--merge" {
        return seeds::merge(&all, &folder).map(|()| true);
    }
    let chosen = |target: &&Target| only.as_ref().is_none_or(|only| target.name.contains(only));
    let mut table = Table::default();
    println!(
        "{:<20} {:>12} {:>9} {:>8} {:>8}",
        "target", "executions", "exec/s", "coverage", "findings"
    );
    for target in all.iter().filter(chosen) {
        table.one(target, &folder, seconds)?;
    }
    println!(
        "{:<20} {:>12} {:>9} {:>8} {:>8}   in {} s",
        "sum", table.executions, "", "", table.findings, table.elapsed
    );
    Ok(table.findings == 0 && table.executions > 0)
}

#[derive(Default)]
struct Table {
    executions: u64,
    findings: u64,
    elapsed: u64,
}

impl Table {
    fn one(&mut self, target: &Target, bins: &Path, seconds: u64) -> Result<(), String> {
        let findings = scratch("findings").join(&target.name);
        let grown = scratch("corpus").join(&target.name);
        make(&findings)?;
        make(&grown)?;
        let before = files(&findings)?.len();
        let start = Instant::now();
        let out = run_target(
            &bins.join(&target.name),
            &[
                format!("-max_total_time={seconds}"),
                format!("-artifact_prefix={}/", findings.display()),
                "-print_final_stats=1".into(),
                "-timeout=10".into(),
                "-rss_limit_mb=2048".into(),
                "-max_len=8192".into(),
                grown.display().to_string(),
                committed(&target.corpus).display().to_string(),
            ],
        )?;
        let log = String::from_utf8_lossy(&out.stderr);
        let executions = number_behind(&log, "stat::number_of_executed_units:");
        let coverage = number_behind(&log, " cov: ");
        let after = files(&findings)?;
        let found =
            (after.len().saturating_sub(before) as u64).max(u64::from(!out.status.success()));
        let elapsed = start.elapsed().as_secs().max(1);
        self.executions += executions;
        self.findings += found;
        self.elapsed += elapsed;
        println!(
            "{:<20} {executions:>12} {:>9} {coverage:>8} {found:>8}",
            target.name,
            executions / elapsed
        );
        if found > 0 {
            let lines = log.lines().skip_while(|line| !line.contains("panicked at"));
            let said: Vec<&str> =
                lines.take_while(|line| !line.starts_with("stack backtrace")).take(30).collect();
            println!("{}\n  see {}", said.join("\n"), findings.display());
        }
        Ok(())
    }
}

/// The last number behind a text.
fn number_behind(log: &str, text: &str) -> u64 {
    let behind = log.rsplit_once(text).map_or("", |(_, behind)| behind.trim_start());
    let digits = behind.find(|c: char| !c.is_ascii_digit()).unwrap_or(behind.len());
    behind.get(..digits).and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

/// Runs a target's binary to its end, at low priority.
fn run_target(bin: &Path, args: &[String]) -> Result<Output, String> {
    Command::new("nice")
        .arg(bin)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("{}: {e}", bin.display()))
}

/// Builds all targets without a sanitizer: there is no `unsafe` code that one could look for, and
/// without it they are several times as fast.
fn build() -> Result<PathBuf, String> {
    let target = paths::target().join("fuzz-build");
    let status = nightly()
        .args(["cargo", "fuzz", "build", "--sanitizer", "none", "--target-dir"])
        .arg(&target)
        .current_dir(folder())
        .status()
        .map_err(|e| format!("rustup: {e}"))?;
    if !status.success() {
        return Err("the fuzz targets cannot be built".into());
    }
    Ok(target.join(host()?).join("release"))
}

/// A program of the nightly toolchain, whatever this one runs in.
fn nightly() -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", "nightly"]).stdin(Stdio::null());
    for name in ["CARGO", "RUSTC", "RUSTDOC", "RUSTUP_TOOLCHAIN", "CARGO_TARGET_DIR"] {
        command.env_remove(name);
    }
    command
}

fn host() -> Result<String, String> {
    let out = nightly().args(["rustc", "-vV"]).output().map_err(|e| format!("rustup: {e}"))?;
    let text = String::from_utf8_lossy(&out.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| "the nightly toolchain does not name its host".to_owned())
}

/// The targets as the crate with their bodies lists them.
fn targets() -> Result<Vec<Target>, String> {
    let path = paths::root().join("crates/fuzzing/src/lib.rs");
    let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let all: Vec<Target> = text
        .lines()
        .filter_map(|line| {
            let mut words = line.trim().strip_prefix("target(\"")?.split('"');
            let name = words.next()?.to_owned();
            let corpus = words.nth(1)?.to_owned();
            Some(Target { name, corpus })
        })
        .collect();
    if all.is_empty() { Err(format!("{}: no targets", path.display())) } else { Ok(all) }
}

fn folder() -> PathBuf {
    paths::root().join("fuzz")
}

fn committed(corpus: &str) -> PathBuf {
    folder().join("corpus").join(corpus)
}

/// What is not kept.
fn scratch(what: &str) -> PathBuf {
    paths::target().join("fuzz").join(what)
}

fn make(folder: &Path) -> Result<(), String> {
    fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let fail = |e: std::io::Error| format!("{}: {e}", folder.display());
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        if path.is_file() {
            all.push(path);
        }
    }
    all.sort();
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_targets_are_read_from_their_list() {
        let all = targets().unwrap();
        let has =
            |name: &str, corpus: &str| all.iter().any(|t| t.name == name && t.corpus == corpus);
        assert!(has("redis_chunks", "redis") && has("engine_ops", "engine_ops"));
    }

    #[test]
    fn the_last_number_counts() {
        let log = "#1 cov: 12 ft: 3\n#2 cov: 345 ft: 9\nstat::number_of_executed_units: 77\n";
        assert_eq!(number_behind(log, " cov: "), 345);
        assert_eq!(number_behind(log, "stat::number_of_executed_units:"), 77);
        assert_eq!(number_behind(log, "nothing"), 0);
    }
}
