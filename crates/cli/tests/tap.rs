//! Tap, record and replay on a running router: the examples of their page, and who may look.

#![allow(clippy::disallowed_methods, reason = "tests of a process wait for it")]

mod common;

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Command, Stdio},
    thread,
};

use common::{PATIENCE, Router, http, text};

/// A store that knows `SET` and `GET`; a changed one says to `GET` that it is no string.
fn store(changed: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let mut reader = BufReader::new(stream.try_clone().expect("a handle"));
                let mut writer = stream;
                let mut line = String::new();
                let mut next = || {
                    line.clear();
                    reader.read_line(&mut line).ok().filter(|n| *n > 0)?;
                    Some(line.trim_end().to_owned())
                };
                while let Some(words) = next().and_then(|head| head[1..].parse::<usize>().ok()) {
                    let all: Option<Vec<_>> =
                        (0..words).map(|_| next().and_then(|_| next())).collect();
                    let Some(all) = all else { return };
                    let said: &[u8] = match &*all[0] {
                        "GET" if changed => b"-WRONGTYPE no string\r\n",
                        "GET" => b"$1\r\n1\r\n",
                        _ => b"+OK\r\n",
                    };
                    if writer.write_all(said).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

const SET: &[u8] = b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n";
const GET: &[u8] = b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n";

/// Two calls on one connection.
fn talk(to: SocketAddr) {
    let mut stream = TcpStream::connect(to).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    for (request, len) in [(SET, 5), (GET, 7)] {
        stream.write_all(request).expect("it reads");
        let mut reply = vec![0; len];
        stream.read_exact(&mut reply).expect("it answers");
    }
}

struct World {
    router: Router,
    admin: SocketAddr,
    cache: SocketAddr,
    folder: tempfile::TempDir,
    old: SocketAddr,
    new: SocketAddr,
}

impl World {
    fn new(tap: &str) -> Self {
        let (old, new) = (store(false), store(true));
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("heptad.yaml");
        let yaml = format!(
            "workers: 1\nadmin: {{ listen: \"127.0.0.1:0\", tap: {tap} }}\nlisteners:\n  - {{ name: cache, listen: \
             \"127.0.0.1:0\", codec: redis, routes: [ {{ name: all, to: stores }} ] }}\nclusters:\n  - {{ \
             name: stores, endpoints: [ \"{old}\" ] }}\n"
        );
        fs::write(&file, yaml).expect("it can be written");
        let router = Router::run(&file, &[]);
        let cache = router.address("(cache");
        let admin = router.address("(admin");
        Self { router, admin, cache, folder, old, new }
    }

    /// Runs a command of the page; while it looks at the router, two calls pass.
    fn run(&self, command: &str) -> (String, String, i32) {
        let places = [
            ("127.0.0.1:9901", self.admin),
            ("127.0.0.1:6379", self.old),
            ("127.0.0.1:6381", self.new),
        ];
        let mut command = command.to_owned();
        for (from, to) in places {
            command = command.replace(from, &to.to_string());
        }
        let binary = Path::new(env!("CARGO_BIN_EXE_heptad"));
        let folder = binary.parent().expect("a folder").display();
        let path = format!("{folder}:{}", std::env::var("PATH").unwrap_or_default());
        let mut child = Command::new("sh")
            .args(["-c", &command])
            .current_dir(self.folder.path())
            .env("PATH", path)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("there is a shell");
        let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
        let mut said = String::new();
        stderr.read_line(&mut said).expect("text");
        if said.starts_with("tapping ") {
            talk(self.cache);
        }
        stderr.read_to_string(&mut said).expect("text");
        let done = child.wait_with_output().expect("it ends");
        (text(&done.stdout), said, done.status.code().unwrap_or(-1))
    }
}

/// Without the columns that are never the same: the time and the client's address.
fn masked(said: &str) -> String {
    let line = |line: &str| match line.split("  ").nth(2) {
        Some(rest) if line.starts_with("20") => {
            let at = line.find(rest).unwrap_or(0);
            format!("{}\n", &line[at..])
        }
        _ => format!("{line}\n"),
    };
    said.lines().map(line).collect()
}

#[test]
fn the_examples_of_the_page_say_what_is_written() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/tap.md");
    let page = fs::read_to_string(page).expect("a page");
    let world = World::new("full");
    let mut examples = 0;
    for block in page.split("```console\n").skip(1) {
        let block = block.split("```").next().expect("an end");
        let (command, said) = block.split_once('\n').expect("a command");
        let (out, err, _) = world.run(command.strip_prefix("$ ").expect("a command"));
        assert_eq!(masked(&out), masked(said), "{command}\n{err}");
        examples += 1;
    }
    assert_eq!(examples, 4);
    let junit = fs::read_to_string(world.folder.path().join("report.xml")).expect("a report");
    assert!(junit.contains(r#"tests="2" failures="0""#), "{junit}");
    drop(world.router);
}

#[test]
fn a_capture_of_a_tap_is_read_by_inspect() {
    let world = World::new("full");
    let (_, err, code) =
        world.run("heptad tap --admin 127.0.0.1:9901 --count 2 --format pcap -o tap.pcap");
    assert_eq!(code, 0, "{err}");
    let (out, err, code) = world.run("heptad inspect --codec redis tap.pcap");
    assert_eq!(code, 0, "{err}");
    let server = format!(" to {}\n", world.cache);
    assert!(out.lines().next().is_some_and(|line| format!("{line}\n").ends_with(&server)), "{out}");
    let frames = ["\"SET\"", "\"GET\"", "at 0, 5 bytes: reply, ok", "at 5, 7 bytes: reply, ok"];
    assert!(frames.iter().all(|frame| out.contains(frame)), "{out}");
}

#[test]
fn only_what_is_asked_for_is_shown() {
    let world = World::new("full");
    let (out, err, _) =
        world.run("heptad tap --admin 127.0.0.1:9901 --match '{\"method\": \"GET\"}' --count 1");
    assert_eq!(out.lines().count(), 2, "{out}{err}");
    assert!(out.contains("request  GET") && out.contains("reply    ok"), "{out}");
    let (_, err, code) = world.run("heptad tap --admin 127.0.0.1:9901 --match '{\"method\": 1'");
    assert!(code == 2 && err.contains("match: "), "{err}");
    let (_, err, code) = world.run("heptad tap --admin 127.0.0.1:9901 -l nobody");
    assert!(code == 2 && err.contains("there is no listener nobody; there are: cache"), "{err}");
    let (_, err, code) = world.run("heptad tap --admin 127.0.0.1:9901 --percent 101");
    assert!(code == 2 && err.contains("from 0 to 100"), "{err}");
}

#[test]
fn nothing_is_shown_unless_the_configuration_says_so() {
    let world = World::new("off");
    assert_eq!(http(world.admin, "GET", "/tap", "").0, 403);
    let (_, err, code) = world.run("heptad tap --admin 127.0.0.1:9901");
    assert!(code == 2 && err.contains("Taps are off"), "{err}");
}

#[test]
fn redacted_frames_have_no_bytes() {
    let world = World::new("redacted");
    let (out, err, _) = world.run("heptad tap --admin 127.0.0.1:9901 --count 2 --format json");
    assert!(out.contains("\"method\":\"SET\"") && out.contains("\"outcome\":\"ok\""), "{out}{err}");
    assert!(!out.contains("hex"), "{out}");
    let (_, err, code) = world.run("heptad record --admin 127.0.0.1:9901 -o none.jsonl");
    assert!(code == 2 && err.contains("not `full`"), "{err}");
}

#[test]
fn a_tap_is_closed_when_its_reader_has_gone() {
    let world = World::new("full");
    let mut first = TcpStream::connect(world.admin).expect("admin listens");
    first.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    write!(first, "GET /tap HTTP/1.0\r\nHost: {}\r\n\r\n", world.admin).expect("it reads");
    let mut reader = BufReader::new(first);
    let mut line = String::new();
    while !line.contains("\"listener\"") {
        line.clear();
        reader.read_line(&mut line).expect("an answer");
    }
    let (status, why) = http(world.admin, "GET", "/tap", "");
    assert_eq!((status, why.contains("tapped already")), (409, true), "{why}");
    drop(reader);
    // The router notices when it says something to nobody, and then another may look.
    for _ in 0..1_200 {
        let mut next = TcpStream::connect(world.admin).expect("admin listens");
        next.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        write!(next, "GET /tap HTTP/1.0\r\nHost: {}\r\n\r\n", world.admin).expect("it reads");
        let mut status = String::new();
        BufReader::new(next).read_line(&mut status).expect("an answer");
        if status.contains(" 200 ") {
            return;
        }
        assert!(status.contains(" 409 "), "{status}");
        thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("it is still open");
}
