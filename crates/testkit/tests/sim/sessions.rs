//! What a Redis session carries from request to request: its login, what it holds, and what it was
//! promised on every server.

use heptad_cluster::{Balance, DEFAULT_TABLE_SIZE};
use heptad_core::{Attr, Codec as _, Ctx, Outcome, Reason};
use heptad_engine::{Engine, Limits, Links, Plan, Route, Target};
use heptad_redis::{Redis, RedisOptions};
use heptad_route::{Expr, Text};
use heptad_testkit::sim::{
    Profile, Sim,
    resp::{Store, Value, line},
    seeds,
};

use crate::{common::*, redis::*};

/// Two users, of whom alice has a server of her own (`a:0`); `r:0` is for the rest.
fn with_users(seed: u64) -> (Sim, Shared<Store>, Shared<Store>) {
    let mut options = RedisOptions::default();
    for (name, password) in [("default", "one"), ("alice", "two")] {
        let mut user = heptad_redis::UserOptions::default();
        user.name = name.into();
        user.password = heptad_redis::Secret::new(password);
        options.users.push(user);
    }
    let links = || Links::default().per_endpoint(1);
    let clusters = ["a", "r"].map(|n| cluster(n, 1, Balance::RoundRobin, links()));
    let alice = Expr::Attr(Attr::SourcePrincipal, Text::Exact("alice".into()));
    let routes = vec![
        Route::new("alice", Target::Cluster(0)).timeout(Some(ms(60_000))),
        Route::new("rest", Target::Cluster(1)).timeout(Some(ms(60_000))),
    ];
    let table = table(&[alice, Expr::All(vec![])]);
    let plan = Plan::new("test", table, routes, clusters.into());
    let engine = Engine::new(Redis::new(&options).unwrap(), plan.into(), seed);
    let mut sim = Sim::new(engine, seed);
    let of_alice = store(&mut sim, "a:0", Profile::default());
    let rest = store(&mut sim, "r:0", Profile::default());
    (sim, of_alice, rest)
}

#[test]
fn auth_is_a_barrier_for_the_frames_pipelined_behind_it() {
    for seed in seeds(20) {
        let (mut sim, of_alice, rest) = with_users(seed);
        rest.borrow_mut().think = ms(sim.rng().u64(0..20));
        let profile = Profile::random(sim.rng());
        let (client, got) = connect(&mut sim, profile);
        let script = "GET k|AUTH one|SET k rest|GET k|AUTH alice two|SET k alice|GET k|AUTH nope|\
                      GET k|HELLO 2 AUTH default one|GET k|RESET|GET k|MULTI|AUTH two|GET k";
        let bytes: Vec<u8> = script.split('|').flat_map(line).collect();
        sim.send(client, &bytes);
        sim.run(ms(60_000));
        let all = values(&got);
        assert_eq!(all.len(), 16, "{all:?}");
        assert!(is_error(&all[0], "NOAUTH"), "{all:?}");
        assert_eq!(all[1..4], [Value::ok(), Value::ok(), bulk("rest")]);
        assert_eq!(all[4..7], [Value::ok(), Value::ok(), bulk("alice")]);
        // Whoever is logged in stays so when another login fails.
        assert!(is_error(&all[7], "WRONGPASS"), "{all:?}");
        assert_eq!(all[8], bulk("alice"));
        assert_eq!(all[10], bulk("rest"));
        assert_eq!(all[11], Value::Simple("RESET".into()));
        assert!(is_error(&all[12], "NOAUTH") && is_error(&all[13], "NOAUTH"), "{all:?}");
        assert!(is_error(&all[14], "WRONGPASS") && is_error(&all[15], "NOAUTH"), "{all:?}");
        assert_eq!(of_alice.borrow().lines("SET"), ["SET k alice"]);
        assert_eq!(rest.borrow().lines("SET"), ["SET k rest"]);
        assert_eq!(of_alice.borrow().lines("GET").len() + rest.borrow().lines("GET").len(), 4);
        assert!(rest.borrow().lines("AUTH").is_empty(), "clients' passwords stay here");
        sim.finish_clean();
    }
}

#[test]
fn unsubscribe_releases_its_link_and_a_get_is_shared_again() {
    for seed in seeds(10) {
        let (mut sim, stores) = redis(1, seed, 2_000);
        let (other, heard) = connect(&mut sim, Profile::default());
        sim.send(other, &line("SET a 1"));
        sim.run(ms(10));
        let (client, got) = connect(&mut sim, Profile::default().chopped(7));
        sim.send(client, &line("SUBSCRIBE x y"));
        sim.run(ms(20));
        assert_eq!(values(&got).len(), 2);
        assert_eq!(sim.links("r:0"), 2, "one shared, one held");
        sim.send(client, &line("UNSUBSCRIBE x"));
        sim.send(client, &line("GET a"));
        sim.run(ms(20));
        let all = values(&got);
        assert_eq!(all.len(), 2, "{all:?}");
        assert!(is_error(&all[1], "ERR"), "it still listens to y: {all:?}");
        let held = stores[0].borrow().links_of("SUBSCRIBE");
        stores[0].borrow_mut().seen.clear();
        // Behind the reply that releases, in one write.
        let bytes: Vec<u8> = ["UNSUBSCRIBE", "GET a", "SET a 2", "GET a"].map(line).concat();
        sim.send(client, &bytes);
        sim.run(ms(20));
        let all = values(&got);
        assert_eq!(all.len(), 4, "{all:?}");
        assert_eq!(all[0], Value::Array(vec![bulk("unsubscribe"), bulk("y"), Value::Int(0)]));
        assert_eq!(all[1..], [bulk("1"), Value::ok(), bulk("2")]);
        let store = stores[0].borrow();
        assert_eq!(store.links_of("GET"), store.links_of("SET"), "on the shared link");
        assert!(store.links_of("GET").is_disjoint(&held));
        drop(store);
        // Nothing more comes from channels it left.
        sim.send(other, &line("PUBLISH y hello"));
        sim.run(ms(20));
        assert_eq!(values(&got), []);
        assert_eq!(values(&heard), [Value::ok(), Value::Int(1)]);
        sim.finish_clean();
    }
}

#[test]
fn a_reply_nested_too_deep_ends_its_link_and_is_counted() {
    for seed in seeds(5) {
        let limits = Limits::default().frames(Ctx::default().max_depth(8));
        let mut sim = sim::<Redis>(plan(1, 2_000).limits(limits), seed);
        let store = store(&mut sim, "r:0", Profile::default());
        let (client, got) = connect(&mut sim, Profile::default().chopped(3));
        sim.send(client, &line("SET k v"));
        sim.send(client, &line("EVAL 8 0"));
        sim.run(ms(20));
        let all = values(&got);
        let depth = |mut v: &Value| {
            let mut n = 0;
            while let Value::Array(inner) = v {
                (n, v) = (n + 1, &inner[0]);
            }
            n
        };
        assert_eq!(all.len(), 2, "{all:?}");
        assert_eq!(depth(&all[1]), 8, "as deep as allowed");
        let links = store.borrow().links;
        sim.send(client, &line("EVAL 9 0"));
        sim.send(client, &line("GET k"));
        sim.run(ms(100));
        let all = values(&got);
        assert_eq!(all.len(), 2, "{all:?}");
        assert!(is_error(&all[0], "ERR heptad: "), "{all:?}");
        assert_eq!(sim.link_ends(Outcome::TooLarge, Reason::Depth), 1);
        assert_eq!(sim.ended(Outcome::TooLarge, Reason::Depth), 2);
        assert_eq!(sim.session_ends(Outcome::TooLarge, Reason::Depth), 0);
        // The client stays, and the next request has a link again.
        sim.run(ms(3_000));
        sim.send(client, &line("GET k"));
        sim.run(ms(100));
        assert_eq!(values(&got), [bulk("v")]);
        assert!(store.borrow().links > links);
        sim.finish_clean();
    }
}

#[test]
fn tracking_pins_a_link_per_endpoint_and_its_pushes_come_through() {
    for seed in seeds(10) {
        let balance = Balance::Maglev { table_size: DEFAULT_TABLE_SIZE, failover: false };
        let links = Links::default().per_endpoint(1);
        let mut sim = sim::<Redis>(plan_to(cluster("r", 3, balance, links), Some(ms(2_000))), seed);
        let stores: Vec<_> =
            (0..3).map(|i| store(&mut sim, &format!("r:{i}"), Profile::default())).collect();
        let keys = keys(&mut sim, &stores);
        let (writer, _) = connect(&mut sim, Profile::default());
        let (client, got) = connect(&mut sim, Profile::default().chopped(11));
        sim.send(client, &line("HELLO 3"));
        sim.send(client, &line("CLIENT TRACKING on"));
        for key in keys.iter().chain(&keys) {
            sim.send(client, &line(&format!("GET {key}")));
        }
        sim.run(ms(50));
        let all = values(&got);
        assert_eq!(all.len(), 8, "{all:?}");
        assert_eq!(all[1], Value::ok());
        let read: Vec<Value> = keys.iter().map(|k| bulk(&k.replace('k', "v"))).collect();
        assert_eq!((&all[2..5], &all[5..]), (&read[..], &read[..]));
        for (at, store) in stores.iter().enumerate() {
            let store = store.borrow();
            assert_eq!(store.links_of("CLIENT").len(), 1, "server {at}: one pinned link");
            assert_eq!(store.links_of("GET"), store.links_of("CLIENT"), "and it reads there");
            assert!(store.links_of("SET").is_disjoint(&store.links_of("GET")), "alone");
        }
        for key in &keys {
            sim.send(writer, &line(&format!("SET {key} new")));
            sim.run(ms(20));
            let push = Value::Push(vec![bulk("invalidate"), Value::Array(vec![bulk(key)])]);
            assert_eq!(values(&got), [push]);
        }
        // What was not read again is not promised again.
        sim.send(writer, &line(&format!("SET {} newer", keys[0])));
        sim.send(client, &line(&format!("GET {}", keys[1])));
        sim.run(ms(20));
        assert_eq!(values(&got), [bulk("new")]);
        // One pinned link's death ends the promise, and the client must know.
        sim.cut_links("r:1");
        sim.run(ms(20));
        assert!(got.borrow().closed.is_some());
        assert!(sim.is_open(writer));
        sim.finish_clean();
    }
}
