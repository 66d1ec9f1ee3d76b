//! Links in order, held links and fan-out: Redis.

use std::sync::Arc;

use heptad_cluster::{Balance, DEFAULT_TABLE_SIZE};
use heptad_core::{Attr, Ctx, Outcome, Reason, Time};
use heptad_engine::{Limits, Links, Plan};
use heptad_redis::{Redis, RedisUpstream, Secret};
use heptad_route::{Expr, Text};
use heptad_testkit::sim::{
    Client, End, Io, Profile, Script, Sim,
    resp::{Server, Store, Value, line},
    seeds,
};

use crate::common::*;

#[derive(Debug, Default)]
pub(crate) struct Heard {
    pub(crate) values: Vec<Value>,
    pub(crate) closed: Option<Time>,
    buf: Vec<u8>,
}

pub(crate) struct RespClient(pub(crate) Shared<Heard>);

impl Script for RespClient {
    fn heard(&mut self, _: &mut Io<'_>, bytes: &[u8]) {
        let mut got = self.0.borrow_mut();
        got.buf.extend_from_slice(bytes);
        while !got.buf.is_empty()
            && let Some((v, n)) = Value::decode(&got.buf)
        {
            got.buf.drain(..n);
            got.values.push(v);
        }
    }

    fn closed(&mut self, now: Time) {
        self.0.borrow_mut().closed = Some(now);
    }
}

pub(crate) fn connect(sim: &mut Sim, profile: Profile) -> (Client, Shared<Heard>) {
    let got = shared(Heard::default());
    (sim.client(profile, RespClient(got.clone())), got)
}

pub(crate) fn store(sim: &mut Sim, address: &str, profile: Profile) -> Shared<Store> {
    let store = shared(Store::default());
    let kept = store.clone();
    sim.endpoint(address, profile, move |_| Box::new(Server::new(kept.clone())));
    store
}

pub(crate) fn plan(n: usize, timeout: u64) -> Plan {
    let balance = Balance::Maglev { table_size: DEFAULT_TABLE_SIZE, failover: false };
    plan_to(cluster("r", n, balance, Links::default().per_endpoint(1)), Some(ms(timeout)))
}

/// A simulation of `n` servers.
pub(crate) fn redis(n: usize, seed: u64, timeout: u64) -> (Sim, Vec<Shared<Store>>) {
    let mut sim = sim::<Redis>(plan(n, timeout), seed);
    let stores = (0..n).map(|i| store(&mut sim, &format!("r:{i}"), Profile::default())).collect();
    (sim, stores)
}

/// A key for each server, found by asking.
pub(crate) fn keys(sim: &mut Sim, stores: &[Shared<Store>]) -> Vec<String> {
    let (client, _) = connect(sim, Profile::default());
    let mut keys = vec![String::new(); stores.len()];
    for i in 0..64_u32 {
        sim.send(client, &line(&format!("SET k{i} v{i}")));
    }
    sim.run(ms(50));
    for (at, store) in stores.iter().enumerate() {
        let store = store.borrow();
        let (_, key) = store.strings.keys().next().expect("64 keys reach every server");
        keys[at] = String::from_utf8(key.clone()).unwrap();
    }
    sim.end(client, End::Reset);
    sim.run(ms(10));
    keys
}

pub(crate) fn bulk(text: &str) -> Value {
    Value::bulk(text)
}

pub(crate) fn values(got: &Shared<Heard>) -> Vec<Value> {
    std::mem::take(&mut got.borrow_mut().values)
}

pub(crate) fn is_error(v: &Value, prefix: &str) -> bool {
    matches!(v, Value::Error(e) if e.starts_with(prefix))
}

#[test]
fn replies_come_in_the_order_of_requests_from_any_shard() {
    for seed in seeds(20) {
        let (mut sim, stores) = redis(3, seed, 60_000);
        sim.check_every(7);
        for store in &stores {
            store.borrow_mut().think = ms(sim.rng().u64(0..20));
        }
        let profile = Profile::random(sim.rng());
        let (client, got) = connect(&mut sim, profile);
        for i in 0..30 {
            sim.send(client, &line(&format!("SET k{i} v{i}")));
            sim.send(client, &line(&format!("GET k{i}")));
        }
        sim.run(ms(30_000));
        let got = values(&got);
        assert_eq!(got.len(), 60);
        for (i, pair) in got.chunks(2).enumerate() {
            assert_eq!(pair, [Value::ok(), bulk(&format!("v{i}"))]);
        }
        sim.finish_clean();
    }
}

#[test]
fn subscribe_under_resp2_then_a_get_to_another_shard() {
    let (mut sim, stores) = redis(3, 1, 2_000);
    let keys = keys(&mut sim, &stores);
    let (sub, got) = connect(&mut sim, Profile::default());
    sim.send(sub, &line("SUBSCRIBE news"));
    sim.run(ms(20));
    assert_eq!(values(&got), [Value::Array(vec![bulk("subscribe"), bulk("news"), Value::Int(1)])]);
    let (publisher, said) = connect(&mut sim, Profile::default());
    sim.send(publisher, &line("PUBLISH news hello"));
    sim.run(ms(20));
    assert_eq!(values(&said), [Value::Int(1)]);
    assert_eq!(values(&got), [Value::Array(vec![bulk("message"), bulk("news"), bulk("hello")])]);
    // As with one server: in this state only the subscribe family may be used.
    sim.send(sub, &line(&format!("GET {}", keys[2])));
    sim.run(ms(20));
    let got = values(&got);
    assert_eq!(got.len(), 1, "{got:?}");
    assert!(matches!(&got[0], Value::Error(_)), "{got:?}");
    sim.finish_clean();
}

#[test]
fn subscribe_as_resp3_push_then_gets_to_all_shards() {
    let (mut sim, stores) = redis(3, 1, 2_000);
    let keys = keys(&mut sim, &stores);
    let (sub, got) = connect(&mut sim, Profile::default());
    sim.send(sub, &line("HELLO 3"));
    sim.send(sub, &line("SUBSCRIBE news"));
    for key in &keys {
        sim.send(sub, &line(&format!("GET {key}")));
    }
    sim.run(ms(50));
    let all = values(&got);
    assert!(matches!(all[0], Value::Map(_)), "{all:?}");
    let subscribed = Value::Push(vec![bulk("subscribe"), bulk("news"), Value::Int(1)]);
    assert_eq!(all[1], subscribed, "{all:?}");
    let gets: Vec<Value> = keys.iter().map(|k| bulk(&k.replace('k', "v"))).collect();
    assert_eq!(all[2..], gets);
    let (publisher, _) = connect(&mut sim, Profile::default());
    sim.send(publisher, &line("PUBLISH news hello"));
    sim.run(ms(20));
    assert_eq!(values(&got), [Value::Push(vec![bulk("message"), bulk("news"), bulk("hello")])]);
    sim.finish_clean();
}

#[test]
fn multi_before_any_key_is_known_binds_to_the_first_keys_shard() {
    for (at, seed) in [0, 1, 2].into_iter().zip(seeds(3)) {
        let (mut sim, stores) = redis(3, seed, 2_000);
        let keys = keys(&mut sim, &stores);
        let (client, got) = connect(&mut sim, Profile::default());
        sim.send(client, &line("MULTI"));
        sim.run(ms(10));
        sim.send(client, &line(&format!("SET {} 1", keys[at])));
        sim.send(client, &line(&format!("INCR {}", keys[at])));
        sim.run(ms(10));
        sim.send(client, &line(&format!("GET {}", keys[(at + 1) % 3])));
        sim.run(ms(10));
        sim.send(client, &line("EXEC"));
        sim.send(client, &line(&format!("GET {}", keys[(at + 1) % 3])));
        sim.run(ms(20));
        let got = values(&got);
        let queued = Value::Simple("QUEUED".into());
        assert_eq!(got[..3], [Value::ok(), queued.clone(), queued]);
        assert!(is_error(&got[3], "CROSSSLOT"), "{got:?}");
        // A refused command spoils the transaction, as on a server.
        assert!(is_error(&got[4], "EXECABORT"), "{got:?}");
        assert!(matches!(got[5], Value::Bulk(_)), "{got:?}");
        sim.finish_clean();
    }
}

#[test]
fn blpop_waits_longer_than_the_routes_time_out() {
    for seed in seeds(3) {
        let (mut sim, stores) = redis(3, seed, 2_000);
        let (client, got) = connect(&mut sim, Profile::default());
        let (other, heard) = connect(&mut sim, Profile::default());
        sim.send(client, &line("BLPOP queue 30"));
        sim.run(ms(20_000));
        assert_eq!(values(&got), []);
        assert_eq!(stores.iter().map(|s| s.borrow().blocked).sum::<usize>(), 1);
        // Others share nothing with who blocks.
        sim.send(other, &line("LPUSH queue x"));
        sim.run(ms(10));
        assert_eq!(values(&heard), [Value::Int(1)]);
        assert_eq!(values(&got), [Value::Array(vec![bulk("queue"), bulk("x")])]);
        sim.send(client, &line("BLPOP queue 3"));
        sim.run(ms(3_100));
        assert_eq!(values(&got), [Value::Null]);
        sim.finish_clean();
    }
}

#[test]
fn a_client_that_leaves_while_blocked_loses_no_element() {
    for (how, seed) in [End::Reset, End::Close, End::Shutdown]
        .into_iter()
        .flat_map(|h| seeds(2).map(move |s| (h, s)))
    {
        let (mut sim, stores) = redis(2, seed, 2_000);
        let (client, _) = connect(&mut sim, Profile::default());
        sim.send(client, &line("SELECT 3"));
        sim.send(client, &line("BLPOP queue 0"));
        sim.run(ms(100));
        assert_eq!(stores.iter().map(|s| s.borrow().blocked).sum::<usize>(), 1);
        sim.end(client, how);
        sim.run(ms(100));
        assert_eq!(stores.iter().map(|s| s.borrow().blocked).sum::<usize>(), 0, "{how:?}");
        let (other, heard) = connect(&mut sim, Profile::default());
        sim.send(other, &line("SELECT 3"));
        sim.send(other, &line("LPUSH queue x"));
        sim.run(ms(10));
        sim.send(other, &line("LLEN queue"));
        sim.run(ms(10));
        assert_eq!(values(&heard)[1..], [Value::Int(1), Value::Int(1)]);
        sim.finish_clean();
    }
}

#[test]
fn mget_with_one_shard_failing() {
    let (mut sim, stores) = redis(3, 1, 2_000);
    let keys = keys(&mut sim, &stores);
    let (client, got) = connect(&mut sim, Profile::default());
    let mget = line(&format!("MGET {} {} {}", keys[2], keys[0], keys[1]));
    sim.send(client, &mget);
    sim.run(ms(20));
    let expect = [2, 0, 1].map(|i: usize| bulk(&keys[i].replace('k', "v")));
    assert_eq!(values(&got), [Value::Array(expect.to_vec())]);
    sim.set_up("r:1", false);
    sim.send(client, &mget);
    sim.send(client, &line(&format!("GET {}", keys[0])));
    sim.run(ms(100));
    let all = values(&got);
    assert_eq!(all.len(), 2, "{all:?}");
    assert!(matches!(all[0], Value::Error(_)), "{all:?}");
    assert_eq!(all[1], bulk(&keys[0].replace('k', "v")));
    sim.set_up("r:1", true);
    sim.run(ms(3_000));
    sim.send(client, &mget);
    sim.run(ms(20));
    assert!(matches!(&values(&got)[..], [Value::Array(all)] if all.len() == 3));
    sim.finish_clean();
}

#[test]
fn client_reply_off_silences_this_client_only() {
    for seed in seeds(5) {
        let (mut sim, stores) = redis(2, seed, 2_000);
        let (quiet, got) = connect(&mut sim, Profile::default().chopped(5));
        let (other, heard) = connect(&mut sim, Profile::default());
        sim.send(quiet, &line("CLIENT REPLY OFF"));
        for i in 0..10 {
            sim.send(quiet, &line(&format!("SET k{i} x")));
            sim.send(other, &line(&format!("SET o{i} x")));
        }
        sim.run(ms(100));
        assert_eq!(values(&got), []);
        assert_eq!(values(&heard), vec![Value::ok(); 10]);
        sim.send(quiet, &line("CLIENT REPLY ON"));
        sim.send(quiet, &line("CLIENT REPLY SKIP"));
        sim.send(quiet, &line("GET k1"));
        sim.send(quiet, &line("GET k2"));
        sim.run(ms(100));
        assert_eq!(values(&got), [Value::ok(), bulk("x")]);
        let stored: usize = stores.iter().map(|s| s.borrow().strings.len()).sum();
        assert_eq!(stored, 20);
        sim.finish_clean();
    }
}

#[test]
fn a_client_that_leaves_with_ten_requests_in_flight_on_an_in_order_link() {
    for seed in seeds(10) {
        let (mut sim, stores) = redis(1, seed, 2_000);
        let (stays, heard) = connect(&mut sim, Profile::default());
        sim.send(stays, &line("SET mine 1"));
        sim.run(ms(10));
        values(&heard);
        stores[0].borrow_mut().frozen = true;
        let (leaver, _) = connect(&mut sim, Profile::default());
        for i in 0..10 {
            sim.send(leaver, &line(&format!("SET k{i} x")));
        }
        sim.run(ms(5));
        sim.send(stays, &line("GET mine"));
        sim.run(ms(5));
        sim.end(leaver, End::Reset);
        sim.run(ms(5));
        stores[0].borrow_mut().frozen = false;
        sim.run(ms(20));
        assert_eq!(values(&heard), [bulk("1")], "ten foreign replies were not taken for it");
        assert_eq!(sim.machine().stats().late_replies, 10);
        assert_eq!(sim.ended(Outcome::Cancelled, Reason::Closed), 10);
        sim.finish_clean();
    }
}

#[test]
fn a_stalled_reply_in_front_of_an_in_order_link() {
    let (mut sim, stores) = redis(1, 1, 1_000);
    let (one, heard) = connect(&mut sim, Profile::default());
    sim.send(one, &line("SET a 1"));
    sim.run(ms(10));
    stores[0].borrow_mut().frozen = true;
    sim.send(one, &line("GET a"));
    let (two, got) = connect(&mut sim, Profile::default());
    sim.send(two, &line("GET a"));
    sim.run(ms(1_200));
    // Both time out; the link is kept for a while, since its replies may still come …
    assert!(is_error(&values(&heard)[1], "") && is_error(&values(&got)[0], ""));
    assert_eq!(sim.links("r:0"), 1);
    assert_eq!(sim.ended(Outcome::Timeout, Reason::Request), 2);
    sim.run(ms(11_000));
    // … and closed when the oldest is too late.
    assert_eq!(sim.links("r:0"), 0);
    assert_eq!(sim.link_ends(Outcome::Reset, Reason::Orphans), 1);
    stores[0].borrow_mut().frozen = false;
    sim.send(one, &line("GET a"));
    sim.run(ms(100));
    assert_eq!(values(&heard), [bulk("1")]);
    sim.finish_clean();
}

#[test]
fn what_is_behind_a_barrier_sees_its_effect() {
    for seed in seeds(10) {
        let (mut sim, stores) = redis(2, seed, 2_000);
        let profile = Profile::random(sim.rng());
        let (client, got) = connect(&mut sim, profile);
        let all = "SET a zero|SELECT 1|SET a one|GET a|SELECT 0|GET a|HELLO 3|GET a|GET none";
        for text in all.split('|') {
            sim.send(client, &line(text));
        }
        sim.run(ms(10_000));
        let got = values(&got);
        assert_eq!(got.len(), 9);
        assert_eq!(got[3], bulk("one"));
        assert_eq!(got[5], bulk("zero"));
        assert!(matches!(got[6], Value::Map(_)), "{:?}", got[6]);
        assert_eq!(got[7..], [bulk("zero"), Value::Null]);
        let written: Vec<u32> = stores
            .iter()
            .flat_map(|s| s.borrow().strings.keys().map(|k| k.0).collect::<Vec<_>>())
            .collect();
        assert_eq!(written.len(), 2);
        sim.finish_clean();
    }
}

#[test]
fn a_held_links_death_closes_its_session_only() {
    let (mut sim, stores) = redis(1, 1, 2_000);
    let (holder, got) = connect(&mut sim, Profile::default());
    let (other, heard) = connect(&mut sim, Profile::default());
    sim.send(other, &line("SET a 1"));
    sim.send(holder, &line("WATCH a"));
    sim.send(holder, &line("MULTI"));
    sim.send(holder, &line("GET a"));
    sim.run(ms(50));
    assert_eq!(values(&got).len(), 3);
    assert_eq!(stores[0].borrow().links, 2);
    sim.cut_links("r:0");
    sim.run(ms(50));
    assert!(got.borrow().closed.is_some(), "what was watched is lost, and the client must know");
    assert!(sim.is_open(other));
    sim.send(other, &line("GET a"));
    sim.run(ms(50));
    assert_eq!(values(&heard), [Value::ok(), bulk("1")]);
    sim.finish_clean();
}

#[test]
fn watch_and_exec_are_atomic_through_the_router() {
    for seed in seeds(5) {
        let (mut sim, _) = redis(3, seed, 2_000);
        let (a, got) = connect(&mut sim, Profile::default());
        let (b, _) = connect(&mut sim, Profile::default());
        sim.send(a, &line("SET n 1"));
        sim.send(a, &line("WATCH n"));
        sim.run(ms(10));
        sim.send(b, &line("INCR n"));
        sim.run(ms(10));
        for text in ["MULTI", "SET n 9", "EXEC", "GET n", "MULTI", "INCR n", "EXEC", "GET n"] {
            sim.send(a, &line(text));
        }
        sim.run(ms(100));
        let got = values(&got);
        let queued = Value::Simple("QUEUED".into());
        assert_eq!(
            got[..6],
            [Value::ok(), Value::ok(), Value::ok(), queued.clone(), Value::Null, bulk("2"),]
        );
        assert_eq!(got[6..], [Value::ok(), queued, Value::Array(vec![Value::Int(3)]), bulk("3"),]);
        sim.finish_clean();
    }
}

#[test]
fn a_frame_of_100_mb_beside_small_ones() {
    let ctx = Ctx::default().max_frame(200 << 20);
    let limits = Limits::default().frames(ctx).hard_mark(300 << 20);
    let mut sim = sim::<Redis>(plan(1, 5_000).limits(limits), 1);
    let store = store(&mut sim, "r:0", Profile::default().window(8 << 20));
    sim.check_every(100);
    let (large, got) = connect(&mut sim, Profile::default().window(8 << 20));
    let (small, heard) = connect(&mut sim, Profile::default());
    sim.send(large, &line(&format!("SET big {}", "x".repeat(100 << 20))));
    // Until it is whole, the engine has nothing to send of it: others pass.
    for i in 0..20 {
        sim.send(small, &line(&format!("SET s{i} x")));
        sim.run(ms(1));
    }
    assert_eq!(values(&heard).len(), 20);
    sim.run(ms(1_000));
    assert_eq!(values(&got), [Value::ok()]);
    assert_eq!(store.borrow().strings.get(&(0, b"big".to_vec())).unwrap().len(), 100 << 20);
    sim.finish_clean();
}

#[test]
fn a_refused_greeting_fails_what_waits_for_the_link() {
    let mut upstream = RedisUpstream::default();
    upstream.password = Some(Secret::new("wrong"));
    let plan = plan(1, 2_000);
    let clusters =
        plan.clusters.iter().map(|c| c.clone().upstream(Arc::new(upstream.clone()))).collect();
    let route = plan.routes.clone();
    let plan = Plan::new("test", table(&[Expr::All(vec![])]), route, clusters);
    let mut sim = sim::<Redis>(plan, 1);
    let store = store(&mut sim, "r:0", Profile::default());
    store.borrow_mut().refuses = Some("WRONGPASS invalid username-password pair".to_owned());
    let (client, got) = connect(&mut sim, Profile::default());
    sim.send(client, &line("GET a"));
    sim.send(client, &line("PING"));
    sim.run(ms(100));
    assert_eq!(sim.ended(Outcome::ConnectFailed, Reason::Greeting), 1);
    let all = values(&got);
    assert!(matches!(&all[0], Value::Error(_)), "{all:?}");
    store.borrow_mut().refuses = None;
    sim.run(ms(1_000));
    sim.send(client, &line("SET a 1"));
    sim.run(ms(100));
    assert_eq!(values(&got), [Value::ok()]);
    sim.finish_clean();
}

#[test]
fn a_client_that_leaves_before_its_prelude_is_answered_loses_no_element() {
    for wait in 0..30 {
        let (mut sim, stores) = redis(1, wait, 2_000);
        let (client, _) = connect(&mut sim, Profile::default());
        sim.send(client, &line("SELECT 3"));
        sim.run(ms(5));
        sim.send(client, &line("BLPOP queue 0"));
        sim.run(std::time::Duration::from_micros(20 * wait));
        sim.end(client, End::Reset);
        sim.run(ms(20));
        assert_eq!(stores[0].borrow().blocked, 0);
        let (other, heard) = connect(&mut sim, Profile::default());
        sim.send(other, &line("SELECT 3"));
        sim.send(other, &line("LPUSH queue x"));
        sim.send(other, &line("LLEN queue"));
        sim.run(ms(20));
        assert_eq!(values(&heard), [Value::ok(), Value::Int(1), Value::Int(1)]);
        sim.finish_clean();
    }
}

#[test]
fn a_pop_behind_a_barrier_is_not_sent_for_a_client_that_has_left() {
    for how in [End::Close, End::Shutdown] {
        let (mut sim, stores) = redis(1, 1, 2_000);
        let (client, _) = connect(&mut sim, Profile::default());
        sim.send(client, &line("SELECT 99"));
        sim.send(client, &line("BLPOP queue 0"));
        sim.end(client, how);
        sim.run(ms(100));
        assert_eq!(stores[0].borrow().blocked, 0, "{how:?}");
        assert_eq!(sim.machine().sessions(), 0);
        sim.finish_clean();
    }
}

#[test]
fn what_has_no_route_changes_nothing() {
    let method = |name: &str| Expr::Attr(Attr::Method, Text::Exact(name.to_owned()));
    let mut plan = plan(1, 1_000);
    plan.table = table(&[method("GET")]);
    let mut sim = sim::<Redis>(plan, 1);
    store(&mut sim, "r:0", Profile::default());
    let (client, got) = connect(&mut sim, Profile::default());
    for text in ["CLIENT REPLY OFF", "QUIT", "GET k"] {
        sim.send(client, &line(text));
    }
    sim.run(ms(50));
    let got = values(&got);
    assert_eq!(got.len(), 3, "{got:?}");
    assert!(
        is_error(&got[0], "ERR heptad: no route") && is_error(&got[1], "ERR heptad"),
        "{got:?}"
    );
    assert_eq!(got[2], Value::Null);
    assert!(sim.is_open(client));
    assert_eq!(sim.ended(Outcome::NoRoute, Reason::None), 2);
    sim.finish_clean();
}

#[test]
fn a_link_for_one_call_at_a_time_is_brought_to_its_sessions_state_first() {
    for seed in seeds(5) {
        let links = Links::default().share(Some(false)).max(1);
        let all = cluster("r", 1, Balance::RoundRobin, links);
        let mut sim = sim::<Redis>(plan_to(all, Some(ms(2_000))), seed);
        let profile = Profile::random(sim.rng());
        let server = store(&mut sim, "r:0", profile);
        let clients = ["one", "two"].map(|name| {
            let (client, got) = connect(&mut sim, Profile::default());
            sim.send(client, &line(&format!("CLIENT SETNAME {name}")));
            sim.run(ms(1_000));
            (client, got)
        });
        for round in 0..3 {
            for (client, _) in &clients {
                sim.send(*client, &line(&format!("SET k {round}")));
                sim.send(*client, &line("GET k"));
                sim.run(ms(1_000));
            }
        }
        for (_, got) in &clients {
            let got = values(got);
            let gets: Vec<_> = got[1..].chunks(2).map(|pair| pair[1].clone()).collect();
            assert_eq!(gets, [bulk("0"), bulk("1"), bulk("2")]);
        }
        let server = server.borrow();
        assert_eq!(server.links, 1);
        let names = server.lines("CLIENT").len();
        assert!((6..=8).contains(&names), "once for each change of hands: {names}");
        drop(server);
        sim.finish_clean();
    }
}
