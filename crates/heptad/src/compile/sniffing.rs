//! Connections to a listener of several protocols reach the engine of theirs: every pair, in either
//! order, with the first bytes cut anywhere.

use std::collections::HashSet;

use heptad_core::Time;
use heptad_described::model::KindName;
use heptad_engine::{ConnId, Event, Machine, Peer};

use super::*;

/// First requests of each protocol, whole.
fn requests() -> Vec<(&'static str, Vec<u8>)> {
    use heptad_dubbo::wire;
    let text = |text: &str| [&(text.len() as u32).to_be_bytes()[..], text.as_bytes()].concat();
    // Strict binary, with one text.
    let strict =
        [&[0x80, 1, 0, 1][..], &text("get"), &[0, 0, 0, 7, 11, 0, 1], &text("key"), &[0]].concat();
    let framed = [&(strict.len() as u32).to_be_bytes()[..], &strict].concat();
    let old = [&text("get")[..], &[1, 0, 0, 0, 7, 11, 0, 1], &text("key"), &[0]].concat();
    let compact = [&[0x82, 0x21, 7, 3][..], b"get", &[0x18, 3], b"key", &[0]].concat();
    let args = ["x".into()];
    let mut all = vec![
        ("redis", b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n".to_vec()),
        ("redis", b"get k\r\n".to_vec()),
        ("redis", b"\r\nTTL k\r\n".to_vec()),
        ("thrift", strict),
        ("thrift", framed),
        ("thrift", old),
        ("thrift", compact),
        ("thrift", br#"[1,"get",1,7,{"1":{"str":"key"}}]"#.to_vec()),
        ("dubbo", wire::request(1, "svc", "1.0.0", "get", "Ljava/lang/String;", &args, &[])),
        ("awesomerpc", awesomerpc::wire::Message::request(1, "svc", "get").to_bytes()),
        ("tiny", TINY_REQUEST.to_vec()),
        ("notes", b"#NOTE get k\n".to_vec()),
    ];
    for (name, text) in heptad_described::SHIPPED {
        let (description, _) = heptad_described::read(name, text).expect("it is good");
        let samples = heptad_described::samples::bytes(&description).expect("they are bytes");
        // Nothing is dialed for heartbeats.
        let calls = samples.into_iter().zip(&description.samples).filter(|(sample, said)| {
            sample.client && said.frames.first().is_some_and(|frame| frame.kind != KindName::Ping)
        });
        // What begins alike is told apart alike.
        let mut seen = HashSet::new();
        let calls = calls.map(|(sample, _)| sample.bytes);
        let calls =
            calls.filter(|bytes| seen.insert(bytes.iter().take(5).copied().collect::<Vec<_>>()));
        all.extend(calls.map(|bytes| (name, bytes)));
    }
    all
}

/// Two protocols of an operator's own: one with magic bytes, one of lines.
const TINY: &str = "{ frame: { name: tiny, magic: 7e7e, initial_bytes: 8, id: { offset: 6, width: 2 }, \
    length: { offset: 2, width: 4, adjustment: 2 }, frames: [ { kinds: { request: }, \
    parts: [ { method: { prefix: 1 } } ] }, { kinds: { reply: } } ] } }";
const NOTES: &str = "{ frame: { name: notes, magic: 234e4f5445, delimiter: \"\\n\", \
    frames: [ { kinds: { request: } }, { kinds: { reply: } } ] } }";
const TINY_REQUEST: &[u8] = b"\x7e\x7e\0\0\0\x04\0\x01\x03get";

/// What a protocol's entry of the list is.
fn entry(name: &str) -> &str {
    match name {
        "tiny" => TINY,
        "notes" => NOTES,
        name => name,
    }
}

/// A listener of these protocols that sends each to a cluster of its own.
fn compiled(codecs: &[&str]) -> Compiled {
    compiled_with(&Registry::standard(), codecs)
}

fn compiled_with(registry: &Registry, codecs: &[&str]) -> Compiled {
    let entries: Vec<_> = codecs.iter().map(|name| entry(name)).collect();
    let mut text = format!(
        "listeners:\n- name: l\n  listen: 127.0.0.1:0\n  codec: [ {} ]\n  routes:\n",
        entries.join(", ")
    );
    for codec in codecs {
        text += &format!("  - {{ name: {codec}, match: {{ protocol: {codec} }}, to: {codec} }}\n");
    }
    text += "clusters:\n";
    for codec in codecs {
        text += &format!("- {{ name: {codec}, endpoints: [ {codec}:1 ] }}\n");
    }
    let model = registry.load("test", &text).expect("a good file");
    compile(registry, &model, &model.listeners[0]).expect("it compiles")
}

/// What the machine dials for these pieces of a connection.
fn dialed(machine: &mut dyn Machine, pieces: &[&[u8]]) -> Option<String> {
    let now = Time::ZERO;
    let id = machine.open_session(now, Peer::local()).expect("room");
    for piece in pieces {
        machine.session_read(now, id, piece);
    }
    let mut address = None;
    while let Some(event) = machine.poll_event() {
        if let Event::Dial(_, to) = event {
            address = Some(to.to_string());
        }
    }
    machine.check();
    machine.session_lost(now, id);
    while machine.poll_event().is_some() {}
    machine.check();
    assert_eq!(machine.sessions(), 0);
    address
}

fn all_cuts(codecs: &[&str]) {
    cut(codecs, &compiled(codecs));
}

fn cut(codecs: &[&str], compiled: &Compiled) {
    for (name, bytes) in requests() {
        if !codecs.contains(&name) {
            continue;
        }
        let expected = Some(format!("{name}:1"));
        let fresh = || (compiled.machines)(compiled.plan.clone(), 7);
        for cut in 0..bytes.len() {
            let (a, b) = bytes.split_at(cut);
            let got = dialed(&mut *fresh(), &[a, b]);
            assert_eq!(got, expected, "{codecs:?}: {name} {} cut at {cut}", bytes.escape_ascii());
        }
        let single: Vec<_> = bytes.chunks(1).collect();
        assert_eq!(dialed(&mut *fresh(), &single), expected, "{codecs:?}: {name}, byte by byte");
    }
}

const ALL: [&str; 8] = ["redis", "thrift", "dubbo", "awesomerpc", "bolt", "trpc", "tiny", "notes"];

#[test]
fn every_pair_is_told_apart_in_either_order() {
    for a in ALL {
        for b in ALL {
            if a != b {
                all_cuts(&[a, b]);
            }
        }
    }
}

#[test]
fn all_of_them_are_told_apart() {
    all_cuts(&ALL);
    let mut back = ALL;
    back.reverse();
    all_cuts(&back);
}

#[test]
fn a_coded_protocol_is_told_apart_like_a_described_one() {
    let registry = Registry::standard().codec::<awesomerpc::AwesomeRpc>();
    for codecs in [["awesomerpc", "redis"], ["bolt", "awesomerpc"], ["awesomerpc", "trpc"]] {
        cut(&codecs, &compiled_with(&registry, &codecs));
    }
}

#[test]
fn what_nobody_knows_is_for_the_first_protocol() {
    let compiled = compiled(&["dubbo", "thrift"]);
    let mut machine = (compiled.machines)(compiled.plan.clone(), 7);
    let id = machine.open_session(Time::ZERO, Peer::local()).expect("room");
    machine.session_read(Time::ZERO, id, b"GET / HTTP/1.1\r\n\r\n");
    let mut closed = false;
    while let Some(event) = machine.poll_event() {
        closed |= matches!(event, Event::Close(ConnId::Session(it)) if it == id);
    }
    assert!(closed || machine.out(ConnId::Session(id)).is_some());
    let sum = machine.collect();
    assert_eq!(sum.sessions_opened, 1, "one engine got it");
    assert_eq!(sum.session_ends.len(), 1, "and did not like it: {:?}", sum.session_ends);
}

#[test]
fn who_never_says_what_it_is_is_closed() {
    let compiled = compiled(&["thrift", "redis"]);
    let mut machine = (compiled.machines)(compiled.plan.clone(), 7);
    let id = machine.open_session(Time::ZERO, Peer::local()).expect("room");
    assert_eq!(machine.next_timeout(), None, "who says nothing may wait");
    machine.session_read(Time::ZERO, id, b"\r\n");
    let due = machine.next_timeout().expect("a deadline");
    machine.timeouts(due);
    let closed =
        matches!(machine.poll_event(), Some(Event::Close(ConnId::Session(it))) if it == id);
    assert!(closed && machine.sessions() == 0);
    // Whose first bytes are its last ones, too.
    let id = machine.open_session(due, Peer::local()).expect("room");
    machine.session_eof(due, id);
    assert_eq!(machine.sessions(), 0);
}
