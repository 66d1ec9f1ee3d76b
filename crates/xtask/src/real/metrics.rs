//! `promtool check metrics` on the page of a router that has seen traffic of every outcome class.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use crate::{
    paths,
    rig::{Middle, Proxy, RedisServer, get, resp::Client},
    tally::Tally,
};

/// Metrics that the design names; the page must have them after traffic.
const NAMES: &[&str] = &[
    "heptad_requests_total{",
    "heptad_request_duration_seconds_bucket{",
    "heptad_method_requests_total{",
    "heptad_sessions",
    "heptad_links",
];

pub(super) fn run(middle: Middle) -> Result<Tally, String> {
    let mut tally = Tally::default();
    if middle == Middle::StandIn {
        tally.check(paths::program("promtool").is_some(), || "no promtool".into());
        tally.note("a stand-in has no metrics");
        return Ok(tally);
    }
    let server = RedisServer::start()?;
    let proxy = Proxy::start("redis.yaml", &[server.port])?;
    let io = |e: std::io::Error| e.to_string();
    let mut client = Client::connect(proxy.port).map_err(io)?;
    for command in [
        &["SET", "a", "1"][..],
        &["LPUSH", "a", "1"],
        &["GET", "a"],
        &["NOSUCHCOMMAND"],
        &["MULTI"],
        &["INCR", "a"],
        &["EXEC"],
    ] {
        client.call(command).map_err(io)?;
    }
    let mut rude = Client::connect(proxy.port).map_err(io)?;
    rude.send_raw(b"*1\r\n!garbage\r\n").map_err(io)?;
    rude.read_to_close().map_err(io)?;

    for path in ["/ready", "/live", "/config", "/clusters", "/metrics"] {
        let (status, body) = get(proxy.admin, path)?;
        tally.check(status == 200 && !body.is_empty(), || format!("GET {path}: {status}\n{body}"));
    }
    let (_, page) = get(proxy.admin, "/metrics")?;
    for name in NAMES {
        tally.check(page.lines().any(|l| l.starts_with(name)), || format!("no {name} in\n{page}"));
    }
    let (good, words) = promtool(&page)?;
    tally.check(good, || format!("promtool: {words}\n{page}"));
    tally.note(format!("{} lines", page.lines().count()));
    Ok(tally)
}

/// Whether promtool has no complaint, lints included.
fn promtool(page: &str) -> Result<(bool, String), String> {
    let program = paths::program("promtool").ok_or("promtool is not installed")?;
    let mut child = Command::new(program)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("promtool: {e}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(page.as_bytes()).map_err(|e| e.to_string())?;
    }
    let out = child.wait_with_output().map_err(|e| e.to_string())?;
    let words = [out.stdout, out.stderr].concat();
    let words = String::from_utf8_lossy(&words).trim().to_owned();
    Ok((out.status.success() && words.is_empty(), words))
}
