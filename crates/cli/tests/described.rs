//! `heptad codec new --described` and `heptad codec test`: a starter is written, passes its own test, and can be routed; what is wrong with a
//! description is said at its line.

mod common;

use std::fs;

use common::{output, text};

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
