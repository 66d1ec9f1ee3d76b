//! `cargo xtask bench memory`: what an idle session costs, and an idle link, and the process alone.
//!
//! What counts is the process's own memory (`RssAnon`) once everything is quiet again, after each
//! session has moved a reply of 16 KiB, compared with the process before its first session. Buffers
//! of the kernel are not part of it.

use std::{
    net::{Ipv4Addr, SocketAddr},
    thread,
    time::Duration,
};

use heptad_load::{Command as RedisCommand, Generator};

use super::{
    account,
    cases::{Case, Driver, Work},
    output,
    peers::{Peer, Pinned, Running, Setting, most_files},
    progress,
    rounds::Servers,
};

/// Sessions, if that many files may be open.
const SESSIONS: usize = 10_000;
const REPLY: usize = 16 << 10;
/// Sessions that move their reply at the same time.
const WINDOW: usize = 50;
/// How long a process gets to give back what it does not need.
const QUIET: Duration = Duration::from_secs(3);
/// What is required of Heptad: KiB of an idle session, MiB of a process at its start.
const SESSION_KIB: f64 = 1.0;
const START_MIB: f64 = 12.0;

/// What is opened.
struct Row {
    peer: Peer,
    work: Work,
    /// What a session stands for.
    what: &'static str,
    /// Each session has a link, and they are opened at the same time.
    links: bool,
}

struct Found {
    start: f64,
    each: f64,
    peak: f64,
    errors: u64,
}

pub(super) fn run(peers: &[String], pinned: Pinned) -> Result<(String, bool), String> {
    // A relay has two files for each session.
    let most = usize::try_from(most_files()?).unwrap_or(usize::MAX);
    let sessions = SESSIONS.min(most.saturating_sub(400) / 2);
    let (shared, apart) = (Work::Thrift { shared: true }, Work::Thrift { shared: false });
    let get = Work::Redis(RedisCommand::Get);
    let row = |peer, work, what, links| Row { peer, work, what, links };
    let mut rows = vec![
        row(Peer::Heptad, shared, "session", false),
        row(Peer::Heptad, apart, "session and link", true),
        row(Peer::Haproxy, shared, "session and link", false),
        row(Peer::EnvoyThrift, shared, "session", false),
        row(Peer::Heptad, get, "session", false),
        row(Peer::Haproxy, get, "session and link", false),
        row(Peer::Twemproxy, get, "session", false),
        row(Peer::EnvoyRedis, get, "session", false),
    ];
    rows.retain(|row| {
        peers.is_empty() || peers.iter().any(|p| row.peer.name().starts_with(p.as_str()))
    });
    let mut table = vec![
        ["", "", "each", "KiB each", "MiB at start", "MiB at most", "errors"].map(str::to_owned),
    ];
    let mut verdicts = Vec::new();
    let mut good = true;
    let mut heptad = (None, None);
    for row in &rows {
        let case = Case {
            work: row.work,
            bytes: REPLY,
            connections: sessions,
            depth: 1,
            driver: Driver::Closed,
            limit: None,
        };
        progress(&format!("{sessions} sessions of {}", row.peer.name()));
        let found = measure(row, &case, pinned)?;
        progress("");
        let protocol = if row.work == get { "redis" } else { "thrift" };
        table.push([
            row.peer.name().to_owned(),
            protocol.to_owned(),
            row.what.to_owned(),
            format!("{:.2}", found.each),
            format!("{:.1}", found.start),
            format!("{:.1}", found.peak),
            found.errors.to_string(),
        ]);
        good &= found.errors == 0;
        if row.peer == Peer::Heptad && !row.links {
            let word = |met: bool| if met { "ok" } else { "MISSED" };
            let (session, start) = (found.each <= SESSION_KIB, found.start <= START_MIB);
            good &= session && start;
            verdicts.push(format!(
                "{}: heptad, {protocol}: {:.2} KiB per idle session, required {SESSION_KIB:.2}",
                word(session),
                found.each
            ));
            verdicts.push(format!(
                "{}: heptad, {protocol}: {:.1} MiB at start, required {START_MIB:.1}",
                word(start),
                found.start
            ));
        }
        if row.peer == Peer::Heptad && row.work == shared {
            heptad.0 = Some(found.each);
        } else if row.peer == Peer::Heptad && row.links {
            heptad.1 = Some(found.each);
        }
    }
    if let (Some(session), Some(both)) = heptad {
        verdicts.push(format!("heptad, thrift: {:.2} KiB per idle link", both - session));
    }
    let head = format!("memory of {sessions} idle sessions that have each moved a reply of 16 KiB");
    Ok((output::section(&head, &table, &verdicts), good))
}

fn measure(row: &Row, case: &Case, pinned: Pinned) -> Result<Found, String> {
    let gather = if row.links { case.connections } else { 0 };
    let servers = Servers::start(case, gather)?;
    let mut setting = Setting::of(&servers, case);
    setting.links = case.connections + 1000;
    setting.in_flight = WINDOW;
    let running = Running::start(row.peer, case, &setting, pinned)?;
    let pid = running.pid().ok_or("there is no process")?;
    thread::sleep(Duration::from_millis(300));
    let mib = |line| Ok::<_, String>(account::kib(pid, line)? as f64 / 1024.0);
    let start = mib("VmRSS")?;
    let before = account::kib(pid, "RssAnon")?;
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, running.port));
    let mut generator = Generator::connect(to, case.traffic(), case.connections, case.depth)
        .map_err(|e| format!("{}: {e}", row.peer.name()))?;
    let window = if row.links { case.connections } else { WINDOW };
    let report = generator.once(window, Duration::from_secs(60)).map_err(|e| e.to_string())?;
    thread::sleep(QUIET);
    let after = account::kib(pid, "RssAnon")?;
    if report.errors() > 0 {
        progress("");
        eprintln!("{}: {:?}", row.peer.name(), report.faults);
    }
    let lost = case.connections.saturating_sub(generator.alive()) as u64;
    Ok(Found {
        start,
        each: (after as f64 - before as f64) / case.connections as f64,
        peak: mib("VmHWM")?,
        errors: report.errors().max(lost),
    })
}
