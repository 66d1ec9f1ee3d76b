//! Multiplexed links: AwesomeRPC.

use awesomerpc::{AwesomeRpc, wire::Message};
use heptad_cluster::Balance;
use heptad_core::{Kind, Outcome, Reason};
use heptad_engine::Links;
use heptad_testkit::sim::{End, Profile, seeds};

use crate::common::*;

fn one(seed: u64, links: Links) -> heptad_testkit::sim::Sim {
    sim::<AwesomeRpc>(plan_to(cluster("a", 1, Balance::RoundRobin, links), Some(ms(2_000))), seed)
}

#[test]
fn replies_reach_whoever_asked_under_any_chopping() {
    for seed in seeds(12) {
        let mut sim = one(seed, Links::default());
        sim.check_every(7);
        let profile = Profile::random(sim.rng());
        let all = serve(&mut sim, "a:0", profile, ms(5));
        let mut clients = Vec::new();
        for c in 0..5 {
            let profile = Profile::random(sim.rng());
            let (client, got) = rpc_client(&mut sim, profile);
            for id in 0..20 {
                sim.send(client, &call(id, "echo", &format!("{c}/{id}")));
            }
            clients.push(got);
        }
        sim.run(ms(60_000));
        for (c, got) in clients.iter().enumerate() {
            for id in 0..20 {
                let status = got.borrow().status(id);
                assert!(matches!(status, "OK" | "TIMEOUT"), "{status}");
                if status == "OK" {
                    assert_eq!(got.borrow().body(id), format!("a:0:{c}/{id}"));
                }
            }
        }
        assert!(all.borrow().seen.len() <= 100 + 100, "requests and resets");
        sim.finish_clean();
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = |seed| {
        let mut sim = one(seed, Links::default());
        let profile = Profile::random(sim.rng());
        serve(&mut sim, "a:0", profile, ms(5));
        let (client, _) = rpc_client(&mut sim, profile);
        for id in 0..50 {
            sim.send(client, &call(id, "echo", "x"));
        }
        sim.run(ms(10_000));
        sim.finish();
        sim.digest()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn a_links_death_settles_its_own_attempts_and_nothing_else() {
    for seed in seeds(10) {
        // Two slots; which client uses which is decided by its number.
        let mut sim = one(seed, Links::default().per_endpoint(2));
        serve(&mut sim, "a:0", Profile::default(), ms(0));
        let (dying, a) = rpc_client(&mut sim, Profile::default());
        let (living, b) = rpc_client(&mut sim, Profile::default());
        sim.send(dying, &call(1, "never", ""));
        let slow = Message::request(2, "svc", "slow").header("ms", "50");
        sim.send(living, &slow.to_bytes());
        sim.run(ms(10));
        sim.send(dying, &call(2, "die", ""));
        sim.run(ms(100));
        assert_eq!(a.borrow().status(1), "UNAVAILABLE");
        assert_eq!(a.borrow().status(2), "UNAVAILABLE");
        assert_eq!(b.borrow().status(2), "OK");
        assert_eq!(sim.ended(Outcome::Reset, Reason::Closed), 2);
        // The next request dials again.
        sim.send(dying, &call(3, "echo", ""));
        sim.run(ms(100));
        assert_eq!(a.borrow().status(3), "OK");
        sim.finish_clean();
    }
}

#[test]
fn late_replies_are_dropped_and_counted_and_their_ids_not_reused_before() {
    for seed in seeds(10) {
        let mut sim = one(seed, Links::default().per_endpoint(1));
        serve(&mut sim, "a:0", Profile::default(), ms(0));
        let (client, got) = rpc_client(&mut sim, Profile::default());
        let slow = Message::request(7, "svc", "slow").header("ms", "3000").body("late");
        sim.send(client, &slow.to_bytes());
        sim.run(ms(2_500));
        assert_eq!(got.borrow().status(7), "TIMEOUT");
        // The same id of the client's again, while the old reply may still come.
        sim.send(client, &call(7, "never", ""));
        sim.run(ms(1_000));
        assert_eq!(got.borrow().replies.len(), 1, "the late reply went to nobody");
        // The reset was answered first (by a reset); the reply came after that.
        assert_eq!(sim.machine().stats().late_replies, 2);
        sim.finish_clean();
    }
}

#[test]
fn a_oneway_settles_in_silence() {
    for seed in seeds(5) {
        let mut sim = one(seed, Links::default());
        let all = serve(&mut sim, "a:0", Profile::default(), ms(0));
        let (client, got) = rpc_client(&mut sim, Profile::default().chopped(3));
        sim.send(client, &Message::oneway("svc", "log").body("x").to_bytes());
        sim.run(ms(100));
        assert_eq!(all.borrow().seen.len(), 1);
        assert!(got.borrow().replies.is_empty());
        assert_eq!(sim.ended(Outcome::Ok, Reason::None), 1);
        sim.end(client, End::Close);
        sim.run(ms(100));
        assert_eq!(sim.machine().sessions(), 0);
        sim.finish_clean();
    }
}

#[test]
fn pings_are_answered_where_they_arrive() {
    let mut sim = one(1, Links::default());
    let all = serve(&mut sim, "a:0", Profile::default(), ms(0));
    let (client, got) = rpc_client(&mut sim, Profile::default());
    sim.send(client, &Message::new(Kind::Ping, 77).to_bytes());
    sim.run(ms(10));
    assert_eq!(got.borrow().replies[0].1, Message::new(Kind::Pong, 77));
    assert!(all.borrow().seen.is_empty(), "a ping is not forwarded");
    assert_eq!(sim.ended_all(), 0, "and is no request");
    sim.finish_clean();
}
