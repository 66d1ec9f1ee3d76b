//! Thrift: multiplexed names, every transport's head, and calls without a reply.

use crate::{Row, check_all};

const CALL: u8 = 1;
const ONEWAY: u8 = 4;

/// A message of the binary protocol with an empty struct.
fn binary(name: &str, kind: u8, id: u32) -> Vec<u8> {
    let mut out = vec![0x80, 1, 0, kind];
    out.extend_from_slice(&(name.len() as u32).to_be_bytes());
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(&id.to_be_bytes());
    out.push(0);
    out
}

/// The same in the compact protocol.
fn compact(name: &str, kind: u8, id: u8) -> Vec<u8> {
    let mut out = vec![0x82, kind << 5 | 1, id, name.len() as u8];
    out.extend_from_slice(name.as_bytes());
    out.push(0);
    out
}

fn framed(message: Vec<u8>) -> Vec<u8> {
    let mut out = (message.len() as u32).to_be_bytes().to_vec();
    out.extend(message);
    out
}

/// A THeader with one info header around a binary message.
fn theader(name: &str, value: &str, id: u32, message: Vec<u8>) -> Vec<u8> {
    // Protocol 0, no transforms, one info block of one pair.
    let mut head = vec![0, 0, 1, 1, name.len() as u8];
    head.extend_from_slice(name.as_bytes());
    head.push(value.len() as u8);
    head.extend_from_slice(value.as_bytes());
    head.resize(head.len().next_multiple_of(4), 0);
    let mut out = vec![0x0f, 0xff, 0, 0];
    out.extend_from_slice(&id.to_be_bytes());
    out.extend_from_slice(&(head.len() as u16 / 4).to_be_bytes());
    out.extend(head);
    out.extend(message);
    framed(out)
}

const CLEAR: &str = "{ deny: [ { service: Cart, method: clear } ] }";
const ONLY_GET: &str = "{ allow: [ { method: get } ] }";
const GUEST: &str = "{ deny: [ { header.team: guest } ] }";
const OPS: &str = "{ allow: [ { header.team: ops } ] }";

const RULE: &[u8] = b"denied by rule deny[0] of authorize";
const NONE: &[u8] = b"no allow rule of authorize matches";

fn row(what: &'static str, rules: &'static str, sends: Vec<u8>, read: &[u8]) -> Row {
    Row {
        what,
        codec: "thrift",
        rules,
        sends,
        reads: vec![read.to_vec()],
        unseen: vec![b"clear".to_vec()],
        denied: 1,
        ..Row::default()
    }
}

#[test]
fn messages() {
    let clear = |id| binary("Cart:clear", CALL, id);
    check_all(
        &[
            row("the name is split", CLEAR, framed(clear(1)), RULE),
            row("unframed", CLEAR, clear(1), RULE),
            row("compact", CLEAR, framed(compact("Cart:clear", CALL, 1)), RULE),
            row("in a header", CLEAR, theader("a", "b", 1, clear(1)), RULE),
            row("not allowed", ONLY_GET, framed(clear(1)), NONE),
            Row {
                denied: 2,
                ..row(
                    "without a reply",
                    CLEAR,
                    [framed(binary("Cart:clear", ONEWAY, 1)), framed(clear(2))].concat(),
                    RULE,
                )
            },
            row("a header", GUEST, theader("team", "guest", 1, clear(1)), RULE),
            row("another header", OPS, theader("team", "guest", 1, clear(1)), NONE),
            row("no header", OPS, framed(clear(1)), NONE),
            Row {
                reads: vec![b"Cart:get".to_vec()],
                seen: vec![b"Cart:get".to_vec()],
                denied: 0,
                ..row("allowed", ONLY_GET, framed(binary("Cart:get", CALL, 1)), b"")
            },
        ],
        // Gives every frame back as the reply that it would be.
        |input| {
            let mut out = std::mem::take(input);
            if let Some(kind) = out.get_mut(7) {
                *kind = 2;
            }
            out
        },
    );
}
