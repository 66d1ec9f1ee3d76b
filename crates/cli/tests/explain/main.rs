//! `heptad explain` as an operator meets it: the whole of what it prints, and how it exits.

#[path = "../common/mod.rs"]
mod common;
mod redis;
mod rpc;
mod wire;

use std::{
    fs,
    io::Write as _,
    process::{Output, Stdio},
};

use common::{heptad, text};

/// Runs `heptad explain` on a configuration, with these bytes on its stdin.
fn run(config: &str, args: &[&str], stdin: &[u8]) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("heptad.yaml");
    fs::write(&file, config).expect("a file");
    let mut child = heptad(&["explain", "-c", file.to_str().expect("a plain path")])
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    // What does not read its stdin may have ended.
    let _ = child.stdin.take().expect("piped").write_all(stdin);
    child.wait_with_output().expect("it ends")
}

/// A request in words: how it exits, and what it prints, after a line break.
#[track_caller]
fn described(config: &str, args: &[&str], code: i32, says: &str) {
    check(&run(config, args, b""), code, says);
}

/// What a client sent.
#[track_caller]
fn captured(config: &str, args: &[&str], bytes: &[u8], code: i32, says: &str) {
    let args: Vec<_> = args.iter().copied().chain(["--frame", "-"]).collect();
    check(&run(config, &args, bytes), code, says);
}

#[track_caller]
fn check(done: &Output, code: i32, says: &str) {
    let (out, err) = (text(&done.stdout), text(&done.stderr));
    assert_eq!(format!("\n{out}"), says, "\n{out}\n{err}");
    assert_eq!((done.status.code(), &*err), (Some(code), ""));
}

const TWO: &str = "
listeners:
  - name: one
    listen: 127.0.0.1:6380
    codec: redis
    routes: [ { name: all, to: store } ]
  - name: two
    listen: unix:/run/heptad.sock
    codec: awesomerpc
    routes: [ { name: all, match: { source.ip: 10.0.0.0/8 }, to: store } ]
clusters: [ { name: store, endpoints: [ \"127.0.0.1:6379\" ] } ]
";

#[track_caller]
fn fails(config: &str, args: &[&str], stdin: &[u8], says: &str) {
    let done = run(config, args, stdin);
    let err = text(&done.stderr);
    assert!(err.contains(says), "{err}");
    assert_eq!((done.status.code(), &*text(&done.stdout)), (Some(2), ""), "{err}");
}

#[test]
fn what_cannot_be_explained() {
    fails(TWO, &["-l", "three"], b"", "heptad: there is no listener three; there are: one, two\n");
    fails(TWO, &[], b"", "heptad: say which --listener: one, two\n");
    fails(TWO, &["-l", "one", "--frame", "/no/such"], b"", "cannot read /no/such: No such file");
    fails(TWO, &["-l", "one", "--frame", "-", "--hex"], b"0g", "'g' is not a hexadecimal digit");
    fails(TWO, &["-l", "one", "--frame", "-", "--hex"], b"0 10", "an odd number of hexadecimal");
    fails(TWO, &["-l", "one", "--frame", "-", "--key", "k"], b"", "cannot be used with");
    fails(TWO, &["-l", "one", "--hex"], b"", "--frame <FILE>");
    fails(TWO, &["-l", "one", "--header", "x"], b"", "expected a name, `=` and a text");
    fails(TWO, &["-l", "one", "--arg", "x=1"], b"", "expected a number, `=` and a text");
    fails(TWO, &["-l", "one", "--source", "host"], b"", "invalid IP address");
}

/// A bad file is told as `check` tells it.
#[test]
fn a_bad_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("heptad.yaml");
    fs::write(&file, TWO.replace("to: store", "to: stoer")).expect("a file");
    let file = file.to_str().expect("a plain path");
    let checked = common::output(&["check", "-c", file]);
    let done = common::output(&["explain", "-c", file, "-l", "one"]);
    assert!(text(&done.stderr).contains("stoer"));
    assert_eq!(text(&done.stderr), text(&checked.stderr));
    assert_eq!((done.status.code(), checked.status.code()), (Some(2), Some(1)));
    let done = common::output(&["explain", "-c", "/no/such"]);
    assert!(text(&done.stderr).contains("cannot read /no/such"));
    assert_eq!(done.status.code(), Some(2));
}

#[test]
fn hexadecimal_digits() {
    let hex = b"4745 54 20\n6b 0D 0a";
    let done = run(TWO, &["-l", "one", "--frame", "-", "--hex"], hex);
    check(
        &done,
        0,
        r#"
listener  one (redis, 127.0.0.1:6380)

frame     1 at byte 0: request, 7 bytes
request   method  "GET"
          key     "k"
routes    all  yes  matches everything
cluster   store
endpoint  127.0.0.1:6379, the only one
result    sent to 127.0.0.1:6379
"#,
    );
}

#[test]
fn json_for_programs() {
    let args = ["-l", "two", "--format", "json", "--source", "10.1.2.3", "--method", "m"];
    let done = run(TWO, &args, b"");
    let json: serde_json::Value = serde_json::from_slice(&done.stdout).expect("JSON");
    let expect = serde_json::json!({
        "listener": "two",
        "codec": "awesomerpc",
        "address": "unix:/run/heptad.sock",
        "requests": [{
            "frame": null,
            "attributes": { "method": "m", "source.ip": "10.1.2.3" },
            "routes": [{
                "route": "all",
                "matches": "yes",
                "because": [
                    { "attribute": "source.ip", "value": "10.1.2.3", "wanted": "10.0.0.0/8" },
                ],
            }],
            "route": "all",
            "split_on": null,
            "ways": [{
                "cluster": "store",
                "weight": 1,
                "filters": [],
                "result": { "sent": { "endpoint": "127.0.0.1:6379", "because": "only" } },
            }],
            "answer": null,
            "refused": false,
            "cut_off": false,
        }],
    });
    assert_eq!(json, expect);
    assert_eq!(done.status.code(), Some(0));

    let done = run(TWO, &["-l", "one", "--format", "json", "--frame", "-"], b"*1\r\n:1\r\n");
    let json: serde_json::Value = serde_json::from_slice(&done.stdout).expect("JSON");
    let one = &json["requests"][0];
    assert_eq!(one["ways"][0]["result"]["refused"]["closes"], true);
    assert_eq!((&one["frame"]["at"], &one["refused"]), (&0.into(), &true.into()));
    assert_eq!(one["answer"], "-ERR Protocol error: expected \\'$\\', got \\':\\'\\r\\n");
    assert_eq!(done.status.code(), Some(1));
}
