//! `cargo xtask bench fairness`: what a quiet client feels of a loud one.
//!
//! The quiet one makes a call every 5 ms, whether the one before has ended or not; the loud one is
//! alone on its connection and always has as much in flight as it may. The loud one and its server
//! run only when nobody else wants their processor (`SCHED_IDLE`), and it has a server of its own,
//! so that what the quiet one feels is the proxy; the rows `direct` show how far that is reached.
//! Calls go to their servers by the method; HAProxy, which cannot tell, has a port for each.

use std::{
    io::Read as _,
    net::{Ipv4Addr, SocketAddr},
    process::{Command, Stdio},
    time::Duration,
};

use heptad_load::{Generator, Pace, Thrift};

use super::{
    cases::{Case, Driver, Work},
    output,
    peers::{Peer, Pinned, Running, Setting},
    progress,
    rounds::{self, Plan, Servers},
    summary::median,
};
use crate::rig::Kept;

/// Calls of the quiet client in a second.
const QUIET: f64 = 200.0;
/// What is required: the quiet client's p99 in relation to what it is alone.
const FELT: f64 = 2.0;

/// What the loud client does: bytes of a text, calls in flight.
const LOUD: [(&str, usize, usize); 2] =
    [("256 calls of 128 B in flight", 128, 256), ("frames of 1 MiB, 4 in flight", 1 << 20, 4)];

pub(super) fn run(plan: Plan, pinned: Pinned) -> Result<(String, bool), String> {
    let case = Case {
        work: Work::Thrift { shared: true },
        bytes: 128,
        connections: 1,
        depth: 1,
        driver: Driver::Closed,
        limit: None,
    };
    let servers = Servers::start(&case, 0)?;
    let (_loud, port) = rounds::echo(idle()?, "thrift", 0)?;
    let setting = Setting { loud: Some(port), ..Setting::of(&servers, &case) };
    let mut proxies = Vec::new();
    for peer in [Peer::Direct, Peer::Haproxy, Peer::Heptad] {
        proxies.push((
            Running::start(peer, &case, &setting, pinned)?,
            Vec::new(),
            [Vec::new(), Vec::new()],
        ));
    }
    for round in 1..=plan.rounds {
        for (proxy, alone, beside) in &mut proxies {
            progress(&format!("round {round}: {}", proxy.peer.name()));
            alone.push(quiet(proxy, None, plan)?);
            for ((_, bytes, depth), beside) in LOUD.iter().zip(beside) {
                beside.push(quiet(proxy, Some((*bytes, *depth)), plan)?);
            }
        }
    }
    progress("");
    let mut table = vec![
        ["", "the loud one has", "p99 µs alone", "p99 µs beside it", "to alone", "its requests/s"]
            .map(str::to_owned),
    ];
    let mut verdicts = Vec::new();
    let mut good = true;
    for (n, (what, _, _)) in LOUD.iter().enumerate() {
        let mut haproxy = f64::INFINITY;
        for (proxy, alone, beside) in &proxies {
            let p99 = |all: &[Felt]| median(all.iter().map(|felt| felt.p99)).unwrap_or_default();
            let times = beside[n].iter().zip(alone).map(|(beside, alone)| beside.p99 / alone.p99);
            let times = median(times).unwrap_or_default();
            let mine = p99(&beside[n]);
            table.push([
                proxy.peer.name().to_owned(),
                (*what).to_owned(),
                format!("{:.0}", p99(alone)),
                format!("{mine:.0}"),
                format!("{times:.1}"),
                format!(
                    "{:.0}",
                    median(beside[n].iter().map(|felt| felt.loud)).unwrap_or_default()
                ),
            ]);
            match proxy.peer {
                Peer::Haproxy => haproxy = mine,
                Peer::Heptad => {
                    let word = |met: bool| if met { "ok" } else { "MISSED" };
                    let (felt, less) = (times <= FELT, mine <= haproxy);
                    good &= felt && less;
                    verdicts.push(format!(
                        "{}: {what}: {times:.1} times the p99 alone, required {FELT:.1}",
                        word(felt)
                    ));
                    verdicts.push(format!(
                        "{}: {what}: p99 {mine:.0} µs ≤ haproxy's {haproxy:.0} µs",
                        word(less)
                    ));
                }
                _ => {}
            }
        }
    }
    Ok((output::section("fairness: a quiet client beside a loud one", &table, &verdicts), good))
}

/// What the quiet client saw, and what the loud one carried meanwhile.
struct Felt {
    p99: f64,
    loud: f64,
}

fn quiet(proxy: &Running, loud: Option<(usize, usize)>, plan: Plan) -> Result<Felt, String> {
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, proxy.port));
    // It begins before the quiet one and ends after it.
    let seconds = (plan.warm_up + plan.measure).as_secs_f64() + 0.3;
    let noise = loud.map(|(bytes, depth)| {
        idle()?
            .args(["bench-loud", &proxy.loud.to_string(), &bytes.to_string(), &depth.to_string()])
            .arg(seconds.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| format!("chrt: {e}"))
    });
    let noise = noise.transpose()?.map(Kept);
    let mut generator =
        Generator::connect(to, Box::new(Thrift::new(128)), 1, 16).map_err(|e| e.to_string())?;
    let report = generator
        .run(Pace::Open(QUIET), plan.warm_up, plan.measure, &mut |_| {})
        .map_err(|e| e.to_string())?;
    if report.errors() > 0 {
        return Err(format!("the quiet client: {:?}", report.faults));
    }
    let mut loud = 0.0;
    if let Some(mut noise) = noise {
        let mut text = String::new();
        let out = noise.0.stdout.as_mut().ok_or("no pipe")?;
        out.read_to_string(&mut text).map_err(|e| e.to_string())?;
        loud = text.trim().parse().map_err(|_| format!("the loud client said {text:?}"))?;
    }
    Ok(Felt { p99: report.latency.quantile(0.99).as_secs_f64() * 1e6, loud })
}

/// A command for this program that runs only when nobody else wants its processor.
fn idle() -> Result<Command, String> {
    let me = std::env::current_exe().map_err(|e| e.to_string())?;
    let mut command = Command::new("chrt");
    command.args(["--idle", "0"]).arg(me);
    Ok(command)
}

/// `cargo xtask bench-loud PORT BYTES DEPTH SECONDS`: the loud client, as a process of its own;
/// prints its requests per second.
pub(crate) fn loud(args: &[String]) -> Result<bool, String> {
    let number = |at: usize| -> Result<f64, String> {
        let text = args.get(at).ok_or("bench-loud PORT BYTES DEPTH SECONDS")?;
        text.parse().map_err(|e| format!("{text}: {e}"))
    };
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, number(0)? as u16));
    let traffic = Thrift::new(number(1)? as usize).named(*b"loud");
    let mut generator = Generator::connect(to, Box::new(traffic), 1, number(2)? as usize)
        .map_err(|e| e.to_string())?;
    let measure = Duration::from_secs_f64(number(3)?);
    let report = generator
        .run(Pace::Closed, Duration::ZERO, measure, &mut |_| {})
        .map_err(|e| e.to_string())?;
    if report.errors() > 0 {
        return Err(format!("the loud client: {:?}", report.faults));
    }
    println!("{:.0}", report.requests as f64 / report.elapsed.as_secs_f64());
    Ok(true)
}
