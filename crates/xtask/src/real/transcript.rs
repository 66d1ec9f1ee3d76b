//! What a client saw, step by step, and the comparison of two such records.
//!
//! A script prints one JSON object per step: `step` (group and number), `call` (what was asked) and
//! `reply` (type and value, or the error's type and text). Here is the one place that says what may
//! differ between two fresh servers, or between a server and the same server behind a router:
//!
//! * numbers behind the words of [`VOLATILE`] in `CLIENT LIST`, `CLIENT INFO` and `INFO` style text:
//!   ids, addresses, file descriptors, ages, buffer and memory sizes;
//! * ports of `127.0.0.1:PORT`;
//! * steps whose script marked the reply as volatile have only its type recorded, and steps marked
//!   as unordered have it sorted (each Redis server draws its own hash seed).

use serde_json::Value;

use crate::tally::Tally;

/// Words of `word=number` text that are about a connection or a process, not about the data.
const VOLATILE: &[&str] = &[
    "id",
    "addr",
    "laddr",
    "fd",
    "age",
    "idle",
    "qbuf",
    "qbuf-free",
    "argv-mem",
    "multi-mem",
    "rbs",
    "rbp",
    "obl",
    "oll",
    "omem",
    "tot-mem",
    "events",
    "redir",
];

/// One step of a record.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) step: String,
    pub(super) call: String,
    pub(super) reply: String,
    /// The step needs a cluster with one server.
    pub(super) single: bool,
}

/// Reads a script's output; its last line must be `{"end": …}`, or the script did not finish.
pub(super) fn parse(output: &str) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    let mut ended = false;
    for line in output.lines().filter(|l| !l.is_empty()) {
        let value: Value =
            serde_json::from_str(line).map_err(|e| format!("not a step ({e}): {line}"))?;
        if value.get("end").is_some() {
            ended = true;
            continue;
        }
        let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or("").to_owned();
        steps.push(Step {
            step: text("step"),
            call: normalise(&text("call")),
            reply: normalise(&value.get("reply").map(Value::to_string).unwrap_or_default()),
            single: value.get("single").is_some(),
        });
    }
    if ended { Ok(steps) } else { Err("the script stopped before its end".into()) }
}

/// What the client libraries make of the refusal of a step that needs one server.
const REFUSED: &str = r#"{"object":[["error","ReplyError"],["code","ERR"]]}"#;
const REFUSED_PY: &str = r#"{"code":"heptad:","error":"ResponseError"}"#;

/// Compares two records and counts one check per step. `several`: the second is of several servers
/// behind the router, which must refuse the steps that need one.
pub(super) fn compare(name: &str, direct: &[Step], through: &[Step], several: bool) -> Tally {
    let mut tally = Tally::default();
    for (a, b) in direct.iter().zip(through) {
        let holds =
            if several && a.single { b.reply == REFUSED || b.reply == REFUSED_PY } else { a == b };
        tally.check(holds, || {
            format!(
                "{name} {}: {}\n  direct:  {}\n  through: {}{}",
                a.step,
                a.call,
                a.reply,
                b.reply,
                if a.call == b.call {
                    String::new()
                } else {
                    format!("\n  (asked there: {})", b.call)
                }
            )
        });
    }
    if direct.len() != through.len() {
        tally.fail(format!("{name}: {} steps direct, {} through", direct.len(), through.len()));
    }
    tally.note(format!("{name}: {} steps", direct.len()));
    tally
}

/// Replaces what must differ.
pub(super) fn normalise(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("127.0.0.1:") {
            out.push_str("127.0.0.1:*");
            rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
            continue;
        }
        let fresh =
            !out.chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '-' || c == '_');
        if fresh && let Some((word, after)) = volatile(rest) {
            out.push_str(word);
            out.push_str("=*");
            rest = after;
            continue;
        }
        out.push(c);
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
    }
    out
}

fn volatile(text: &str) -> Option<(&'static str, &str)> {
    let word = VOLATILE
        .iter()
        .find(|w| text.strip_prefix(**w).is_some_and(|rest| rest.starts_with('=')))?;
    let after = text.get(word.len() + 1..)?;
    let end = after
        .find(|c: char| !(c.is_ascii_alphanumeric() || ".:-".contains(c)))
        .unwrap_or(after.len());
    Some((word, after.get(end..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_must_differ_is_replaced() {
        assert_eq!(
            normalise("id=12 addr=127.0.0.1:5 name=me db=0 cmd=client|list sub=0 tot-mem=9"),
            "id=* addr=* name=me db=0 cmd=client|list sub=0 tot-mem=*"
        );
        assert_eq!(normalise("valid=12 at 127.0.0.1:77!"), "valid=12 at 127.0.0.1:*!");
    }

    #[test]
    fn a_record_without_an_end_is_an_error() {
        let step = r#"{"step":"a/1","call":"GET x","reply":{"error":"E","text":"t"}}"#;
        assert!(parse(step).is_err());
        let whole = parse(&format!("{step}\n{{\"end\":1}}\n")).unwrap();
        assert_eq!(whole.len(), 1);
    }

    #[test]
    fn differences_and_missing_steps_fail() {
        let step = |reply: &str| Step {
            step: "s".into(),
            call: "c".into(),
            reply: reply.into(),
            single: false,
        };
        let tally = compare("x", &[step("1"), step("2")], &[step("1"), step("3")], false);
        assert_eq!((tally.passed, tally.failed), (1, 1));
        assert_eq!(compare("x", &[step("1")], &[], false).failed, 1);
    }
}
