//! Servers that die in the middle of a request, and clients that do not read.

use std::{
    io::ErrorKind,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use super::{counters, rig};
use crate::{
    rig::{Middle, Proxy, RedisServer, resp::Client},
    tally::Tally,
};

/// How long to wait for what must come.
const PATIENCE: Duration = Duration::from_secs(20);

/// Clients that go on beside the trouble.
const OTHERS: usize = 50;

pub(super) fn killed_server(middle: Middle) -> Result<Tally, String> {
    let mut tally = Tally::default();
    let io = |e: std::io::Error| e.to_string();
    let mut victim = RedisServer::start()?;
    let other = RedisServer::start()?;
    let proxy = match middle {
        Middle::Heptad => Some(Proxy::start("two-clusters.yaml", &[victim.port, other.port])?),
        _ => None,
    };
    let port = |direct: u16| proxy.as_ref().map_or(direct, |p| p.port);
    let (to_victim, to_other) = (port(victim.port), port(other.port));

    let mut blocked = Client::connect(to_victim).map_err(io)?;
    blocked.send(&["BLPOP", "victim:queue", "0"]).map_err(io)?;
    let mut eye = victim.client()?;
    wait("BLPOP to block", || {
        eye.call(&["INFO", "clients"]).is_ok_and(|v| v.text().contains("blocked_clients:1"))
    })?;
    let mut busy = Client::connect(to_victim).map_err(io)?;
    busy.send(&["EVAL", "while true do end", "1", "victim:x"]).map_err(io)?;
    wait("the script to run", || {
        let Ok(mut probe) = victim.client() else {
            return false;
        };
        let _ = probe.socket().set_read_timeout(Some(Duration::from_millis(200)));
        probe.call(&["PING"]).is_err()
    })?;
    let mut behind = Client::connect(to_victim).map_err(io)?;
    behind.send(&["GET", "victim:x"]).map_err(io)?;

    let stop = AtomicBool::new(false);
    let (reports, outcome) = thread::scope(|scope| {
        let others: Vec<_> = (0..OTHERS)
            .map(|i| {
                let stop = &stop;
                scope.spawn(move || chatter(to_other, i, stop))
            })
            .collect();
        thread::sleep(Duration::from_millis(300));
        victim.process.kill();
        let mut outcome = Vec::new();
        let clients = [("BLPOP", &mut blocked), ("EVAL", &mut busy), ("GET", &mut behind)];
        for (name, client) in clients {
            outcome.push((name, client.read()));
        }
        thread::sleep(Duration::from_millis(300));
        stop.store(true, Ordering::Relaxed);
        let reports: Vec<_> = others.into_iter().map(|t| t.join()).collect();
        (reports, outcome)
    });
    for (name, reply) in outcome {
        let told = match &reply {
            Ok(value) => value.is_error(),
            // Without a router, the client learns it from its own connection.
            Err(e) => proxy.is_none() && is_close(e.kind()),
        };
        tally.check(told, || format!("{name} on the killed server: {reply:?}"));
    }
    for report in reports {
        match report {
            Ok(Ok(_)) => tally.passed += 1,
            Ok(Err(e)) => tally.fail(format!("a client of the other server: {e}")),
            Err(_) => tally.fail("a client of the other server panicked".into()),
        }
    }
    if let Some(proxy) = &proxy {
        let refused = blocked.call(&["GET", "victim:x"]);
        tally.check(refused.as_ref().is_ok_and(|v| v.is_error()), || {
            format!("the same client, server still gone: {refused:?}")
        });
        let _again = RedisServer::start_on(victim.port)?;
        let back = wait("the server to be used again", || {
            Client::connect(proxy.port)
                .is_ok_and(|mut c| c.call(&["SET", "victim:x", "1"]).is_ok_and(|v| !v.is_error()))
        });
        tally.check(back.is_ok(), || format!("{back:?}\n{}", proxy.log()));
    }
    tally.note("server killed under BLPOP, EVAL and GET");
    Ok(tally)
}

pub(super) fn never_reads(middle: Middle) -> Result<Tally, String> {
    const BIG: usize = 1 << 20;
    const ASKED: usize = 200;
    let mut tally = Tally::default();
    let io = |e: std::io::Error| e.to_string();
    let rig = rig(middle)?;
    let before = counters(&rig)?;
    let big = "b".repeat(BIG);
    let mut greedy = Client::connect(rig.port).map_err(io)?;
    let set = greedy.call(&["SET", "big", &big]).map_err(io)?;
    tally.check(!set.is_error(), || format!("SET of 1 MiB: {set}"));

    let me = greedy.socket().local_addr().map_err(io)?;
    let me = format!(" addr={me} ");

    let stop = AtomicBool::new(false);
    let (reports, read) = thread::scope(|scope| {
        let others: Vec<_> = (0..OTHERS)
            .map(|i| {
                let (stop, port) = (&stop, rig.port);
                scope.spawn(move || chatter(port, i, stop))
            })
            .collect();
        thread::sleep(Duration::from_millis(300));
        let sent = greedy.send_raw(&crate::rig::resp::frame(&["GET", "big"]).repeat(ASKED));
        let closed = wait("the client that never reads to be closed", || match &rig.proxy {
            Some(_) => counters(&rig).is_ok_and(|now| {
                now.is_some_and(|n| {
                    n.sum("heptad_session_ends_total", &["reason=\"slow_reader\""]) >= 1.0
                })
            }),
            None => rig.servers.first().and_then(|s| s.client().ok()).is_some_and(|mut c| {
                c.call(&["CLIENT", "LIST"]).is_ok_and(|v| !v.text().contains(&me))
            }),
        });
        let read = sent.map_err(io).and(closed).and_then(|()| greedy.read_to_close().map_err(io));
        thread::sleep(Duration::from_millis(300));
        stop.store(true, Ordering::Relaxed);
        let reports: Vec<_> = others.into_iter().map(|t| t.join()).collect();
        (reports, read)
    });
    let got = read.as_ref().map(Vec::len);
    tally.check(matches!(got, Ok(n) if n < BIG * ASKED), || {
        format!(
            "a client that never reads: {got:?}\n{}",
            match (&before, counters(&rig)) {
                (Some(before), Ok(Some(now))) => now.changed(before),
                _ => String::new(),
            }
        )
    });
    let mut times = Vec::new();
    for report in reports {
        match report {
            Ok(Ok(took)) => {
                tally.passed += 1;
                times.extend(took);
            }
            Ok(Err(e)) => tally.fail(format!("beside a client that never reads: {e}")),
            Err(_) => tally.fail("a client panicked".into()),
        }
    }
    times.sort_unstable();
    let at = |part: usize| times.get(times.len() * part / 1000).copied().unwrap_or_default();
    tally.note(format!(
        "never read: {OTHERS} others, {} calls, p50 {:?} p99 {:?}",
        times.len(),
        at(500),
        at(990)
    ));
    Ok(tally)
}

/// Writes and reads values of its own until told to stop; how long each read took, or what was
/// wrong. A slow answer is no error, a wrong or missing one is.
fn chatter(port: u16, who: usize, stop: &AtomicBool) -> Result<Vec<Duration>, String> {
    let mut client = Client::connect(port).map_err(|e| e.to_string())?;
    let key = format!("other:{who}");
    let mut times = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let value = format!("{who}-{}", times.len());
        let set = client.call(&["SET", &key, &value]).map_err(|e| format!("SET: {e}"))?;
        let start = Instant::now();
        let reply = client.call(&["GET", &key]).map_err(|e| format!("GET: {e}"))?;
        times.push(start.elapsed());
        if reply.text() != value || set.is_error() {
            return Err(format!("wrote {value} ({set}), read {reply}"));
        }
        thread::sleep(Duration::from_millis(2));
    }
    Ok(times)
}

fn is_close(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset)
}

fn wait(what: &str, mut until: impl FnMut() -> bool) -> Result<(), String> {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        if until() {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(20));
    }
    Err(format!("waited in vain for {what}"))
}
