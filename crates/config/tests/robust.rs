//! No text makes the reader panic, hang or fill the memory.

mod common;

use heptad_config::{MAX_DEPTH, MAX_NODES, load, parse_yaml};
use proptest::prelude::*;

fn refusal(text: &str) -> String {
    let problems = parse_yaml("bomb.yaml", text).expect_err("it must be refused");
    assert_eq!(problems.list.len(), 1);
    problems.list[0].message.clone()
}

#[test]
fn aliases_that_multiply_are_refused() {
    let mut text = String::from("a0: &a0 [ x, x, x, x, x, x, x, x, x, x ]\n");
    for i in 1..20 {
        let before = vec![format!("*a{}", i - 1); 10].join(", ");
        text.push_str(&format!("a{i}: &a{i} [ {before} ]\n"));
    }
    assert!(refusal(&text).starts_with("the file holds too much"));
}

#[test]
fn aliases_of_long_texts_are_refused() {
    let mut text = format!("a: &a \"{}\"\nb:\n", "x".repeat(1 << 20));
    text.push_str(&"  - *a\n".repeat(1000));
    assert!(refusal(&text).starts_with("the file holds too much"));
}

#[test]
fn deep_nesting_is_refused() {
    for open in ["[", "{a: ", "- "] {
        assert!(refusal(&open.repeat(100_000)).contains("nested deeper"), "{open}");
    }
    // Deep by aliases only.
    let mut text = String::from("a0: &a0 [ x ]\n");
    for i in 1..=MAX_DEPTH {
        text.push_str(&format!("a{i}: &a{i} [ *a{} ]\n", i - 1));
    }
    assert!(refusal(&text).contains("nested deeper"));
}

#[test]
fn very_many_values_are_refused() {
    let text = format!("[{}]", "1,".repeat(MAX_NODES + 1));
    assert!(refusal(&text).starts_with("the file holds too much"));
}

#[test]
fn long_files_and_many_problems_take_linear_time() {
    // Quadratic time would not end in this test's lifetime.
    let mut text = String::new();
    for i in 0..20_000 {
        text.push_str(&format!("key{i}: 1\n"));
    }
    let problems = load("f", &text, &common::plugins()).expect_err("unknown keys");
    assert_eq!(problems.list.len(), 20_001);
    assert!(problems.render(false).ends_with("20001 problems in f\n"));
}

#[test]
fn matches_deeper_than_routes_can_be_are_refused() {
    let deep = |n: usize| {
        let text = format!("{}key: a{}", "key: b, not: { ".repeat(n), " }".repeat(n));
        format!(
            "listeners: [ {{ name: a, listen: '127.0.0.1:1', codec: redis, routes: [ {{ name: r, \
             match: {{ {text} }}, answer: {{ ok: x }} }} ] }} ]"
        )
    };
    load("f", &deep(20), &common::plugins()).expect("that is deep enough for everybody");
    let problems = load("f", &deep(50), &common::plugins()).expect_err("too deep");
    assert!(problems.list[0].message.contains("nested deeper"), "{problems}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..Default::default() })]

    #[test]
    fn no_text_panics(text in "\\PC{0,200}") {
        let _ = load("f", &text, &common::plugins()).map_err(|p| p.to_string());
    }

    #[test]
    fn nothing_that_looks_like_yaml_panics(
        text in "([a-z]{1,8}: |- |[ ]{1,6}|\\n|[\\[\\]{},:&*#!|>'\"%@`\t]|[0-9.]{1,5}|é|<<|\\PC){0,60}"
    ) {
        let _ = load("f", &text, &common::plugins()).map_err(|p| p.to_string());
    }

    /// The full example with a piece cut out and another put in.
    #[test]
    fn no_edit_panics(
        from in 0usize..4000,
        len in 0usize..60,
        piece in "(\\n|\\n  |[a-z]{1,5}|: |- |[{}\\[\\],'\"&*!]|[0-9]{1,20}|\\PC){0,6}"
    ) {
        let full = include_str!("full.yaml");
        let chars: Vec<char> = full.chars().collect();
        let from = from.min(chars.len());
        let to = (from + len).min(chars.len());
        let text: String =
            chars[..from].iter().copied().chain(piece.chars()).chain(chars[to..].iter().copied())
                .collect();
        let _ = load("f", &text, &common::plugins()).map_err(|p| p.to_string());
    }

    /// What is written out reads back as the same tree.
    #[test]
    fn dumps_read_back(text in "\\PC{0,20}|[ -~\\n\\t]{0,20}|[0-9.:esm-]{0,8}", deep in any::<bool>()) {
        let json = if deep {
            serde_json::json!({ "a": [[text.as_str()], { text.as_str(): text.as_str() }], "b": {} })
        } else {
            serde_json::json!([text.as_str(), 5, null, -7, true, []])
        };
        // A file may give text in any way; JSON is one of them.
        let tree = parse_yaml("f", &json.to_string()).map_err(|p| TestCaseError::fail(p.to_string()))?;
        let yaml = tree.to_yaml();
        let again = parse_yaml("f", &yaml).map_err(|p| TestCaseError::fail(format!("{p}\n{yaml}")))?;
        prop_assert_eq!(again.to_json(), json, "{}", yaml);
    }
}
