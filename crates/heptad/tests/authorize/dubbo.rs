//! Dubbo: generic calls, attachments that override what stands in front, bodies that cannot be read.

use crate::{Row, check_all};

const TWO_WAY: u8 = 0x40;
const HESSIAN: u8 = 2;

/// A string of Hessian 2, shorter than 1024.
fn text(out: &mut Vec<u8>, s: &str) {
    match s.len() {
        n @ 0..32 => out.push(n as u8),
        n => out.extend_from_slice(&[0x30 + (n >> 8) as u8, n as u8]),
    }
    out.extend_from_slice(s.as_bytes());
}

fn frame(flags: u8, id: u64, body: &[u8]) -> Vec<u8> {
    let mut out = vec![0xda, 0xbb, 0x80 | flags, 0];
    out.extend_from_slice(&id.to_be_bytes());
    out.extend_from_slice(&(body.len() as u32).to_be_bytes());
    out.extend_from_slice(body);
    out
}

/// A body up to its arguments.
fn start(path: &str, method: &str, types: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for part in ["2.0.2", path, "0.0.0", method, types] {
        text(&mut out, part);
    }
    out
}

fn attachments(out: &mut Vec<u8>, pairs: &[(&str, &str)]) {
    out.push(b'H');
    for (name, value) in pairs {
        text(out, name);
        text(out, value);
    }
    out.push(b'Z');
}

fn call(flags: u8, path: &str, method: &str, pairs: &[(&str, &str)]) -> Vec<u8> {
    let mut body = start(path, method, "");
    attachments(&mut body, pairs);
    frame(flags | HESSIAN, 1, &body)
}

/// `$invoke` of a method without arguments.
fn generic(name: &str, method: &str) -> Vec<u8> {
    let types = "Ljava/lang/String;[Ljava/lang/String;[Ljava/lang/Object;";
    let mut body = start("shop.Cart", name, types);
    text(&mut body, method);
    for list in ["[string", "[object"] {
        body.push(0x70);
        text(&mut body, list);
    }
    attachments(&mut body, &[("path", "shop.Cart"), ("generic", "true")]);
    frame(TWO_WAY | HESSIAN, 1, &body)
}

const CLEAR: &str = "{ deny: [ { method: clear } ] }";
const SECRET: &str = "{ deny: [ { service: shop.Secret } ] }";
const GUEST: &str = "{ deny: [ { header.team: guest } ] }";
const NOT_GUEST: &str = "{ allow: [ { not: { header.team: guest } } ] }";

const RULE: &[u8] = b"denied by rule deny[0] of authorize";
const NONE: &[u8] = b"no allow rule of authorize matches";

fn row(what: &'static str, rules: &'static str, sends: Vec<u8>, read: &[u8]) -> Row {
    Row {
        what,
        codec: "dubbo",
        rules,
        sends,
        reads: vec![read.to_vec()],
        unseen: vec![b"shop.".to_vec()],
        denied: 1,
        ..Row::default()
    }
}

#[test]
fn calls() {
    let clear = call(TWO_WAY, "shop.Cart", "clear", &[]);
    check_all(
        &[
            row("a method", CLEAR, clear.clone(), RULE),
            row("a generic call", CLEAR, generic("$invoke", "clear"), RULE),
            row("asynchronous", CLEAR, generic("$invokeAsync", "clear"), RULE),
            row("a service", SECRET, call(TWO_WAY, "shop.Secret", "get", &[]), RULE),
            row(
                "another path behind",
                SECRET,
                call(TWO_WAY, "shop.Cart", "get", &[("path", "shop.Secret")]),
                RULE,
            ),
            row(
                "an attachment",
                GUEST,
                call(TWO_WAY, "shop.Cart", "get", &[("team", "guest")]),
                RULE,
            ),
            row("a body that cannot be read", GUEST, frame(TWO_WAY | 8, 1, b"shop.Cart"), RULE),
            row("unknown, through not", NOT_GUEST, frame(TWO_WAY | 8, 1, b"shop.Cart"), NONE),
            row("a generic call in it", CLEAR, frame(TWO_WAY | 8, 1, b"shop.$invoke"), RULE),
            Row {
                denied: 2,
                ..row(
                    "without a reply",
                    CLEAR,
                    [call(0, "shop.Cart", "clear", &[]), clear].concat(),
                    RULE,
                )
            },
            Row {
                reads: vec![b"done".to_vec()],
                seen: vec![b"shop.Cart".to_vec()],
                unseen: Vec::new(),
                denied: 0,
                ..row("allowed", CLEAR, call(TWO_WAY, "shop.Cart", "get", &[]), b"")
            },
        ],
        // Answers one request with a value.
        |input| {
            let whole = std::mem::take(input);
            let mut out = vec![0xda, 0xbb, HESSIAN, 20];
            out.extend_from_slice(whole.get(4..12).unwrap_or(&[0; 8]));
            out.extend_from_slice(&6_u32.to_be_bytes());
            out.push(0x91);
            text(&mut out, "done");
            out
        },
    );
}
