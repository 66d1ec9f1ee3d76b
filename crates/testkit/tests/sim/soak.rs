//! Random topologies, random networks, random faults: each request gets exactly one answer, which is
//! either right or an error; in order where order is promised; and nothing is left at the end.

use awesomerpc::{AwesomeRpc, wire::Message};
use heptad_cluster::{Balance, DEFAULT_TABLE_SIZE};
use heptad_engine::{Limits, Links, Plan};
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

/// New configurations while a simulation runs: the same cluster with other limits, or with the
/// endpoints in use exchanged for others, which `plan` gives for a number.
fn swaps(sim: &mut Sim, plan: impl Fn(u64) -> Plan + 'static) {
    let plan = std::rc::Rc::new(plan);
    for n in 0..sim.rng().u64(0..4) {
        let wait = ms(sim.rng().u64(0..2_500));
        let plan = plan.clone();
        sim.after(wait, move |sim| sim.drive(|m, now| m.swap(now, plan(n).into())));
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
        let plan = move |n: usize, links: &Links| {
            plan_to(cluster("a", n, balance, *links), Some(ms(800))).limits(limits)
        };
        let mut sim = sim::<AwesomeRpc>(plan(n, &links), seed);
        sim.check_every(17);
        // Fewer endpoints, then all again, over fewer links.
        swaps(&mut sim, move |at| {
            let n = if at.is_multiple_of(2) { 1 } else { n };
            plan(n, &links.per_endpoint(1 + at as usize % 2))
        });
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
    let mut good = [0; 3];
    let mut runs = 0;
    for seed in seeds(150) {
        for (sum, n) in good.iter_mut().zip(redis_soak(seed)) {
            *sum += n;
        }
        runs += 1;
    }
    // Errors are right answers too, but not the only ones.
    assert!(runs < 150 || good.iter().all(|n| *n > 300), "plain, several, held: {good:?}");
}

/// What a reply may be, if it is no error.
#[derive(Debug)]
enum Right {
    OneOf(Vec<Value>),
    /// An array of as many values, each one of its own list.
    Each(Vec<Vec<Value>>),
    /// What confirms that a subscription came or went.
    Confirmed(&'static str),
}

impl Right {
    fn takes(&self, value: &Value) -> bool {
        match (self, value) {
            (_, Value::Error(_)) => true,
            (Self::OneOf(all), _) => all.contains(value),
            (Self::Each(each), Value::Array(all)) => {
                let fits = |(v, right): (&Value, &Vec<Value>)| {
                    right.contains(v) || matches!(v, Value::Error(_))
                };
                all.len() == each.len() && all.iter().zip(each).all(fits)
            }
            (Self::Confirmed(name), Value::Array(all)) => all.first() == Some(&Value::bulk(name)),
            _ => false,
        }
    }
}

/// The commands of client `c`, each with its reply. Every key is written by one client only, with
/// one value; and a transaction or a subscription ends as soon as it began.
fn mix(rng: &mut fastrand::Rng, c: usize, calls: usize) -> Vec<(String, Right)> {
    let one = |v: Value| Right::OneOf(vec![v]);
    let read = |k: usize| vec![Value::bulk(format!("{c}:{k}")), Value::Null];
    let queued = || one(Value::Simple("QUEUED".into()));
    let mut all = Vec::new();
    for i in 0..calls {
        let k = rng.usize(0..=i);
        match rng.u32(0..12) {
            0..3 => all.push((format!("SET {c}:{i} {c}:{i}"), one(Value::ok()))),
            3..6 => all.push((format!("GET {c}:{k}"), Right::OneOf(read(k)))),
            6 => all.push((format!("BLPOP none{i} 0.05"), one(Value::Null))),
            7 => all.push(("PING".to_owned(), one(Value::Simple("PONG".into())))),
            8 | 9 => {
                let (a, b) = (rng.usize(0..=i), rng.usize(0..=i));
                let each = [k, a, b].map(read).to_vec();
                all.push((format!("MGET {c}:{k} {c}:{a} {c}:{b}"), Right::Each(each)));
            }
            10 => all.extend([
                ("MULTI".to_owned(), one(Value::ok())),
                (format!("SET {c}:{i} {c}:{i}"), queued()),
                (format!("GET {c}:{i}"), queued()),
                ("EXEC".to_owned(), Right::Each(vec![vec![Value::ok()], read(i)])),
            ]),
            _ => all.extend([
                (format!("SUBSCRIBE c{c}"), Right::Confirmed("subscribe")),
                (format!("UNSUBSCRIBE c{c}"), Right::Confirmed("unsubscribe")),
            ]),
        }
    }
    all
}

/// One run; gives how many replies of each sort were no errors: one value, several, confirmations.
fn redis_soak(seed: u64) -> [usize; 3] {
    let mut rng = fastrand::Rng::with_seed(seed);
    let n = rng.usize(1..4);
    let links = links(&mut rng);
    let limits = Limits::default()
        .in_flight(rng.usize(1..40))
        .queue(rng.usize(0..40))
        .soft_mark(1 << rng.u32(6..16));
    let plan = move |timeout: u64| {
        let balance = Balance::Maglev { table_size: DEFAULT_TABLE_SIZE, failover: false };
        plan_to(cluster("r", n, balance, links), Some(ms(timeout))).limits(limits)
    };
    let mut sim = sim::<Redis>(plan(800), seed);
    sim.check_every(17);
    // The keys stay where they are, so that what was written is still found.
    swaps(&mut sim, move |at| plan(600 + at * 100));
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
        let (script, expect): (Vec<_>, Vec<_>) = mix(&mut rng, c, calls).into_iter().unzip();
        let held = script.iter().any(|s: &String| s == "MULTI" || s.starts_with("SUBSCRIBE"));
        // In bursts, in order.
        let mut at = 0;
        for text in script {
            at += if rng.u32(0..4) == 0 { rng.u64(0..300) } else { 0 };
            sim.after(ms(at), move |sim| sim.send(client, &line(&text)));
        }
        let leaves = rng.u32(0..3) == 0;
        if leaves {
            let how = [End::Close, End::Reset, End::Shutdown][rng.usize(0..3)];
            sim.after(ms(rng.u64(0..2_000)), move |sim| sim.end(client, how));
        }
        clients.push((c, expect, leaves, held, got));
    }
    trouble(&mut sim, &addresses);
    sim.run(ms(60_000));
    let mut good = [0; 3];
    for (c, expect, leaves, held, got) in clients {
        let got = got.borrow();
        // Who loses a held link is closed: its transaction or subscription is gone.
        let may_lack = leaves || (held && got.closed.is_some());
        let (len, most) = (got.values.len(), expect.len());
        assert!(len <= most, "client {c} got more than it asked for (seed {seed})");
        assert!(may_lack || len == most, "client {c}: {len} of {most} (seed {seed})");
        for (i, (value, right)) in got.values.iter().zip(&expect).enumerate() {
            let fine = right.takes(value);
            assert!(fine, "client {c}, request {i}: {value:?}, not {right:?} (seed {seed})");
            if !matches!(value, Value::Error(_)) {
                let sort = match right {
                    Right::OneOf(_) => 0,
                    Right::Each(_) => 1,
                    Right::Confirmed(_) => 2,
                };
                good[sort] += 1;
            }
        }
    }
    sim.finish();
    good
}
