//! Copies of requests to another cluster: never waited for, and compared where the route says so.

use awesomerpc::AwesomeRpc;
use heptad_cluster::Balance;
use heptad_core::Outcome;
use heptad_engine::{Compare, Links, Mirror, MirrorSeries, Plan, Route, Target};
use heptad_redis::Redis;
use heptad_route::Expr;
use heptad_testkit::sim::{End, Profile, Sim, resp::line, seeds};

use crate::{common::*, redis};

/// Everything to `a`, copies to `b`.
fn plan(mirror: Mirror, links: Links) -> Plan {
    let route = Route::new("all", Target::Cluster(0)).timeout(Some(ms(500)));
    let route = route.mirror(Some(mirror.timeout(ms(500))));
    let clusters = vec![
        cluster("a", 1, Balance::RoundRobin, links),
        cluster("b", 1, Balance::RoundRobin, links),
    ];
    Plan::new("test", table(&[Expr::All(vec![])]), vec![route], clusters)
}

fn counts(sim: &Sim) -> MirrorSeries {
    sim.machine().stats().mirrors.series.first().cloned().unwrap_or_default()
}

/// Sent, dropped, same, different.
fn cells(sim: &Sim) -> [u64; 4] {
    let c = counts(sim);
    [c.sent, c.dropped, c.same, c.different]
}

const OWN: fn() -> Links = || Links::default().share(Some(false));

#[test]
fn a_copy_of_each_request_is_sent_and_its_reply_goes_to_nobody() {
    for (seed, links) in seeds(6).zip([Links::default(), OWN()].into_iter().cycle()) {
        let mut sim = sim::<AwesomeRpc>(plan(Mirror::new(1), links), seed);
        sim.check_every(3);
        let profile = Profile::random(sim.rng());
        let a = serve(&mut sim, "a:0", profile, ms(1));
        let b = serve(&mut sim, "b:0", Profile::default(), ms(3));
        let (client, got) = rpc_client(&mut sim, Profile::default());
        for id in 0..20 {
            sim.send(client, &call(id, "echo", &id.to_string()));
            sim.run(ms(2));
        }
        sim.run(ms(3_000));
        for id in 0..20 {
            assert_eq!(got.borrow().body(id), format!("a:0:{id}"));
        }
        assert_eq!(got.borrow().replies.len(), 20);
        assert_eq!(a.borrow().seen.len(), 20);
        let bodies = |all: &Shared<Rpc>| {
            let mut all: Vec<_> = all.borrow().seen.iter().map(|m| m.body.clone()).collect();
            all.sort();
            all
        };
        assert_eq!(bodies(&a), bodies(&b));
        assert_eq!(cells(&sim), [20, 0, 0, 0]);
        sim.finish_clean();
    }
}

#[test]
fn a_mirror_that_is_down_or_silent_costs_nobody_anything() {
    for (method, seed) in [("never", 1), ("die", 2), ("gone", 3)] {
        for links in [Links::default(), OWN()] {
            let mut sim = sim::<AwesomeRpc>(plan(Mirror::new(1), links), seed);
            serve(&mut sim, "a:0", Profile::default(), ms(0));
            if method != "gone" {
                serve(&mut sim, "b:0", Profile::default(), ms(0));
            }
            let (client, got) = rpc_client(&mut sim, Profile::default());
            // The first is for both; what `a` does not answer must end at its own deadline.
            sim.send(client, &call(1, "echo", "x"));
            sim.run(ms(20));
            sim.send(client, &call(2, if method == "gone" { "echo" } else { method }, "x"));
            sim.run(ms(100));
            sim.send(client, &call(3, "echo", "x"));
            sim.run(ms(3_000));
            assert_eq!(got.borrow().status(1), "OK");
            assert_eq!(got.borrow().status(3), "OK", "{method}");
            let c = counts(&sim);
            assert_eq!(c.sent + c.dropped, 3, "{method}");
            sim.finish();
        }
    }
}

#[test]
fn replies_are_compared_by_outcome_or_by_bytes() {
    // The servers put their name in front of the body, so that bytes differ and outcomes do not;
    // `len` answers the same everywhere.
    for (compare, expected) in [(Compare::Outcome, [2, 0, 2, 0]), (Compare::Bytes, [2, 0, 1, 1])] {
        for links in [Links::default(), OWN()] {
            let mut sim = sim::<AwesomeRpc>(plan(Mirror::new(1).compare(compare), links), 7);
            serve(&mut sim, "a:0", Profile::default(), ms(2));
            serve(&mut sim, "b:0", Profile::default(), ms(2));
            let (client, _) = rpc_client(&mut sim, Profile::default());
            sim.send(client, &call(1, "echo", "x"));
            sim.send(client, &call(77, "len", "x"));
            sim.run(ms(2_000));
            assert_eq!(cells(&sim), expected);
            let samples = &sim.machine().stats().mirrors.samples;
            assert_eq!(samples.len() as u64, expected[3]);
            sim.finish_clean();
        }
    }
}

#[test]
fn an_error_of_one_side_is_a_difference_and_is_sampled() {
    let mut sim = sim::<AwesomeRpc>(plan(Mirror::new(1).compare(Compare::Outcome), OWN()), 3);
    serve(&mut sim, "a:0", Profile::default(), ms(0));
    sim.endpoint("b:0", Profile::default(), |_| Box::new(Refuses(Vec::new())));
    let (client, got) = rpc_client(&mut sim, Profile::default());
    sim.send(client, &call(1, "echo", "x"));
    sim.run(ms(2_000));
    assert_eq!(got.borrow().status(1), "OK");
    assert_eq!(cells(&sim), [1, 0, 0, 1]);
    let sample = *sim.machine().stats().mirrors.samples.front().expect("a sample");
    assert_eq!((sample.original.outcome, sample.copy.outcome), (Outcome::Ok, Outcome::AppError));
    sim.finish_clean();
}

/// Answers everything with an error.
struct Refuses(Vec<u8>);

impl heptad_testkit::sim::Script for Refuses {
    fn heard(&mut self, io: &mut heptad_testkit::sim::Io<'_>, bytes: &[u8]) {
        use awesomerpc::wire::Message;
        self.0.extend_from_slice(bytes);
        while let Some((m, n)) = Message::decode(&self.0).expect("whole frames") {
            self.0.drain(..n);
            io.send(&Message::error(m.id, "APP_ERROR", "no").to_bytes());
        }
    }
}

#[test]
fn per_cent_means_per_cent() {
    let mut sim = sim::<AwesomeRpc>(plan(Mirror::new(1).percent(25), Links::default()), 11);
    serve(&mut sim, "a:0", Profile::default(), ms(0));
    let b = serve(&mut sim, "b:0", Profile::default(), ms(0));
    let (client, _) = rpc_client(&mut sim, Profile::default());
    for id in 0..2_000 {
        sim.send(client, &call(id, "echo", ""));
        sim.run(ms(1));
    }
    sim.run(ms(1_000));
    let copies = b.borrow().seen.len();
    assert!((400..600).contains(&copies), "{copies}");
    sim.finish_clean();
}

#[test]
fn what_belongs_to_a_sessions_own_link_is_not_copied() {
    for seed in seeds(4) {
        let mut sim =
            sim::<Redis>(plan(Mirror::new(1).compare(Compare::Bytes), Links::default()), seed);
        sim.check_every(1);
        redis::store(&mut sim, "a:0", Profile::default());
        let b = redis::store(&mut sim, "b:0", Profile::default());
        let (client, got) = redis::connect(&mut sim, Profile::default());
        for words in ["SET k 1", "GET k", "MULTI", "INCR k", "EXEC", "BLPOP q 0.01", "GET k"] {
            sim.send(client, &line(words));
            sim.run(ms(50));
        }
        sim.run(ms(1_000));
        assert_eq!(redis::values(&got).len(), 7);
        for (command, times) in [("SET", 1), ("GET", 2), ("MULTI", 0), ("INCR", 0), ("BLPOP", 0)] {
            assert_eq!(b.borrow().lines(command).len(), times, "{command}");
        }
        // The counter was raised where the transaction ran and nowhere else.
        assert_eq!(cells(&sim), [3, 0, 2, 1]);
        sim.end(client, End::Close);
        sim.run(ms(10));
        sim.finish_clean();
    }
}
