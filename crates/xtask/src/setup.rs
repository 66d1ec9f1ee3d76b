//! `cargo xtask setup`: installs the clients, servers and tools that the tests speak to.
//!
//! Says what it installs and nothing else; what is there already is left alone.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use crate::paths;

/// A Debian package and the program that shows that it is installed.
const DEBIAN: &[(&str, &str)] = &[
    ("redis-server", "redis-server"),
    ("redis-tools", "redis-benchmark"),
    ("nutcracker", "nutcracker"),
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
    "six==1.17.0",
];

/// Folders of `tests/real` with a `package.json`, which pins what npm installs there.
const NPM: &[&str] = &["ioredis", "thrift/node", "dubbo", "bolt"];

/// Installs everything that is missing.
pub(crate) fn run() -> Result<bool, String> {
    debian()?;
    python()?;
    NPM.iter().try_for_each(|folder| node(folder))?;
    Ok(true)
}

fn debian() -> Result<(), String> {
    let missing: Vec<&str> = DEBIAN
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

fn python() -> Result<(), String> {
    let python = paths::python();
    let stamp = paths::root().join("target/venv/installed");
    let wanted = PYPI.join("\n");
    if python.is_file() && std::fs::read_to_string(&stamp).is_ok_and(|have| have == wanted) {
        return Ok(());
    }
    println!("setup: installing {} in target/venv", PYPI.join(", "));
    let venv = paths::root().join("target/venv");
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
            .args(PYPI),
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
