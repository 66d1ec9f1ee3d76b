//! `cargo xtask test`: all runners one after the other, one line each, and the sum.

use std::{
    io::Read,
    os::unix::process::CommandExt as _,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use crate::{paths, real, setup, tally::Tally};

struct Options {
    unit: bool,
    real: Option<String>,
    stand_in: bool,
    build: bool,
}

/// Runs what the arguments ask for; `Ok(false)` if anything failed.
pub(crate) fn run(args: &[String]) -> Result<bool, String> {
    if args.iter().any(|a| a == "--list") {
        for suite in real::SUITES {
            println!("real:{:<24} {}", suite.name, suite.what);
        }
        return Ok(true);
    }
    let options = parse(args)?;
    let mut all = Tally::default();
    if options.unit {
        all.add(unit()?);
    }
    if let Some(only) = &options.real {
        setup::run()?;
        if options.build && !options.stand_in {
            build()?;
        }
        for suite in real::SUITES {
            if only.is_empty() || only == suite.name {
                all.add(child(suite, options.stand_in)?);
            }
        }
    }
    println!("{}", all.total());
    Ok(all.failed == 0 && all.passed > 0)
}

fn parse(args: &[String]) -> Result<Options, String> {
    let mut options =
        Options { unit: true, real: Some(String::new()), stand_in: false, build: true };
    let mut args = args.iter().map(String::as_str);
    while let Some(arg) = args.next() {
        match arg {
            "--stand-in" => options.stand_in = true,
            "--no-build" => options.build = false,
            "--only" => match args.next() {
                Some("unit") => options.real = None,
                Some("real") => options.unit = false,
                Some(name) if real::find(name.trim_start_matches("real:")).is_some() => {
                    options.unit = false;
                    options.real = Some(name.trim_start_matches("real:").to_owned());
                }
                other => return Err(format!("--only: there is no suite {other:?}; see --list")),
            },
            other => return Err(format!("there is no option `{other}`")),
        }
    }
    Ok(options)
}

/// `cargo test` over the workspace: works anywhere, and runs the examples in the docs too.
fn unit() -> Result<Tally, String> {
    println!("unit                     cargo test --workspace …");
    let start = Instant::now();
    let out = Command::new("cargo")
        .args(["test", "--workspace", "--no-fail-fast"])
        .current_dir(paths::root())
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("cargo test: {e}"))?;
    let stdout = String::from_utf8_lossy(&out.stdout);
    let mut tally = count(&stdout);
    if !out.status.success() {
        let stderr = String::from_utf8_lossy(&out.stderr);
        println!("{stdout}\n{stderr}");
        if tally.failed == 0 {
            tally.fail(format!("cargo test: {}", out.status));
        }
    }
    println!("{}", tally.line("unit", start.elapsed()));
    Ok(tally)
}

/// Sums libtest's closing lines.
fn count(output: &str) -> Tally {
    let mut tally = Tally::default();
    for line in output.lines() {
        let Some(rest) = line.strip_prefix("test result: ") else {
            continue;
        };
        let words: Vec<&str> = rest.split([' ', ';']).collect();
        for pair in words.windows(2) {
            if let [number, word] = pair {
                match (number.parse::<u64>(), *word) {
                    (Ok(n), "passed") => tally.passed += n,
                    (Ok(n), "failed") => tally.failed += n,
                    _ => {}
                }
            }
        }
    }
    tally
}

fn build() -> Result<(), String> {
    println!("build                    cargo build --release …");
    let start = Instant::now();
    let out = Command::new("cargo")
        .args(["build", "--quiet", "--release", "-p", "heptad-cli"])
        .current_dir(paths::root())
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("cargo build: {e}"))?;
    if !out.status.success() {
        return Err(format!(
            "cargo build: {}\n{}",
            out.status,
            String::from_utf8_lossy(&out.stderr)
        ));
    }
    println!("build                    done {:>23.1} s", start.elapsed().as_secs_f32());
    Ok(())
}

/// Runs a suite as a process group of its own, so that a time-out ends all that it started.
fn child(suite: &real::Suite, stand_in: bool) -> Result<Tally, String> {
    let name = format!("real:{}", suite.name);
    println!("{name:<24} {} …", suite.what);
    let start = Instant::now();
    let me = std::env::current_exe().map_err(|e| e.to_string())?;
    let mut command = Command::new(me);
    command.args(["suite", suite.name, "--watched"]);
    if stand_in {
        command.arg("--stand-in");
    }
    // The open pipe is how the suite learns that this process is gone.
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .process_group(0)
        .spawn()
        .map_err(|e| format!("{name}: {e}"))?;
    let mut stdout = child.stdout.take().ok_or("no pipe")?;
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        let mut text = String::new();
        let _ = stdout.read_to_string(&mut text);
        let _ = send.send(text);
    });
    let text = receive.recv_timeout(suite.limit);
    let late = text.is_err();
    if late {
        real::kill_group(child.id());
    }
    let status = child.wait().map_err(|e| e.to_string())?;
    real::kill_group(child.id());
    let text = match text {
        Ok(text) => text,
        Err(_) => receive.recv_timeout(Duration::from_secs(5)).unwrap_or_default(),
    };
    let mut tally = real::read_report(&text).unwrap_or_else(|| {
        let mut tally = Tally::default();
        let end = if late {
            format!("no result within {} s", suite.limit.as_secs())
        } else {
            format!("ended early: {status}")
        };
        tally.fail(format!("{text}\n{end}"));
        tally
    });
    if tally.passed == 0 && tally.failed == 0 {
        tally.fail("compared nothing".into());
    }
    for failure in tally.failures.iter().take(SHOWN) {
        println!("  FAILED {}", failure.trim_end().replace('\n', "\n    "));
    }
    if tally.failures.len() > SHOWN {
        println!("  … and {} more", tally.failures.len() - SHOWN);
    }
    println!("{}", tally.line(&name, start.elapsed()));
    Ok(tally)
}

/// Failures printed per suite; the rest is counted.
const SHOWN: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libtest_lines_are_summed() {
        let tally = count(
            "running 3 tests\ntest result: ok. 3 passed; 0 failed; 1 ignored; 0 measured\n\
             test result: FAILED. 4 passed; 2 failed; 0 ignored\n",
        );
        assert_eq!((tally.passed, tally.failed), (7, 2));
    }

    #[test]
    fn only_takes_known_suites() {
        let args = |s: &str| s.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert!(parse(&args("--only real:nonsense")).is_err());
        let options = parse(&args("--only real:redis-py --stand-in")).unwrap();
        assert_eq!(options.real.as_deref(), Some("redis-py"));
        assert!(!options.unit && options.stand_in);
        assert!(parse(&args("--only unit")).unwrap().real.is_none());
    }
}
