//! `codec: { frame: … }`: descriptions in the configuration and in files, and what is said of bad
//! ones.

use heptad::Registry;

const PROTOCOL: &str = "name: tiny
initial_bytes: 8
length: { offset: 0, width: 4, adjustment: 4 }
id: { offset: 4, width: 4 }
frames:
- kinds: { request: }
  parts: [{ method: { prefix: 1 } }]
- kinds: { reply: }
answers:
  error: { kind: reply, body: [{ text: plain }] }
";

fn config(codec: &str) -> String {
    format!(
        "listeners:\n- name: l\n  listen: 127.0.0.1:0\n  codec: {codec}\n  \
         routes: [{{ name: r, match: {{ method: get }}, to: c }}]\n\
         clusters:\n- {{ name: c, endpoints: [127.0.0.1:1] }}\n"
    )
}

fn inline(protocol: &str) -> String {
    let indented: String = protocol.lines().map(|line| format!("      {line}\n")).collect();
    config(&format!("\n    frame:\n{indented}"))
}

fn said(file: &str, text: &str) -> String {
    match Registry::standard().load(file, text) {
        Ok(model) => match heptad::Heptad::check(&Registry::standard(), &model) {
            Ok(_) => "good".to_owned(),
            Err(problem) => problem.message,
        },
        Err(problems) => problems.render(false),
    }
}

#[test]
fn a_description_stands_in_the_configuration_or_in_a_file_beside_it() {
    assert_eq!(said("x.yaml", &inline(PROTOCOL)), "good");
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("tiny.yaml"), PROTOCOL).expect("it can be written");
    let file = folder.path().join("heptad.yaml").display().to_string();
    assert_eq!(said(&file, &config("{ frame: tiny.yaml }")), "good");
    for name in ["awesomerpc", "bolt", "trpc"] {
        assert_eq!(said("x.yaml", &config(name)), "good");
    }
}

#[test]
fn problems_are_shown_at_their_line_of_the_file_that_has_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let bad = PROTOCOL.replace("offset: 4, width: 4 }", "offset: 6, width: 4 }");
    std::fs::write(folder.path().join("tiny.yaml"), bad).expect("it can be written");
    let file = folder.path().join("heptad.yaml").display().to_string();
    let said_of_file = said(&file, &config("{ frame: tiny.yaml }"));
    let place = format!("{}:4:7:", folder.path().join("tiny.yaml").display());
    assert!(said_of_file.contains(&place), "{said_of_file}");
    assert!(said_of_file.contains("ends behind the initial bytes"), "{said_of_file}");
    assert!(said_of_file.contains("`initial_bytes` must be at least 10"), "{said_of_file}");

    let missing = said(&file, &config("{ frame: none.yaml }"));
    assert!(
        missing.contains("none.yaml cannot be read") && missing.contains(":4:19:"),
        "{missing}"
    );
    let nothing = said("x.yaml", &config("frame"));
    assert!(nothing.contains("`frame` needs a description"), "{nothing}");
}

#[test]
fn protocols_of_a_listener_have_names_of_their_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("heptad.yaml").display().to_string();
    let other = PROTOCOL.replace("name: tiny", "name: other");
    let redis = PROTOCOL.replace("name: tiny", "name: redis");
    for (name, text) in [("a.yaml", PROTOCOL), ("b.yaml", &other), ("redis.yaml", &redis)] {
        std::fs::write(folder.path().join(name), text).expect("it can be written");
    }
    for good in ["[ { frame: a.yaml }, redis ]", "[ { frame: a.yaml }, { frame: b.yaml } ]"] {
        assert_eq!(said(&file, &config(good)), "good", "{good}");
    }
    for (bad, name) in [
        ("[ { frame: a.yaml }, redis, { frame: a.yaml } ]", "tiny"),
        ("[ { frame: redis.yaml }, redis ]", "redis"),
    ] {
        let said = said(&file, &config(bad));
        let message = format!("heptad.yaml:2:9: two protocols of the listener are called {name}");
        assert!(said.contains(&message) && said.contains("another `name`"), "{bad}: {said}");
    }
    let twice = said(&file, &config("[ redis, redis ]"));
    assert!(twice.contains("codec `redis` is named twice"), "{twice}");
}

#[test]
fn every_mistake_names_its_key_and_its_cure() {
    for (from, to, message, cure) in [
        ("name: tiny", "name: Tiny Protocol", "one word in lower case", "`name: awesomerpc`"),
        ("initial_bytes: 8\n", "", "ends behind the initial bytes", "`initial_bytes` must be"),
        ("width: 4, adjustment", "widht: 4, adjustment", "unknown key `widht`", "width"),
        ("width: 4, adjustment", "width: 9, adjustment", "a number of 9 bytes", "1 to 8"),
        ("offset: 0, width: 4,", "offset: 0,", "width of the length field is missing", "width: 4"),
        ("{ request: }", "{ request: 1 }", "no kind field", "add `kind:"),
        ("{ prefix: 1 }", "{ prefix: 1, size: 2 }", "said twice", "keep one of"),
        ("kind: reply, body", "kind: push, body", "no frame of the kind push", "name a kind"),
        ("[{ text: plain }]", "[{ hex: abc }]", "pairs of hexadecimal digits", "write bytes as"),
        ("id: {", "id: { size: 4,", "must be said in one way", "`offset` and `width`"),
        ("name: tiny\n", "name: tiny\ndelimiter: \"\\n\"\n", "a delimiter, and a length", "remove"),
        ("- kinds: { reply: }", "- kinds: { request: }", "another frame has this value", "`from:`"),
    ] {
        let text = PROTOCOL.replace(from, to);
        assert_ne!(text, PROTOCOL, "{from}");
        let said = said("x.yaml", &inline(&text));
        assert!(said.contains(message) && said.contains(cure), "{to}:\n{said}");
        assert!(said.contains("x.yaml:") && !said.contains("x.yaml:0:"), "{to}:\n{said}");
    }
}
