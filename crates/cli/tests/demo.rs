//! The demo passes on its own configuration and does not pass on one that does something else: a
//! judge that acquits everybody proves nothing.

mod common;

use std::{net::TcpListener, process::Output};

use common::{base_port, output, text};

fn demo(base: u16, more: &[&str]) -> Output {
    let base = base.to_string();
    let mut args = vec!["demo", "--seconds", "2", "--base-port", &base];
    args.extend(more);
    output(&args)
}

/// Runs the demo on its own configuration after a change.
fn changed(change: impl FnOnce(u16, String) -> String) -> Output {
    let base = base_port();
    let printed = demo(base, &["--print-config"]);
    assert!(printed.status.success());
    let before = text(&printed.stdout);
    let after = change(base, before.clone());
    assert_ne!(before, after, "the change must change something");
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("demo.yaml");
    std::fs::write(&file, after).expect("a file");
    demo(base, &["--config", file.to_str().expect("a plain path")])
}

/// The rules that did not hold, by how their lines begin.
fn broken(out: &Output) -> Vec<String> {
    let said = text(&out.stdout);
    let lines = said.lines().filter_map(|line| line.strip_prefix("FAIL  "));
    lines.map(str::to_owned).collect()
}

/// The names of the rules that did not hold.
fn rules(out: &Output) -> Vec<String> {
    broken(out).iter().filter_map(|line| Some(line.split_once("  ")?.0.to_owned())).collect()
}

fn swap(text: &str, a: &str, b: &str) -> String {
    text.replace(a, "?").replace(b, a).replace('?', b)
}

#[test]
fn on_its_own_configuration_every_rule_holds() {
    let out = demo(base_port(), &[]);
    let said = text(&out.stdout);
    assert_eq!(out.status.code(), Some(0), "{said}\n{}", text(&out.stderr));
    for part in
        ["jason-sees-v2", "canary", "WRONGTYPE", "APP_ERROR", "EXCEPTION", "P99", "rules held"]
    {
        assert!(said.contains(part), "{part} not in {said}");
    }
    assert!(!said.contains('\x1b'), "no colours where there is no terminal");
}

#[test]
fn an_even_split_is_found_out() {
    let out = changed(|_, config| {
        config.replace("{ reviews-v1: 75, reviews-v2: 25 }", "{ reviews-v1: 50, reviews-v2: 50 }")
    });
    assert_eq!(out.status.code(), Some(1), "{}", text(&out.stdout));
    let broken = broken(&out);
    assert!(broken.iter().any(|rule| rule.starts_with("others are split")), "{broken:?}");
    assert!(!broken.iter().any(|rule| rule.starts_with("jason")), "{broken:?}");
}

#[test]
fn swapped_versions_are_found_out() {
    let out = changed(|base, config| {
        let [v1, v2] = [base + 3, base + 4].map(|port| format!("127.0.0.1:{port}"));
        swap(&config, &v1, &v2)
    });
    assert_eq!(out.status.code(), Some(1), "{}", text(&out.stdout));
    let broken = broken(&out);
    assert!(broken.iter().any(|rule| rule.starts_with("jason")), "{broken:?}");
    assert!(broken.iter().any(|rule| rule.starts_with("others are split")), "{broken:?}");
}

#[test]
fn a_swapped_header_rule_is_found_out() {
    let out = changed(|_, config| swap(&config, "to: ratings-v1", "to: ratings-v2"));
    assert_eq!(out.status.code(), Some(1), "{}", text(&out.stdout));
    assert_eq!(rules(&out), ["jason sees ratings v2 only", "others see ratings v1 only"]);
}

#[test]
fn a_swapped_attachment_rule_is_found_out() {
    let out = changed(|_, config| swap(&config, "to: details-v1", "to: details-v2"));
    assert_eq!(out.status.code(), Some(1), "{}", text(&out.stdout));
    assert_eq!(
        rules(&out),
        [
            "canaries see details v2 only",
            "others see details v1 only",
            "oneways arrive once, at v1 and v2",
        ]
    );
}

#[test]
fn a_rule_without_its_header_is_found_out() {
    let out = changed(|_, config| config.replace("header.tag: canary", "header.tag: canaries"));
    assert_eq!(out.status.code(), Some(1), "{}", text(&out.stdout));
    let broken = rules(&out);
    assert!(broken.iter().any(|rule| rule.starts_with("canaries see")), "{broken:?}");
    assert!(!broken.iter().any(|rule| rule.starts_with("others see")), "{broken:?}");
}

#[test]
fn a_route_for_everything_is_found_out() {
    let out = changed(|_, config| config.replace("match: { service: bookinfo.Details }", ""));
    assert_eq!(out.status.code(), Some(1), "{}", text(&out.stdout));
    let broken = rules(&out);
    assert!(broken.iter().any(|rule| rule.starts_with("unknown interfaces")), "{broken:?}");
}

/// The configuration without the lines that have one of these in them.
fn without(config: &str, parts: &[&str]) -> String {
    let kept = |line: &&str| !parts.iter().any(|part| line.contains(part));
    config.lines().filter(kept).map(|line| format!("{line}\n")).collect()
}

#[test]
fn missing_deny_rules_are_found_out() {
    let out = changed(|_, config| without(&config, &["authorize:"]));
    assert_eq!(out.status.code(), Some(1), "{}", text(&out.stdout));
    assert_eq!(
        rules(&out),
        [
            "Erase of reviews is denied",
            // The stores' own error is no answer to who must be told that it is denied.
            "every redis answer was the due one",
            "FLUSHALL is denied",
            "erase of ratings is denied",
            "erase of details is denied",
            "nothing else happened",
        ]
    );
}

#[test]
fn missing_limits_are_found_out() {
    let out = changed(|_, config| without(&config, &["limit_rate:", "rate: 10/s"]));
    assert_eq!(out.status.code(), Some(1), "{}", text(&out.stdout));
    assert_eq!(
        rules(&out),
        [
            "greedy on reviews is limited",
            "greedy keys are limited",
            "greedy on ratings is limited",
            "greedy on details is limited",
        ]
    );
}

#[test]
fn a_limit_for_everybody_is_found_out() {
    let everybody = |config: String| config.replace("match: { header.tenant: greedy }, ", "");
    let out = changed(|_, config| everybody(config));
    assert_eq!(out.status.code(), Some(1), "{}", text(&out.stdout));
    let broken = rules(&out);
    assert!(broken.iter().any(|rule| rule == "nobody else is limited"), "{broken:?}");
    assert!(!broken.iter().any(|rule| rule.starts_with("greedy")), "{broken:?}");
}

#[test]
fn stores_that_do_not_share_the_keys_are_found_out() {
    let out = changed(|base, config| {
        let all = format!("127.0.0.1:{}, 127.0.0.1:{}", base + 6, base + 7);
        config.replace(&format!(", {all}"), "")
    });
    assert_eq!(out.status.code(), Some(1), "{}", text(&out.stdout));
    let broken = broken(&out);
    assert!(broken.iter().any(|rule| rule.starts_with("every key lives")), "{broken:?}");
}

#[test]
fn a_port_that_is_taken_is_named() {
    let base = base_port();
    let _taken = TcpListener::bind(("127.0.0.1", base + 5)).expect("it was free");
    let out = demo(base, &[]);
    assert_eq!(out.status.code(), Some(2));
    let said = text(&out.stderr);
    assert!(said.contains(&format!("127.0.0.1:{}", base + 5)) && said.contains("--base-port"));
}

#[test]
fn a_file_without_the_listeners_is_refused() {
    let out = changed(|_, config| config.replace("name: reviews\n", "name: other\n"));
    assert_eq!(out.status.code(), Some(2));
    let said = text(&out.stderr);
    assert!(said.contains("no listener `reviews`"), "{said}");
}
