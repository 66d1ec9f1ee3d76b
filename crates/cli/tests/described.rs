//! Described protocols from the command line: a starter is written, passes its own test, and is
//! routed, tapped, recorded and replayed; what is wrong with a description is said at its line.

mod common;

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::Stdio,
};

use common::{PATIENCE, Router, heptad, output, text};

fn starter(folder: &std::path::Path) -> (String, String) {
    let place = folder.to_str().expect("a plain path");
    let done = output(&["codec", "new", "mine", "--described", "--into", place]);
    assert!(done.status.success(), "{}", text(&done.stderr));
    let file = format!("{place}/mine.yaml");
    let yaml = fs::read_to_string(&file).expect("it was written");
    (file, yaml)
}

#[test]
fn a_starter_passes_its_own_test_and_can_be_routed() {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, yaml) = starter(folder.path());
    assert!(yaml.contains("name: mine\n"));
    let done = output(&["codec", "test", &file]);
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert!(text(&done.stdout).starts_with("ok "), "{}", text(&done.stdout));
    let config = "listeners:\n- name: l\n  listen: 127.0.0.1:0\n  codec: { frame: mine.yaml }\n  \
        routes: [{ name: r, match: { method: get }, to: c }]\n\
        clusters:\n- { name: c, endpoints: [127.0.0.1:1] }\n";
    let path = folder.path().join("heptad.yaml");
    fs::write(&path, config).expect("it can be written");
    let done = output(&["check", "-c", path.to_str().expect("a plain path")]);
    assert!(done.status.success(), "{}", text(&done.stderr));
    // Nobody's work is overwritten.
    let place = folder.path().to_str().expect("a plain path");
    let again = output(&["codec", "new", "mine", "--described", "--into", place]);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("mine.yaml is there already"), "{}", text(&again.stderr));
    let bad = output(&["codec", "new", "My Own", "--described", "--into", place]);
    assert_eq!(bad.status.code(), Some(1));
    assert!(text(&bad.stderr).contains("not one word in lower case"), "{}", text(&bad.stderr));
}

/// The starter's call, and its answer by a route.
const CALL: &[u8] = b"\xbe\xef\x01\0\0\0\0\x18\0\0\0\x07\x03get\0\x0c\x04user\0\x05jason42";
const ANSWER: &[u8] = b"\xbe\xef\x03\0\0\0\0\x09\0\0\0\x07\0fine";

#[test]
fn a_described_protocol_is_recorded_and_replayed_under_its_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let (description, yaml) = starter(folder.path());
    let second = yaml.replace("name: mine", "name: second").replace("be ef", "be ee");
    fs::write(folder.path().join("second.yaml"), second).expect("it can be written");
    let file = folder.path().join("heptad.yaml");
    let config = "workers: 1\nadmin: { listen: \"127.0.0.1:0\", tap: full }\nlisteners:\n\
        - name: l\n  listen: 127.0.0.1:0\n  codec: [ { frame: second.yaml }, { frame: mine.yaml }, \
        redis ]\n  filters: [ { access_log: { path: log.jsonl } } ]\n  routes:\n  \
        - { name: mine, match: { protocol: mine }, answer: { ok: fine } }\n  \
        - { name: rest, answer: { error: no } }\n";
    let log = folder.path().join("log.jsonl");
    let config = config.replace("log.jsonl", log.to_str().expect("a plain path"));
    fs::write(&file, config).expect("it can be written");
    let router = Router::run(&file, &[]);
    let listener = router.address("(l, second+mine+redis)");
    let admin = router.address("(admin").to_string();

    let recording = folder.path().join("calls.jsonl");
    let recording = recording.to_str().expect("a plain path");
    let mut record = heptad(&["record", "--admin", &admin, "--count", "1", "-o", recording]);
    let mut record = record.stderr(Stdio::piped()).spawn().expect("the binary runs");
    let mut said = String::new();
    let mut stderr = BufReader::new(record.stderr.take().expect("piped"));
    stderr.read_line(&mut said).expect("text");
    assert!(said.starts_with("tapping "), "{said}");
    let mut client = TcpStream::connect(listener).expect("it listens");
    client.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    client.write_all(CALL).expect("it reads");
    let mut answer = [0; ANSWER.len()];
    client.read_exact(&mut answer).expect("it answers");
    assert_eq!(answer, ANSWER);
    assert!(record.wait().expect("it ends").success());

    let (to, config) = (listener.to_string(), file.to_str().expect("a plain path"));
    let junit = folder.path().join("report.xml");
    let junit = junit.to_str().expect("a plain path");
    for codec in [["--codec", &description], ["-c", config]] {
        let more = ["--to", &to, "--bytes", "--junit", junit];
        let done = output(&[&["replay", recording][..], &codec, &more].concat());
        let said = text(&done.stdout);
        assert_eq!(said, "1 calls: 1 as they were, 0 changed\n", "{}", text(&done.stderr));
        let junit = fs::read_to_string(junit).expect("a report");
        assert!(junit.contains(r#"tests="1" failures="0""#), "{junit}");
    }
    router.signal("TERM");
    assert!(router.end().success());
    let log = fs::read_to_string(log).expect("a log");
    assert!(log.lines().count() == 3, "{log}");
    assert!(log.lines().all(|line| line.contains(r#""protocol":"mine""#)), "{log}");
}

#[test]
fn a_file_that_is_no_description_is_said_to_be_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("x.yaml");
    fs::write(&file, "name: x\n").expect("it can be written");
    for (codec, said) in [
        (file.to_str().expect("a plain path"), "x.yaml:1:1: there are no frames"),
        ("nowhere.yaml", "cannot read nowhere.yaml: "),
        ("nowhere", "there is no codec nowhere; there are: awesomerpc, bolt, "),
        ("frame", "a protocol needs a name"),
    ] {
        let done = output(&["inspect", "--codec", codec, "Cargo.toml"]);
        assert_eq!(done.status.code(), Some(2), "{codec}");
        assert!(text(&done.stderr).contains(said), "{codec}: {}", text(&done.stderr));
    }
}

#[test]
fn what_is_wrong_is_said_at_its_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, yaml) = starter(folder.path());
    for (from, to, said) in [
        ("method: get, headers", "method: put, headers", "`get` was found, and not `put`"),
        ("outcome: overloaded, code", "outcome: timeout, code", "`overloaded` was found"),
        ("000c 04", "000d 04", "head ends inside of a header"),
        ("offset: 4, width: 4,", "offset: 4, width: 0,", "a number of 0 bytes"),
        ("{ text: plain }", "{ text: loud }", "unknown word `loud`"),
    ] {
        let changed = yaml.replacen(from, to, 1);
        assert_ne!(changed, yaml, "{from}");
        fs::write(&file, &changed).expect("it can be written");
        let done = output(&["codec", "test", &file]);
        let stderr = text(&done.stderr);
        assert_eq!(done.status.code(), Some(1), "{to}: {stderr}");
        assert!(stderr.contains(said), "{to}: {stderr}");
        let line = changed.lines().position(|line| line.contains(to)).expect("it is there") + 1;
        let near = (line..line + 3).any(|line| stderr.contains(&format!("mine.yaml:{line}:")));
        assert!(near, "{to} at line {line}: {stderr}");
    }
    fs::write(&file, yaml.split("samples:").next().expect("a part")).expect("it can be written");
    let done = output(&["codec", "test", &file]);
    assert!(text(&done.stderr).contains("there are no `samples`"), "{}", text(&done.stderr));
    assert_eq!(output(&["codec", "test", "/nowhere.yaml"]).status.code(), Some(2));
}

#[test]
fn a_codec_that_breaks_the_contract_is_told_which_rule() {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, yaml) = starter(folder.path());
    // Heartbeats are answered with a body that their frames cannot have.
    let changed = yaml.replace("  pong: { kind: pong }\n", "");
    fs::write(&file, changed).expect("it can be written");
    let done = output(&["codec", "test", &file]);
    assert_eq!(done.status.code(), Some(1));
    assert!(text(&done.stderr).contains("rule `pong` is broken"), "{}", text(&done.stderr));
}

/// The descriptions in the page, and those that are shipped.
#[test]
fn documented_descriptions_pass_their_tests() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = fs::read_to_string(root.join("docs/described-codecs.md")).expect("the page");
    let folder = tempfile::tempdir().expect("a folder");
    let mut files = Vec::new();
    for (n, block) in page.split("```yaml description\n").skip(1).enumerate() {
        let file = folder.path().join(format!("block-{n}.yaml"));
        fs::write(&file, block.split("```").next().expect("its end")).expect("it can be written");
        files.push(file);
    }
    assert!(files.len() >= 2, "{files:?}");
    for name in ["awesomerpc", "bolt", "trpc"] {
        files.push(root.join(format!("codecs/described/protocols/{name}.yaml")));
    }
    for file in files {
        let done = output(&["codec", "test", file.to_str().expect("a plain path")]);
        assert!(done.status.success(), "{}:\n{}", file.display(), text(&done.stderr));
    }
}

/// Every key of a description is explained.
#[test]
fn the_page_has_every_key() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = fs::read_to_string(root.join("docs/described-codecs.md")).expect("the page");
    let schema: serde_json::Value =
        serde_json::from_slice(&output(&["schema"]).stdout).expect("a schema");
    let definitions = schema["$defs"].as_object().expect("definitions");
    let ours = definitions.iter().filter(|(name, _)| name.starts_with("codec.frame"));
    let mut keys = std::collections::BTreeSet::new();
    for (_, definition) in ours {
        collect(definition, &mut keys);
    }
    assert!(keys.len() > 50, "{keys:?}");
    let missing: Vec<_> = keys.iter().filter(|key| !page.contains(&format!("`{key}`"))).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

fn collect(value: &serde_json::Value, keys: &mut std::collections::BTreeSet<String>) {
    match value {
        serde_json::Value::Object(object) => {
            if let Some(serde_json::Value::Object(properties)) = object.get("properties") {
                keys.extend(properties.keys().cloned());
            }
            object.values().for_each(|value| collect(value, keys));
        }
        serde_json::Value::Array(items) => items.iter().for_each(|value| collect(value, keys)),
        _ => {}
    }
}
