//! `cargo xtask fuzz --coverage`: which lines of the codecs the committed corpora reach, by the
//! compiler's own counters. Nothing but the corpora is run for it.

use std::{fs, path::PathBuf, process::Stdio};

use serde_json::Value;

use super::{host, make, nightly};
use crate::{paths, setup};

/// Least part of the lines of each module, in percent.
const LEAST: f64 = 90.0;

/// Modules that read, rewrite and answer frames. What prepares links, joins replies or keeps a
/// session's state is the simulator's to try; options are the configuration's.
const FOLDERS: &[&str] = &[
    "codecs/redis/src/",
    "codecs/thrift/src/",
    "codecs/dubbo/src/",
    "codecs/described/src/",
    "examples/awesomerpc/src/",
];
const LEFT_OUT: &[&str] = &[
    "options.rs",
    "/wire.rs",
    "/wire/",
    "dubbo/src/call.rs",
    // Numbers are written by clients and servers made of `wire`, never by the codec.
    "dubbo/src/hessian/write.rs",
    // Descriptions are read once, by whoever starts the router.
    "described/src/compile.rs",
    "described/src/description.rs",
    "described/src/hex.rs",
    "described/src/model.rs",
    "described/src/number.rs",
    "described/src/samples.rs",
    "described/src/shapes.rs",
    "redis/src/auth",
    "redis/src/conn.rs",
    "redis/src/join.rs",
    "redis/src/prelude.rs",
    "redis/src/state.rs",
    "redis/src/table/",
];

/// Prints a line for each module; `Ok(false)` if the corpora miss too much of one.
pub(super) fn run() -> Result<bool, String> {
    setup::fuzzer()?;
    let target = paths::target().join("coverage");
    let profiles = target.join("profiles");
    let _ = fs::remove_dir_all(&profiles);
    make(&profiles)?;
    let out = nightly()
        .args(["cargo", "test", "--package", "heptad-fuzzing", "--test", "corpus", "--no-run"])
        .args(["--message-format", "json"])
        .env("CARGO_TARGET_DIR", &target)
        .env("RUSTFLAGS", "-C instrument-coverage")
        .env("LLVM_PROFILE_FILE", target.join("build-%m.profraw"))
        .current_dir(paths::root())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|e| format!("cargo: {e}"))?;
    let text = String::from_utf8_lossy(&out.stdout);
    let program = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find_map(|message| message.get("executable")?.as_str().map(PathBuf::from))
        .ok_or("the test of the corpora cannot be built")?;
    let status = nightly()
        .arg(&program)
        .args(["--quiet", "--skip", "engine_ops"])
        .env("LLVM_PROFILE_FILE", profiles.join("%p-%m.profraw"))
        .current_dir(paths::root().join("crates/fuzzing"))
        .stdout(Stdio::null())
        .status()
        .map_err(|e| format!("{}: {e}", program.display()))?;
    if !status.success() {
        return Err("the corpora do not pass".into());
    }
    let merged = target.join("corpus.profdata");
    let raw = super::files(&profiles)?;
    let merge = llvm("llvm-profdata")?;
    run_tool(
        std::process::Command::new(merge).args(["merge", "-sparse", "-o"]).arg(&merged).args(raw),
    )?;
    let shown = run_tool(
        std::process::Command::new(llvm("llvm-cov")?)
            .args(["export", "-summary-only", "-instr-profile"])
            .arg(&merged)
            .arg(&program),
    )?;
    let summary: Value = serde_json::from_slice(&shown).map_err(|e| format!("llvm-cov: {e}"))?;
    report(&summary)
}

fn report(summary: &Value) -> Result<bool, String> {
    let files = summary.pointer("/data/0/files").and_then(Value::as_array);
    let root = paths::root();
    let (mut rows, mut good) = (0, true);
    println!("{:<40} {:>7} {:>7} {:>7}", "module", "lines", "reached", "%");
    for file in files.into_iter().flatten() {
        let name = file.get("filename").and_then(Value::as_str).unwrap_or_default();
        let name = name.trim_start_matches(&*root.to_string_lossy()).trim_start_matches('/');
        let of = |what: &str| file.pointer(&format!("/summary/lines/{what}"));
        let counts = ["count", "covered"].map(|what| of(what).and_then(Value::as_u64).unwrap_or(0));
        let ours = FOLDERS.iter().any(|folder| name.starts_with(folder))
            && !LEFT_OUT.iter().any(|part| name.contains(part));
        let [count, covered] = counts;
        if !ours || count == 0 {
            continue;
        }
        let percent = covered as f64 * 100.0 / count as f64;
        let low = if percent < LEAST { "  too few" } else { "" };
        println!("{name:<40} {count:>7} {covered:>7} {percent:>7.1}{low}");
        good &= low.is_empty();
        rows += 1;
    }
    if rows == 0 {
        return Err("llvm-cov shows none of the codecs' modules".into());
    }
    Ok(good)
}

fn run_tool(command: &mut std::process::Command) -> Result<Vec<u8>, String> {
    let out = command.stdin(Stdio::null()).output().map_err(|e| format!("{command:?}: {e}"))?;
    if out.status.success() {
        return Ok(out.stdout);
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&out.stderr)))
}

/// A tool of the nightly toolchain's `llvm-tools`.
fn llvm(name: &str) -> Result<PathBuf, String> {
    let out = nightly()
        .args(["rustc", "--print", "sysroot"])
        .output()
        .map_err(|e| format!("rustup: {e}"))?;
    let sysroot = String::from_utf8_lossy(&out.stdout).trim().to_owned();
    let path = PathBuf::from(sysroot).join("lib/rustlib").join(host()?).join("bin").join(name);
    if path.is_file() { Ok(path) } else { Err(format!("{} is missing", path.display())) }
}
