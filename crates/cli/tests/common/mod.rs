//! Running the binary, and nothing of what it should do.
#![allow(dead_code, reason = "each test file uses its part")]

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{
        atomic::{AtomicU16, Ordering},
        mpsc::{Receiver, channel},
    },
    thread,
    time::Duration,
};

/// Far longer than anything here takes; only a failure waits for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The binary with arguments.
pub(crate) fn heptad(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_heptad"));
    command.args(args).env("NO_COLOR", "1").stdin(Stdio::null());
    command
}

/// Runs the binary to its end.
pub(crate) fn output(args: &[&str]) -> Output {
    heptad(args).output().expect("the binary runs")
}

/// What was written, for people.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The first of as many ports as the demo takes that nobody uses, outside of the range from which the system takes
/// ports for clients, and of its own for each process and call.
pub(crate) fn base_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let process = (std::process::id() % 500) as u16 * 16;
    loop {
        let base = 22_000 + (process + NEXT.fetch_add(16, Ordering::Relaxed)) % 8_000;
        let free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
        if (base..base + 14).all(free) {
            return base;
        }
    }
}

/// A running router, killed when dropped.
pub(crate) struct Router {
    child: Child,
    lines: Receiver<String>,
    seen: std::sync::Mutex<Vec<String>>,
}

impl Drop for Router {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Router {
    /// Starts `heptad run` on a file.
    pub(crate) fn run(config: &std::path::Path, more: &[&str]) -> Self {
        let config = config.to_str().expect("a plain path");
        let mut command = heptad(&["run", "-c", config]);
        command.args(more);
        Self::of(command)
    }

    /// Starts a router by a command of the caller's own.
    pub(crate) fn of(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the binary runs");
        let stderr = child.stderr.take().expect("piped");
        let (send, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    break;
                }
            }
        });
        Self { child, lines, seen: std::sync::Mutex::default() }
    }

    /// Waits for a line on stderr with this in it.
    pub(crate) fn line(&self, part: &str) -> String {
        loop {
            let Ok(line) = self.lines.recv_timeout(PATIENCE) else {
                panic!("no line with {part:?}, but {:#?}", self.seen.lock().unwrap());
            };
            self.seen.lock().unwrap().push(line.clone());
            if line.contains(part) {
                return line;
            }
        }
    }

    /// The address on the line that announces this.
    pub(crate) fn address(&self, what: &str) -> SocketAddr {
        let line = self.line(what);
        let address = line.strip_prefix("listening on ").and_then(|rest| rest.split(' ').next());
        address.and_then(|a| a.parse().ok()).unwrap_or_else(|| panic!("no address in {line:?}"))
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args([&format!("-{name}"), &pid]).status();
        assert!(status.expect("kill runs").success());
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> ExitStatus {
        self.child.wait().expect("it can be waited for")
    }
}

/// An HTTP request without a library: the status and the body.
pub(crate) fn http(to: SocketAddr, method: &str, path: &str, more: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(to).expect("admin listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    let host = if more.contains("Host:") { String::new() } else { format!("Host: {to}\r\n") };
    let request = format!("{method} {path} HTTP/1.1\r\n{host}{more}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("admin reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("admin answers");
    let (head, body) = answer.split_once("\r\n\r\n").expect("an HTTP answer");
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status");
    (status, body.to_owned())
}
