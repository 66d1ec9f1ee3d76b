//! Connections to a listener of several protocols reach the engine of theirs: every pair, in either
//! order, with the first bytes cut anywhere.

use heptad_core::Time;
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
    vec![
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
    ]
}

/// A listener of these protocols that sends each to a cluster of its own.
fn compiled(codecs: &[&str]) -> Compiled {
    let mut text = format!(
        "listeners:\n- name: l\n  listen: 127.0.0.1:0\n  codec: [ {} ]\n  routes:\n",
        codecs.join(", ")
    );
    for codec in codecs {
        text += &format!("  - {{ name: {codec}, match: {{ protocol: {codec} }}, to: {codec} }}\n");
    }
    text += "clusters:\n";
    for codec in codecs {
        text += &format!("- {{ name: {codec}, endpoints: [ {codec}:1 ] }}\n");
    }
    let registry = Registry::standard().codec::<awesomerpc::AwesomeRpc>();
    let model = registry.load("test", &text).expect("a good file");
    compile(&registry, &model, &model.listeners[0]).expect("it compiles")
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
    let compiled = compiled(codecs);
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

const ALL: [&str; 4] = ["redis", "thrift", "dubbo", "awesomerpc"];

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
    all_cuts(&["awesomerpc", "dubbo", "thrift", "redis"]);
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
