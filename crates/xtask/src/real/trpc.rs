//! The suites on tRPC, whose libraries no registry of ours has: a client and a server in
//! `tests/real/trpc` that write heads with Google's protobuf from the published field numbers, and
//! first make the frames of a published capture of tRPC-Cpp, size by size.

use std::{
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Command, Stdio},
};

use serde_json::Value;

use super::{
    bolt::{lines, silent},
    clients::steps,
    transcript,
};
use crate::{
    paths,
    rig::{Kept, Metrics, Middle, Proxy},
    tally::Tally,
};

fn folder() -> PathBuf {
    paths::real().join("trpc")
}

fn python(script: &str) -> Command {
    let mut command = Command::new(paths::python());
    command.arg(folder().join("python").join(script)).env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

struct Server {
    _process: Kept,
    port: u16,
}

impl Server {
    fn start() -> Result<Self, String> {
        let child = python("serve.py")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| e.to_string())?;
        let mut process = Kept(child);
        let stdout = process.0.stdout.take().ok_or("no pipe")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).map_err(|e| e.to_string())?;
        let said: Option<Value> = serde_json::from_str(&line).ok();
        let port = said.as_ref().and_then(|v| v.get("port")?.as_u64());
        let port = port.and_then(|p| u16::try_from(p).ok());
        Ok(Self { _process: process, port: port.ok_or_else(|| format!("it said {line:?}"))? })
    }
}

fn proxy(template: &str, endpoints: &[u16]) -> Result<Proxy, String> {
    let path = folder().join("config").join(template);
    Proxy::start(path.to_str().ok_or("a path that is not text")?, endpoints)
}

/// Calls, oneway calls, 51 out of order, headers and streams.
pub(super) fn calls(middle: Middle) -> Result<Tally, String> {
    let server = Server::start()?;
    let direct = steps(python("call.py"), server.port).map_err(|e| format!("direct: {e}"))?;
    let server = Server::start()?;
    if middle != Middle::Heptad {
        let again = steps(python("call.py"), server.port).map_err(|e| format!("again: {e}"))?;
        return Ok(transcript::compare("trpc", &direct, &again, false));
    }
    let proxy = proxy("one.yaml", &[server.port])?;
    let through = steps(python("call.py"), proxy.port)
        .map_err(|e| format!("through: {e}\n{}", proxy.log()))?;
    let mut all = transcript::compare("trpc", &direct, &through, false);
    let page = Metrics::read(proxy.admin)?;
    for (outcome, expected) in
        [("ok", 63.0), ("app_error", 1.0), ("protocol_error", 2.0), ("bad_request", 0.0)]
    {
        let label = format!("outcome=\"{outcome}\"");
        let counted = page.sum("heptad_requests_total", &[&label]);
        all.check(counted == expected, || format!("{counted} requests were {outcome}"));
    }
    Ok(all)
}

/// What a caller must be told in each case: the status of tRPC, and words.
const CASES: [(&str, u64, &str); 10] = [
    ("Nowhere", 11, "no route matches the request"),
    ("Told", 41, "not on my watch"),
    ("Dead", 111, "the endpoint"),
    ("Slow", 21, "no reply within the time-out"),
    ("Patient", 21, "no reply within the time-out"),
    ("stream Nowhere", 11, "no route matches the request"),
    ("stream Dead", 111, "the endpoint"),
    ("stream headers", 0, r#"{"user": "jason", "via": "heptad"}"#),
    ("headers", 0, r#"{"user": "jason", "via": "heptad"}"#),
    ("good", 0, "still here"),
];

/// The router's own answers reach callers with a status and its words, and the connection goes on.
pub(super) fn errors(middle: Middle) -> Result<Tally, String> {
    let mut tally = Tally::default();
    if middle != Middle::Heptad {
        // There is nobody who would say these things.
        tally.check(true, String::new);
        return Ok(tally);
    }
    let live = Server::start()?;
    let proxy = proxy("errors.yaml", &[live.port, silent()?])?;
    let mut command = python("call.py");
    command.args(["--port", &proxy.port.to_string(), "--errors"]);
    let said = lines(&mut command)?;
    tally.check(said.len() == CASES.len(), || format!("{said:?}"));
    for (line, (name, ret, words)) in said.iter().zip(CASES) {
        let text = |key: &str| line.get(key).and_then(Value::as_str).unwrap_or_default();
        let good = text("name") == name
            && line.get("ret").and_then(Value::as_u64) == Some(ret)
            && line.get("ids").and_then(Value::as_bool) == Some(true)
            && text("text").contains(words);
        tally.check(good, || format!("{line} should be {ret} {words:?}"));
    }
    Ok(tally)
}
