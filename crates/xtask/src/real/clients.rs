//! Two client libraries, each driven through its public calls by a script of its own language.

use std::{process::Command, time::Duration};

use super::transcript;
use crate::{
    paths,
    rig::{Middle, Rig, run_bounded},
    tally::Tally,
};

/// How long a script may take on one connection target.
const LIMIT: Duration = Duration::from_secs(60);

/// redis-py, once in each version of the protocol.
pub(super) fn python(middle: Middle, shards: usize) -> Result<Tally, String> {
    let mut all = Tally::default();
    for protocol in ["2", "3"] {
        let script = |rig: &Rig| {
            let mut command = Command::new(paths::python());
            command.arg(paths::real().join("redis-py/run.py")).args(["--protocol", protocol]);
            record(command, rig, shards)
        };
        all.add(both(&format!("RESP{protocol}"), middle, shards, script)?);
    }
    Ok(all)
}

/// ioredis, which speaks RESP2.
pub(super) fn ioredis(middle: Middle, shards: usize) -> Result<Tally, String> {
    let script = |rig: &Rig| {
        let mut command = Command::new("node");
        command.arg(paths::real().join("ioredis/run.js"));
        record(command, rig, shards)
    };
    both("RESP2", middle, shards, script)
}

fn both(
    name: &str,
    middle: Middle,
    shards: usize,
    script: impl Fn(&Rig) -> Result<Vec<transcript::Step>, String>,
) -> Result<Tally, String> {
    let direct = script(&Rig::start(Middle::Direct, 1)?).map_err(|e| format!("direct: {e}"))?;
    let rig = Rig::start(middle, shards)?;
    let through = script(&rig).map_err(|e| {
        let log = rig.proxy.as_ref().map(|p| p.log()).unwrap_or_default();
        format!("{name} through: {e}\n{log}")
    })?;
    Ok(transcript::compare(name, &direct, &through, rig.servers.len() > 1))
}

fn record(mut command: Command, rig: &Rig, shards: usize) -> Result<Vec<transcript::Step>, String> {
    command.args(["--servers", &rig.server_ports()]);
    // With several servers the keys of one script carry one hash tag, so that commands on many
    // keys have a meaning; what is to be split and merged is asked with plain keys on top.
    if shards > 1 {
        command.arg("--sharded");
    }
    steps(command, rig.port)
}

/// Runs a script against a port and reads what it recorded.
pub(super) fn steps(mut command: Command, port: u16) -> Result<Vec<transcript::Step>, String> {
    command.args(["--port", &port.to_string()]).env("PYTHONDONTWRITEBYTECODE", "1");
    let out = run_bounded(&mut command, LIMIT)?;
    let stdout = String::from_utf8_lossy(&out.stdout);
    if !out.status.success() {
        let from = stdout.lines().count().saturating_sub(3);
        let last: Vec<&str> = stdout.lines().skip(from).collect();
        return Err(format!(
            "{}\n{}\n{}",
            out.status,
            last.join("\n"),
            String::from_utf8_lossy(&out.stderr)
        ));
    }
    transcript::parse(&stdout)
}
