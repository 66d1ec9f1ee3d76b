//! The binary as an operator meets it: check, schema, run, the admin address and signals.

#![allow(clippy::disallowed_methods, reason = "tests of a process wait for it")]

mod common;

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use awesomerpc::wire::Message;
use common::{PATIENCE, Router, http, output, text};

/// A file in a directory of its own.
struct File(tempfile::TempDir);

impl File {
    fn new(text: &str) -> Self {
        let file = Self(tempfile::tempdir().expect("a directory"));
        file.write(text);
        file
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("heptad.yaml")
    }

    fn write(&self, text: &str) {
        std::fs::write(self.path(), text).expect("a file");
    }
}

/// One listener whose every request is answered with this text.
fn answers(what: &str) -> String {
    format!(
        "admin: {{ listen: 127.0.0.1:0 }}\n\
         workers: 2\n\
         listeners:\n\
         - name: front\n  \
           listen: 127.0.0.1:0\n  \
           codec: awesomerpc\n  \
           routes: [ {{ name: all, answer: {{ ok: {what} }} }} ]\n"
    )
}

/// One listener in front of one server.
fn forwards(to: SocketAddr) -> String {
    answers("unused").replace("answer: { ok: unused }", "to: back")
        + &format!("clusters: [ {{ name: back, endpoints: [ {to} ] }} ]\n")
}

struct Client(TcpStream);

impl Client {
    fn connect(to: SocketAddr) -> Self {
        let stream = TcpStream::connect(to).expect("the router listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        Self(stream)
    }

    fn send(&mut self) {
        let message = Message::request(7, "reviews", "Get");
        self.0.write_all(&message.to_bytes()).expect("the router reads");
    }

    fn call(&mut self) -> String {
        self.send();
        let mut buf = Vec::new();
        loop {
            if let Some((message, _)) = Message::decode(&buf).expect("AwesomeRPC") {
                return text(&message.body);
            }
            let mut some = [0; 256];
            let n = self.0.read(&mut some).expect("the router answers");
            assert!(n > 0, "the router closed the connection");
            buf.extend_from_slice(&some[..n]);
        }
    }
}

/// Waits for what must come, however long it takes; only a failure ends otherwise.
fn until(mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "it did not come");
    }
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

#[test]
fn check_says_in_a_line_what_is_in_a_good_file() {
    let file = File::new(&answers("one"));
    let out = output(&["check", "-c", path(&file.path())]);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    let said = text(&out.stdout);
    assert!(said.ends_with("1 listener, 1 route, 0 clusters, 0 endpoints\n"), "{said}");
    assert_eq!(said.lines().count(), 1);
}

#[test]
fn the_configuration_of_the_readme_is_good() {
    let readme = include_str!("../../../README.md");
    let yaml = readme.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next());
    let file = File::new(yaml.expect("the README shows a configuration"));
    let out = output(&["check", "-c", path(&file.path())]);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
}

#[test]
fn check_shows_every_problem_with_its_place() {
    let bad = answers("one").replace("workers: 2", "wrokers: 2").replace("awesomerpc", "awesome")
        + "clusters: [ { name: back, endpoints: [ nowhere ] } ]\n";
    let file = File::new(&bad);
    let out = output(&["check", "-c", path(&file.path())]);
    assert_eq!(out.status.code(), Some(1));
    let said = text(&out.stderr);
    for (place, word) in [("2:1", "wrokers"), ("6:10", "awesome"), ("8:40", "nowhere")] {
        let start = format!("{}:{place}", path(&file.path()));
        assert!(said.contains(&start) && said.contains(word), "{start}, {word} not in\n{said}");
    }
    assert!(said.contains("3 problems"), "{said}");
    assert!(!said.contains('\x1b'));
}

#[test]
fn check_cannot_read_what_is_not_there() {
    let out = output(&["check", "-c", "/does/not/exist.yaml"]);
    assert_eq!(out.status.code(), Some(2));
    assert!(text(&out.stderr).contains("/does/not/exist.yaml"));
}

#[test]
fn schema_is_json_and_knows_the_codecs() {
    let out = output(&["schema"]);
    assert!(out.status.success());
    let schema: serde_json::Value = serde_json::from_slice(&out.stdout).expect("JSON");
    assert!(schema["properties"]["listeners"].is_object(), "{schema}");
    let said = text(&out.stdout);
    assert!(said.contains("redis") && said.contains("awesomerpc"));
}

#[test]
fn admin_answers_and_sigterm_ends_it() {
    let file = File::new(&answers("one"));
    let router = Router::run(&file.path(), &[]);
    let front = router.address("(front, awesomerpc)");
    let admin = router.address("(admin, http)");
    assert_eq!(Client::connect(front).call(), "one");

    assert_eq!(http(admin, "GET", "/ready", ""), (200, "ready\n".to_owned()));
    assert_eq!(http(admin, "GET", "/live", "").0, 200);
    let (status, index) = http(admin, "GET", "/", "");
    assert_eq!(status, 200);
    for path in ["/metrics", "/ready", "/live", "/config", "/clusters", "/log"] {
        assert!(index.contains(path), "{path} not in {index}");
    }
    let (status, config) = http(admin, "GET", "/config", "");
    assert!(status == 200 && config.contains("name: front"), "{config}");
    assert_eq!(http(admin, "GET", "/clusters", "").0, 200);
    let (status, clusters) = http(admin, "GET", "/clusters?format=json", "");
    assert!(status == 200 && clusters.trim() == "[]", "{clusters}");
    assert_eq!(http(admin, "GET", "/nothing", "").0, 404);
    // A page in a browser on this machine is not an operator.
    assert_eq!(http(admin, "GET", "/config", "Host: evil.example\r\n").0, 403);
    assert_eq!(http(admin, "POST", "/log?level=off", "Origin: http://evil.example\r\n").0, 403);

    let (status, metrics) = http(admin, "GET", "/metrics", "");
    assert_eq!(status, 200);
    let one = "heptad_requests_total{listener=\"front\",route=\"all\",cluster=\"\",\
               protocol=\"awesomerpc\",outcome=\"ok\"";
    let line = metrics.lines().find(|line| line.starts_with(one) && line.ends_with(" 1"));
    assert!(line.is_some(), "{metrics}");
    promtool(&metrics);

    router.signal("TERM");
    assert_eq!(router.end().code(), Some(0));
}

#[test]
fn secrets_are_not_shown() {
    let config = answers("one").replace(
        "codec: awesomerpc",
        "codec: { redis: { users: [ { \
        name: ann, password: pa55 } ] } }",
    );
    let file = File::new(&config);
    let router = Router::run(&file.path(), &[]);
    let admin = router.address("(admin, http)");
    for path in ["/config", "/config?format=json"] {
        let (status, shown) = http(admin, "GET", path, "");
        assert!(status == 200 && shown.contains("ann") && !shown.contains("pa55"), "{shown}");
    }
}

#[test]
fn the_log_level_changes_while_it_runs() {
    let file = File::new(&answers("one"));
    let router = Router::run(&file.path(), &["--log-level", "error"]);
    let admin = router.address("(admin, http)");
    assert_eq!(http(admin, "PUT", "/log?level=loud", "").0, 400);
    assert_eq!(http(admin, "PUT", "/log", "").0, 400);
    assert_eq!(http(admin, "PUT", "/log?level=info", "").0, 200);
    router.signal("TERM");
    router.line("stopping");
    assert_eq!(router.end().code(), Some(0));
}

#[test]
fn sighup_swaps_a_good_file_and_leaves_a_bad_one() {
    let file = File::new(&answers("one"));
    let router = Router::run(&file.path(), &[]);
    let front = router.address("(front, awesomerpc)");
    let mut client = Client::connect(front);
    assert_eq!(client.call(), "one");

    file.write("listeners: nonsense\n");
    router.signal("HUP");
    router.line("running configuration stays");
    assert_eq!(client.call(), "one");

    let two = answers("two").replace("workers: 2", "workers: 3\nmoderation: true");
    file.write(
        &(two
            + "- { name: more, listen: 127.0.0.1:0, codec: awesomerpc, \
                         routes: [ { name: all, answer: { ok: x } } ] }\n"),
    );
    router.signal("HUP");
    router.line("in use now");
    router.line("listener more: it is new: needs a restart");
    router.line("workers: the number has changed: needs a restart");
    router.line("moderation: it was switched: needs a restart");
    // The same connection: nobody was cut off. The workers swap when they come to it.
    until(|| client.call() == "two");
}

#[test]
fn draining_is_not_ready_and_a_second_signal_ends_it_at_once() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let file = File::new(&forwards(silent.local_addr().expect("bound")));
    let router = Router::run(&file.path(), &["--grace", "1h"]);
    let front = router.address("(front, awesomerpc)");
    let admin = router.address("(admin, http)");
    let mut client = Client::connect(front);
    client.send();
    // The request has reached the server, which never answers it.
    let (mut server, _) = silent.accept().expect("the router dials");
    server.read_exact(&mut [0; 12]).expect("a request");

    router.signal("TERM");
    router.line("stopping");
    until(|| http(admin, "GET", "/ready", "").0 == 503);
    let (_, clusters) = http(admin, "GET", "/clusters", "");
    assert!(clusters.lines().nth(1).is_some_and(|row| row.starts_with("back")), "{clusters}");
    router.signal("TERM");
    router.line("at once");
    assert_eq!(router.end().code(), Some(0));
}

#[test]
fn an_address_that_is_taken_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("bound").to_string();
    let config = answers("one").replace("  listen: 127.0.0.1:0", &format!("  listen: {address}"));
    let file = File::new(&config);
    let out = output(&["run", "-c", path(&file.path())]);
    assert_eq!(out.status.code(), Some(2));
    assert!(text(&out.stderr).contains(&address), "{}", text(&out.stderr));
}

/// Has nothing to say about these metrics.
fn promtool(metrics: &str) {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool runs; `cargo xtask setup` installs it");
    promtool.stdin.take().expect("piped").write_all(metrics.as_bytes()).expect("promtool reads");
    let said = promtool.wait_with_output().expect("promtool ends");
    let silent = said.stdout.is_empty() && said.stderr.is_empty();
    assert!(said.status.success() && silent, "{said:?}\n{metrics}");
}
