//! No allocation per exchange once warm, through the engine and the codec, by hand.

use std::{sync::Arc, time::Duration};

use heptad_cluster::{Balance, DEFAULT_TABLE_SIZE, Endpoint, Spec};
use heptad_core::{Codec, Time};
use heptad_engine::{
    Cluster, ConnId, Engine, Event, LinkId, Links, Machine, Peer, Plan, Route, SessionId, Target,
};
use heptad_redis::{Redis, RedisOptions};
use heptad_route::{Expr, Table};
use heptad_testkit::{alloc, sim::resp::line};

/// One session and one link; nobody else allocates.
struct Bench {
    engine: Engine<Redis>,
    session: SessionId,
    link: LinkId,
    now: u64,
}

impl Bench {
    fn new() -> Self {
        let balance = Balance::Maglev { table_size: DEFAULT_TABLE_SIZE, failover: false };
        let spec = Spec::new(balance, vec![Endpoint::new("r:0")]);
        let cluster = Cluster::new("r", spec).expect("balances");
        let cluster = cluster.links(Links::default().per_endpoint(1));
        let route = Route::new("all", Target::Cluster(0)).timeout(Some(Duration::from_secs(1)));
        let table = Table::compile(&[Expr::All(vec![])]).expect("one rule");
        let plan = Plan::new("test", table, vec![route], vec![cluster]);
        let codec = Redis::new(&RedisOptions::default()).expect("defaults are fine");
        let mut engine = Engine::new(codec, Arc::new(plan), 1);
        let now = Time::from_nanos(1);
        let session = engine.open_session(now, Peer::local()).expect("there is room");
        engine.session_read(now, session, &line("GET first"));
        let link = loop {
            if let Event::Dial(link, _) = engine.poll_event().expect("the first request dials") {
                break link;
            }
        };
        engine.link_up(now, link);
        let mut me = Self { engine, session, link, now: 1 };
        me.flush();
        me.engine.link_read(now, link, b"$-1\r\n");
        me.flush();
        me
    }

    /// Writes everything; the bytes that went to the server and to the client.
    fn flush(&mut self) -> (usize, usize) {
        let now = Time::from_nanos(self.now);
        let (mut up, mut down) = (0, 0);
        while let Some(event) = self.engine.poll_event() {
            let Event::Write(id) = event else { continue };
            while let Some(n) = self.engine.out(id).map(|chain| chain.len()) {
                match id {
                    ConnId::Link(_) => up += n,
                    ConnId::Session(_) => down += n,
                }
                self.engine.written(now, id, n);
            }
        }
        (up, down)
    }

    /// What the client sends, and what the server answers to it.
    fn exchange(&mut self, request: &[u8], reply: &[u8]) -> (usize, usize) {
        self.now += 50_000;
        let now = Time::from_nanos(self.now);
        self.engine.session_read(now, self.session, request);
        let (up, _) = self.flush();
        self.engine.timeouts(now);
        self.engine.link_read(now, self.link, reply);
        let (_, down) = self.flush();
        self.engine.next_timeout();
        (up, down)
    }
}

/// Exchanges the same a thousand times, the second half counted.
#[track_caller]
fn check(request: &[u8], reply: &[u8]) {
    let mut bench = Bench::new();
    let mut exchange = |times: u32| {
        for _ in 0..times {
            assert_eq!(bench.exchange(request, reply), (request.len(), reply.len()));
        }
    };
    exchange(500);
    let ((), counts) = alloc::count(|| exchange(500));
    assert_eq!(counts.allocations, 0, "{counts:?}: {}", request.escape_ascii());
}

#[test]
fn no_allocation_for_plain_commands() {
    check(&line("GET key"), b"$5\r\nvalue\r\n");
    check(&line("GET key"), b"$-1\r\n");
    check(&line("SET key value"), b"+OK\r\n");
    check(&line("HSET key field value"), b":1\r\n");
    check(&line("LRANGE key 0 1"), b"*2\r\n$1\r\na\r\n$1\r\nb\r\n");
    check(&line("MGET a b c"), b"*3\r\n$1\r\na\r\n$-1\r\n$1\r\nb\r\n");
    check(&line("INCR key"), b"-WRONGTYPE not a number\r\n");
}

#[test]
fn no_allocation_for_a_pipeline() {
    let (get, set) = (line("GET key"), line("SET key value"));
    let requests = [get, set].concat().repeat(8);
    check(&requests, &b"$5\r\nvalue\r\n+OK\r\n".repeat(8));
}

#[test]
fn no_allocation_for_a_value_in_pieces() {
    let mut bench = Bench::new();
    let request = line(&format!("SET key {}", "x".repeat(2_000)));
    let (head, tail) = request.split_at(1_000);
    let mut exchange = |times: u32| {
        for _ in 0..times {
            bench.now += 50_000;
            let now = Time::from_nanos(bench.now);
            bench.engine.session_read(now, bench.session, head);
            assert_eq!(bench.flush(), (0, 0));
            assert_eq!(bench.exchange(tail, b"+OK\r\n"), (request.len(), 5));
        }
    };
    exchange(100);
    let ((), counts) = alloc::count(|| exchange(100));
    assert_eq!(counts.allocations, 0, "{counts:?}");
}

#[test]
fn no_allocation_for_a_command_on_a_link_of_its_own() {
    check_own("MY.CMD key");
    check_own("CLIENT INFO");
}

#[track_caller]
fn check_own(text: &str) {
    let request = line(text);
    let mut bench = Bench::new();
    // It gets a link of its own, which is kept for the next one.
    bench.engine.session_read(Time::from_nanos(2), bench.session, &request);
    while let Some(event) = bench.engine.poll_event() {
        if let Event::Dial(link, _) = event {
            bench.link = link;
        }
    }
    bench.engine.link_up(Time::from_nanos(2), bench.link);
    bench.flush();
    bench.engine.link_read(Time::from_nanos(2), bench.link, b"+OK\r\n");
    bench.flush();
    let mut exchange = |times: u32| {
        for _ in 0..times {
            assert_eq!(bench.exchange(&request, b"+OK\r\n"), (request.len(), 5));
        }
    };
    exchange(500);
    let ((), counts) = alloc::count(|| exchange(500));
    assert_eq!(counts.allocations, 0, "{counts:?}: {text}");
}

#[test]
fn no_allocation_for_a_reply_in_pieces() {
    let mut bench = Bench::new();
    let (request, value) = (line("GET key"), "x".repeat(2_000));
    let reply = format!("$2000\r\n{value}\r\n");
    let (head, tail) = reply.as_bytes().split_at(1_000);
    let mut exchange = |times: u32| {
        for _ in 0..times {
            assert_eq!(bench.exchange(&request, head), (request.len(), 0));
            let now = Time::from_nanos(bench.now);
            bench.engine.link_read(now, bench.link, tail);
            assert_eq!(bench.flush(), (0, reply.len()));
        }
    };
    exchange(100);
    let ((), counts) = alloc::count(|| exchange(100));
    assert_eq!(counts.allocations, 0, "{counts:?}");
}
