//! Random requests in Hessian 2, read by the router's codec and by hessian.js, and compared with each
//! other and with what was written. One half is written by hessian.js, the other in every form that
//! the protocol has for a value.

use std::{
    fs::File,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

use super::stage::node;
use crate::{paths, rig::Middle, tally::Tally};

/// Requests of one seed.
const FRAMES: usize = 500;
const SEEDS: std::ops::RangeInclusive<u32> = 1..=6;

pub(in crate::real) fn run(middle: Middle) -> Result<Tally, String> {
    let mut tally = Tally::default();
    if middle == Middle::Heptad {
        build()?;
    }
    let dir = TempDir::with_prefix("heptad-dubbo-").map_err(|e| e.to_string())?;
    let (frames, lines) = (dir.path().join("frames"), dir.path().join("lines"));
    let (mut requests, mut by_both) = (0, 0);
    for seed in SEEDS {
        let mut command = node("generate.js");
        command.args([seed.to_string(), FRAMES.to_string()]).args([&frames, &lines]);
        output(command.stdin(Stdio::null()))?;
        let written = std::fs::read_to_string(&lines).map_err(|e| e.to_string())?;
        let written = parse("generate.js", &written)?;
        let library = decoded(node("decode.js"), &frames)?;
        let codec = match middle {
            Middle::Heptad => {
                decoded(Command::new(paths::target().join("release/examples/decode")), &frames)?
            }
            // The judge is judged by what was written.
            _ => written.clone(),
        };
        let counts = (written.len(), library.len(), codec.len());
        tally.check(counts == (FRAMES, FRAMES, FRAMES), || format!("seed {seed}: {counts:?}"));
        for (i, ((written, library), codec)) in written.iter().zip(&library).zip(&codec).enumerate()
        {
            requests += 1;
            if middle == Middle::Heptad {
                tally.check(written == codec, || {
                    format!("seed {seed}, request {i}\n  written: {written}\n  codec:   {codec}")
                });
            }
            // It does not know lists without a length.
            if library.is_null() {
                continue;
            }
            by_both += 1;
            tally.check(library == codec, || {
                format!("seed {seed}, request {i}\n  hessian.js: {library}\n  codec:      {codec}")
            });
        }
    }
    tally.check(by_both * 2 > requests, || format!("hessian.js read {by_both} of {requests}"));
    tally.note(format!("{requests} requests, {by_both} of them read by hessian.js"));
    Ok(tally)
}

/// The codec's own example.
fn build() -> Result<(), String> {
    let mut command = Command::new("cargo");
    command
        .args(["build", "--quiet", "--release", "-p", "heptad-dubbo", "--example", "decode"])
        .current_dir(paths::root())
        .stdin(Stdio::null());
    output(&mut command).map(drop)
}

/// What a decoder says of the frames.
fn decoded(mut command: Command, frames: &Path) -> Result<Vec<Value>, String> {
    let file = File::open(frames).map_err(|e| format!("{}: {e}", frames.display()))?;
    let said = output(command.stdin(file))?;
    parse(&format!("{:?}", command.get_program()), &said)
}

fn output(command: &mut Command) -> Result<String, String> {
    let name = format!("{:?}", command.get_program());
    let out = command.output().map_err(|e| format!("{name}: {e}"))?;
    if !out.status.success() {
        return Err(format!("{name}: {}\n{}", out.status, String::from_utf8_lossy(&out.stderr)));
    }
    String::from_utf8(out.stdout).map_err(|e| format!("{name}: {e}"))
}

fn parse(name: &str, lines: &str) -> Result<Vec<Value>, String> {
    lines
        .lines()
        .map(|line| serde_json::from_str(line).map_err(|e| format!("{name} said {line}: {e}")))
        .collect()
}
