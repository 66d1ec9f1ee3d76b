//! Every limit of a listener and of its links, reached: each has its outcome and its reason, and
//! nobody else notices (invariant 10).

use std::{cell::Cell, rc::Rc, sync::Arc};

use awesomerpc::{AwesomeRpc, wire::Message};
use heptad_cluster::Balance;
use heptad_core::{Ctx, Kind, Outcome, Reason};
use heptad_engine::{Limits, Links, Plan};
use heptad_testkit::sim::{End, Profile, Sim, seeds};

use crate::common::*;

fn plan(links: Links) -> Plan {
    plan_to(cluster("a", 1, Balance::RoundRobin, links.per_endpoint(1)), Some(ms(1_000)))
}

fn with(plan: Plan) -> (Sim, Shared<Rpc>) {
    let mut sim = sim::<AwesomeRpc>(plan, 1);
    let all = serve(&mut sim, "a:0", Profile::default(), ms(0));
    (sim, all)
}

#[test]
fn sessions() {
    let (mut sim, _) = with(plan(Links::default()).limits(Limits::default().sessions(2)));
    let (a, _) = rpc_client(&mut sim, Profile::default());
    let (_, _) = rpc_client(&mut sim, Profile::default());
    let (c, got) = rpc_client(&mut sim, Profile::default());
    assert!(!sim.is_open(c) && got.borrow().closed.is_some());
    assert_eq!(sim.session_ends(Outcome::Overloaded, Reason::Sessions), 1);
    sim.end(a, End::Close);
    sim.run(ms(10));
    let (d, _) = rpc_client(&mut sim, Profile::default());
    assert!(sim.is_open(d));
    sim.finish_clean();
}

#[test]
fn frame_size_is_fatal_and_head_size_and_parts_are_answered() {
    let ctx = Ctx::default().max_frame(1000).max_head(100).max_parts(3);
    let (mut sim, all) = with(plan(Links::default()).limits(Limits::default().frames(ctx)));
    let (a, got) = rpc_client(&mut sim, Profile::default().chopped(7));
    sim.send(a, &call(1, &"m".repeat(150), ""));
    let many = (0..4).fold(Message::request(2, "s", "m"), |m, i| m.header(&i.to_string(), "x"));
    sim.send(a, &many.to_bytes());
    sim.send(a, &call(3, "echo", "fine"));
    sim.run(ms(100));
    assert_eq!(got.borrow().status(1), "TOO_LARGE");
    assert_eq!(got.borrow().status(2), "TOO_LARGE");
    assert_eq!(got.borrow().status(3), "OK");
    assert_eq!(sim.ended(Outcome::TooLarge, Reason::HeadSize), 1);
    assert_eq!(sim.ended(Outcome::TooLarge, Reason::Parts), 1);
    sim.send(a, &call(4, "echo", &"x".repeat(2000)));
    sim.run(ms(100));
    assert!(!sim.is_open(a));
    assert_eq!(sim.session_ends(Outcome::TooLarge, Reason::FrameSize), 1);
    assert_eq!(all.borrow().seen.len(), 1);
    sim.finish_clean();
}

#[test]
fn a_reply_over_the_limit_ends_its_link() {
    let ctx = Ctx::default().max_frame(1000);
    let (mut sim, _) = with(plan(Links::default()).limits(Limits::default().frames(ctx)));
    let (a, got) = rpc_client(&mut sim, Profile::default());
    sim.send(a, &call(1, "big", "5000"));
    sim.run(ms(100));
    assert_eq!(got.borrow().status(1), "TOO_LARGE");
    sim.finish_clean();
}

#[test]
fn in_flight_of_a_session_is_back_pressure() {
    let (mut sim, all) = with(plan(Links::default()).limits(Limits::default().in_flight(10)));
    let (a, got) = rpc_client(&mut sim, Profile::default());
    for id in 0..100 {
        let slow = Message::request(id, "s", "slow").header("ms", "20");
        sim.send(a, &slow.to_bytes());
    }
    sim.run(ms(15));
    assert_eq!(all.borrow().seen.len(), 10);
    sim.run(ms(500));
    assert!((0..100).all(|id| got.borrow().status(id) == "OK"));
    assert_eq!(all.borrow().deepest, 10);
    sim.finish_clean();
}

#[test]
fn links_in_flight_then_the_queue_then_overloaded() {
    let plan = plan(Links::default().max_in_flight(4)).limits(Limits::default().queue(3));
    let (mut sim, all) = with(plan);
    let (a, got) = rpc_client(&mut sim, Profile::default());
    sim.send(a, &call(100, "echo", ""));
    sim.run(ms(10));
    for id in 0..10 {
        sim.send(a, &Message::request(id, "s", "slow").header("ms", "20").to_bytes());
    }
    sim.run(ms(300));
    let ok = (0..10).filter(|id| got.borrow().status(*id) == "OK").count();
    assert_eq!(ok, 7);
    assert_eq!(sim.ended(Outcome::Overloaded, Reason::Queue), 3);
    assert_eq!(all.borrow().deepest, 4);
    sim.finish_clean();
}

#[test]
fn exclusive_links_carry_one_call_at_a_time_up_to_their_number() {
    for seed in seeds(5) {
        let links = Links::default().share(Some(false)).max(3);
        let plan = plan(links).limits(Limits::default().queue(4));
        let mut sim = sim::<AwesomeRpc>(plan, seed);
        let all = serve(&mut sim, "a:0", Profile::default(), ms(0));
        let (a, got) = rpc_client(&mut sim, Profile::default().chopped(100));
        for id in 0..10 {
            sim.send(a, &Message::request(id, "s", "slow").header("ms", "20").to_bytes());
        }
        sim.run(ms(500));
        let ok = (0..10).filter(|id| got.borrow().status(*id) == "OK").count();
        assert_eq!(ok, 7);
        assert_eq!(sim.ended(Outcome::Overloaded, Reason::Queue), 3);
        assert_eq!((all.borrow().links, all.borrow().deepest), (3, 1));
        // Free links are used again, and closed when idle.
        sim.send(a, &call(20, "echo", ""));
        sim.run(ms(100));
        assert_eq!(all.borrow().links, 3);
        sim.run(ms(70_000));
        assert_eq!(sim.links("a:0"), 0);
        assert_eq!(sim.link_ends(Outcome::Ok, Reason::Idle), 3);
        sim.finish_clean();
    }
}

#[test]
fn a_stream_over_an_exclusive_link_that_is_still_dialed_loses_no_frame() {
    let (mut sim, _) = with(plan(Links::default().share(Some(false))));
    let (a, got) = rpc_client(&mut sim, Profile::default());
    sim.send(a, &Message::open(1, "s", "m").to_bytes());
    sim.send(a, &Message::data(1, "one").to_bytes());
    sim.send(a, &Message::data(1, "two").to_bytes());
    sim.send(a, &Message::new(Kind::End, 1).to_bytes());
    sim.run(ms(100));
    let got = got.borrow();
    let bodies: Vec<_> = got.replies.iter().map(|(_, m)| (m.kind, m.body.clone())).collect();
    assert_eq!(
        bodies,
        [(Kind::Data, b"one".to_vec()), (Kind::Data, b"two".to_vec()), (Kind::End, vec![]),]
    );
    drop(got);
    sim.finish_clean();
}

#[test]
fn soft_mark_stops_reading_and_hard_mark_closes() {
    let limits = Limits::default().soft_mark(10_000).hard_mark(500_000).in_flight(200);
    let (mut sim, all) = with(plan(Links::default()).limits(limits));
    let (a, got) = rpc_client(&mut sim, Profile::default().window(1_000));
    sim.with(a, |_, io| io.read(false));
    for id in 0..200 {
        sim.send(a, &call(id, "big", "1000"));
        sim.run(ms(1));
    }
    let asked = all.borrow().seen.len();
    assert!((10..30).contains(&asked), "read until 10 000 bytes were unread: {asked}");
    assert!(sim.is_open(a));
    // Back-pressure, not loss.
    sim.with(a, |_, io| io.read(true));
    sim.run(ms(1_000));
    assert!((0..200).all(|id| got.borrow().status(id) == "OK"));
    // What was asked before the soft mark was reached may pass the hard one.
    sim.with(a, |_, io| io.read(false));
    for id in 200..240 {
        sim.send(a, &call(id, "big", "20000"));
    }
    sim.run(ms(100));
    assert_eq!(sim.session_ends(Outcome::Overloaded, Reason::SlowReader), 1);
    assert_eq!(sim.machine().sessions(), 0);
    sim.finish_clean();
}

#[test]
fn buffered_bytes_of_all_sessions() {
    let (mut sim, _) = with(plan(Links::default()).limits(Limits::default().buffered(100_000)));
    let mut clients = Vec::new();
    for id in 0..5 {
        let (c, _) = rpc_client(&mut sim, Profile::default());
        let whole = call(id, "echo", &"x".repeat(40_000));
        sim.send(c, &whole[..whole.len() - 1]);
        sim.run(ms(10));
        clients.push(c);
    }
    assert_eq!(sim.session_ends(Outcome::Overloaded, Reason::Buffered), 3);
    assert!(sim.is_open(clients[0]) && sim.is_open(clients[1]));
    sim.finish_clean();
}

#[test]
fn the_limit_of_buffered_bytes_is_the_most_that_may_be() {
    let whole = call(1, "echo", &"x".repeat(40_000));
    let part = &whole[..whole.len() - 1];
    for (limit, closed) in [(2 * part.len(), 0), (2 * part.len() - 1, 1)] {
        let limits = Limits::default().buffered(limit);
        let (mut sim, _) = with(plan(Links::default()).limits(limits));
        for _ in 0..2 {
            let (c, _) = rpc_client(&mut sim, Profile::default());
            sim.send(c, part);
            sim.run(ms(10));
        }
        assert_eq!(sim.session_ends(Outcome::Overloaded, Reason::Buffered), closed);
        sim.finish();
    }
}

#[test]
fn frames_that_wait_count_as_buffered_too() {
    let links = Links::default().max_in_flight(1);
    let (mut sim, _) = with(plan(links).limits(Limits::default().buffered(100_000)));
    let (c, _) = rpc_client(&mut sim, Profile::default());
    sim.send(c, &call(100, "never", ""));
    sim.run(ms(10));
    for id in 0..5 {
        sim.send(c, &call(id, "echo", &"x".repeat(40_000)));
    }
    sim.run(ms(10));
    assert_eq!(sim.session_ends(Outcome::Overloaded, Reason::Buffered), 1);
    sim.run(ms(3_000));
    assert!(!sim.is_open(c));
    sim.finish();
}

#[test]
fn a_links_out_buffer_is_bounded_for_requests_and_for_streams() {
    let links = Links::default().max_buffered(10_000);
    let mut sim = sim::<AwesomeRpc>(plan(links), 1);
    serve(&mut sim, "a:0", Profile::default().window(500), ms(0));
    let (a, got) = rpc_client(&mut sim, Profile::default());
    // A stream whose endpoint takes nothing.
    sim.send(a, &Message::open(1, "s", "m").to_bytes());
    sim.run(ms(10));
    sim.stall_links("a:0", true);
    for _ in 0..30 {
        sim.send(a, &Message::data(1, vec![7; 1_000]).to_bytes());
    }
    sim.run(ms(50));
    assert_eq!(got.borrow().status(1), "OVERLOADED");
    assert_eq!(sim.ended(Outcome::Overloaded, Reason::LinkBuffer), 1);
    sim.send(a, &call(2, "echo", &"x".repeat(1_000)));
    sim.send(a, &call(3, "echo", "later"));
    sim.run(ms(50));
    assert_eq!(sim.machine().endpoints()[0].waiting, 1, "requests wait for room");
    sim.stall_links("a:0", false);
    sim.run(ms(500));
    assert_eq!((got.borrow().status(2), got.borrow().status(3)), ("OK", "OK"));
    sim.finish_clean();
}

#[test]
fn dials_are_refused_or_take_too_long() {
    let plan = plan_to(
        cluster("a", 1, Balance::RoundRobin, Links::default()).connect_timeout(ms(300)),
        Some(ms(1_000)),
    );
    let (mut sim, _) = with(plan);
    let (a, got) = rpc_client(&mut sim, Profile::default());
    sim.set_up("a:0", false);
    sim.send(a, &call(1, "echo", ""));
    sim.run(ms(10));
    assert_eq!(got.borrow().status(1), "UNAVAILABLE");
    assert_eq!(sim.ended(Outcome::ConnectFailed, Reason::Refused), 1);
    assert!(sim.machine().endpoints()[0].backing_off);
    sim.run(ms(1_000));
    sim.set_up("a:0", true);
    sim.set_deaf("a:0", true);
    sim.send(a, &call(2, "echo", ""));
    sim.run(ms(400));
    assert_eq!(got.borrow().status(2), "UNAVAILABLE");
    assert_eq!(sim.ended(Outcome::ConnectFailed, Reason::ConnectTimeout), 1);
    sim.set_deaf("a:0", false);
    sim.run(ms(1_000));
    sim.send(a, &call(3, "echo", ""));
    sim.run(ms(100));
    assert_eq!(got.borrow().status(3), "OK");
    sim.finish_clean();
}

#[test]
fn an_idle_session_is_closed_and_a_busy_one_is_not() {
    let limits = Limits::default().idle_timeout(Some(ms(500)));
    let (mut sim, _) = with(plan(Links::default()).limits(limits));
    let (idle, _) = rpc_client(&mut sim, Profile::default());
    let (busy, got) = rpc_client(&mut sim, Profile::default());
    sim.send(busy, &Message::request(1, "s", "slow").header("ms", "900").to_bytes());
    sim.run(ms(700));
    assert!(!sim.is_open(idle) && sim.is_open(busy));
    assert_eq!(sim.session_ends(Outcome::Timeout, Reason::Idle), 1);
    sim.run(ms(2_000));
    assert_eq!(got.borrow().status(1), "OK");
    assert!(!sim.is_open(busy));
    sim.finish_clean();
}

#[test]
fn a_silent_endpoint_is_pinged_and_its_link_closed() {
    let (mut sim, all) = with(plan(Links::default().ping(Some(ms(200)))));
    let (a, _) = rpc_client(&mut sim, Profile::default());
    sim.send(a, &call(1, "echo", ""));
    sim.run(ms(1_050));
    let pings = all.borrow().seen.iter().filter(|m| m.kind == Kind::Ping).count();
    assert!((2..=5).contains(&pings), "{pings}");
    assert_eq!(sim.links("a:0"), 1, "an answered ping keeps the link");
    sim.stall_links("a:0", true);
    sim.run(ms(1_000));
    assert_eq!(sim.link_ends(Outcome::Reset, Reason::Ping), 1);
    assert_eq!(sim.links("a:0"), 0);
    sim.finish_clean();
}

#[test]
fn a_stream_survives_a_swap_and_new_requests_follow_the_new_plan() {
    for seed in seeds(5) {
        let mut sim = sim::<AwesomeRpc>(plan(Links::default()), seed);
        let old = serve(&mut sim, "a:0", Profile::default(), ms(0));
        let new = serve(&mut sim, "b:0", Profile::default(), ms(0));
        let (a, got) = rpc_client(&mut sim, Profile::default());
        sim.send(a, &Message::open(1, "s", "m").to_bytes());
        sim.send(a, &Message::data(1, "one").to_bytes());
        sim.send(a, &Message::request(2, "s", "slow").header("ms", "300").to_bytes());
        sim.run(ms(50));
        let next = plan_to(cluster("b", 1, Balance::RoundRobin, Links::default()), Some(ms(1_000)));
        sim.drive(|m, now| m.swap(now, Arc::new(next)));
        sim.send(a, &Message::data(1, "two").to_bytes());
        sim.send(a, &call(3, "echo", "new"));
        sim.run(ms(50));
        assert_eq!(got.borrow().body(3), "b:0:new");
        assert_eq!(new.borrow().seen.len(), 1);
        sim.run(ms(3_000));
        sim.send(a, &Message::new(Kind::End, 1).to_bytes());
        sim.run(ms(50));
        let streamed: Vec<_> = got.borrow().replies.iter().map(|(_, m)| m.clone()).collect();
        let of = |id| streamed.iter().filter(move |m| m.id == id).map(|m| m.kind);
        assert_eq!(of(1).collect::<Vec<_>>(), [Kind::Data, Kind::Data, Kind::End]);
        assert_eq!(got.borrow().status(2), "OK", "ends as it began");
        assert_eq!(sim.links("a:0"), 0, "and with the last one its link");
        assert_eq!(old.borrow().broken_links, 1);
        sim.finish_clean();
    }
}

#[test]
fn who_waits_in_a_retired_pool_is_served_and_no_link_is_left() {
    let (mut sim, _) = with(plan(Links::default().max_in_flight(1)));
    let (a, got) = rpc_client(&mut sim, Profile::default());
    for id in 0..4 {
        sim.send(a, &Message::request(id, "s", "slow").header("ms", "50").to_bytes());
    }
    sim.run(ms(20));
    let next = plan_to(cluster("b", 1, Balance::RoundRobin, Links::default()), Some(ms(1_000)));
    sim.drive(|m, now| m.swap(now, Arc::new(next)));
    sim.run(ms(1_000));
    assert!((0..4).all(|id| got.borrow().status(id) == "OK"));
    assert_eq!(sim.links("a:0"), 0);
    sim.finish_clean();
}

#[test]
fn goaway_and_drain_end_what_is_idle_and_wait_for_the_rest() {
    let (mut sim, all) = with(plan(Links::default()));
    let (idle, told) = rpc_client(&mut sim, Profile::default());
    let (busy, got) = rpc_client(&mut sim, Profile::default());
    sim.send(busy, &Message::request(1, "s", "slow").header("ms", "300").to_bytes());
    sim.run(ms(200));
    assert!(sim.is_open(idle));
    sim.drive(|m, now| m.drain(now));
    sim.run(ms(10));
    assert!(!sim.is_open(idle) && sim.is_open(busy));
    assert_eq!(told.borrow().replies[0].1.kind, Kind::GoAway);
    let (refused, _) = rpc_client(&mut sim, Profile::default());
    assert!(!sim.is_open(refused));
    sim.run(ms(300));
    assert_eq!(got.borrow().status(1), "OK");
    assert!(!sim.is_open(busy));
    assert_eq!(sim.machine().sessions(), 0);
    assert_eq!(all.borrow().links, 1);
    sim.finish_clean();
}

#[test]
fn an_endpoint_that_goes_away_gets_no_new_requests_on_that_link() {
    let (mut sim, all) = with(plan(Links::default()));
    let (a, got) = rpc_client(&mut sim, Profile::default());
    sim.send(a, &Message::request(1, "s", "slow").header("ms", "100").to_bytes());
    sim.run(ms(10));
    sim.say_on_links("a:0", &Message::new(Kind::GoAway, 0).to_bytes());
    sim.say_on_links("a:0", &Message::new(Kind::Ping, 5).to_bytes());
    sim.run(ms(10));
    sim.send(a, &call(2, "echo", ""));
    sim.run(ms(200));
    assert_eq!((got.borrow().status(1), got.borrow().status(2)), ("OK", "OK"));
    assert_eq!(all.borrow().links, 2);
    assert_eq!(sim.links("a:0"), 1);
    assert!(all.borrow().seen.iter().any(|m| m.kind == Kind::Pong && m.id == 5));
    sim.finish_clean();
}

#[test]
fn a_closing_session_with_an_open_stream_is_not_kept() {
    let (mut sim, _) = with(plan(Links::default()));
    let (a, _) = rpc_client(&mut sim, Profile::default());
    sim.send(a, &Message::open(1, "s", "m").to_bytes());
    sim.send(a, &Message::data(1, "x").to_bytes());
    sim.run(ms(10));
    sim.send(a, b"garbage");
    sim.run(ms(60_000));
    assert_eq!(sim.machine().sessions(), 0, "the fault ends the stream too");
    sim.finish_clean();
}

#[test]
fn a_client_that_does_not_read_its_last_answer_is_not_kept() {
    let (mut sim, _) = with(plan(Links::default()));
    let (a, _) = rpc_client(&mut sim, Profile::default().window(1_000));
    sim.with(a, |_, io| io.read(false));
    sim.send(a, &call(1, "big", "100000"));
    sim.run(ms(100));
    sim.send(a, b"garbage");
    sim.run(ms(4_000));
    assert_eq!(sim.machine().sessions(), 1, "it may take its time");
    sim.run(ms(10_000));
    assert_eq!(sim.machine().sessions(), 0, "but not for ever");
    sim.finish_clean();
}

#[test]
fn one_client_that_never_reads_beside_a_thousand_that_do() {
    let mut sim = sim::<AwesomeRpc>(plan(Links::default().max_in_flight(4096)), 1);
    sim.check_every(500);
    serve(&mut sim, "a:0", Profile::default(), ms(2));
    let (bad, _) = rpc_client(&mut sim, Profile::default().window(4_096));
    sim.with(bad, |_, io| io.read(false));
    for id in 0..200 {
        sim.send(bad, &call(id, "big", "100000"));
    }
    let worst = Rc::new(Cell::new(0));
    let mut clients = Vec::new();
    for _ in 0..1000 {
        clients.push(rpc_client(&mut sim, Profile::default()));
    }
    for round in 0..3 {
        let start = sim.now();
        for (c, _) in &clients {
            sim.send(*c, &call(round, "echo", "hello"));
        }
        sim.run(ms(20));
        for (_, got) in &clients {
            let (at, _) = *got.borrow().replies.last().map(|(at, m)| (*at, m.id)).as_ref().unwrap();
            worst.set(worst.get().max((at - start).as_millis()));
            assert_eq!(got.borrow().status(round), "OK");
        }
    }
    assert!(worst.get() <= 4, "2 ms of thought and the way: {} ms", worst.get());
    sim.finish_clean();
}

#[test]
fn a_link_with_too_many_orphans_is_drained_and_closed() {
    let links = Links::default().max_in_flight(10).orphan_age(ms(500));
    let (mut sim, all) = with(plan(links));
    let (a, got) = rpc_client(&mut sim, Profile::default());
    for id in 0..6 {
        sim.send(a, &Message::request(id, "s", "slow").header("ms", "9000").to_bytes());
    }
    sim.stall_links("a:0", true);
    sim.run(ms(10));
    sim.stall_links("a:0", true);
    sim.run(ms(1_100));
    assert!((0..6).all(|id| got.borrow().status(id) == "TIMEOUT"));
    sim.send(a, &call(10, "echo", ""));
    sim.run(ms(20));
    assert_eq!(got.borrow().status(10), "OK", "over a new link");
    assert_eq!(all.borrow().links, 2);
    sim.run(ms(600));
    assert_eq!(sim.link_ends(Outcome::Reset, Reason::Orphans), 1);
    assert_eq!(sim.links("a:0"), 1);
    sim.finish_clean();
}

#[test]
fn a_client_that_ends_its_input_still_gets_its_answers() {
    for share in [true, false] {
        let (mut sim, _) = with(plan(Links::default().share(Some(share))));
        let (a, got) = rpc_client(&mut sim, Profile::default());
        sim.send(a, &Message::request(1, "s", "slow").header("ms", "50").to_bytes());
        sim.end(a, End::Shutdown);
        sim.run(ms(200));
        assert_eq!(got.borrow().status(1), "OK", "share: {share}");
        assert!(got.borrow().closed.is_some());
        sim.finish_clean();
    }
}
