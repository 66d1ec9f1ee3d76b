//! `cargo xtask bench scaling`: what more workers, routes and endpoints cost.

use std::{
    net::{Ipv4Addr, SocketAddr},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use heptad_load::{Fault, Generator, Pace};

use super::{
    account,
    cases::{Case, Driver, Work},
    output,
    peers::{Peer, Pinned, Running, Setting},
    progress,
    rounds::{self, Plan, Servers},
    summary::median,
};

/// Routes in the three tables whose look-up is compared, and endpoints in the largest setting.
const ROUTES: [usize; 3] = [10, 1000, 100_000];
const ENDPOINTS: usize = 10_000;
/// What is required: 2 workers to 1, and milliseconds until a small configuration listens.
const WORKERS: f64 = 1.1;
const LISTENING_MS: f64 = 30.0;

/// Small calls over shared links.
fn case() -> Case {
    Case {
        work: Work::Thrift { shared: true },
        bytes: 128,
        connections: 50,
        depth: 1,
        driver: Driver::Closed,
        limit: None,
    }
}

pub(super) fn run(plan: Plan, pinned: Pinned) -> Result<(String, bool), String> {
    let (first, good) = workers(plan, pinned)?;
    let (second, listens) = sizes(plan, pinned)?;
    let third = flat(plan, pinned)?;
    Ok((format!("{first}\n{second}\n{third}"), good && listens))
}

/// The same offered load on 1 worker and on 2, both on all processors.
fn workers(plan: Plan, pinned: Pinned) -> Result<(String, bool), String> {
    let case = case();
    let servers = Servers::start(&case, 0)?;
    let mut proxies = Vec::new();
    for peer in [Peer::Haproxy, Peer::Heptad] {
        for workers in [1, 2] {
            let setting = Setting { workers, processors: "0,1", ..Setting::of(&servers, &case) };
            proxies.push((
                peer,
                workers,
                Running::start(peer, &case, &setting, pinned)?,
                Vec::new(),
            ));
        }
    }
    progress("what one worker carries");
    let (_, _, one, _) = &proxies[2];
    let offered = 0.4 * rounds::generate(&case, one, Pace::Closed, plan)?.rate();
    for round in 1..=plan.rounds {
        for (peer, workers, proxy, samples) in &mut proxies {
            progress(&format!("round {round}: {} with {workers} workers", peer.name()));
            samples.push(rounds::generate(&case, proxy, Pace::Open(offered), plan)?);
        }
    }
    progress("");
    let mut table =
        vec![["", "workers", "µs/request", "to 1 worker", "p99 µs", "errors"].map(str::to_owned)];
    let mut ratio = None;
    for pair in proxies.chunks(2) {
        let [(_, _, _, ones), ..] = pair else { continue };
        for (peer, workers, _, samples) in pair {
            let costs =
                samples.iter().zip(ones).filter_map(|(s, one)| Some(s.cost()? / one.cost()?));
            let to_one = median(costs).unwrap_or_default();
            if (*peer, *workers) == (Peer::Heptad, 2) {
                ratio = Some(to_one);
            }
            table.push([
                peer.name().to_owned(),
                workers.to_string(),
                format!(
                    "{:.2}",
                    median(samples.iter().filter_map(|s| s.cost())).unwrap_or_default()
                ),
                format!("{to_one:.2}"),
                format!(
                    "{:.0}",
                    median(samples.iter().map(|s| s.p99.as_secs_f64() * 1e6)).unwrap_or_default()
                ),
                samples.iter().map(|s| s.errors).sum::<u64>().to_string(),
            ]);
        }
    }
    let ratio = ratio.unwrap_or(f64::INFINITY);
    let met = ratio <= WORKERS;
    let word = if met { "ok" } else { "MISSED" };
    let head = format!(
        "workers: {} at {offered:.0} requests/s, all processors for everybody",
        case.name()
    );
    let verdict =
        format!("{word}: {ratio:.2} times the cost with 2 workers, required {WORKERS:.2}");
    Ok((output::section(&head, &table, &[verdict]), met))
}

/// How long a start and a reload take, and what they need.
fn sizes(plan: Plan, pinned: Pinned) -> Result<(String, bool), String> {
    let case = case();
    let servers = Servers::start(&case, 0)?;
    let mut table = vec![
        [
            "",
            "routes",
            "endpoints",
            "listening ms",
            "reload ms",
            "longest call ms",
            "MiB at start",
            "MiB after reload",
        ]
        .map(str::to_owned),
    ];
    let mut listening = f64::INFINITY;
    for (peer, routes, endpoints) in
        [(Peer::Haproxy, 0, 0), (Peer::Heptad, 0, 0), (Peer::Heptad, 100_000, ENDPOINTS)]
    {
        let (mut starts, mut reloads, mut longest) = (Vec::new(), Vec::new(), Vec::new());
        let (mut memory, mut reloaded) = (Vec::new(), Vec::new());
        for round in 1..=plan.rounds {
            progress(&format!("round {round}: start of {} with {routes} routes", peer.name()));
            let setting = Setting { routes, endpoints, ..Setting::of(&servers, &case) };
            let running = Running::start(peer, &case, &setting, pinned)?;
            starts.push(running.took.as_secs_f64() * 1e3);
            let pid = running.pid().ok_or("there is no process")?;
            memory.push(account::kib(pid, "VmRSS")? as f64 / 1024.0);
            if peer == Peer::Heptad {
                let (took, call) = reload(&case, &running, pid)?;
                reloads.push(took.as_secs_f64() * 1e3);
                longest.push(call.as_secs_f64() * 1e3);
                reloaded.push(account::kib(pid, "VmRSS")? as f64 / 1024.0);
            }
        }
        let shown =
            |all: Vec<f64>| median(all.into_iter()).map_or("-".to_owned(), |n| format!("{n:.1}"));
        if (peer, routes) == (Peer::Heptad, 0) {
            listening = median(starts.iter().copied()).unwrap_or(f64::INFINITY);
        }
        table.push([
            peer.name().to_owned(),
            routes.to_string(),
            endpoints.to_string(),
            shown(starts),
            shown(reloads),
            shown(longest),
            shown(memory),
            shown(reloaded),
        ]);
    }
    progress("");
    let met = listening <= LISTENING_MS;
    let word = if met { "ok" } else { "MISSED" };
    let verdict = format!("{word}: listening after {listening:.1} ms, required {LISTENING_MS:.1}");
    let head = "start and reload: from the start of the process to the first connection, from SIGHUP to \
                the first call that meets the new routes";
    Ok((output::section(head, &table, &[verdict]), met))
}

/// From the signal to the first call that the new routes refuse, and the longest call meanwhile.
fn reload(case: &Case, running: &Running, pid: u32) -> Result<(Duration, Duration), String> {
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, running.port));
    let mut client = Generator::connect(to, case.traffic(), 1, 1).map_err(|e| e.to_string())?;
    let limit = Duration::from_secs(5);
    let mut call = || {
        let begin = Instant::now();
        let report = client.once(1, limit).map_err(|e| e.to_string())?;
        if report.faults.keys().any(|fault| *fault != Fault::Refused) {
            return Err(format!("during a reload: {:?}", report.faults));
        }
        Ok((report.faults.is_empty(), begin.elapsed()))
    };
    if !call()?.0 {
        return Err("a call was refused before the reload".to_owned());
    }
    running.rewrite(|text| {
        text.replace(
            "match: { method: echo }, to: servers",
            "match: { method: echo }, answer: { error: changed }",
        )
    })?;
    let begin = Instant::now();
    let kill = Command::new("kill").args(["-HUP", &pid.to_string()]).stdin(Stdio::null()).status();
    if !kill.is_ok_and(|status| status.success()) {
        return Err("kill -HUP does not work".to_owned());
    }
    let mut longest = Duration::ZERO;
    while begin.elapsed() < Duration::from_secs(60) {
        let (old, took) = call()?;
        longest = longest.max(took);
        if !old {
            return Ok((begin.elapsed(), longest));
        }
    }
    Err("the new routes were never in use".to_owned())
}

/// The cost of a request behind few routes and behind many.
fn flat(plan: Plan, pinned: Pinned) -> Result<String, String> {
    let case = case();
    let servers = Servers::start(&case, 0)?;
    let mut proxies = Vec::new();
    for routes in ROUTES {
        let setting = Setting { routes, ..Setting::of(&servers, &case) };
        proxies.push((routes, Running::start(Peer::Heptad, &case, &setting, pinned)?, Vec::new()));
    }
    for round in 1..=plan.rounds {
        for (routes, proxy, samples) in &mut proxies {
            progress(&format!("round {round}: {routes} routes"));
            samples.push(rounds::generate(&case, proxy, Pace::Closed, plan)?);
        }
    }
    progress("");
    let mut table = vec![["routes", "µs/request", "to 10 routes", "errors"].map(str::to_owned)];
    let few: Vec<Option<f64>> = proxies[0].2.iter().map(|s| s.cost()).collect();
    for (routes, _, samples) in &proxies {
        let to_few = samples.iter().zip(&few).filter_map(|(s, few)| Some(s.cost()? / (*few)?));
        table.push([
            routes.to_string(),
            format!("{:.2}", median(samples.iter().filter_map(|s| s.cost())).unwrap_or_default()),
            format!("{:.2}", median(to_few).unwrap_or_default()),
            samples.iter().map(|s| s.errors).sum::<u64>().to_string(),
        ]);
    }
    let head = format!("look-up: {} behind so many routes by method", case.name());
    Ok(output::section(&head, &table, &[]))
}
