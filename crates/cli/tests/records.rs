//! Log rotation as an operator does it: rename, SIGHUP, and no line is lost.

#![allow(clippy::disallowed_methods, reason = "tests of a process wait for it")]

mod common;

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use awesomerpc::wire::Message;
use common::{PATIENCE, Router, output, text};

fn config(log: &Path) -> String {
    format!(
        "listeners:\n\
         - name: front\n  \
           listen: 127.0.0.1:0\n  \
           codec: awesomerpc\n  \
           filters: [ {{ access_log: {{ path: {}, format: '{{service}} {{method}}' }} }} ]\n  \
           routes: [ {{ name: all, answer: {{ ok: yes }} }} ]\n",
        log.display()
    )
}

fn call(stream: &mut TcpStream, method: &str) {
    let request = Message::request(1, "s", method);
    stream.write_all(&request.to_bytes()).expect("the router reads");
    let mut buf = Vec::new();
    while Message::decode(&buf).expect("AwesomeRPC").is_none() {
        let mut some = [0; 256];
        let n = stream.read(&mut some).expect("the router answers");
        assert!(n > 0, "the router closed the connection");
        buf.extend_from_slice(&some[..n]);
    }
}

fn lines(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn until(mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "it did not come");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_log_is_rotated_by_a_rename_and_a_signal() {
    let dir = tempfile::tempdir().expect("a directory");
    let (file, log) = (dir.path().join("heptad.yaml"), dir.path().join("access.log"));
    std::fs::write(&file, config(&log)).expect("a file");
    let router = Router::run(&file, &[]);
    let front = router.address("(front, awesomerpc)");
    let mut stream = TcpStream::connect(front).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    // More than once, and with a configuration that cannot be used: the log is rotated all the same.
    let mut expected = Vec::new();
    for round in 0..3 {
        let old = dir.path().join(format!("access.log.{round}"));
        call(&mut stream, &format!("a{round}"));
        std::fs::rename(&log, &old).expect("it can be moved");
        call(&mut stream, &format!("b{round}"));
        if round == 1 {
            std::fs::write(&file, "nonsense").expect("a file");
        }
        router.signal("HUP");
        until(|| log.exists());
        // Whatever is asked once the new file is there is in it, and nothing else.
        call(&mut stream, &format!("c{round}"));
        until(|| lines(&log) == [format!("s c{round}")]);
        expected.extend([format!("s a{round}"), format!("s b{round}"), format!("s c{round}")]);
    }
    router.signal("TERM");
    assert_eq!(router.end().code(), Some(0));
    let all = ["access.log.0", "access.log.1", "access.log.2", "access.log"];
    let all: Vec<_> = all.iter().flat_map(|name| lines(&dir.path().join(name))).collect();
    assert_eq!(all, expected);
}

#[test]
fn a_log_that_cannot_be_written_is_named_at_the_start_and_not_by_a_check() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("heptad.yaml");
    std::fs::write(&file, config(Path::new("/does/not/exist/a.log"))).expect("a file");
    let path = file.to_str().expect("a plain path");
    // Files are often checked on another machine.
    assert_eq!(output(&["check", "-c", path]).status.code(), Some(0));
    let run = output(&["run", "-c", path]);
    assert_eq!(run.status.code(), Some(2));
    let said = text(&run.stderr);
    assert!(said.contains("line 5: access_log: cannot write to /does/not/exist/a.log"), "{said}");
}
