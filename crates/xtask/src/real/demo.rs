//! The demo must judge itself well with its own rules, and badly where a rule was broken.

use std::{process::Command, time::Duration};

use crate::{
    paths,
    rig::{Middle, run_bounded},
    tally::Tally,
};

pub(super) fn run(middle: Middle) -> Result<Tally, String> {
    let mut tally = Tally::default();
    if middle == Middle::StandIn {
        let fifty = fifty_fifty("to: { reviews-v1: 75, reviews-v2: 25 }");
        tally.check(fifty.is_some(), || "the text is not found".into());
        tally.note("a stand-in has no demo");
        return Ok(tally);
    }
    let (code, own) = demo(&["--print-config"])?;
    tally.check(code == Some(0), || own.clone());

    let (code, words) = demo(&["--seconds", "5"])?;
    tally.check(code == Some(0), || format!("own rules: {code:?}\n{words}"));

    let dir = tempfile::TempDir::with_prefix("heptad-demo-").map_err(|e| e.to_string())?;
    let broken = [
        ("fifty-fifty", fifty_fifty(&own)),
        ("swapped reviews", swapped(&own, "reviews")),
        ("swapped ratings", swapped(&own, "ratings")),
        ("swapped details", swapped(&own, "details")),
    ];
    for (name, text) in broken {
        let Some(text) = text else {
            tally.fail(format!("{name}: nothing to replace in\n{own}"));
            continue;
        };
        let file = dir.path().join(format!("{}.yaml", name.replace(' ', "-")));
        std::fs::write(&file, text).map_err(|e| e.to_string())?;
        let file = file.to_string_lossy();
        let (code, words) = demo(&["--seconds", "5", "--config", &file])?;
        tally.check(code == Some(1), || format!("{name}: {code:?}\n{words}"));
    }
    Ok(tally)
}

/// The canary's 75/25 as 50/50.
fn fifty_fifty(own: &str) -> Option<String> {
    let line = own.lines().find(|l| l.contains("75") && l.contains("25"))?;
    Some(own.replace(line, &line.replace("75", "50").replace("25", "50")))
}

/// Versions 1 and 2 of a service in each other's place wherever a route points to them.
fn swapped(own: &str, service: &str) -> Option<String> {
    let [v1, v2] = ["v1", "v2"].map(|version| format!("{service}-{version}"));
    let turn = |line: &str| line.replace(&v1, "\u{0}").replace(&v2, &v1).replace('\u{0}', &v2);
    let lines: Vec<String> =
        own.lines().map(|l| if l.contains("to:") { turn(l) } else { l.to_owned() }).collect();
    let text = lines.join("\n") + "\n";
    (text.trim_end() != own.trim_end()).then_some(text)
}

fn demo(args: &[&str]) -> Result<(Option<i32>, String), String> {
    let mut command = Command::new(paths::heptad());
    command.arg("demo").args(args);
    let out = run_bounded(&mut command, Duration::from_secs(30))?;
    let mut words = String::from_utf8_lossy(&out.stdout).into_owned();
    words.push_str(&String::from_utf8_lossy(&out.stderr));
    Ok((out.status.code(), words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variants_break_one_rule_each() {
        let own = "routes:\n  - { match: { header.user: jason }, to: reviews-v2 }\n  - to: { reviews-v1: 75, reviews-v2: 25 }\nclusters:\n  - name: reviews-v1\n";
        let fifty = fifty_fifty(own).unwrap();
        assert!(fifty.contains("reviews-v1: 50, reviews-v2: 50"));
        assert_eq!(super::swapped(own, "ratings"), None);
        let swapped = swapped(own, "reviews").unwrap();
        assert!(swapped.contains("jason }, to: reviews-v1"));
        assert!(swapped.contains("reviews-v2: 75, reviews-v1: 25"));
        assert!(swapped.contains("name: reviews-v1"));
    }
}
