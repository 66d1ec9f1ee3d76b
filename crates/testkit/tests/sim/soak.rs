//! Random topologies, random networks, random faults: each request gets exactly one answer, which is
//! either right or an error; in order where order is promised; and nothing is left at the end.

use awesomerpc::{AwesomeRpc, wire::Message};
use heptad_cluster::{Balance, DEFAULT_TABLE_SIZE};
use heptad_engine::{Limits, Links};
use heptad_redis::Redis;
use heptad_testkit::sim::{
    End, Profile, Sim,
    resp::{Value, line},
    seeds,
};

use crate::{common::*, redis};

/// Something bad that happens to endpoints while a simulation runs.
fn trouble(sim: &mut Sim, addresses: &[String]) {
    for _ in 0..sim.rng().u32(0..6) {
        let wait = ms(sim.rng().u64(0..3_000));
        let address = addresses[sim.rng().usize(..addresses.len())].clone();
        match sim.rng().u32(0..4) {
            0 => sim.after(wait, move |sim| sim.cut_links(&address)),
            1 => sim.after(wait, move |sim| {
                sim.set_up(&address, false);
                sim.after(ms(700), move |sim| sim.set_up(&address, true));
            }),
            2 => sim.after(wait, move |sim| {
                sim.stall_links(&address, true);
                sim.after(ms(900), move |sim| sim.stall_links(&address, false));
            }),
            _ => sim.after(wait, move |sim| {
                sim.set_deaf(&address, true);
                sim.after(ms(900), move |sim| sim.set_deaf(&address, false));
            }),
        }
    }
}

fn links(sim: &mut fastrand::Rng) -> Links {
    Links::default()
        .per_endpoint(sim.usize(1..3))
        .max_in_flight(sim.u32(1..64))
        .max(sim.usize(1..8))
        .max_buffered(1 << sim.u32(8..20))
        .orphan_age(ms(sim.u64(100..2_000)))
        .ping(sim.bool().then_some(ms(500)))
}

#[test]
fn awesomerpc() {
    for seed in seeds(150) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let n = rng.usize(1..4);
        let share = [None, Some(false)][rng.usize(0..2)];
        let links = links(&mut rng).share(share);
        let balance =
            [Balance::RoundRobin, Balance::LeastRequest, Balance::Random][rng.usize(0..3)];
        let limits = Limits::default()
            .in_flight(rng.usize(1..40))
            .queue(rng.usize(0..40))
            .soft_mark(1 << rng.u32(6..16));
        let plan = plan_to(cluster("a", n, balance, links), Some(ms(800))).limits(limits);
        let mut sim = sim::<AwesomeRpc>(plan, seed);
        sim.check_every(17);
        let addresses: Vec<_> = (0..n).map(|i| format!("a:{i}")).collect();
        for address in &addresses {
            let mut profile = Profile::random(sim.rng());
            profile.chop = profile.chop.max(16);
            serve(&mut sim, address, profile, ms(20));
        }
        let mut clients = Vec::new();
        for c in 0..rng.usize(1..6) {
            let mut profile = Profile::random(sim.rng());
            profile.chop = profile.chop.max(16);
            let (client, got) = rpc_client(&mut sim, profile);
            let calls = rng.u32(1..40);
            for id in 0..calls {
                let method = ["echo", "echo", "echo", "never", "slow", "fail", "die"];
                let some = if rng.u32(0..4) == 0 { 7 } else { 3 };
                let method = method[rng.usize(0..some)];
                let bytes = Message::request(id, "s", method).body(format!("{c}/{id}")).to_bytes();
                sim.after(ms(rng.u64(0..2_000)), move |sim| sim.send(client, &bytes));
            }
            let leaves = rng.u32(0..3) == 0;
            if leaves {
                let how = [End::Close, End::Reset, End::Shutdown][rng.usize(0..3)];
                sim.after(ms(rng.u64(0..2_000)), move |sim| sim.end(client, how));
            }
            clients.push((c, calls, leaves, got));
        }
        trouble(&mut sim, &addresses);
        sim.run(ms(20_000));
        for (c, calls, leaves, got) in clients {
            let got = got.borrow();
            for id in 0..calls {
                let status = got.status(id);
                assert!(leaves || status != "none", "{c}/{id} has no answer (seed {seed})");
                let body = got.body(id);
                if status == "OK" {
                    assert!(body.ends_with(&format!(":{c}/{id}")), "{c}/{id} got {body}");
                }
            }
        }
        sim.finish();
    }
}

#[test]
fn redis_in_order() {
    for seed in seeds(150) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let n = rng.usize(1..4);
        let balance = Balance::Maglev { table_size: DEFAULT_TABLE_SIZE, failover: false };
        let links = links(&mut rng);
        let limits = Limits::default()
            .in_flight(rng.usize(1..40))
            .queue(rng.usize(0..40))
            .soft_mark(1 << rng.u32(6..16));
        let plan = plan_to(cluster("r", n, balance, links), Some(ms(800))).limits(limits);
        let mut sim = sim::<Redis>(plan, seed);
        sim.check_every(17);
        let addresses: Vec<_> = (0..n).map(|i| format!("r:{i}")).collect();
        for address in &addresses {
            let mut profile = Profile::random(sim.rng());
            profile.chop = profile.chop.max(16);
            let store = redis::store(&mut sim, address, profile);
            store.borrow_mut().think = ms(rng.u64(0..20));
        }
        let mut clients = Vec::new();
        for c in 0..rng.usize(1..6) {
            let mut profile = Profile::random(sim.rng());
            profile.chop = profile.chop.max(16);
            let (client, got) = redis::connect(&mut sim, profile);
            let calls = rng.usize(1..40);
            let mut expect = Vec::new();
            let mut script = Vec::new();
            for i in 0..calls {
                // Every key is written by one client only, with one value.
                let (text, right) = match rng.u32(0..6) {
                    0 | 1 => (format!("SET {c}:{i} {c}:{i}"), vec![Value::ok()]),
                    2 | 3 => {
                        let k = rng.usize(0..=i);
                        let v = Value::bulk(format!("{c}:{k}"));
                        (format!("GET {c}:{k}"), vec![v, Value::Null])
                    }
                    4 => (format!("BLPOP none{i} 0.05"), vec![Value::Null]),
                    _ => ("PING".to_owned(), vec![Value::Simple("PONG".into())]),
                };
                script.push(line(&text));
                expect.push(right);
            }
            // In bursts, in order.
            let mut at = 0;
            for bytes in script {
                at += if rng.u32(0..4) == 0 { rng.u64(0..300) } else { 0 };
                sim.after(ms(at), move |sim| sim.send(client, &bytes));
            }
            let leaves = rng.u32(0..3) == 0;
            if leaves {
                let how = [End::Close, End::Reset, End::Shutdown][rng.usize(0..3)];
                sim.after(ms(rng.u64(0..2_000)), move |sim| sim.end(client, how));
            }
            clients.push((c, expect, leaves, got));
        }
        trouble(&mut sim, &addresses);
        sim.run(ms(60_000));
        for (c, expect, leaves, got) in clients {
            let got = &got.borrow().values;
            assert!(got.len() <= expect.len(), "client {c} got more than it asked for");
            assert!(
                leaves || got.len() == expect.len(),
                "client {c}: {} of {}",
                got.len(),
                expect.len()
            );
            for (i, (value, right)) in got.iter().zip(&expect).enumerate() {
                let fine = right.contains(value) || matches!(value, Value::Error(_));
                assert!(fine, "client {c}, request {i}: {value:?} instead of {right:?}");
            }
        }
        sim.finish();
    }
}
