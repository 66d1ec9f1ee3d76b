//! Dubbo's hard cases: replies out of order on shared links, heartbeats from both sides, servers
//! that say farewell, clients that wait less than their route, and bodies that nobody can read.

use std::{collections::BTreeMap, time::Duration};

use heptad_cluster::Balance;
use heptad_core::{Attr, HeaderEdit, Outcome, Reason, Time};
use heptad_dubbo::{
    Dubbo,
    wire::{self, Message, Outcome as Came, Reply, Request, Value},
};
use heptad_engine::{Links, Plan, Route, Target};
use heptad_route::{Expr, Text};
use heptad_testkit::sim::{Client, Io, Profile, Script, Sim, seeds};

use crate::{
    common::{Shared, cluster, ms, plan_to, shared, sim, table},
    policy::{self, Headers, Peer, Reached, Row, World},
};

/// What one side of a connection heard.
#[derive(Debug, Default)]
struct Heard {
    messages: Vec<(Time, Message)>,
    connections: usize,
    closed: usize,
}

impl Heard {
    /// The only reply to the id.
    fn reply(&self, id: u64) -> Option<(Time, &Reply)> {
        let mut all = self.messages.iter().filter_map(|(at, message)| match message {
            Message::Reply(reply) if reply.id == id => Some((*at, reply)),
            _ => None,
        });
        let first = all.next();
        assert!(all.next().is_none(), "two replies to {id}");
        first
    }

    fn value(&self, id: u64) -> String {
        match self.reply(id) {
            Some((_, Reply { result: Came::Value(Value::Text(text)), .. })) => text.clone(),
            other => panic!("to {id} came {other:?}"),
        }
    }

    fn error(&self, id: u64) -> (u8, String) {
        match self.reply(id) {
            Some((_, Reply { result: Came::Error(status, text), .. })) => (*status, text.clone()),
            other => panic!("to {id} came {other:?}"),
        }
    }

    fn calls(&self) -> Vec<&Request> {
        let all = self.messages.iter();
        all.filter_map(|(_, m)| if let Message::Request(r) = m { Some(r) } else { None }).collect()
    }

    fn count(&self, like: impl Fn(&Message) -> bool) -> usize {
        self.messages.iter().filter(|(_, message)| like(message)).count()
    }
}

/// Cuts messages.
#[derive(Default)]
struct Cutter(Vec<u8>);

impl Cutter {
    fn next(&mut self, bytes: &[u8]) -> Vec<Message> {
        self.0.extend_from_slice(bytes);
        let mut all = Vec::new();
        while let Some((message, n)) = wire::read(&self.0).expect("what Heptad sends is Dubbo") {
            self.0.drain(..n);
            all.push(message);
        }
        all
    }
}

struct DubboClient(Shared<Heard>, Cutter);

impl Script for DubboClient {
    fn heard(&mut self, io: &mut Io<'_>, bytes: &[u8]) {
        let now = io.now;
        let all = self.1.next(bytes).into_iter().map(|message| (now, message));
        self.0.borrow_mut().messages.extend(all);
    }

    fn closed(&mut self, _: Time) {
        self.0.borrow_mut().closed += 1;
    }
}

fn client(sim: &mut Sim, profile: Profile) -> (Client, Shared<Heard>) {
    let heard = shared(Heard::default());
    (sim.client(profile, DubboClient(heard.clone(), Cutter::default())), heard)
}

/// A server: says its first argument. Methods: `echo` (after up to 5 ms); `slow` (after 50 ms);
/// `late` (after 3 s); `fail` (throws); `retire` (asks for no new requests and is slow); `call_back`.
struct DubboServer {
    heard: Shared<Heard>,
    cutter: Cutter,
    later: BTreeMap<u64, Vec<u8>>,
}

impl Script for DubboServer {
    fn heard(&mut self, io: &mut Io<'_>, bytes: &[u8]) {
        for message in self.cutter.next(bytes) {
            self.heard.borrow_mut().messages.push((io.now, message.clone()));
            let request = match message {
                Message::Request(request) if request.two_way => request,
                Message::Ping(id) => {
                    io.send(&wire::pong(id));
                    continue;
                }
                _ => continue,
            };
            let id = request.id;
            let said = request.args.first().cloned().unwrap_or(Value::Null);
            let said = wire::reply(id, Ok(said));
            let mut wait = ms(50);
            match &*request.method {
                "fail" => {
                    let thrown = vec![("detailMessage".to_owned(), "no".into())];
                    let thrown = Value::Object("java.lang.RuntimeException".to_owned(), thrown);
                    io.send(&wire::exception(id, &thrown));
                    continue;
                }
                "retire" => io.send(&wire::read_only()),
                "call_back" => io.send(&call(id, "svc", "changed", "to nobody")),
                "slow" => {}
                "late" => wait = ms(3_000),
                _ => wait = Duration::from_micros(io.rng.u64(0..5_000)),
            }
            let token = self.later.len() as u64;
            self.later.insert(token, said);
            io.after(wait, token);
        }
    }

    fn timer(&mut self, io: &mut Io<'_>, token: u64) {
        io.send(&self.later[&token]);
    }

    fn closed(&mut self, _: Time) {
        self.heard.borrow_mut().closed += 1;
    }
}

/// Servers at `address`.
fn serve(sim: &mut Sim, address: &str, profile: Profile) -> Shared<Heard> {
    let heard = shared(Heard::default());
    let kept = heard.clone();
    sim.endpoint(address, profile, move |_| {
        kept.borrow_mut().connections += 1;
        let (heard, cutter) = (kept.clone(), Cutter::default());
        Box::new(DubboServer { heard, cutter, later: BTreeMap::new() })
    });
    heard
}

const TEXT: &str = "Ljava/lang/String;";

fn call(id: u64, service: &str, method: &str, said: &str) -> Vec<u8> {
    wire::request(id, service, "1.0.0", method, TEXT, &[said.into()], &[])
}

/// One endpoint and one link to it, which is shared.
fn one(seed: u64) -> Sim {
    let links = Links::default().per_endpoint(1);
    sim::<Dubbo>(plan_to(cluster("d", 1, Balance::RoundRobin, links), Some(ms(2_000))), seed)
}

#[test]
fn replies_out_of_order_reach_whoever_asked() {
    for seed in seeds(12) {
        let mut sim = one(seed);
        sim.check_every(7);
        let profile = Profile::random(sim.rng());
        let server = serve(&mut sim, "d:0", profile);
        let mut clients = Vec::new();
        for c in 0..5 {
            let profile = Profile::random(sim.rng());
            let (client, heard) = client(&mut sim, profile);
            // Every client uses the same ids.
            for id in 0..10 {
                let method = if id % 3 == 0 { "slow" } else { "echo" };
                sim.send(client, &call(id, "svc", method, &format!("{c}/{id}")));
            }
            clients.push(heard);
        }
        sim.run(ms(60_000));
        let mut said = 0;
        for (c, heard) in clients.iter().enumerate() {
            for id in 0..10 {
                let heard = heard.borrow();
                let (_, reply) = heard.reply(id).expect("a reply");
                match &reply.result {
                    Came::Value(value) => {
                        assert_eq!(value.text(), Some(&*format!("{c}/{id}")));
                        said += 1;
                    }
                    other => assert!(matches!(other, Came::Error(31, _)), "{other:?}"),
                }
            }
        }
        assert_eq!(server.borrow().connections, 1);
        assert_eq!(sim.ended(Outcome::Ok, Reason::None), said);
        sim.finish_clean();
    }
}

#[test]
fn heartbeats_are_answered_where_they_arrive() {
    for seed in seeds(5) {
        let links = Links::default().per_endpoint(1).ping(Some(ms(200)));
        let plan = plan_to(cluster("d", 1, Balance::RoundRobin, links), None);
        let mut sim = sim::<Dubbo>(plan, seed);
        let server = serve(&mut sim, "d:0", Profile::default());
        let (client, heard) = client(&mut sim, Profile::default().chopped(5));
        sim.send(client, &wire::heartbeat(77));
        sim.send(client, &call(1, "svc", "slow", "still here"));
        sim.run(ms(10));
        assert_eq!(heard.borrow().messages[0].1, Message::Pong(77));
        // The server's own, while it thinks.
        sim.say_on_links("d:0", &wire::heartbeat(1 << 40));
        sim.run(ms(2_000));
        assert_eq!(server.borrow().count(|m| *m == Message::Pong(1 << 40)), 1);
        assert_eq!(heard.borrow().value(1), "still here");
        assert_eq!(heard.borrow().messages.len(), 2, "nobody else's heartbeats");
        // Heptad's, while the link is idle.
        let pings = server.borrow().count(|m| matches!(m, Message::Ping(_)));
        assert!(pings >= 3, "{pings}");
        assert_eq!((server.borrow().connections, sim.links("d:0")), (1, 1));
        assert_eq!(sim.ended_all(), 1, "a heartbeat is no request");
        sim.finish_clean();
    }
}

#[test]
fn a_read_only_server_gets_no_new_requests_and_its_replies_still_come() {
    for seed in seeds(10) {
        let mut sim = one(seed);
        let server = serve(&mut sim, "d:0", Profile::default());
        let (a, of_a) = client(&mut sim, Profile::default());
        let (b, of_b) = client(&mut sim, Profile::default());
        sim.send(a, &call(1, "svc", "slow", "first"));
        sim.send(b, &call(1, "svc", "retire", "second"));
        sim.run(ms(10));
        assert_eq!(server.borrow().connections, 1);
        sim.send(a, &call(2, "svc", "echo", "third"));
        sim.run(ms(10));
        assert_eq!(of_a.borrow().value(2), "third");
        assert_eq!(server.borrow().connections, 2, "on a new link");
        assert!(of_a.borrow().reply(1).is_none());
        sim.run(ms(100));
        assert_eq!(of_a.borrow().value(1), "first");
        assert_eq!(of_b.borrow().value(1), "second");
        assert_eq!((server.borrow().closed, sim.links("d:0")), (1, 1), "then it is closed");
        assert_eq!(
            of_a.borrow().count(|m| *m == Message::ReadOnly),
            0,
            "clients do not hear of it"
        );
        assert_eq!(sim.link_ends(Outcome::Draining, Reason::None), 1);
        sim.finish_clean();
    }
}

#[test]
fn clients_of_a_router_that_stops_are_told_and_still_get_their_replies() {
    let mut sim = one(1);
    serve(&mut sim, "d:0", Profile::default());
    let (client, heard) = client(&mut sim, Profile::default());
    sim.send(client, &call(1, "svc", "slow", "the last"));
    sim.run(ms(10));
    sim.drive(|machine, now| machine.drain(now));
    sim.run(ms(10));
    assert_eq!(heard.borrow().messages.len(), 1);
    assert_eq!(heard.borrow().messages[0].1, Message::ReadOnly);
    sim.run(ms(200));
    assert_eq!(heard.borrow().value(1), "the last");
    assert!(!sim.is_open(client));
}

#[test]
fn calls_back_disturb_nobody() {
    let mut sim = one(1);
    serve(&mut sim, "d:0", Profile::default().chopped(9));
    let (client, heard) = client(&mut sim, Profile::default());
    sim.send(client, &call(1, "svc", "call_back", "a"));
    sim.send(client, &call(2, "svc", "slow", "b"));
    sim.run(ms(200));
    assert_eq!((heard.borrow().value(1), heard.borrow().value(2)), ("a".into(), "b".into()));
    assert_eq!(heard.borrow().messages.len(), 2);
    assert_eq!(sim.links("d:0"), 1);
    sim.finish_clean();
}

/// Canaries go to `c:0`; of the rest, what is not forbidden goes to `d:0`.
fn with_rules(seed: u64) -> (Sim, Shared<Heard>, Shared<Heard>) {
    let is = |attr, text: &str| Expr::Attr(attr, Text::Exact(text.to_owned()));
    let env = || Attr::Header("env".into());
    let rules = [
        Expr::All(vec![is(Attr::Service, "svc"), is(env(), "canary")]),
        Expr::All(vec![is(Attr::Service, "svc"), Expr::Not(Box::new(is(env(), "canary")))]),
    ];
    let routes = ["canary", "rest"].into_iter().enumerate();
    let routes = routes.map(|(at, name)| Route::new(name, Target::Cluster(at))).collect();
    let links = || Links::default().per_endpoint(1);
    let clusters = ["c", "d"].map(|name| cluster(name, 1, Balance::RoundRobin, links()));
    let plan = Plan::new("test", table(&rules), routes, clusters.into());
    let mut sim = sim::<Dubbo>(plan, seed);
    let canary = serve(&mut sim, "c:0", Profile::default());
    let rest = serve(&mut sim, "d:0", Profile::default());
    (sim, canary, rest)
}

#[test]
fn a_body_that_cannot_be_read_passes_no_rule_about_it() {
    let (mut sim, canary, rest) = with_rules(1);
    let (client, heard) = client(&mut sim, Profile::default());
    let said = [Value::from("x")];
    let attached = |id, attachments: &[(&str, &str)]| {
        wire::request(id, "svc", "", "echo", TEXT, &said, attachments)
    };
    sim.send(client, &attached(1, &[("env", "canary")]));
    sim.send(client, &attached(2, &[]));
    // The attachment that counts is the last one, and the path is the attachment's.
    sim.send(client, &attached(3, &[("env", "canary"), ("env", "prod")]));
    sim.send(client, &attached(4, &[("path", "other")]));
    // Neither a body in another serialization nor a broken one is of the canary's, nor not.
    let mut kryo = attached(5, &[]);
    kryo[2] = 0xc8;
    sim.send(client, &kryo);
    let mut broken = attached(6, &[("env", "canary")]);
    let at = broken.len() - 1;
    broken[at] = b'N';
    sim.send(client, &broken);
    sim.run(ms(100));
    let ids = |heard: &Shared<Heard>| heard.borrow().calls().len();
    assert_eq!((ids(&canary), ids(&rest)), (1, 2));
    for id in [4, 5, 6] {
        let (status, text) = heard.borrow().error(id);
        assert_eq!(status, 60, "{text}");
        assert!(!text.is_empty());
    }
    assert_eq!(sim.ended(Outcome::NoRoute, Reason::None), 3);
    assert!(sim.machine().stats().unknown_attributes >= 2);
    sim.finish_clean();
}

#[test]
fn a_clients_time_out_shortens_the_routes() {
    for seed in seeds(5) {
        let links = Links::default().per_endpoint(1);
        let route = Route::new("all", Target::Cluster(0)).timeout(Some(ms(2_000)));
        let plan = Plan::new(
            "test",
            table(&[Expr::All(vec![])]),
            vec![route.client_timeout(true)],
            vec![cluster("d", 1, Balance::RoundRobin, links)],
        );
        let mut sim = sim::<Dubbo>(plan, seed);
        serve(&mut sim, "d:0", Profile::default());
        let (client, heard) = client(&mut sim, Profile::default());
        let said = [Value::from("x")];
        for (id, timeout) in [(1, "100"), (2, "60000"), (3, "0"), (4, "soon")] {
            let attachments = [("timeout", timeout)];
            let late = wire::request(id, "svc", "", "late", TEXT, &said, &attachments);
            sim.send(client, &late);
        }
        sim.run(ms(4_000));
        for (id, waited) in [(1, 100), (2, 2_000), (3, 2_000), (4, 2_000)] {
            let heard = heard.borrow();
            assert_eq!(heard.error(id).0, 31);
            let at = heard.reply(id).unwrap().0;
            assert_eq!(at.as_nanos() / 1_000_000 / 10, waited / 10, "id {id} at {at:?}");
        }
        assert_eq!(sim.ended(Outcome::Timeout, Reason::Request), 4);
        assert_eq!(sim.machine().stats().late_replies, 4);
        sim.finish_clean();
    }
}

#[test]
fn an_exception_is_the_applications_error() {
    let mut sim = one(1);
    serve(&mut sim, "d:0", Profile::default());
    let (client, heard) = client(&mut sim, Profile::default());
    sim.send(client, &call(1, "svc", "fail", "x"));
    sim.run(ms(100));
    let reply = heard.borrow().reply(1).unwrap().1.clone();
    let Came::Exception(thrown) = &reply.result else { panic!("{reply:?}") };
    assert_eq!(thrown.field("detailMessage").and_then(Value::text), Some("no"));
    assert_eq!(sim.ended(Outcome::AppError, Reason::None), 1);
    let codes = sim.machine().stats().codes.clone();
    assert!(codes.iter().any(|code| &**code == "EXCEPTION"), "{codes:?}");
    sim.finish_clean();
}

#[test]
fn a_oneway_settles_in_silence() {
    for seed in seeds(5) {
        let mut sim = one(seed);
        let server = serve(&mut sim, "d:0", Profile::default());
        let (client, heard) = client(&mut sim, Profile::default().chopped(3));
        sim.send(client, &wire::oneway(1, "svc", "", "note", TEXT, &["x".into()], &[]));
        sim.send(client, &call(1, "svc", "echo", "y"));
        sim.run(ms(100));
        let two_way = |heard: &Heard| heard.calls().iter().map(|c| c.two_way).collect::<Vec<_>>();
        assert_eq!(two_way(&server.borrow()), [false, true]);
        assert_eq!(heard.borrow().messages.len(), 1);
        assert_eq!(heard.borrow().value(1), "y");
        assert_eq!(sim.ended(Outcome::Ok, Reason::None), 2);
        sim.finish_clean();
    }
}

#[test]
fn attachments_are_edited_on_both_ways() {
    let set = |name: &str, value: &str| HeaderEdit::Set { name: name.into(), value: value.into() };
    let links = Links::default().per_endpoint(1);
    let route = Route::new("all", Target::Cluster(0))
        .headers(vec![set("user", "anna")], vec![set("via", "heptad")]);
    let clusters = vec![cluster("d", 1, Balance::RoundRobin, links)];
    let plan = Plan::new("test", table(&[Expr::All(vec![])]), vec![route], clusters);
    let mut sim = sim::<Dubbo>(plan, 1);
    let server = serve(&mut sim, "d:0", Profile::default());
    let (client, heard) = client(&mut sim, Profile::default().chopped(11));
    let attachments = [("user", "jason"), ("trace", "7")];
    sim.send(client, &wire::request(1, "svc", "", "echo", TEXT, &["x".into()], &attachments));
    sim.run(ms(100));
    let call = server.borrow().calls()[0].clone();
    assert_eq!((call.attachment("user"), call.attachment("trace")), (Some("anna"), Some("7")));
    assert_eq!(heard.borrow().value(1), "x");
    let reply = heard.borrow().reply(1).unwrap().1.clone();
    assert_eq!(reply.attachment("via"), Some("heptad"));
    sim.finish_clean();
}

/// Dubbo in the table of policies: the tenant is an attachment.
pub(crate) const ROW: Row = Row {
    name: "dubbo",
    per: "header.tenant",
    service: Some("svc"),
    words: |outcome| match outcome {
        Outcome::Denied => "70",
        Outcome::Limited | Outcome::Overloaded => "100",
        _ => "80",
    },
    world: |front| {
        let cluster = cluster("d", 1, Balance::RoundRobin, Links::default());
        let mut sim = sim::<Dubbo>(front.of(plan_to(cluster, Some(ms(1000)))), 1);
        let server = serve(&mut sim, "d:0", Profile::default().latency(policy::FAR));
        let reached = |call: &&Request| Reached {
            method: call.method.clone(),
            headers: texts(&call.attachments),
        };
        let reached = move || server.borrow().calls().iter().map(reached).collect();
        World { sim, reached: Box::new(reached) }
    },
    connect: |sim| {
        let (client, heard) = client(sim, Profile::default());
        let also = heard.clone();
        let said = |reply: &Reply| match &reply.result {
            Came::Error(status, text) => Err((status.to_string(), text.clone())),
            _ => Ok(()),
        };
        let heard = move || replies(&heard.borrow()).into_iter().map(said).collect();
        let headers = move || {
            replies(&also.borrow()).into_iter().map(|reply| texts(&reply.attachments)).collect()
        };
        Peer { client, heard: Box::new(heard), headers: Some(Box::new(headers)) }
    },
    request: |call| {
        let tenant = [("tenant", call.tenant)];
        wire::request(call.id.into(), "svc", "", call.method, TEXT, &["x".into()], &tenant)
    },
    oneway: Some(|call| {
        let tenant = [("tenant", call.tenant)];
        wire::oneway(call.id.into(), "svc", "", call.method, TEXT, &["x".into()], &tenant)
    }),
};

/// All replies, in the order of their requests.
fn replies(heard: &Heard) -> Vec<&Reply> {
    let replies = heard.messages.iter().filter_map(|(_, message)| match message {
        Message::Reply(reply) => Some(reply),
        _ => None,
    });
    let mut replies: Vec<_> = replies.collect();
    replies.sort_by_key(|reply| reply.id);
    replies
}

fn texts(attachments: &[(String, Value)]) -> Headers {
    let text = |(name, value): &(String, Value)| Some((name.clone(), value.text()?.to_owned()));
    attachments.iter().filter_map(text).collect()
}
