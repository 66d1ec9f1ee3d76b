//! Redis: spellings, several keys, keys that cannot be known, transactions, subcommands.

use std::cell::Cell;

use crate::{Row, check_all};

/// A server that takes arrays only, keeps no data, and knows transactions: it answers `+<name>`,
/// and what stands in a transaction with a malformed command is not executed.
fn serve(input: &mut Vec<u8>) -> Vec<u8> {
    // One thread serves one link.
    thread_local! {
        static MULTI: Cell<Option<u32>> = const { Cell::new(None) };
        static SPOILT: Cell<bool> = const { Cell::new(false) };
    }
    let mut out = String::new();
    while let Some((words, len)) = command(input) {
        input.drain(..len);
        let name = words[0].to_ascii_uppercase();
        match (&*name, MULTI.get()) {
            ("MULTI", None) => {
                MULTI.set(Some(0));
                SPOILT.set(false);
                out.push_str("+OK\r\n");
            }
            ("EXEC", Some(_)) if SPOILT.get() => {
                MULTI.set(None);
                out.push_str("-EXECABORT Transaction discarded because of previous errors.\r\n");
            }
            ("EXEC", Some(n)) => {
                MULTI.set(None);
                out.push_str(&format!("*{n}\r\n{}", "+DONE\r\n".repeat(n as usize)));
            }
            ("GET", Some(_)) if words.len() != 2 => {
                SPOILT.set(true);
                out.push_str("-ERR wrong number of arguments for 'get' command\r\n");
            }
            (_, Some(n)) => {
                MULTI.set(Some(n + 1));
                out.push_str("+QUEUED\r\n");
            }
            (name, None) => out.push_str(&format!("+did {name}\r\n")),
        }
    }
    out.into_bytes()
}

/// The first whole command and its length.
fn command(input: &[u8]) -> Option<(Vec<String>, usize)> {
    let mut at = 0;
    let line = |at: &mut usize| -> Option<usize> {
        let end = *at + input.get(*at..)?.windows(2).position(|w| w == b"\r\n")?;
        let text = std::str::from_utf8(&input[*at + 1..end]).ok()?;
        *at = end + 2;
        text.parse().ok()
    };
    let count = line(&mut at)?;
    let mut words = Vec::new();
    for _ in 0..count {
        let len = line(&mut at)?;
        words.push(String::from_utf8_lossy(input.get(at..at + len)?).into_owned());
        at += len + 2;
    }
    (at <= input.len()).then_some((words, at))
}

/// As arrays; a line that begins with `> ` is sent as it is.
fn lines(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(inline) = line.strip_prefix("> ") {
            out.extend_from_slice(inline.as_bytes());
            out.extend_from_slice(b"\r\n");
            continue;
        }
        let words: Vec<&str> = line.split(' ').collect();
        out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
        for word in words {
            let word = if word == "''" { "" } else { word };
            out.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
        }
    }
    out
}

const SECRET: &str = "{ deny: [ { key: { prefix: \"secret:\" } } ] }";
const CONFIG: &str = "{ deny: [ { method: CONFIG } ] }";
const FLUSH: &str = "{ deny: [ { method: SCRIPT, arg.0: FLUSH } ] }";
const TENANT: &str = "{ allow: [ { key: { prefix: \"t1:\" } } ] }";
const NOT_SECRET: &str = "{ allow: [ { not: { key: { prefix: \"secret:\" } } } ] }";
const NOT_TENANT: &str = "{ deny: [ { not: { key: { prefix: \"t1:\" } } } ] }";

const RULE: &str = "-NOPERM heptad: denied by rule deny[0] of authorize\r\n";
const BLIND: &str =
    "-NOPERM heptad: denied by rule deny[0] of authorize: what it asks for is unknown\r\n";
const NONE: &str = "-NOPERM heptad: no allow rule of authorize matches\r\n";
const ABORT: &str = "-EXECABORT Transaction discarded because of previous errors.\r\n";

/// What is sent, and what is read, line by line.
fn row(what: &'static str, rules: &'static str, sends: &str, reads: &[&str]) -> Row {
    Row {
        what,
        codec: "redis",
        rules,
        sends: lines(sends),
        reads: reads.iter().map(|part| part.as_bytes().to_vec()).collect(),
        unseen: vec![b"secret:".to_vec()],
        denied: reads.iter().filter(|part| part.starts_with("-NOPERM")).count() as u64,
        ..Row::default()
    }
}

fn seen(mut row: Row, part: &str) -> Row {
    row.seen.push(part.as_bytes().to_vec());
    row
}

fn unseen(mut row: Row, part: &str) -> Row {
    row.unseen.push(part.as_bytes().to_vec());
    row
}

#[test]
fn spellings_and_several_keys() {
    check_all(
        &[
            row("one key", SECRET, "SET secret:a 1", &[RULE]),
            row("lower case", SECRET, "set secret:a 1", &[RULE]),
            row("inline", SECRET, "> set secret:a 1", &[RULE]),
            row("inline, quoted", SECRET, "> set \"secret:a\" 1", &[RULE]),
            row("inline, escaped", SECRET, "> set \"s\\x65cret:a\" 1", &[RULE]),
            row("a bare line feed", SECRET, "> set secret:a 1\n", &[RULE]),
            row("another prefix", SECRET, "SET open:a 1", &["+did SET\r\n"]),
            row("one of many", SECRET, "MGET a b secret:c d", &[RULE]),
            row("one of many, set", SECRET, "MSET a 1 secret:b 2", &[RULE]),
            row("a value is no key", SECRET, "MSET a 1 b 2\n> set c 3", &["+", "+did SET\r\n"]),
            row("the target of a rename", SECRET, "RENAME a secret:b", &[RULE]),
            row("behind a subcommand", SECRET, "OBJECT ENCODING secret:b", &[RULE]),
            row("counted", SECRET, "ZUNIONSTORE a 2 b secret:c", &[RULE]),
            row("streams", SECRET, "XREAD COUNT 1 STREAMS a secret:b 0 0", &[RULE]),
            row(
                "a group of the name",
                SECRET,
                "XREADGROUP COUNT 1 GROUP streams c STREAMS secret:b 0",
                &[RULE],
            ),
            row("stored", SECRET, "SORT a STORE b LIMIT 0 1 STORE secret:c", &[RULE]),
            row("stored twice", SECRET, "GEORADIUS a 1 2 3 m STORE b STORE secret:c", &[RULE]),
            row("moved", SECRET, "MIGRATE h 1 '' 0 5 KEYS secret:a KEYS b", &[RULE]),
            row("allow needs all", TENANT, "MGET t1:a t2:b", &[NONE]),
            row("allow has all", TENANT, "TOUCH t1:a t1:b", &["+did TOUCH\r\n"]),
            row("no key is not that key", TENANT, "INFO\nDBSIZE", &[NONE, NONE]),
            row("not, denied", NOT_SECRET, "MGET a secret:b", &[NONE]),
            row("not, allowed", NOT_SECRET, "TOUCH a b", &["+did TOUCH\r\n"]),
            row("not in deny", NOT_TENANT, "MGET t1:a b", &[RULE]),
        ],
        serve,
    );
}

#[test]
fn keys_that_cannot_be_known() {
    let mut rows = Vec::new();
    for sends in [
        "EVAL return 0",
        "eval return 1 a",
        "> eval return 1 a",
        "EVALSHA 0000 0",
        "EVAL_RO return 0",
        "FCALL f 1 a",
        "FCALL_RO f 0",
        "SORT a BY w_*",
        "SORT a GET # GET w_*",
        "SORT_RO a GET w_*",
        "mymodule.get a",
        "FT.SEARCH idx *",
        "ZUNION x a b",
        "KEYS *",
        "SCAN 0",
        "FLUSHALL",
        "FLUSHDB",
        "RANDOMKEY",
        "DEBUG OBJECT a",
        "CLIENT TRACKING ON BCAST",
        "MONITOR",
    ] {
        rows.push(row("unknown, denied", SECRET, sends, &[BLIND]));
        rows.push(row("unknown, through not", NOT_SECRET, sends, &[NONE]));
        rows.push(row("unknown, not allowed", TENANT, sends, &[NONE]));
    }
    const OTHER: &str = "{ deny: [ { method: GET, key: { prefix: \"secret:\" } } ] }";
    rows.push(seen(row("another command", OTHER, "EVAL x 0", &["+did EVAL\r\n"]), "EVAL"));
    check_all(&rows, serve);
}

#[test]
fn commands_and_subcommands() {
    check_all(
        &[
            row("a container", CONFIG, "CONFIG GET x", &[RULE]),
            row("lower case", CONFIG, "config get x", &[RULE]),
            row("inline", CONFIG, "> cOnFiG sEt a b", &[RULE]),
            row("an unknown subcommand", CONFIG, "CONFIG NOSUCH", &[RULE]),
            row("alone", CONFIG, "CONFIG", &[RULE]),
            row("a subcommand", FLUSH, "SCRIPT FLUSH", &[RULE]),
            row("a subcommand, lower case", FLUSH, "script flush async", &[RULE]),
            row("a subcommand, inline", FLUSH, "> Script \"flu\\x73h\"", &[RULE]),
            row("another subcommand", FLUSH, "SCRIPT EXISTS a", &["+did SCRIPT\r\n"]),
            row("an unknown command", "{ deny: [ { method: X.Y } ] }", "x.y", &[RULE]),
        ],
        serve,
    );
}

#[test]
fn transactions() {
    let queued = "+QUEUED\r\n";
    check_all(
        &[
            row(
                "all is well",
                SECRET,
                "MULTI\nSET a 1\nSET b 2\nEXEC",
                &["+OK\r\n", queued, queued, "*2\r\n+DONE\r\n+DONE\r\n"],
            ),
            row(
                "behind a key",
                SECRET,
                "MULTI\nSET a 1\nSET secret:b 2\nEXEC\nGET c",
                &["+OK\r\n", queued, RULE, ABORT, "+did GET\r\n"],
            ),
            row(
                "in front of a key",
                SECRET,
                "MULTI\nset secret:b 2\nSET a 1\nEXEC",
                &["+OK\r\n", RULE, queued, ABORT],
            ),
            unseen(
                row(
                    "without a key",
                    "{ deny: [ { method: LASTSAVE } ] }",
                    "MULTI\nTIME\nlastsave\nEXEC",
                    &["+OK\r\n", queued, RULE, ABORT],
                ),
                "TIME",
            ),
            row(
                "a script",
                SECRET,
                "MULTI\nSET a 1\nEVAL x 0\nEXEC",
                &["+OK\r\n", queued, BLIND, ABORT],
            ),
            row(
                "inline",
                SECRET,
                "> multi\n> set a 1\n> set \"secret:b\" 2\n> exec",
                &["+OK\r\n", queued, RULE, ABORT],
            ),
            Row {
                denied: 1,
                // What makes the server abort.
                seen: vec![b"*1\r\n$3\r\nGET\r\n".to_vec()],
                ..row(
                    "without replies",
                    SECRET,
                    "CLIENT REPLY OFF\nMULTI\nSET a 1\nSET secret:b 2\nEXEC\nCLIENT REPLY ON\nGET c",
                    &["+OK\r\n", "+did GET\r\n"],
                )
            },
            unseen(
                row(
                    "the end is refused",
                    "{ deny: [ { method: EXEC } ] }",
                    "MULTI\nTIME\nEXEC\nDISCARD\nGET c",
                    &["+OK\r\n", queued, RULE, "+OK\r\n", "+did GET\r\n"],
                ),
                "TIME",
            ),
        ],
        serve,
    );
}

#[test]
fn whom_and_where_and_counting_only() {
    check_all(
        &[
            row("by address", "{ deny: [ { source.ip: 127.0.0.0/8 } ] }", "GET a", &[RULE]),
            row(
                "nobody logged in",
                "{ deny: [ { source.principal: { present: false } } ] }",
                "GET a",
                &[RULE],
            ),
            row("by route", "{ deny: [ { route: all, cluster: back } ] }", "GET a", &[RULE]),
            row("by route, another", "{ allow: [ { route: other } ] }", "GET a", &[NONE]),
            row(
                "deny comes first",
                "{ allow: [ { } ], deny: [ { method: GET } ] }",
                "GET a\nSET a 1",
                &[RULE, "+did SET\r\n"],
            ),
            row(
                "in words of one's own",
                "{ deny: [ { } ], text: ask the storage team }",
                "GET a",
                &["-NOPERM heptad: ask the storage team\r\n"],
            ),
            seen(
                row(
                    "audit",
                    "{ audit: true, deny: [ { key: x } ], allow: [ { method: SET } ] }",
                    "GET x\nEVAL s 0\nTIME",
                    &["+did GET\r\n", "+did EVAL\r\n", "+did TIME\r\n"],
                ),
                "EVAL",
            ),
        ],
        serve,
    );
}
