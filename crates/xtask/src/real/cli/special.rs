//! Commands that take the connection or the server with them: each in a session of its own.
//!
//! Where a router may answer otherwise than a server (it need not become a replica's source, or let
//! a client stop a server), the expectation stands here: a proper answer or a clean close, and
//! everybody else still served.

use std::{
    io::{self, Read},
    net::Shutdown,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use super::normalise;
use crate::{
    rig::{Kept, Middle, Rig, get, resp::Client},
    tally::Tally,
};

/// Names covered here, as the server spells them.
pub(super) const NAMES: &[&str] = &[
    "subscribe",
    "psubscribe",
    "ssubscribe",
    "monitor",
    "sync",
    "psync",
    "shutdown",
    "quit",
    "unsubscribe",
    "punsubscribe",
    "sunsubscribe",
];

/// How long to wait for what must come.
const PATIENCE: Duration = Duration::from_secs(15);

/// All of them, direct and through.
pub(in super::super) fn run(middle: Middle) -> Result<Tally, String> {
    let mut tally = Tally::default();
    let direct = Rig::start(Middle::Direct, 1)?;
    let through = Rig::start(middle, 1)?;
    // First, while the router has no link yet: the replies take longer than the close.
    for commands in HALF_CLOSED {
        let (a, b) = (half_closed(direct.port, commands), half_closed(through.port, commands));
        tally.check(a == b, || {
            format!("{commands:?}, half-closed\n  direct: {a:?}\n  through: {b:?}")
        });
    }
    for resp in ["-2", "-3"] {
        for (name, args, publish) in SUBSCRIBERS {
            let a = listen(direct.port, resp, args, publish)?;
            let b = listen(through.port, resp, args, publish)?;
            tally.check(a == b, || format!("{name} {resp}\n  direct: {a}\n  through: {b}"));
        }
        let a = monitor(direct.port, resp)?;
        let b = monitor(through.port, resp)?;
        tally.check(a == b, || format!("MONITOR {resp}\n  direct: {a}\n  through: {b}"));
    }
    for (name, commands, replies) in DIALOGUES {
        let a = dialogue(direct.port, commands, *replies);
        let b = dialogue(through.port, commands, *replies);
        tally.check(a == b, || format!("{name}\n  direct: {a}\n  through: {b}"));
    }
    for args in [&["SYNC"][..], &["PSYNC", "?", "-1"]] {
        tally.add(replica(&through, args)?);
    }
    for args in [&["SHUTDOWN", "NOSAVE"][..], &["DEBUG", "SEGFAULT"]] {
        tally.add(ending(middle, args)?);
    }
    tally.note("subscribers, MONITOR, CLIENT REPLY, QUIT, REPLICAOF, SYNC, SHUTDOWN, SEGFAULT");
    Ok(tally)
}

/// Name, what redis-cli is to run, and what to publish.
type Subscriber = (&'static str, &'static [&'static str], &'static [&'static str]);

const SUBSCRIBERS: &[Subscriber] = &[
    ("SUBSCRIBE", &["SUBSCRIBE", "news"], &["PUBLISH", "news", "hello-there"]),
    ("PSUBSCRIBE", &["PSUBSCRIBE", "new*"], &["PUBLISH", "news", "hello-there"]),
    ("SSUBSCRIBE", &["SSUBSCRIBE", "shard"], &["SPUBLISH", "shard", "hello-there"]),
];

/// Name, commands sent in one write, and how many replies they must bring; after these the
/// connection must be quiet or closed as direct.
type Dialogue = (&'static str, &'static [&'static [&'static str]], usize);

const DIALOGUES: &[Dialogue] = &[
    (
        "CLIENT REPLY OFF",
        &[
            &["CLIENT", "REPLY", "OFF"],
            &["SET", "off", "1"],
            &["GET", "off"],
            &["CLIENT", "REPLY", "ON"],
            &["GET", "off"],
        ],
        2,
    ),
    (
        "CLIENT REPLY SKIP",
        &[&["CLIENT", "REPLY", "SKIP"], &["SET", "skip", "1"], &["GET", "skip"], &["PING"]],
        2,
    ),
    ("QUIT", &[&["PING"], &["QUIT"], &["PING"]], 3),
    (
        "REPLICAOF",
        &[
            &["REPLICAOF", "127.0.0.1", "1"],
            &["SET", "replica", "1"],
            &["REPLICAOF", "NO", "ONE"],
            &["SET", "replica", "1"],
        ],
        4,
    ),
    ("DEBUG SLEEP", &[&["DEBUG", "SLEEP", "0.1"], &["PING"]], 2),
    (
        "SUBSCRIBE, then GET",
        &[
            &["SUBSCRIBE", "a", "b"],
            &["GET", "x"],
            &["PING"],
            &["UNSUBSCRIBE", "a"],
            &["UNSUBSCRIBE"],
            &["GET", "x"],
        ],
        7,
    ),
    (
        "leaving what was never joined",
        &[&["UNSUBSCRIBE"], &["PUNSUBSCRIBE"], &["SUNSUBSCRIBE"], &["PING"]],
        4,
    ),
    (
        "PSUBSCRIBE and SSUBSCRIBE",
        &[
            &["PSUBSCRIBE", "a*"],
            &["SSUBSCRIBE", "s"],
            &["PUNSUBSCRIBE", "a*"],
            &["SUNSUBSCRIBE", "s"],
            &["GET", "x"],
        ],
        5,
    ),
    (
        "SUBSCRIBE under RESP3, then GET",
        &[
            &["HELLO", "3", "AUTH", "default", "wrong-is-fine-without-a-password"],
            &["SUBSCRIBE", "a"],
            &["GET", "x"],
            &["UNSUBSCRIBE"],
        ],
        4,
    ),
];

/// Sends the commands and writes down what comes: replies, then whether the other side closed.
fn dialogue(port: u16, commands: &[&[&str]], replies: usize) -> String {
    let talk = || -> io::Result<String> {
        let mut client = Client::connect(port)?;
        let bytes: Vec<u8> =
            commands.iter().flat_map(|args| crate::rig::resp::frame(args)).collect();
        client.send_raw(&bytes)?;
        let mut seen = Vec::new();
        for _ in 0..replies {
            match client.read() {
                Ok(value) => seen.push(without_id(&value.to_string())),
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                    seen.push("closed".into());
                    break;
                }
                Err(e) => return Err(e),
            }
        }
        Ok(normalise(&seen.join(" ")))
    };
    talk().unwrap_or_else(|e| format!("failed: {e}"))
}

/// What is sent by clients that say at once that they will send no more, as `printf … | nc` does.
const HALF_CLOSED: &[&str] = &[
    "GET x\r\n",
    "WAIT 0 0\r\n",
    "NOSUCH\r\n",
    "MULTI\r\nSET x 1\r\nEXEC\r\nGET x\r\n",
    "SET x 1\r\nINCR x\r\nEVAL \"return 1\" 0\r\nPING\r\nINCR x\r\n",
];

fn half_closed(port: u16, commands: &str) -> Result<String, String> {
    let talk = || -> io::Result<Vec<u8>> {
        let mut client = Client::connect(port)?;
        client.send_raw(commands.as_bytes())?;
        client.socket().shutdown(Shutdown::Write)?;
        client.read_to_close()
    };
    match talk() {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(e) => Err(e.to_string()),
    }
}

/// `HELLO` tells the connection's number.
fn without_id(text: &str) -> String {
    match text.split_once("\"id\", :") {
        Some((before, after)) => {
            let rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
            format!("{before}\"id\", :*{rest}")
        }
        None => text.to_owned(),
    }
}

/// A redis-cli that runs until it is stopped, and what it printed so far.
struct Watcher {
    _process: Kept,
    lines: mpsc::Receiver<Vec<u8>>,
    text: String,
}

impl Watcher {
    fn start(port: u16, resp: &str, args: &[&str]) -> Result<Self, String> {
        let mut child = Command::new("redis-cli")
            .args(["-h", "127.0.0.1", "-p", &port.to_string(), resp, "--no-raw"])
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| format!("redis-cli: {e}"))?;
        let mut stdout = child.stdout.take().ok_or("no pipe")?;
        let (send, lines) = mpsc::channel();
        thread::spawn(move || {
            let mut part = [0; 4096];
            while let Ok(n @ 1..) = stdout.read(&mut part) {
                if send.send(part.get(..n).unwrap_or_default().to_vec()).is_err() {
                    break;
                }
            }
        });
        Ok(Self { _process: Kept(child), lines, text: String::new() })
    }

    fn wait_for(&mut self, what: &str) -> Result<(), String> {
        let end = Instant::now() + PATIENCE;
        while !self.text.contains(what) {
            let left = end.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(part) => self.text.push_str(&String::from_utf8_lossy(&part)),
                Err(_) => return Err(format!("no {what:?} in {:?}", self.text)),
            }
        }
        Ok(())
    }
}

fn listen(port: u16, resp: &str, args: &[&str], publish: &[&str]) -> Result<String, String> {
    let mut watcher = Watcher::start(port, resp, args)?;
    watcher.wait_for("(integer) 1\n").map_err(|e| format!("{args:?}: {e}"))?;
    let mut client = Client::connect(port).map_err(|e| e.to_string())?;
    let heard = client.call(publish).map_err(|e| e.to_string())?;
    watcher
        .wait_for("hello-there\"\n")
        .map_err(|e| format!("{args:?} (published to {heard}): {e}"))?;
    Ok(format!("{heard} {}", watcher.text))
}

fn monitor(port: u16, resp: &str) -> Result<String, String> {
    let mut watcher = Watcher::start(port, resp, &["MONITOR"])?;
    watcher.wait_for("OK")?;
    let mut client = Client::connect(port).map_err(|e| e.to_string())?;
    client.call(&["SET", "watched-key", "1"]).map_err(|e| e.to_string())?;
    watcher.wait_for("\"watched-key\" \"1\"")?;
    // A router may have spoken to the server too; the client's own command is what counts.
    let line = watcher.text.lines().find(|l| l.contains("watched-key"));
    let (_, command) = line.and_then(|l| l.split_once(' ')).unwrap_or_default();
    Ok(normalise(command))
}

/// A client that asks to become a replica gets a stream or an error, and nobody else notices.
fn replica(rig: &Rig, args: &[&str]) -> Result<Tally, String> {
    let mut tally = Tally::default();
    let io = |e: io::Error| e.to_string();
    let mut other = Client::connect(rig.port).map_err(io)?;
    let mut client = Client::connect(rig.port).map_err(io)?;
    client.send(args).map_err(io)?;
    let mut first = [0; 1];
    // An RDB stream begins with newlines until the server has one.
    let answered = match client.socket().read(&mut first) {
        Ok(0) => true,
        Ok(_) => b"+-$\n".contains(&first[0]),
        Err(_) => false,
    };
    tally.check(answered, || format!("{args:?}: no answer"));
    drop(client);
    let pong = other.call(&["PING"]).map_err(io)?;
    tally.check(pong.text() == "PONG", || format!("{args:?}: another got {pong}"));
    Ok(tally)
}

/// A command that ends a server: its client gets an error or a close, and the router lives on; or
/// the router refuses it, and the server lives on.
fn ending(middle: Middle, args: &[&str]) -> Result<Tally, String> {
    let mut tally = Tally::default();
    let mut rig = Rig::start(middle, 1)?;
    let io = |e: io::Error| e.to_string();
    let mut client = Client::connect(rig.port).map_err(io)?;
    client.send(args).map_err(io)?;
    let reply = client.read();
    let clean = match &reply {
        Ok(value) => value.is_error(),
        Err(e) => matches!(e.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset),
    };
    tally.check(clean, || format!("{args:?}: {reply:?}"));
    if let Some(proxy) = &mut rig.proxy {
        let ready = get(proxy.admin, "/live").is_ok_and(|(status, _)| status == 200);
        let alive = proxy.process.is_alive();
        tally.check(alive && ready, || format!("{args:?}: {}", proxy.log()));
        let mut next = Client::connect(proxy.port).map_err(io)?;
        let value = next.call(&["GET", "x"]).map_err(io)?;
        // A server writes its own report between closing its sockets and its end.
        let server = rig.servers.first_mut().ok_or("no server")?;
        let end = Instant::now() + PATIENCE;
        while value.is_error() && server.process.is_alive() && Instant::now() < end {
            thread::sleep(Duration::from_millis(20));
        }
        let lives = server.process.is_alive();
        tally.check(value.is_error() != lives, || {
            format!("{args:?}: then GET got {value}, server alive: {lives}")
        });
    }
    Ok(tally)
}
