//! Processes that live as long as the value that stands for them, on free loopback ports.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, Read},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::{get, resp::Client};
use crate::paths;

/// How long a process may take until it answers.
const START: Duration = Duration::from_secs(20);

/// A process that is killed, by its id, when the value goes.
pub(crate) struct Kept(pub(crate) Child);

impl Kept {
    /// Whether it is still there.
    pub(crate) fn is_alive(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(None))
    }

    /// Ends it at once, as a crash would.
    pub(crate) fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A redis-server with nothing but memory, in a folder of its own.
pub(crate) struct RedisServer {
    pub(crate) process: Kept,
    pub(crate) port: u16,
    _dir: TempDir,
}

impl RedisServer {
    /// Starts one and waits until it answers.
    pub(crate) fn start() -> Result<Self, String> {
        Self::start_on(free_port()?)
    }

    /// As [`RedisServer::start`], on a given port: in the place of one that was killed.
    pub(crate) fn start_on(port: u16) -> Result<Self, String> {
        let dir = TempDir::with_prefix("heptad-redis-").map_err(|e| e.to_string())?;
        let program = paths::program("redis-server").ok_or("redis-server is not installed")?;
        let log = dir.path().join("log");
        let child = Command::new(program)
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no", "--daemonize", "no"])
            .args(["--enable-debug-command", "yes", "--loglevel", "warning"])
            .arg("--dir")
            .arg(dir.path())
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(File::create(&log).map_err(|e| e.to_string())?)
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| format!("redis-server: {e}"))?;
        let mut process = Kept(child);
        wait_until("redis-server", &mut process, &log, || {
            Client::connect(port).is_ok_and(|mut c| c.call(&["PING"]).is_ok())
        })?;
        Ok(Self { process, port, _dir: dir })
    }

    /// A client that speaks to the server without anything in between.
    pub(crate) fn client(&self) -> Result<Client, String> {
        Client::connect(self.port).map_err(|e| format!("server {}: {e}", self.port))
    }
}

/// The router under test.
pub(crate) struct Proxy {
    pub(crate) process: Kept,
    pub(crate) port: u16,
    pub(crate) admin: u16,
    /// Where a second listener is, in templates that have one.
    pub(crate) second: u16,
    log: PathBuf,
    _dir: TempDir,
}

impl Proxy {
    /// Starts `heptad run` with a template of `tests/real/config`, in which `@LISTEN@`, `@SECOND@`,
    /// `@ADMIN@`, `@ENDPOINTS@` (all), and `@ENDPOINT0@`, `@ENDPOINT1@`, … stand for addresses, and waits
    /// until it says that it is ready.
    pub(crate) fn start(template: &str, endpoints: &[u16]) -> Result<Self, String> {
        let template = paths::real().join("config").join(template);
        let text = std::fs::read_to_string(&template)
            .map_err(|e| format!("{}: {e}", template.display()))?;
        Self::start_under(&mut Command::new(paths::heptad()), &text, endpoints)
    }

    /// As [`Proxy::start`], with the template's text, and by a command to which the router's
    /// arguments are added; `@DIR@` is a folder that goes with it.
    pub(crate) fn start_under(
        command: &mut Command,
        text: &str,
        endpoints: &[u16],
    ) -> Result<Self, String> {
        let dir = TempDir::with_prefix("heptad-run-").map_err(|e| e.to_string())?;
        let (port, second, admin) = (free_port()?, free_port()?, free_port()?);
        let all: Vec<String> = endpoints.iter().map(|p| format!("127.0.0.1:{p}")).collect();
        let mut text = text
            .replace("@LISTEN@", &format!("127.0.0.1:{port}"))
            .replace("@SECOND@", &format!("127.0.0.1:{second}"))
            .replace("@ADMIN@", &format!("127.0.0.1:{admin}"))
            .replace("@DIR@", &dir.path().display().to_string())
            .replace("@ENDPOINTS@", &all.join(", "));
        for (i, address) in all.iter().enumerate() {
            text = text.replace(&format!("@ENDPOINT{i}@"), address);
        }
        let config = dir.path().join("heptad.yaml");
        std::fs::write(&config, text).map_err(|e| e.to_string())?;
        let log = dir.path().join("log");
        let out = File::create(&log).map_err(|e| e.to_string())?;
        let child = command
            .arg("run")
            .arg("-c")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(out.try_clone().map_err(|e| e.to_string())?)
            .stderr(out)
            .spawn()
            .map_err(|e| format!("{}: {e}", paths::heptad().display()))?;
        let mut process = Kept(child);
        wait_until("heptad", &mut process, &log, || {
            get(admin, "/ready").is_ok_and(|(status, _)| status == 200)
        })?;
        Ok(Self { process, port, admin, second, log, _dir: dir })
    }

    /// What it printed, for a failure's text.
    pub(crate) fn log(&self) -> String {
        tail(&self.log)
    }
}

/// Debian's twemproxy in front of servers, with a configuration of `tests/real/config`.
pub(crate) struct Nutcracker {
    _process: Kept,
    pub(crate) port: u16,
    _dir: TempDir,
}

impl Nutcracker {
    /// Starts it with a template in which `@LISTEN@` and `@ENDPOINT0@` … stand for addresses.
    pub(crate) fn start(template: &str, endpoints: &[u16]) -> Result<Self, String> {
        let dir = TempDir::with_prefix("heptad-nutcracker-").map_err(|e| e.to_string())?;
        let port = free_port()?;
        let stats = free_port()?;
        let path = paths::real().join("config").join(template);
        let mut text =
            std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        text = text.replace("@LISTEN@", &format!("127.0.0.1:{port}"));
        for (i, server) in endpoints.iter().enumerate() {
            text = text.replace(&format!("@ENDPOINT{i}@"), &format!("127.0.0.1:{server}"));
        }
        let config = dir.path().join("nutcracker.yml");
        std::fs::write(&config, text).map_err(|e| e.to_string())?;
        let log = dir.path().join("log");
        let program = paths::program("nutcracker").ok_or("nutcracker is not installed")?;
        let child = Command::new(program)
            .arg("-c")
            .arg(&config)
            .arg("-o")
            .arg(&log)
            .args(["-a", "127.0.0.1", "-s", &stats.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| format!("nutcracker: {e}"))?;
        let mut process = Kept(child);
        wait_until("nutcracker", &mut process, &log, || {
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        })?;
        Ok(Self { _process: process, port, _dir: dir })
    }
}

/// A port that nobody listened on a moment ago, and that this process was not given before: the
/// system may give a port that was just closed a second time.
pub(crate) fn free_port() -> Result<u16, String> {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut given = GIVEN.lock().map_err(|e| e.to_string())?;
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").map_err(|e| e.to_string())?;
        let port = listener.local_addr().map_err(|e| e.to_string())?.port();
        if given.insert(port) {
            return Ok(port);
        }
    }
}

/// Waits until something is true of a process that was started; an error has the end of its log.
pub(crate) fn wait_until(
    name: &str,
    process: &mut Kept,
    log: &Path,
    mut ready: impl FnMut() -> bool,
) -> Result<(), String> {
    let end = Instant::now() + START;
    while Instant::now() < end {
        if !process.is_alive() {
            return Err(format!("{name} ended at its start:\n{}", tail(log)));
        }
        if ready() {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(10));
    }
    Err(format!("{name} is not ready:\n{}", tail(log)))
}

fn tail(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let from = text.len().saturating_sub(4000);
    String::from_utf8_lossy(text.get(from..).unwrap_or_default()).into_owned()
}

/// Runs a command to its end, or kills it at the limit and reports that as an error with what it
/// had printed.
pub(crate) fn run_bounded(command: &mut Command, limit: Duration) -> Result<Output, String> {
    let name = format!("{:?}", command.get_program());
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("{name}: {e}"))?;
    let out = child.stdout.take().map(drain);
    let err = child.stderr.take().map(drain);
    let end = Instant::now() + limit;
    let status = loop {
        match child.try_wait().map_err(|e| e.to_string())? {
            Some(status) => break Some(status),
            None if Instant::now() > end => {
                let _ = child.kill();
                let _ = child.wait();
                break None;
            }
            None => thread::sleep(Duration::from_millis(5)),
        }
    };
    let collect =
        |t: Option<thread::JoinHandle<Vec<u8>>>| t.and_then(|t| t.join().ok()).unwrap_or_default();
    let (stdout, stderr) = (collect(out), collect(err));
    match status {
        Some(status) => Ok(Output { status, stdout, stderr }),
        None => Err(format!(
            "{name}: not done within {} s\n{}{}",
            limit.as_secs(),
            last_lines(&stdout),
            last_lines(&stderr)
        )),
    }
}

fn last_lines(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(12);
    lines.get(from..).unwrap_or_default().join("\n")
}

fn drain(mut from: impl Read + Send + 'static) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut all = Vec::new();
        let _: io::Result<usize> = from.read_to_end(&mut all);
        all
    })
}
