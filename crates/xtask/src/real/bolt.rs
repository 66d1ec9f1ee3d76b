//! The suites on real Bolt clients and servers: sofa-rpc-node (versions 1 and 2, with and without a
//! checksum, hessian2 and protobuf) and anthunder (version 1, protobuf). The router speaks Bolt by a
//! description. Their scripts are in `tests/real/bolt`.

use std::{
    io::{BufRead as _, BufReader},
    net::TcpListener,
    path::PathBuf,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use serde_json::Value;

use super::{clients::steps, transcript};
use crate::{
    paths,
    rig::{Kept, Metrics, Middle, Proxy, run_bounded},
    tally::Tally,
};

/// A library with a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Library {
    Node,
    Anthunder,
}

impl Library {
    const ALL: [Self; 2] = [Self::Node, Self::Anthunder];

    fn name(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Anthunder => "anthunder",
        }
    }
}

struct Server {
    _process: Kept,
    port: u16,
}

impl Server {
    fn start(library: Library) -> Result<Self, String> {
        let mut command = match library {
            Library::Node => node("serve.js"),
            Library::Anthunder => python("serve.py"),
        };
        let child = command
            .arg("alpha")
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

fn folder() -> PathBuf {
    paths::real().join("bolt")
}

fn node(script: &str) -> Command {
    let mut command = Command::new("node");
    command.arg(folder().join("node").join(script));
    command
}

fn python(script: &str) -> Command {
    let mut command = Command::new(paths::python());
    command.arg(folder().join("python").join(script)).env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

fn proxy(template: &str, endpoints: &[u16]) -> Result<Proxy, String> {
    let path = folder().join("config").join(template);
    Proxy::start(path.to_str().ok_or("a path that is not text")?, endpoints)
}

/// sofa-rpc-node's client in every dialect, with the servers of both libraries.
pub(super) fn sofa(middle: Middle) -> Result<Tally, String> {
    every(middle, || node("call.js"))
}

/// Both clients of anthunder, with the servers of both libraries.
pub(super) fn anthunder(middle: Middle) -> Result<Tally, String> {
    every(middle, || python("call.py"))
}

fn every(middle: Middle, script: impl Fn() -> Command) -> Result<Tally, String> {
    let mut all = Tally::default();
    for library in Library::ALL {
        let name = library.name();
        let record = |port: u16| {
            let mut command = script();
            command.args(["--server", name]);
            steps(command, port)
        };
        let server = Server::start(library)?;
        let direct = record(server.port).map_err(|e| format!("{name} direct: {e}"))?;
        let server = Server::start(library)?;
        if middle != Middle::Heptad {
            let again = record(server.port).map_err(|e| format!("{name} again: {e}"))?;
            all.add(transcript::compare(name, &direct, &again, false));
            continue;
        }
        let proxy = proxy("one.yaml", &[server.port])?;
        match record(proxy.port) {
            Ok(through) => all.add(transcript::compare(name, &direct, &through, false)),
            Err(e) => all.fail(format!("{name} through: {e}\n{}", proxy.log())),
        }
        // What went through was seen as Bolt's: nothing was refused, and nothing else came.
        let page = Metrics::read(proxy.admin)?;
        let requests = page.sum("heptad_requests_total", &[]);
        all.check(requests >= 10.0, || format!("{name}: {requests} requests were counted"));
        let bad = page.sum("heptad_requests_total", &[r#"outcome="bad_request""#]);
        all.check(bad == 0.0, || format!("{name}: {bad} bad requests"));
    }
    Ok(all)
}

/// Words that a client must be told in each case, by its name.
const CASES: [(&str, &str, &str); 4] = [
    ("Nowhere", "no route matches the request", "NO_PROCESSOR"),
    ("Told", "not on my watch", "RESPSTATUS"),
    ("Dead", "the endpoint", "ERROR_COMM"),
    ("Slow", "no reply within the time-out", "TIMEOUT"),
];

/// The router's own answers reach callers as errors: with its words in sofa-rpc-node, as a status in
/// anthunder, which reads nothing else; and the connection goes on.
pub(super) fn errors(middle: Middle) -> Result<Tally, String> {
    let mut tally = Tally::default();
    if middle != Middle::Heptad {
        // There is nobody who would say these things.
        tally.check(true, String::new);
        return Ok(tally);
    }
    let live = Server::start(Library::Node)?;
    let silent = silent()?;
    let proxy = proxy("errors.yaml", &[live.port, silent])?;
    let mut command = node("errors.js");
    command.arg(proxy.port.to_string());
    let mut seen = 0;
    for line in lines(&mut command)? {
        let text = |key: &str| line.get(key).and_then(Value::as_str).unwrap_or_default();
        if text("name") == "good" {
            tally.check(text("value") == "still here", || format!("{line}"));
            continue;
        }
        seen += 1;
        let case = CASES.iter().find(|(name, ..)| *name == text("name"));
        let words = case.map_or("?", |(_, words, _)| words);
        tally.check(text("error").contains(words), || format!("{line} should say {words:?}"));
    }
    tally.check(seen == 6 * CASES.len(), || format!("{seen} cases"));
    let mut command = python("call.py");
    command.args(["--port", &proxy.port.to_string(), "--errors"]);
    let said = lines(&mut command)?;
    tally.check(said.len() == CASES.len(), || format!("{said:?}"));
    for (line, (name, _, status)) in said.iter().zip(CASES) {
        let text = |key: &str| line.get(key).and_then(Value::as_str).unwrap_or_default();
        let good = text("name") == name && text("error").contains(status);
        tally.check(good, || format!("anthunder: {line} should be {status}"));
    }
    Ok(tally)
}

pub(super) fn lines(command: &mut Command) -> Result<Vec<Value>, String> {
    let out = run_bounded(command, Duration::from_secs(60))?;
    let stdout = String::from_utf8_lossy(&out.stdout);
    if !out.status.success() {
        return Err(format!("{stdout}\n{}", String::from_utf8_lossy(&out.stderr)));
    }
    stdout
        .lines()
        .map(|line| serde_json::from_str(line).map_err(|e| format!("{line}: {e}")))
        .collect()
}

/// A server that takes connections and never answers.
pub(super) fn silent() -> Result<u16, String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|e| e.to_string())?;
    let port = listener.local_addr().map_err(|e| e.to_string())?.port();
    // Ends with the process at the latest.
    thread::spawn(move || {
        let mut open = Vec::new();
        while let Ok((socket, _)) = listener.accept() {
            open.push(socket);
        }
    });
    Ok(port)
}
