//! No allocation per exchange once warm, through the engine and the codec, by hand.

use std::{sync::Arc, time::Duration};

use heptad_cluster::{Balance, Endpoint, Spec};
use heptad_core::{Codec, Time};
use heptad_engine::{
    Cluster, ConnId, Engine, Event, LinkId, Links, Machine, Peer, Plan, Route, SessionId, Target,
};
use heptad_route::{Expr, Table};
use heptad_testkit::alloc;
use heptad_thrift::{Thrift, ThriftOptions};

use crate::wire::*;

/// One session and one link; nobody else allocates.
struct Bench {
    engine: Engine<Thrift>,
    session: SessionId,
    link: LinkId,
    now: u64,
    up: Vec<u8>,
    down: Vec<u8>,
}

impl Bench {
    fn new(share: bool, first: &[u8]) -> Self {
        let spec = Spec::new(Balance::RoundRobin, vec![Endpoint::new("t:0")]);
        let cluster = Cluster::new("t", spec).expect("balances");
        let cluster = cluster.links(Links::default().per_endpoint(1).share(Some(share)));
        let route = Route::new("all", Target::Cluster(0)).timeout(Some(Duration::from_secs(1)));
        let table = Table::compile(&[Expr::All(vec![])]).expect("one rule");
        let plan = Plan::new("test", table, vec![route], vec![cluster]);
        let codec = Thrift::new(&ThriftOptions::default()).expect("defaults are fine");
        let mut engine = Engine::new(codec, Arc::new(plan), 1);
        let now = Time::from_nanos(1);
        let session = engine.open_session(now, Peer::local()).expect("there is room");
        engine.session_read(now, session, first);
        let link = loop {
            if let Event::Dial(link, _) = engine.poll_event().expect("the first request dials") {
                break link;
            }
        };
        engine.link_up(now, link);
        let (up, down) = (Vec::with_capacity(1 << 16), Vec::with_capacity(1 << 16));
        let mut me = Self { engine, session, link, now: 1, up, down };
        me.flush();
        me
    }

    /// Writes everything.
    fn flush(&mut self) {
        let now = Time::from_nanos(self.now);
        self.up.clear();
        self.down.clear();
        while let Some(event) = self.engine.poll_event() {
            let Event::Write(id) = event else { continue };
            while let Some(n) = self.engine.out(id).map(|chain| chain.len()) {
                let to = match id {
                    ConnId::Link(_) => &mut self.up,
                    ConnId::Session(_) => &mut self.down,
                };
                if let Some(chain) = self.engine.out(id) {
                    chain.pieces(|piece| {
                        to.extend_from_slice(piece);
                        true
                    });
                }
                self.engine.written(now, id, n);
            }
        }
    }

    /// What the client sends, and what the server answers to it, with the id it was asked with.
    fn exchange(&mut self, request: &[u8], reply: &Reply, answer: &mut Vec<u8>) {
        self.now += 50_000;
        let now = Time::from_nanos(self.now);
        self.engine.session_read(now, self.session, request);
        self.flush();
        assert!(!self.up.is_empty());
        let id = match reply.p {
            P::Compact => {
                let len = self.up[6..].iter().take_while(|byte| **byte >= 0x80).count();
                &self.up[6..=6 + len]
            }
            _ => &self.up[16..20],
        };
        answer.clear();
        let len = reply.before.len() + id.len() + reply.after.len();
        answer.extend_from_slice(&(len as u32).to_be_bytes());
        answer.extend_from_slice(&reply.before);
        answer.extend_from_slice(id);
        answer.extend_from_slice(&reply.after);
        self.engine.timeouts(now);
        self.engine.link_read(now, self.link, answer);
        self.flush();
        self.engine.next_timeout();
    }
}

/// A framed reply around its id.
struct Reply {
    p: P,
    before: Vec<u8>,
    after: Vec<u8>,
}

impl Reply {
    fn new(p: P) -> Self {
        let bytes = message(p, REPLY, "ping", 1, &result("pong"));
        let (start, end) = if p == P::Compact { (2, 3) } else { (12, 16) };
        Self { p, before: bytes[..start].to_vec(), after: bytes[end..].to_vec() }
    }
}

#[track_caller]
fn check(p: P, share: bool, body: &V) {
    let request = frame(T::Framed, p, CALL, "ping", 77, body);
    let mut bench = Bench::new(share, &request);
    let first = frame(T::Framed, p, REPLY, "ping", 1, &result("pong"));
    bench.engine.link_read(Time::from_nanos(1), bench.link, &first);
    bench.flush();
    assert_eq!(bench.down, frame(T::Framed, p, REPLY, "ping", 77, &result("pong")));
    let reply = Reply::new(p);
    let mut answer = Vec::with_capacity(100);
    let mut exchange = |times: u32| {
        for _ in 0..times {
            bench.exchange(&request, &reply, &mut answer);
            assert!(!bench.down.is_empty());
        }
    };
    // A link's ids are all used once before any is used again.
    exchange(1_500);
    let ((), counts) = alloc::count(|| exchange(500));
    assert_eq!(counts.allocations, 0, "{counts:?}: {p:?} {share}");
}

#[test]
fn no_allocation_for_framed_calls() {
    for share in [false, true] {
        check(P::Strict, share, &args());
        check(P::Compact, share, &args());
        check(P::Strict, share, &V::Struct(vec![]));
    }
}

#[test]
fn no_allocation_for_unframed_calls_and_theader() {
    // The codec alone: ids are at other places.
    let codec = codec();
    for t in TRANSPORTS {
        for p in PROTOCOLS {
            let asked = frame(t, p, CALL, "S:ping", 77, &args());
            let answer = frame(t, p, REPLY, "ping", 5, &result("pong"));
            let mut conn = session(&codec);
            let (meta, _) = request(&codec, &mut conn, &asked);
            let mut server = link(&codec, Default::default(), codec.flavour(&conn, &meta));
            let mut chain = heptad_core::Chain::default();
            let mut exchange = || {
                let (meta, tag) = request(&codec, &mut conn, &asked);
                let mut splice = heptad_core::Splice::new(&asked, None, &mut chain);
                let edit = heptad_core::Rewrite::new(Some(5), &[]);
                let done = codec.rewrite(&conn, &server, &meta, tag, &edit, &mut splice);
                assert_eq!(done, Ok(()));
                let found = reply(&codec, &mut server, &One(5, tag), &answer);
                let mut splice = heptad_core::Splice::new(&answer, None, &mut chain);
                let edit = heptad_core::Rewrite::new(Some(meta.id), &[]);
                let done = codec.rewrite(&server, &conn, &found, tag, &edit, &mut splice);
                assert_eq!(done, Ok(()));
                chain.consume(chain.len());
            };
            exchange();
            let ((), counts) = alloc::count(exchange);
            assert_eq!(counts.allocations, 0, "{counts:?}: {t:?} {p:?}");
        }
    }
}
