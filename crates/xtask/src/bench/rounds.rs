//! A case: servers, all peers, and rounds in which each peer is measured once.
//!
//! Rounds are interleaved, so that what else the machine does meets every peer alike, and ratios
//! are taken within a round.

use std::{
    net::{Ipv4Addr, SocketAddr},
    process::{Command, Stdio},
    time::Duration,
};

use heptad_load::{Generator, Pace, Phase, Redis, Report};

use super::{
    account,
    cases::{Case, Driver, Work},
    peers::{Peer, Pinned, Running, Setting},
    redis_benchmark,
};
use crate::{
    paths,
    rig::{Kept, RedisServer, free_port, resp::Client, wait_until},
};

/// How long is measured, and how often.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) rounds: usize,
    pub(super) warm_up: Duration,
    pub(super) measure: Duration,
}

/// What one peer did in one round.
#[derive(Clone, Debug, Default)]
pub(super) struct Sample {
    pub(super) requests: u64,
    pub(super) elapsed: Duration,
    /// Processor time of the proxy; there is none without a proxy.
    pub(super) cpu: Option<Duration>,
    pub(super) p50: Duration,
    pub(super) p99: Duration,
    /// redis-benchmark does not tell.
    pub(super) p999: Option<Duration>,
    /// Peak memory of the proxy in KiB.
    pub(super) peak: Option<u64>,
    pub(super) errors: u64,
    /// What kinds of errors there were.
    pub(super) faults: String,
}

impl Sample {
    /// What a generator reports.
    pub(super) fn of(report: &Report) -> Self {
        Self {
            requests: report.requests,
            elapsed: report.elapsed,
            p50: report.latency.quantile(0.5),
            p99: report.latency.quantile(0.99),
            p999: Some(report.latency.quantile(0.999)),
            errors: report.errors(),
            faults: if report.faults.is_empty() {
                String::new()
            } else {
                format!("{:?}", report.faults)
            },
            ..Self::default()
        }
    }

    /// Microseconds of processor time per request.
    pub(super) fn cost(&self) -> Option<f64> {
        let cpu = self.cpu?;
        (self.requests > 0).then(|| cpu.as_secs_f64() * 1e6 / self.requests as f64)
    }

    /// Requests per second.
    pub(super) fn rate(&self) -> f64 {
        if self.elapsed.is_zero() { 0.0 } else { self.requests as f64 / self.elapsed.as_secs_f64() }
    }
}

/// What one peer did in a case: a sample for each round, or why it did nothing.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) peer: Peer,
    pub(super) samples: Vec<Sample>,
    pub(super) cannot: Option<String>,
}

/// A case that was measured.
#[derive(Clone, Debug)]
pub(super) struct Measured {
    pub(super) case: Case,
    pub(super) rows: Vec<Row>,
}

/// The servers behind the proxies of a case.
pub(super) struct Servers {
    _stores: Vec<RedisServer>,
    _echo: Option<Kept>,
    pub(super) ports: Vec<u16>,
}

impl Servers {
    /// Starts and fills them. `gather`: see [`heptad_load::Echo`].
    pub(super) fn start(case: &Case, gather: usize) -> Result<Self, String> {
        let protocol = match case.work {
            Work::Thrift { .. } => "thrift",
            Work::Dubbo { .. } => "dubbo",
            Work::Redis(command) => {
                let stores: Result<Vec<_>, _> =
                    (0..case.servers()).map(|_| RedisServer::start()).collect();
                let stores = stores?;
                for store in &stores {
                    fill(store, &Redis::new(command, case.bytes), case.bytes)
                        .map_err(|e| format!("redis-server: {e}"))?;
                }
                let ports = stores.iter().map(|store| store.port).collect();
                return Ok(Self { _stores: stores, _echo: None, ports });
            }
        };
        let (echo, port) = echo(me()?, protocol, gather)?;
        Ok(Self { _stores: Vec::new(), _echo: Some(echo), ports: vec![port] })
    }
}

/// Every store has every key: each proxy places them in its own way.
fn fill(store: &RedisServer, redis: &Redis, bytes: usize) -> Result<(), String> {
    let mut client = store.client()?;
    let ok = |client: &mut Client, command: &[u8]| {
        client.send_raw(command).map_err(|e| e.to_string())?;
        let reply = client.read().map_err(|e| e.to_string())?;
        if reply.is_error() { Err(reply.to_string()) } else { Ok(()) }
    };
    for command in redis.fill() {
        ok(&mut client, &command)?;
    }
    let value = "x".repeat(bytes);
    ok(&mut client, &crate::rig::resp::frame(&["SET", redis_benchmark::KEY, &value]))
}

/// A command for this program itself.
pub(super) fn me() -> Result<Command, String> {
    std::env::current_exe().map(Command::new).map_err(|e| e.to_string())
}

/// Starts a server that echoes, by a command that starts this program.
pub(super) fn echo(mut me: Command, protocol: &str, gather: usize) -> Result<(Kept, u16), String> {
    let port = free_port()?;
    let child = me
        .args(["bench-backend", protocol, &port.to_string(), &gather.to_string()])
        .stdin(Stdio::null())
        .spawn()
        .map_err(|e| format!("bench-backend: {e}"))?;
    let mut echo = Kept(child);
    wait_until("bench-backend", &mut echo, std::path::Path::new(""), || {
        std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
    })?;
    Ok((echo, port))
}

/// Measures a case; `say` is told what goes on.
pub(super) fn measure(
    case: &Case,
    only: &[String],
    plan: Plan,
    pinned: Pinned,
    say: &mut dyn FnMut(&str),
) -> Result<Measured, String> {
    let servers = Servers::start(case, 0)?;
    let setting = Setting { moderation: true, ..Setting::of(&servers, case) };
    let mut rows = Vec::new();
    let mut running = Vec::new();
    for peer in Peer::of(case, only) {
        let cannot = peer.cannot(case).map(str::to_owned);
        let started = match cannot {
            Some(_) => None,
            None => {
                say(&format!("starting {}", peer.name()));
                Some(Running::start(peer, case, &setting, pinned)?)
            }
        };
        rows.push(Row { peer, samples: Vec::new(), cannot });
        running.push(started);
    }
    let offered = match case.driver {
        Driver::Open(share) => Some(share * capacity(case, &running, plan, say)?),
        _ => None,
    };
    for round in 1..=plan.rounds {
        for (row, proxy) in rows.iter_mut().zip(&running) {
            let Some(proxy) = proxy else { continue };
            say(&format!("round {round} of {}: {}", plan.rounds, row.peer.name()));
            let pace = offered.map_or(Pace::Closed, Pace::Open);
            match sample(case, proxy, pace, plan) {
                Ok(sample) => row.samples.push(sample),
                Err(error) => row.cannot = Some(error),
            }
        }
    }
    Ok(Measured { case: case.clone(), rows })
}

/// What HAProxy, or whoever is there in its place, carries in a closed loop.
fn capacity(
    case: &Case,
    running: &[Option<Running>],
    plan: Plan,
    say: &mut dyn FnMut(&str),
) -> Result<f64, String> {
    let all = || running.iter().flatten();
    let proxy = all().find(|r| r.peer == Peer::Haproxy).or_else(|| all().next());
    let proxy = proxy.ok_or("there is nobody to measure")?;
    say(&format!("what {} carries", proxy.peer.name()));
    Ok(generate(case, proxy, Pace::Closed, plan)?.rate())
}

fn sample(case: &Case, proxy: &Running, pace: Pace, plan: Plan) -> Result<Sample, String> {
    let mut sample = match case.driver {
        Driver::RedisBenchmark => redis_benchmark::run(case, proxy, plan)?,
        _ => generate(case, proxy, pace, plan)?,
    };
    sample.peak = proxy.pid().map(|pid| account::kib(pid, "VmHWM")).transpose()?;
    Ok(sample)
}

/// One run of our own generator.
pub(super) fn generate(
    case: &Case,
    proxy: &Running,
    pace: Pace,
    plan: Plan,
) -> Result<Sample, String> {
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, proxy.port));
    let mut generator = Generator::connect(to, case.traffic(), case.connections, case.depth)
        .map_err(|e| format!("cannot connect: {e}"))?;
    let (mut before, mut after) = (None, None);
    let report = generator
        .run(pace, plan.warm_up, plan.measure, &mut |phase| {
            let now = proxy.pid().map(account::cpu);
            match phase {
                Phase::Measuring => before = now,
                Phase::Measured => after = now,
            }
        })
        .map_err(|e| e.to_string())?;
    let mut sample = Sample::of(&report);
    if let (Some(before), Some(after)) = (before.transpose()?, after.transpose()?) {
        sample.cpu = Some(after.saturating_sub(before));
    }
    Ok(sample)
}

/// `cargo xtask bench-backend`: a server as a process of its own, on the processor of the clients.
pub(crate) fn backend(args: &[String]) -> Result<bool, String> {
    let [protocol, port, gather] = args else {
        return Err("bench-backend PROTOCOL PORT GATHER".to_owned());
    };
    let port: u16 = port.parse().map_err(|e| format!("{port}: {e}"))?;
    let gather = gather.parse().map_err(|e| format!("{gather}: {e}"))?;
    let answer: Box<dyn heptad_load::Answer> = match protocol.as_str() {
        "thrift" => Box::new(heptad_load::Thrift::new(16)),
        "dubbo" => Box::new(heptad_load::Dubbo::new(16)),
        other => return Err(format!("there is no server for {other}")),
    };
    let on = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let listener = heptad_load::listen(on).map_err(|e| format!("{on}: {e}"))?;
    match heptad_load::serve(listener, answer.as_ref(), heptad_load::Echo { gather }) {
        Err(error) => Err(format!("bench-backend: {error}")),
        Ok(never) => match never {},
    }
}

/// `cargo xtask bench-bare`: a relay that does nothing but relay, as a process of its own.
pub(crate) fn bare(args: &[String]) -> Result<bool, String> {
    let [protocol, port, server] = args else {
        return Err("bench-bare PROTOCOL PORT SERVER".to_owned());
    };
    let local = |port: &String| match port.parse() {
        Ok(port) => Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
        Err(error) => Err(format!("{port}: {error}")),
    };
    let cut = match protocol.as_str() {
        "thrift" => heptad_load::thrift_frame,
        "dubbo" => heptad_load::dubbo_frame,
        other => return Err(format!("there is no bare relay for {other}")),
    };
    let listener = heptad_load::listen(local(port)?).map_err(|e| format!("{port}: {e}"))?;
    match heptad_load::relay(listener, local(server)?, cut) {
        Err(error) => Err(format!("bench-bare: {error}")),
        Ok(never) => match never {},
    }
}

/// Builds what is shipped, unless `HEPTAD` names another one.
pub(super) fn build() -> Result<(), String> {
    if std::env::var_os("HEPTAD").is_some() {
        return Ok(());
    }
    let out = Command::new("cargo")
        .args(["build", "--quiet", "--profile", "dist", "-p", "heptad-cli"])
        .current_dir(paths::root())
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("cargo build: {e}"))?;
    if out.status.success() {
        Ok(())
    } else {
        Err(format!("cargo build: {}\n{}", out.status, String::from_utf8_lossy(&out.stderr)))
    }
}
