//! Slots that have moved: `MOVED` and `ASK`, to endpoints that are known and that are not.

use std::{cell::RefCell, rc::Rc, sync::Arc, time::Duration};

use heptad_cluster::{Balance, Endpoint, Spec};
use heptad_core::Codec;
use heptad_engine::{Cluster, Engine, Links, Plan, Route, Target};
use heptad_redis::{Redis, RedisOptions};
use heptad_route::{Expr, Table};
use heptad_testkit::sim::{
    Client, Io, Profile, Script, Sim,
    resp::{Value, line},
};

type Seen = Rc<RefCell<Vec<String>>>;

/// A server that says what a function says.
struct Server {
    says: fn(&[String]) -> String,
    seen: Seen,
    input: Vec<u8>,
}

impl Script for Server {
    fn heard(&mut self, io: &mut Io<'_>, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        while let Some((Value::Array(words), n)) = Value::decode(&self.input) {
            self.input.drain(..n);
            let text = |word| match word {
                Value::Bulk(bytes) => String::from_utf8(bytes).expect("text"),
                other => panic!("a command is made of bulks: {other:?}"),
            };
            let words: Vec<String> = words.into_iter().map(text).collect();
            io.send((self.says)(&words).as_bytes());
            self.seen.borrow_mut().push(words.join(" "));
            if self.input.is_empty() {
                break;
            }
        }
    }
}

struct Ear(Rc<RefCell<Vec<u8>>>);

impl Script for Ear {
    fn heard(&mut self, _: &mut Io<'_>, bytes: &[u8]) {
        self.0.borrow_mut().extend_from_slice(bytes);
    }
}

/// A router that knows `a:1`, in front of `a:1` and `b:1`.
struct World {
    sim: Sim,
    a: Seen,
    b: Seen,
    client: Client,
    heard: Rc<RefCell<Vec<u8>>>,
}

impl World {
    fn new(
        balance: Balance,
        a_says: fn(&[String]) -> String,
        b_says: fn(&[String]) -> String,
    ) -> Self {
        let spec = Spec::new(balance, vec![Endpoint::new("a:1")]);
        let cluster = Cluster::new("r", spec).expect("balances");
        let cluster = cluster.links(Links::default().per_endpoint(1));
        let route = Route::new("all", Target::Cluster(0)).timeout(Some(Duration::from_secs(2)));
        let table = Table::compile(&[Expr::All(vec![])]).expect("a rule");
        let plan = Plan::new("test", table, vec![route], vec![cluster]);
        let codec = Redis::new(&RedisOptions::default()).expect("defaults are fine");
        let mut sim = Sim::new(Engine::new(codec, Arc::new(plan), 1), 1);
        let (a, b) = (Seen::default(), Seen::default());
        for (address, says, seen) in [("a:1", a_says, &a), ("b:1", b_says, &b)] {
            let seen = seen.clone();
            sim.endpoint(address, Profile::default(), move |_| {
                Box::new(Server { says, seen: seen.clone(), input: Vec::new() })
            });
        }
        let heard = Rc::<RefCell<Vec<u8>>>::default();
        let client = sim.client(Profile::default(), Ear(heard.clone()));
        Self { sim, a, b, client, heard }
    }

    /// What the client hears within 50 ms of saying the lines.
    fn say(&mut self, lines: &[&str]) -> String {
        for text in lines {
            self.sim.send(self.client, &line(text));
        }
        self.sim.run(Duration::from_millis(50));
        self.sim.machine().check();
        String::from_utf8(std::mem::take(&mut *self.heard.borrow_mut())).expect("text")
    }

    fn redirects(&self) -> u64 {
        self.sim.machine().stats().redirects
    }
}

/// `k` hashes to this slot.
const SLOT: u16 = 7629;

fn moves_k(words: &[String]) -> String {
    match words {
        [_, k, ..] if k == "k" => format!("-MOVED {SLOT} b:1\r\n"),
        _ => "+A\r\n".to_owned(),
    }
}

fn asks_k(words: &[String]) -> String {
    match words {
        [_, k, ..] if k == "k" => format!("-ASK {SLOT} b:1\r\n"),
        _ => "+A\r\n".to_owned(),
    }
}

fn b(words: &[String]) -> String {
    if words[0] == "ASKING" { "+OK\r\n".to_owned() } else { "+B\r\n".to_owned() }
}

#[test]
fn the_slot_is_the_one_of_the_key() {
    assert_eq!(heptad_cluster::redis_slot(b"k"), SLOT);
}

#[test]
fn moved_to_an_endpoint_that_was_not_known_is_followed_and_remembered() {
    let mut w = World::new(Balance::Slots, moves_k, b);
    assert_eq!(w.say(&["GET k"]), "+B\r\n");
    assert_eq!((w.redirects(), w.a.borrow().len()), (1, 1));
    assert_eq!(w.say(&["GET k", "GET x"]), "+B\r\n+A\r\n");
    assert_eq!(w.redirects(), 1, "the slot is known to be there");
    assert_eq!(*w.b.borrow(), ["GET k", "GET k"]);
}

#[test]
fn ask_is_for_one_request_and_right_behind_its_asking() {
    let mut w = World::new(Balance::Slots, asks_k, b);
    assert_eq!(w.say(&["GET k", "GET x", "GET k"]), "+B\r\n+A\r\n+B\r\n");
    assert_eq!(*w.b.borrow(), ["ASKING", "GET k", "ASKING", "GET k"]);
    assert_eq!(w.say(&["GET k"]), "+B\r\n");
    assert_eq!(w.redirects(), 3, "the slot has not moved");
    assert_eq!(w.a.borrow().len(), 4);
}

#[test]
fn replies_keep_the_order_of_the_requests() {
    let mut w = World::new(Balance::Slots, moves_k, b);
    let lines: Vec<String> = (0..40)
        .map(|i| if i % 3 == 0 { "GET k".to_owned() } else { format!("GET x{i}") })
        .collect();
    let expect: String = (0..40).map(|i| if i % 3 == 0 { "+B\r\n" } else { "+A\r\n" }).collect();
    assert_eq!(w.say(&lines.iter().map(String::as_str).collect::<Vec<_>>()), expect);
}

#[test]
fn endpoints_that_send_each_other_a_request_do_not_do_so_for_ever() {
    let mut w = World::new(Balance::Slots, moves_k, |_| format!("-MOVED {SLOT} a:1\r\n"));
    assert_eq!(w.say(&["GET k"]), format!("-MOVED {SLOT} a:1\r\n"));
    assert_eq!(w.redirects(), 5);
}

#[test]
fn a_blocking_command_is_redirected_over_a_link_of_its_own() {
    let mut w = World::new(Balance::Slots, moves_k, b);
    assert_eq!(w.say(&["BLPOP k 1", "GET x"]), "+B\r\n+A\r\n");
    assert_eq!(*w.b.borrow(), ["BLPOP k 1"]);
}

#[test]
fn an_endpoint_that_is_not_there_is_an_error_of_the_request() {
    let mut w = World::new(Balance::Slots, |_| format!("-MOVED {SLOT} nowhere:1\r\n"), b);
    let said = w.say(&["GET k"]);
    assert!(said.starts_with("-ERR heptad: "), "{said}");
}

#[test]
fn without_slots_the_client_sees_the_reply() {
    let mut w = World::new(Balance::RoundRobin, moves_k, b);
    assert_eq!(w.say(&["GET k"]), format!("-MOVED {SLOT} b:1\r\n"));
    // What is queued on a held link stays there too.
    let mut w = World::new(Balance::Slots, moves_k, b);
    let said = w.say(&["WATCH k", "GET k"]);
    assert!(said.ends_with(&format!("-MOVED {SLOT} b:1\r\n")), "{said}");
}
