//! What no honest client or server would do. It must end in an error or a close for whoever did it,
//! in a counter, and in nothing at all for everybody else.

mod bytes;
mod peers;

use std::{io, time::Instant};

use crate::{
    rig::{Metrics, Middle, Rig, resp::Client},
    tally::Tally,
};

pub(super) fn run(middle: Middle) -> Result<Tally, String> {
    let mut all = Tally::default();
    type Case = (&'static str, fn(Middle) -> Result<Tally, String>);
    let cases: [Case; 5] = [
        ("huge announcements", bytes::announcements),
        ("bombs", bytes::bombs),
        ("random bytes", bytes::random),
        ("killed server", peers::killed_server),
        ("client that never reads", peers::never_reads),
    ];
    for (name, case) in cases {
        let start = Instant::now();
        match case(middle) {
            Ok(tally) => {
                all.note(format!("{name} {:.1} s", start.elapsed().as_secs_f32()));
                all.add(tally);
            }
            Err(error) => all.fail(format!("{name}: {error}")),
        }
    }
    Ok(all)
}

/// One server, with a limit on what it buffers for a client, as Heptad has it by default.
fn rig(middle: Middle) -> Result<Rig, String> {
    let rig = Rig::start(middle, 1)?;
    if let (None, Some(server)) = (&rig.proxy, rig.servers.first()) {
        server
            .client()?
            .call(&["CONFIG", "SET", "client-output-buffer-limit", "normal 8mb 8mb 1"])
            .map_err(|e| e.to_string())?;
    }
    Ok(rig)
}

/// Resident memory of what clients are connected to, in KiB.
fn resident_kib(rig: &Rig) -> Result<u64, String> {
    let id = match (&rig.proxy, rig.servers.first()) {
        (Some(proxy), _) => proxy.process.0.id(),
        (None, Some(server)) => server.process.0.id(),
        (None, None) => return Err("nobody to measure".into()),
    };
    let path = format!("/proc/{id}/status");
    let status = std::fs::read_to_string(&path).map_err(|e| format!("{path}: {e}"))?;
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .ok_or_else(|| format!("no VmRSS in {path}"))
}

/// The router's counters; `None` for a stand-in, which has none.
fn counters(rig: &Rig) -> Result<Option<Metrics>, String> {
    match &rig.proxy {
        Some(proxy) => Ok(Some(Metrics::read(proxy.admin)?)),
        None => Ok(None),
    }
}

/// Whether a well-behaved client is served.
fn serves(rig: &Rig) -> Result<(), String> {
    let talk = || -> io::Result<String> {
        let mut client = Client::connect(rig.port)?;
        client.call(&["SET", "good", "manners"])?;
        Ok(client.call(&["GET", "good"])?.text())
    };
    match talk() {
        Ok(text) if text == "manners" => Ok(()),
        other => {
            let log = rig.proxy.as_ref().map(|p| p.log()).unwrap_or_default();
            Err(format!("a good client got {other:?}\n{log}"))
        }
    }
}
