//! What a suite on Dubbo stands on: servers of three libraries, clients of four, and the router.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::PathBuf,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use serde_json::Value;

use crate::{
    paths,
    rig::{Kept, Middle, Proxy},
};

/// A library that has a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Library {
    /// sofa-rpc-node, with dubbo-remoting as its protocol.
    Sofa,
    /// apache-dubbo-service.
    Apache,
    /// dubbo-py, which serves the calls of a connection one after the other.
    DubboPy,
}

impl Library {
    /// All of them.
    pub(super) const ALL: [Self; 3] = [Self::Sofa, Self::Apache, Self::DubboPy];

    /// Its name in scripts.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Sofa => "sofa",
            Self::Apache => "apache",
            Self::DubboPy => "py",
        }
    }
}

/// A server that tells the name it was given.
pub(super) struct Server {
    _process: Kept,
    pub(super) port: u16,
}

impl Server {
    /// Starts one and waits until it listens.
    pub(super) fn start(library: Library, name: &str) -> Result<Self, String> {
        Self::start_with(library, &[name])
    }

    /// As [`Server::start`], with more arguments for the script.
    pub(super) fn start_with(library: Library, args: &[&str]) -> Result<Self, String> {
        let mut command = match library {
            Library::Sofa => node("serve-sofa.js"),
            Library::Apache => node("serve-apache.js"),
            Library::DubboPy => python("serve.py"),
        };
        let child = command
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| format!("{}: {e}", library.name()))?;
        let mut process = Kept(child);
        let stdout = process.0.stdout.take().ok_or("no pipe")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).map_err(|e| e.to_string())?;
        let said: Option<Value> = serde_json::from_str(&line).ok();
        let port = said.as_ref().and_then(|v| v.get("port")?.as_u64());
        let port = port
            .and_then(|p| u16::try_from(p).ok())
            .ok_or_else(|| format!("the server of {} said {line:?}", library.name()))?;
        Ok(Self { _process: process, port })
    }
}

/// A script of `tests/real/dubbo/node`.
pub(super) fn node(script: &str) -> Command {
    let mut command = Command::new("node");
    command.arg(folder().join("node").join(script));
    command
}

/// A script of `tests/real/dubbo/python`.
pub(super) fn python(script: &str) -> Command {
    let mut command = Command::new(paths::python());
    command.arg(folder().join("python").join(script)).env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

fn folder() -> PathBuf {
    paths::real().join("dubbo")
}

/// Starts Heptad with a template of `tests/real/dubbo/config`.
pub(super) fn proxy(template: &str, endpoints: &[u16]) -> Result<Proxy, String> {
    let path = folder().join("config").join(template);
    Proxy::start(path.to_str().ok_or("a path that is not text")?, endpoints)
}

/// What clients are led to: a server, or the router in front of it.
pub(super) struct Target {
    _server: Server,
    pub(super) proxy: Option<Proxy>,
    pub(super) port: u16,
}

impl Target {
    /// A fresh server, and the router in front of it if that is what is asked for.
    pub(super) fn start(middle: Middle, library: Library) -> Result<Self, String> {
        let server = Server::start(library, "alpha")?;
        if middle != Middle::Heptad {
            let port = server.port;
            return Ok(Self { _server: server, proxy: None, port });
        }
        let proxy = proxy("one.yaml", &[server.port])?;
        let port = proxy.port;
        Ok(Self { _server: server, proxy: Some(proxy), port })
    }

    /// What the router printed, for a failure's text.
    pub(super) fn log(&self) -> String {
        self.proxy.as_ref().map(Proxy::log).unwrap_or_default()
    }
}

/// A client library that makes calls as it is told, on one connection.
pub(super) struct Asker {
    process: Kept,
    replies: mpsc::Receiver<String>,
    /// Its name in scripts.
    pub(super) library: &'static str,
}

impl Asker {
    /// All libraries.
    pub(super) const LIBRARIES: [&str; 4] = ["sofa", "apache", "dubbo_py", "dubbo_ssl"];

    /// A client of a loopback port.
    pub(super) fn start(library: &'static str, port: u16) -> Result<Self, String> {
        let mut command =
            if library.starts_with("dubbo") { python("ask.py") } else { node("ask.js") };
        let child = command
            .args([library, &port.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| format!("{library}: {e}"))?;
        let mut process = Kept(child);
        let stdout = process.0.stdout.take().ok_or("no pipe")?;
        let (send, replies) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self { process, replies, library })
    }

    /// Makes a call: an object with `method`, `args`, and perhaps `service`, `version`,
    /// `attachments`. What came back is an object with `value` or `error`.
    pub(super) fn ask(&mut self, call: &Value) -> Result<Value, String> {
        let stdin = self.process.0.stdin.as_mut().ok_or("no pipe")?;
        writeln!(stdin, "{call}").map_err(|e| format!("{}: {e}", self.library))?;
        let line = self
            .replies
            .recv_timeout(Duration::from_secs(30))
            .map_err(|e| format!("{}, {call}: {e}", self.library))?;
        serde_json::from_str(&line).map_err(|e| format!("{} said {line}: {e}", self.library))
    }
}
