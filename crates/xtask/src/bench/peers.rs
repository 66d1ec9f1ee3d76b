//! The proxies that are compared, each with the configuration that does the same work.

use std::{
    fs::File,
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use heptad_load::Command as RedisCommand;
use tempfile::TempDir;

use super::{
    cases::{Case, Work},
    envoy,
    rounds::Servers,
};
use crate::{
    paths,
    rig::{Kept, free_port, wait_until},
};

/// Who stands between clients and servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    Direct,
    Haproxy,
    Heptad,
    EnvoyThrift,
    EnvoyDubbo,
    EnvoyGeneric,
    EnvoyRedis,
    Twemproxy,
    /// Not a proxy: what sharing a link costs at least.
    Bare,
}

/// In the order of a table.
const ALL: [Peer; 9] = [
    Peer::Direct,
    Peer::Haproxy,
    Peer::Heptad,
    Peer::EnvoyThrift,
    Peer::EnvoyDubbo,
    Peer::EnvoyGeneric,
    Peer::EnvoyRedis,
    Peer::Twemproxy,
    Peer::Bare,
];

impl Peer {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Haproxy => "haproxy",
            Self::Heptad => "heptad",
            Self::EnvoyThrift => "envoy-thrift",
            Self::EnvoyDubbo => "envoy-dubbo",
            Self::EnvoyGeneric => "envoy-generic",
            Self::EnvoyRedis => "envoy-redis",
            Self::Twemproxy => "twemproxy",
            Self::Bare => "bare",
        }
    }

    /// Those that speak a case's protocol, or none at all; `only`: names, or beginnings of them.
    pub(super) fn of(case: &Case, only: &[String]) -> Vec<Self> {
        let speaks = |peer: &&Self| match peer {
            Self::Direct | Self::Haproxy | Self::Heptad => true,
            Self::EnvoyThrift => matches!(case.work, Work::Thrift { .. }),
            Self::EnvoyDubbo | Self::EnvoyGeneric => matches!(case.work, Work::Dubbo { .. }),
            Self::EnvoyRedis | Self::Twemproxy => matches!(case.work, Work::Redis(_)),
            Self::Bare => match case.work {
                Work::Thrift { shared } => shared,
                Work::Dubbo { .. } => true,
                Work::Redis(_) => false,
            },
        };
        let wanted = |peer: &&Self| {
            only.is_empty() || only.iter().any(|o| peer.name().starts_with(o.as_str()))
        };
        ALL.iter().filter(speaks).filter(wanted).copied().collect()
    }

    /// Whether a name of `--peers` means somebody.
    pub(super) fn known(name: &str) -> bool {
        !name.is_empty() && ALL.iter().any(|peer| peer.name().starts_with(name))
    }

    /// Why a peer cannot do a case.
    pub(super) fn cannot(self, case: &Case) -> Option<&'static str> {
        let split = case.work == Work::Redis(RedisCommand::Mget);
        match self {
            Self::Direct if split => Some("one server has not all the keys of a command"),
            Self::Haproxy if split => Some("cannot take a command apart"),
            _ => None,
        }
    }
}

/// Which processors there are for whom.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pinned {
    /// Whether there are two.
    pub(super) apart: bool,
}

impl Pinned {
    /// Puts this process, and all it will start, on the first processor, if there is a second one.
    pub(super) fn start() -> Result<Self, String> {
        files()?;
        let apart = std::thread::available_parallelism().is_ok_and(|n| n.get() >= 2);
        if apart {
            let me = std::process::id().to_string();
            let done = Command::new("taskset")
                .args(["--all-tasks", "--cpu-list", "--pid", "0", &me])
                .stdout(Stdio::null())
                .status();
            if !done.is_ok_and(|status| status.success()) {
                return Err("taskset (Debian's util-linux) does not work".to_owned());
            }
        }
        Ok(Self { apart })
    }

    /// A command that runs on the processors of a list such as `1` or `0,1`.
    pub(super) fn command(self, processors: &str, program: &Path) -> Command {
        if !self.apart {
            return Command::new(program);
        }
        let mut command = Command::new("taskset");
        command.args(["--cpu-list", processors]).arg(program);
        command
    }
}

/// Lets this process, and all it will start, open as many files as it may.
fn files() -> Result<(), String> {
    let most = most_files()?;
    let me = std::process::id().to_string();
    let done =
        Command::new("prlimit").args(["--pid", &me, &format!("--nofile={most}:{most}")]).status();
    match done {
        Ok(status) if status.success() => Ok(()),
        _ => Err("prlimit (Debian's util-linux) does not work".to_owned()),
    }
}

/// How many files a process may open if it asks for it.
pub(super) fn most_files() -> Result<u64, String> {
    let text = std::fs::read_to_string("/proc/self/limits").map_err(|e| e.to_string())?;
    let line = text.lines().find_map(|l| l.strip_prefix("Max open files"));
    let hard = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
    hard.ok_or_else(|| "/proc/self/limits does not say how many files may be open".to_owned())
}

/// What a proxy is told beside the case.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    /// Where the servers are.
    pub(super) servers: Vec<u16>,
    pub(super) workers: usize,
    /// Whether Heptad's worker may pause.
    pub(super) moderation: bool,
    pub(super) processors: &'static str,
    /// Routes of Heptad that are asked before the one that is measured, each for another method.
    pub(super) routes: usize,
    /// Endpoints of Heptad beside the servers.
    pub(super) endpoints: usize,
    /// Most links of Heptad to a server, where a call has a link to itself.
    pub(super) links: usize,
    /// Calls that are in flight at the same time.
    pub(super) in_flight: usize,
    /// The server of calls of the method `loud`.
    pub(super) loud: Option<u16>,
}

impl Setting {
    /// One worker on a processor of its own, and nothing more than is needed.
    pub(super) fn of(servers: &Servers, case: &Case) -> Self {
        Self {
            servers: servers.ports.clone(),
            workers: 1,
            moderation: false,
            processors: "1",
            routes: 0,
            endpoints: 0,
            links: 1024,
            in_flight: case.connections * case.depth,
            loud: None,
        }
    }
}

/// Most proxies listen by then.
const SOON: Duration = Duration::from_secs(10);

/// A proxy that runs; `Direct` is none.
pub(super) struct Running {
    pub(super) peer: Peer,
    pub(super) port: u16,
    /// Where clients call `loud`: a relay cannot tell by the method.
    pub(super) loud: u16,
    /// From the start of its process to its first connection.
    pub(super) took: Duration,
    process: Option<Kept>,
    dir: TempDir,
}

impl Running {
    /// Starts a peer in front of servers and waits until it listens.
    pub(super) fn start(
        peer: Peer,
        case: &Case,
        setting: &Setting,
        pinned: Pinned,
    ) -> Result<Self, String> {
        let dir = TempDir::with_prefix("heptad-bench-").map_err(|e| e.to_string())?;
        let first = setting.servers.first().copied().ok_or("there is no server")?;
        if peer == Peer::Direct {
            let loud = setting.loud.unwrap_or(first);
            return Ok(Self { peer, port: first, loud, took: Duration::ZERO, process: None, dir });
        }
        let (port, side) = (free_port()?, free_port()?);
        let (text, name) = match peer {
            Peer::Direct | Peer::Haproxy => (haproxy(port, side, setting), "haproxy.cfg"),
            Peer::Heptad => (heptad(case, port, side, setting, dir.path()), "heptad.yaml"),
            Peer::Twemproxy => (twemproxy(port, &setting.servers), "nutcracker.yml"),
            Peer::Bare => (String::new(), "bare"),
            _ => (envoy::config(peer, port, &setting.servers), "envoy.yaml"),
        };
        let config = dir.path().join(name);
        std::fs::write(&config, text).map_err(|e| e.to_string())?;
        let program = program(peer)?;
        let mut command = pinned.command(setting.processors, &program);
        match peer {
            Peer::Direct | Peer::Haproxy => command.arg("-db").arg("-f").arg(&config),
            Peer::Heptad => command.arg("run").arg("-c").arg(&config),
            Peer::Bare => {
                let protocol =
                    if matches!(case.work, Work::Dubbo { .. }) { "dubbo" } else { "thrift" };
                command.args(["bench-bare", protocol, &port.to_string(), &first.to_string()])
            }
            Peer::Twemproxy => command
                .arg("-c")
                .arg(&config)
                .args(["-a", "127.0.0.1", "-s", &side.to_string()])
                .arg("-o")
                .arg(dir.path().join("nutcracker.log")),
            _ => command
                .args(["--concurrency", &setting.workers.to_string(), "--disable-hot-restart"])
                .args(["--log-level", "error", "-c"])
                .arg(&config),
        };
        let log = dir.path().join("log");
        let out = File::create(&log).map_err(|e| e.to_string())?;
        let begin = Instant::now();
        let child = command
            .stdin(Stdio::null())
            .stdout(out.try_clone().map_err(|e| e.to_string())?)
            .stderr(out)
            .spawn()
            .map_err(|e| format!("{}: {e}", program.display()))?;
        let mut process = Kept(child);
        let listens = || TcpStream::connect(("127.0.0.1", port)).is_ok();
        // Looked at often, for those who want to know how long it took.
        while !listens() && begin.elapsed() < SOON {
            thread::sleep(Duration::from_micros(200));
        }
        let took = begin.elapsed();
        wait_until(peer.name(), &mut process, &log, listens)?;
        let loud = if peer == Peer::Haproxy && setting.loud.is_some() { side } else { port };
        Ok(Self { peer, port, loud, took, process: Some(process), dir })
    }

    /// Changes its configuration file; it is not told.
    pub(super) fn rewrite(&self, change: impl FnOnce(String) -> String) -> Result<(), String> {
        let file = self.dir.path().join("heptad.yaml");
        let text = std::fs::read_to_string(&file).map_err(|e| e.to_string())?;
        std::fs::write(&file, change(text)).map_err(|e| e.to_string())
    }

    /// The process whose time and memory count.
    pub(super) fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(|process| process.0.id())
    }
}

/// Where a peer's program is.
pub(super) fn program(peer: Peer) -> Result<PathBuf, String> {
    let (name, file) = match peer {
        Peer::Heptad => return Ok(super::heptad_binary()),
        Peer::Direct | Peer::Haproxy => ("haproxy", paths::program("haproxy")),
        Peer::Twemproxy => ("nutcracker", paths::program("nutcracker")),
        Peer::Bare => ("this program", std::env::current_exe().ok()),
        _ => ("envoy", paths::envoy()),
    };
    file.ok_or_else(|| format!("{name} is not installed"))
}

fn haproxy(port: u16, side: u16, setting: &Setting) -> String {
    let mut text = format!(
        "global\n  nbthread {}\ndefaults\n  mode tcp\n  timeout connect 5s\n  \
         timeout client 5m\n  timeout server 5m\n",
        setting.workers
    );
    let first = setting.servers.first().map(|server| (port, server));
    let loud = setting.loud.as_ref().map(|server| (side, server));
    for (n, (port, server)) in first.into_iter().chain(loud).enumerate() {
        text += &format!(
            "frontend clients{n}\n  bind 127.0.0.1:{port}\n  default_backend servers{n}\n\
             backend servers{n}\n  server one 127.0.0.1:{server}\n"
        );
    }
    text
}

fn twemproxy(port: u16, servers: &[u16]) -> String {
    let mut text = format!(
        "bench:\n  listen: 127.0.0.1:{port}\n  redis: true\n  hash: fnv1a_64\n  \
         distribution: ketama\n  auto_eject_hosts: false\n  backlog: 4096\n  servers:\n"
    );
    for server in servers {
        text.push_str(&format!("   - 127.0.0.1:{server}:1\n"));
    }
    text
}

/// Routes by method, a rule of authorization and the access log in every case; metrics are always
/// on. Only what a case is about differs.
fn heptad(case: &Case, port: u16, admin: u16, setting: &Setting, dir: &Path) -> String {
    // The default is enough for most cases, but not for 500 clients with 16 calls each.
    let shared = match setting.in_flight {
        0..=1024 => "share: true".to_owned(),
        more => format!("share: true, max_in_flight: {more}"),
    };
    let apart = format!("share: false, max: {}", setting.links);
    let (codec, deny, routes, links) = match case.work {
        Work::Thrift { shared: together } => {
            ("thrift", "erase", "{ method: echo }", if together { &shared } else { &apart })
        }
        Work::Dubbo { attachments } => (
            "dubbo",
            "erase",
            if attachments { "{ method: echo, header.tenant: bench }" } else { "{ method: echo }" },
            &shared,
        ),
        Work::Redis(_) => (
            "redis",
            "{ any: [ FLUSHALL, FLUSHDB, KEYS ] }",
            "{ method: { any: [ GET, SET, MGET ] } }",
            &shared,
        ),
    };
    let endpoints: Vec<String> = setting.servers.iter().map(|p| format!("127.0.0.1:{p}")).collect();
    let balance =
        if endpoints.len() > 1 { "balance: ring, hash: { function: fnv1a_64 }," } else { "" };
    // Nor for as many large frames, of which most must wait.
    let limits = match setting.in_flight {
        0..=1024 => String::new(),
        more => format!("limits: {{ queue: {more} }}\n  "),
    };
    // The service of a Dubbo call is known for certain only behind its attachments.
    let fields = match case.work {
        Work::Dubbo { attachments: false } => {
            ", fields: [ time, source.ip, method, route, cluster, endpoint, outcome, duration ]"
        }
        _ => "",
    };
    let (mut more_routes, mut more_clusters) = more(setting);
    if let Some(loud) = setting.loud {
        more_routes += "- { name: loud, match: { method: loud }, to: loud }\n  ";
        more_clusters += &format!(
            "- {{ name: loud, endpoints: [ 127.0.0.1:{loud} ], links: {{ {shared} }} }}\n"
        );
    }
    format!(
        "workers: {workers}\n\
         moderation: {moderation}\n\
         admin: {{ listen: 127.0.0.1:{admin} }}\n\
         log: {{ level: warn }}\n\
         listeners:\n\
         - name: bench\n  \
           listen: 127.0.0.1:{port}\n  \
           codec: {codec}\n  \
           {limits}\
           filters:\n  \
           - access_log: {{ path: {log}, sample: 1{fields} }}\n  \
           - authorize: {{ deny: [ {{ method: {deny} }} ] }}\n  \
           routes:\n  \
           - {{ name: billing, match: {{ method: {{ prefix: bill }} }}, to: others }}\n  \
           - {{ name: stock, match: {{ method: {{ any: [ reserve, release ] }} }}, to: others }}\n  \
           {more_routes}- {{ name: measured, match: {routes}, to: servers, timeout: 60s }}\n  \
           - {{ name: rest, to: others }}\n\
         clusters:\n\
         - {{ name: servers, endpoints: [ {endpoints} ], {balance} \
           connect_timeout: 30s, links: {{ {links} }} }}\n\
         - {{ name: others, endpoints: [ 127.0.0.1:{first} ] }}\n{more_clusters}",
        workers = setting.workers,
        moderation = setting.moderation,
        log = dir.join("access.log").display(),
        fields = fields,
        endpoints = endpoints.join(", "),
        first = setting.servers.first().copied().unwrap_or_default(),
    )
}

/// Endpoints of a cluster.
const TOGETHER: usize = 100;

/// Routes and clusters that no request of a case takes.
fn more(setting: &Setting) -> (String, String) {
    let clusters = setting.endpoints.div_ceil(TOGETHER);
    let (mut routes, mut all) = (String::new(), String::new());
    for n in 0..setting.routes {
        let to = if clusters == 0 { "others".to_owned() } else { format!("more-{}", n % clusters) };
        routes += &format!("- {{ name: r{n}, match: {{ method: method{n} }}, to: {to} }}\n  ");
    }
    for cluster in 0..clusters {
        let count = TOGETHER.min(setting.endpoints - cluster * TOGETHER);
        let one = |n: usize| format!("127.1.{}.{}:9000", cluster % 256, n + 1);
        let endpoints: Vec<String> = (0..count).map(one).collect();
        all += &format!("- {{ name: more-{cluster}, endpoints: [ {} ] }}\n", endpoints.join(", "));
    }
    (routes, all)
}
