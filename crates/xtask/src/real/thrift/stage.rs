//! What a suite on Thrift stands on: generated code, servers, and the router's configuration.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Command, Stdio},
};

use tempfile::TempDir;

use crate::{
    paths,
    rig::{Kept, Proxy, run_bounded},
};

/// Code that Apache's compiler made of `calls.thrift`, for Python and for Node.
pub(super) struct Generated {
    dir: TempDir,
}

impl Generated {
    /// Runs the compiler.
    pub(super) fn new() -> Result<Self, String> {
        let dir = TempDir::with_prefix("heptad-thrift-").map_err(|e| e.to_string())?;
        let program = paths::program("thrift").ok_or("thrift-compiler is not installed")?;
        for language in ["py", "js:node,es6"] {
            let mut command = Command::new(&program);
            command.args(["--gen", language, "-out"]).arg(dir.path());
            command.arg(folder().join("calls.thrift"));
            let out = run_bounded(&mut command, std::time::Duration::from_secs(20))?;
            if !out.status.success() {
                return Err(format!("thrift: {}", String::from_utf8_lossy(&out.stderr)));
            }
        }
        Ok(Self { dir })
    }

    /// A script of `tests/real/thrift/python`.
    pub(super) fn python(&self, script: &str) -> Command {
        let mut command = Command::new(paths::python());
        command
            .arg(folder().join("python").join(script))
            .env("PYTHONPATH", self.dir.path())
            .env("PYTHONHASHSEED", "0")
            .env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }

    /// A script of `tests/real/thrift/node`.
    pub(super) fn node(&self, script: &str) -> Command {
        let mut command = Command::new("node");
        command
            .arg("--no-deprecation")
            .arg(folder().join("node").join(script))
            .env("GENERATED", self.dir.path())
            // Generated code is not below the folder with the libraries.
            .env("NODE_PATH", folder().join("node/node_modules"));
        command
    }
}

fn folder() -> PathBuf {
    paths::real().join("thrift")
}

/// A process with one of Apache's servers per dialect.
pub(super) struct Server {
    pub(super) process: Kept,
    ports: BTreeMap<String, u16>,
}

impl Server {
    /// Starts a server of these dialects and waits until it listens.
    pub(super) fn start(generated: &Generated, dialects: &[&str]) -> Result<Self, String> {
        Self::start_with(generated, dialects, &[])
    }

    /// As [`Server::start`], with options of `server.py`.
    pub(super) fn start_with(
        generated: &Generated,
        dialects: &[&str],
        options: &[&str],
    ) -> Result<Self, String> {
        let mut command = generated.python("server.py");
        let child = command
            .args(options)
            .arg("--")
            .args(dialects)
            // Stays open with the value: the server ends when it is closed.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .map_err(|e| format!("server.py: {e}"))?;
        let mut process = Kept(child);
        let mut line = String::new();
        let stdout = process.0.stdout.take().ok_or("no pipe")?;
        BufReader::new(stdout).read_line(&mut line).map_err(|e| e.to_string())?;
        let ports =
            serde_json::from_str(&line).map_err(|e| format!("server.py said {line:?}: {e}"))?;
        Ok(Self { process, ports })
    }

    /// Where it speaks a dialect.
    pub(super) fn port(&self, dialect: &str) -> Result<u16, String> {
        self.ports.get(dialect).copied().ok_or_else(|| format!("no server speaks {dialect}"))
    }
}

/// Starts Heptad with a template of `tests/real/thrift/config`, in which the words of `filled` stand
/// for these texts, beside those that every template has.
pub(super) fn proxy(
    template: &str,
    filled: &[(&str, &str)],
    endpoints: &[u16],
) -> Result<Proxy, String> {
    let path = folder().join("config").join(template);
    let mut text =
        std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    for (word, meaning) in filled {
        text = text.replace(word, meaning);
    }
    let dir = TempDir::with_prefix("heptad-thrift-").map_err(|e| e.to_string())?;
    let path = dir.path().join(template);
    std::fs::write(&path, text).map_err(|e| e.to_string())?;
    Proxy::start(path.to_str().ok_or("a temporary folder that is not text")?, endpoints)
}

/// One server behind a listener that detects what clients speak and passes it on as it is.
pub(super) fn detecting(endpoint: u16) -> Result<Proxy, String> {
    proxy("one.yaml", &[("@CODEC@", "thrift"), ("@SPEAKS@", "")], &[endpoint])
}

/// Vocabulary of Heptad's configuration for a dialect's transport and protocol.
pub(super) fn words(dialect: &str) -> (&'static str, &'static str) {
    let name = dialect.trim_end_matches("-zlib");
    let transport = match name.rsplit_once('-').map(|(t, _)| t) {
        Some("buffered") => "unframed",
        Some("framed") => "framed",
        Some("header") => "header",
        _ => "auto",
    };
    let protocol = match name.rsplit_once('-').map(|(_, p)| p) {
        Some("compact") => "compact",
        Some("json") => "json",
        Some("binary" | "old") => "binary",
        _ => "auto",
    };
    (transport, protocol)
}
