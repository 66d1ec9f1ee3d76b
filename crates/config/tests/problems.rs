//! Every kind of problem, word for word: place, line, caret and cure.
//!
//! The cases are in `problems.txt`: a name, lines that are put into a small valid file, and what is
//! said about them. Set `HEPTAD_BLESS=1` to write down what is said now, then read the difference.

mod common;

use std::fmt::Write as _;

use heptad_config::load;

const CASES: &str = include_str!("problems.txt");

/// Puts lines into a valid file at the place that their first line names.
fn file(lines: &str) -> String {
    let (place, body) = lines.split_once('\n').unwrap_or((lines, ""));
    let body_at = |name: &str, indent: usize| match place == name {
        true => body.lines().map(|line| format!("{:indent$}{line}\n", "")).collect::<String>(),
        false => String::new(),
    };
    let base = |route: &str, cluster: &str| {
        format!(
            "listeners:\n  - name: main\n    listen: 127.0.0.1:6380\n    codec: redis\n{}    \
             routes:\n      - name: all\n{route}clusters:\n  - name: store\n{cluster}{}",
            body_at("@listener", 4),
            body_at("@root", 0),
        )
    };
    let to = "        to: store\n";
    let endpoints = "    endpoints: [ 127.0.0.1:6379 ]\n";
    match place {
        "@file" => body.to_owned(),
        "@action" => base(&body_at("@action", 8), endpoints),
        "@route" => base(&format!("{to}{}", body_at("@route", 8)), endpoints),
        "@endpoints" => base(to, &body_at("@endpoints", 4)),
        "@cluster" => base(to, &format!("{endpoints}{}", body_at("@cluster", 4))),
        "@listener" | "@root" => base(to, endpoints),
        other => panic!("no such place: {other}"),
    }
}

#[test]
fn every_kind_of_problem_is_said_word_for_word() {
    let plugins = common::plugins();
    let mut now = String::new();
    let mut count = 0;
    for case in CASES.split("\n=== ").filter(|case| !case.trim().is_empty()) {
        let case = case.trim_start_matches("=== ");
        let (name, rest) = case.split_once('\n').expect("a case has a name");
        let (lines, _) = rest.split_once("\n-- says\n").unwrap_or((rest.trim_end(), ""));
        let text = file(lines);
        let said = match load("heptad.yaml", &text, &plugins) {
            Ok(_) => panic!("{name}: nothing is wrong with\n{text}"),
            Err(problems) => problems.to_string(),
        };
        let _ = write!(now, "=== {name}\n{lines}\n-- says\n{}\n", said.trim_end());
        now.push('\n');
        count += 1;
    }
    if std::env::var_os("HEPTAD_BLESS").is_some() {
        std::fs::write("tests/problems.txt", &now).expect("the file can be written");
    } else {
        for (said, wanted) in now.split("\n=== ").zip(CASES.split("\n=== ")) {
            assert_eq!(said.trim_end(), wanted.trim_end());
        }
        assert_eq!(now.trim_end(), CASES.trim_end());
    }
    assert!(count > 50, "only {count} cases were found");
}

#[test]
fn many_problems_of_one_file_are_all_said_in_the_order_of_lines() {
    let text = include_str!("many.yaml");
    let problems = load("many.yaml", text, &common::plugins()).expect_err("it is full of them");
    // A line that is wrong says so itself.
    let wrong: Vec<usize> = text
        .lines()
        .enumerate()
        .filter(|(_, line)| line.contains("# wrong"))
        .map(|(i, _)| i + 1)
        .collect();
    let found: Vec<usize> = problems.list.iter().map(|p| p.span.line).collect();
    assert_eq!(found, wrong, "{problems}");
    assert!(found.len() >= 8);
    let count = format!("{} problems in many.yaml\n", found.len());
    assert!(problems.to_string().ends_with(&count));
}

#[test]
fn colours_are_for_those_who_ask() {
    let plugins = common::plugins();
    let problems = load("f", "workers: x", &plugins).expect_err("x is no number");
    let plain = problems.render(false);
    assert!(!plain.contains('\x1b'));
    let mut coloured = problems.render(true);
    assert!(coloured.contains("\x1b[1;31m"));
    for code in ["\x1b[1;31m", "\x1b[34m", "\x1b[32m", "\x1b[1m", "\x1b[0m"] {
        coloured = coloured.replace(code, "");
    }
    assert_eq!(coloured, plain);
}

#[test]
fn a_file_cannot_paint_the_terminal() {
    let text = "\"work\\e[31mers\": 1\nlisteners: \"\u{202e}\"\n";
    let problems = load("f\x1b.yaml", text, &common::plugins()).expect_err("unknown key");
    let said = problems.to_string();
    assert!(!said.contains(['\x1b', '\u{202e}']), "{said:?}");
}

#[test]
fn long_lines_are_cut_around_the_place() {
    let long = "x".repeat(500);
    let text = format!("workers: {{ {long}: 1, b: 2 }} # {long}");
    let problems = load("f", &text, &common::plugins()).expect_err("no mapping");
    for line in problems.to_string().lines() {
        assert!(line.chars().count() < 300, "{line}");
    }
}
