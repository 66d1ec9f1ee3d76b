//! What is explained is what engines do: the same bytes, given to a machine of the same plan, are
//! sent to the endpoints that the explanation names, or get the answer that it shows.

use std::{collections::BTreeSet, sync::Arc};

use heptad_core::Time;
use heptad_engine::{ConnId, Event, Explained, Fate, Peer, To};

use super::*;

const FILE: &str = r#"
listeners:
  - name: front
    listen: 127.0.0.1:6380
    codec: redis
    filters:
      - authorize:
          deny:
            - { key: { prefix: "secret" } }
            - { source.ip: 10.9.0.0/16 }
            - { cluster: b, method: INCR }
    routes:
      - { name: answered, match: { key: answer }, answer: { ok: here } }
      - { name: refused, match: { key: refuse }, answer: { error: gone } }
      - name: split
        match: { method: { any: [ SET, INCR ] }, key: { prefix: "w" } }
        to: { a: 3, b: 1, c: 0 }
        hash_on: key
      - { name: hashed, match: { method: TTL }, to: a, hash_on: source.ip }
      - { name: turns, match: { method: { any: [ STRLEN, EXISTS ] } }, to: c }
      - { name: single, match: { method: { prefix: S } }, to: b }
      - { name: rest, match: { not: { method: TYPE } }, to: a }
clusters:
  - { name: a, endpoints: [ "a1:1", "a2:1", "a3:1" ], balance: ring }
  - { name: b, endpoints: [ "b1:1" ] }
  - { name: c, endpoints: [ "c1:1", "c2:1" ] }
"#;

/// What a machine did with bytes: whom it dialed, and what it wrote to the client.
fn served(plan: &Compiled, peer: Peer, bytes: &[u8]) -> (BTreeSet<String>, Vec<u8>) {
    let mut machine = (plan.machines)(plan.plan.clone(), 7);
    let id = machine.open_session(Time::ZERO, peer).expect("room");
    machine.session_read(Time::ZERO, id, bytes);
    let mut dialed = BTreeSet::new();
    while let Some(event) = machine.poll_event() {
        if let Event::Dial(_, address) = event {
            dialed.insert(address.to_string());
        }
    }
    let out = machine.out(ConnId::Session(id));
    (dialed, out.map(|chain| chain.to_vec()).unwrap_or_default())
}

fn check(compiled: &Compiled, peer: Peer, bytes: &[u8], explained: &Explained) -> &'static str {
    let (dialed, out) = served(compiled, peer, bytes);
    let names = |all: &[Arc<str>]| all.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    let shown = String::from_utf8_lossy(bytes).into_owned();
    let [branch] = &explained.branches[..] else { panic!("{shown}: chance") };
    let kind = match &branch.fate {
        Fate::Sent(to) => {
            match to {
                To::One(address, _) => {
                    assert_eq!(dialed, names(std::slice::from_ref(address)), "{shown}");
                }
                To::Any(_, of) => {
                    let of: Vec<_> = of.iter().map(|(address, _)| address.clone()).collect();
                    assert_eq!(dialed.len(), 1, "{shown}");
                    assert!(dialed.is_subset(&names(&of)), "{shown}");
                }
                To::All(of) => assert_eq!(dialed, names(of), "{shown}"),
                To::Split(of) => {
                    let of: Vec<_> = of.iter().map(|(address, _)| address.clone()).collect();
                    assert_eq!(dialed, names(&of), "{shown}");
                }
                To::Held(..) => panic!("{shown}"),
            }
            "sent"
        }
        Fate::Refused(_) => "refused",
        Fate::Direct(_) => "direct",
        Fate::Local(_) | Fate::Pong => "local",
        other => panic!("{shown}: {other:?}"),
    };
    if kind != "sent" {
        assert!(dialed.is_empty(), "{shown}");
        assert!(!out.is_empty(), "{shown}");
    }
    assert_eq!(explained.answer, out, "{shown}");
    kind
}

#[test]
fn engines_do_what_is_explained() {
    let registry = Registry::standard();
    let model = registry.load("test", FILE).expect("a good file");
    let compiled = compile(&registry, &model, &model.listeners[0]).expect("it compiles");
    let commands = [
        "GET {}",
        "SET {} v",
        "INCR {}",
        "TTL {}",
        "MGET {} {} {}",
        "DEL {} {}",
        "MSETNX {} 1 {} 2",
        "DBSIZE",
        "PUBLISH ch m",
        "SCAN 0",
        "SCAN 77",
        "STRLEN {}",
        "EXISTS {} {}",
        "TYPE {}",
        "RENAME {} {}",
        "PING",
        "PING x",
        "MULTI",
        "EXEC",
        "BLPOP {} 0",
        "SUBSCRIBE ch",
        "NONSENSE",
        "CLIENT ID",
        "SELECT 1",
        "KEYS *",
        "RANDOMKEY",
        "SINTER {} {}",
        "GET",
        "WATCH {}",
    ];
    let keys = ["answer", "refuse", "secret:1", "a", "b", "c", "d", "w1", "w2", "w3", "w4", "w5"];
    let mut seen = std::collections::BTreeMap::<_, usize>::new();
    for n in 0..2400_usize {
        let mut command = commands[n % commands.len()].to_owned();
        let mut next = n / commands.len();
        while command.contains("{}") {
            command = command.replacen("{}", keys[next % keys.len()], 1);
            next = next / keys.len() + next * 7 + 1;
        }
        let peer = Peer::ip([10, if n % 11 == 0 { 9 } else { 1 }, 0, (n % 5) as u8].into(), 4);
        let bytes = format!("{command}\r\n").into_bytes();
        let question = Question::new().from(peer.clone()).frames(bytes.clone());
        let explanation = explain(&registry, &model, "front", &question).expect("a listener");
        let [one] = &explanation.requests[..] else { panic!("{command}") };
        *seen.entry(check(&compiled, peer, &bytes, one)).or_default() += 1;
    }
    assert!(seen.len() == 4 && seen.values().all(|n| *n > 20), "{seen:?}");
}

#[test]
fn a_listener_that_is_not_there_is_named_with_those_that_are() {
    let registry = Registry::standard();
    let model = registry.load("test", FILE).expect("a good file");
    let error = explain(&registry, &model, "back", &Question::new()).expect_err("no such");
    assert_eq!(error.to_string(), "there is no listener back; there are: front");
}
