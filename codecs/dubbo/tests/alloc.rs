//! No allocation per exchange once warm: the codec alone, and through the engine.

mod common;

use std::{sync::Arc, time::Duration};

use common::{add, set};
use heptad_cluster::{Balance, Endpoint, Spec};
use heptad_core::{Attr, Codec, HeaderEdit, NoOptions, Time};
use heptad_dubbo::{
    Dubbo,
    wire::{self, Value},
};
use heptad_engine::{
    Cluster, ConnId, Engine, Event, LinkId, Links, Machine, Peer, Plan, Route, SessionId, Target,
};
use heptad_route::{Expr, Table, Text};
use heptad_testkit::alloc;

/// One session and one link; nobody else allocates.
struct Bench {
    engine: Engine<Dubbo>,
    session: SessionId,
    link: LinkId,
    now: u64,
    up: Vec<u8>,
    down: Vec<u8>,
}

impl Bench {
    fn new(edits: Vec<HeaderEdit>) -> Self {
        let spec = Spec::new(Balance::RoundRobin, vec![Endpoint::new("d:0")]);
        let cluster = Cluster::new("d", spec).expect("balances");
        let cluster = cluster.links(Links::default().per_endpoint(1));
        let route = Route::new("all", Target::Cluster(0))
            .timeout(Some(Duration::from_secs(1)))
            .client_timeout(true)
            .headers(edits.clone(), edits);
        let is = |attr, text: &str| Expr::Attr(attr, Text::Exact(text.to_owned()));
        let table = Table::compile(&[Expr::All(vec![
            is(Attr::Service, "com.example.Reviews"),
            is(Attr::Method, "list"),
            is(Attr::Header("user".into()), "jason"),
            is(Attr::Arg(1), "7"),
        ])]);
        let plan = Plan::new("test", table.expect("one rule"), vec![route], vec![cluster]);
        let codec = Dubbo::new(&NoOptions::default()).expect("no options");
        let mut engine = Engine::new(codec, Arc::new(plan), 1);
        let now = Time::from_nanos(1);
        let session = engine.open_session(now, Peer::local()).expect("there is room");
        engine.session_read(now, session, &request(1));
        let link = loop {
            if let Event::Dial(link, _) = engine.poll_event().expect("the first request dials") {
                break link;
            }
        };
        engine.link_up(now, link);
        let mut me = Self { engine, session, link, now: 1, up: Vec::new(), down: Vec::new() };
        me.flush();
        me.answer();
        me
    }

    /// Moves everything that is written to `up` and `down`.
    fn flush(&mut self) {
        let now = Time::from_nanos(self.now);
        self.up.clear();
        self.down.clear();
        while let Some(event) = self.engine.poll_event() {
            let Event::Write(id) = event else { continue };
            let all = match id {
                ConnId::Link(_) => &mut self.up,
                ConnId::Session(_) => &mut self.down,
            };
            while let Some(chain) = self.engine.out(id) {
                chain.pieces(|piece| {
                    all.extend_from_slice(piece);
                    true
                });
                let n = chain.len();
                self.engine.written(now, id, n);
            }
        }
    }

    /// The server's reply to what has just come up.
    fn answer(&mut self) {
        let mut reply = *b"\xda\xbb\x02\x14________\0\0\0\x06\x91\x04five";
        reply[4..12].copy_from_slice(&self.up[4..12]);
        self.engine.link_read(Time::from_nanos(self.now), self.link, &reply);
        self.flush();
    }

    fn exchange(&mut self, request: &[u8]) {
        self.now += 50_000;
        let now = Time::from_nanos(self.now);
        self.engine.session_read(now, self.session, request);
        self.flush();
        assert!(self.up.len() >= request.len());
        self.engine.timeouts(now);
        self.answer();
        assert!(self.down.len() >= 22);
        self.engine.next_timeout();
    }
}

fn request(id: u64) -> Vec<u8> {
    let names = Value::List(vec!["a".into(), "b".into(), Value::Int(1)]);
    let args = [names, Value::Int(7), "grüße".into()];
    let types = "Ljava/util/List;ILjava/lang/String;";
    let attachments = [("user", "jason"), ("timeout", "900")];
    wire::request(id, "com.example.Reviews", "1.0.0", "list", types, &args, &attachments)
}

#[track_caller]
fn check(edits: Vec<HeaderEdit>, request: &[u8]) {
    let mut bench = Bench::new(edits);
    let mut exchange = |times: u32| {
        for _ in 0..times {
            bench.exchange(request);
        }
    };
    // A link opens every id before it uses one again: warm is when it has.
    exchange(1500);
    let ((), counts) = alloc::count(|| exchange(500));
    assert_eq!(counts.allocations, 0, "{counts:?}");
}

#[test]
fn no_allocation_for_calls_that_rules_look_into() {
    check(vec![], &request(7));
}

#[test]
fn no_allocation_for_calls_that_are_edited() {
    check(vec![set("user", "anna"), add("via", "heptad")], &request(7));
}

#[test]
fn no_allocation_for_a_generic_call() {
    let args = ["list".into(), Value::Null, Value::List(vec!["sonnets".into(), Value::Long(7)])];
    let types = "Ljava/lang/String;[Ljava/lang/String;[Ljava/lang/Object;";
    let attachments = [("user", "jason")];
    let service = "com.example.Reviews";
    check(vec![], &wire::request(1, service, "", "$invoke", types, &args, &attachments));
}
