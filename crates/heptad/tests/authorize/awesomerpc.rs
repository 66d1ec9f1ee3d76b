//! AwesomeRPC: headers, streams, and requests that have no reply.

use ::awesomerpc::wire::Message;
use heptad_core::Kind;

use crate::{Row, check_all};

/// Answers every request with its method.
fn serve(input: &mut Vec<u8>) -> Vec<u8> {
    let mut out = Vec::new();
    while let Ok(Some((message, len))) = Message::decode(input) {
        input.drain(..len);
        if message.kind == Kind::Request {
            out.extend(Message::reply(message.id, format!("did {}", message.method)).to_bytes());
        }
    }
    out
}

fn row(what: &'static str, rules: &'static str, sends: &[Message], reads: &[Message]) -> Row {
    Row {
        what,
        codec: "awesomerpc",
        rules,
        sends: sends.iter().flat_map(Message::to_bytes).collect(),
        reads: reads.iter().map(Message::to_bytes).collect(),
        unseen: vec![b"drop".to_vec()],
        denied: reads.iter().filter(|reply| reply.status_name() == "DENIED").count() as u64,
        ..Row::default()
    }
}

const DROP: &str = "{ deny: [ { service: db, method: { prefix: drop } } ] }";
const OPS: &str = "{ allow: [ { header.team: ops } ] }";
const NOT_GUEST: &str =
    "{ allow: [ { not: { header.team: guest }, header.team: { present: true } } ] }";

fn refused(id: u32) -> Message {
    Message::error(id, "DENIED", "denied by rule deny[0] of authorize")
}

fn not_allowed(id: u32) -> Message {
    Message::error(id, "DENIED", "no allow rule of authorize matches")
}

fn did(id: u32, method: &str) -> Message {
    Message::reply(id, format!("did {method}"))
}

#[test]
fn requests() {
    let drop = |id| Message::request(id, "db", "drop_all");
    let get = |id| Message::request(id, "db", "get");
    check_all(
        &[
            row("a method", DROP, &[drop(1)], &[refused(1)]),
            row("another method", DROP, &[get(1)], &[did(1, "get")]),
            row("among others", DROP, &[drop(7), drop(8)], &[refused(7), refused(8)]),
            Row {
                denied: 2,
                ..row(
                    "without a reply",
                    DROP,
                    &[Message::oneway("db", "drop_all"), drop(2)],
                    &[refused(2)],
                )
            },
            row("a stream", DROP, &[Message::open(3, "db", "drop_all")], &[refused(3)]),
            row("no such header", OPS, &[drop(1)], &[not_allowed(1)]),
            row("a header", OPS, &[get(1).header("team", "ops")], &[did(1, "get")]),
            row(
                "the first of two headers counts",
                OPS,
                &[drop(1).header("team", "guest").header("team", "ops")],
                &[not_allowed(1)],
            ),
            row("absent, through not", NOT_GUEST, &[drop(1)], &[not_allowed(1)]),
            row("through not", NOT_GUEST, &[get(1).header("team", "ops")], &[did(1, "get")]),
            row("not, refused", NOT_GUEST, &[drop(2).header("team", "guest")], &[not_allowed(2)]),
        ],
        serve,
    );
}
