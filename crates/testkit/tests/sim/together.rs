//! Requests and replies that come in one read are taken together where they are alike; all must come
//! out as if each had come by itself. Two engines hear the same, one of them frame by frame.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use awesomerpc::{AwesomeRpc, wire::Message};
use fastrand::Rng;
use heptad_cluster::Balance;
use heptad_core::{
    Attr, Codec, End, Filter, FilterWorker, Kind, Outcome, Refusal, Repeats, Request, Time, Value,
    Verdict,
};
use heptad_engine::{
    ConnId, Engine, Event, Limits, LinkId, Links, Machine, Peer, Plan, Route, SessionId, Target,
};
use heptad_redis::Redis;
use heptad_route::{Expr, Text};
use heptad_testkit::sim::resp::{Value as Resp, command};
use heptad_thrift::Thrift;

use crate::common::*;

/// Remembers some requests, refuses some, wants to look at some, and tells all of it.
#[derive(Debug)]
struct Moody {
    every: u64,
    told: Arc<Mutex<Vec<String>>>,
}

struct Worker {
    every: u64,
    told: Arc<Mutex<Vec<String>>>,
    count: u64,
    repeats: Repeats,
}

impl Worker {
    fn tell(&self, what: String) {
        self.told.lock().expect("nobody panicked").push(format!("{}: {what}", self.every));
    }
}

impl Filter for Moody {
    fn name(&self) -> &str {
        "moody"
    }

    fn worker(&self, _: u64) -> Box<dyn FilterWorker> {
        let (every, told) = (self.every, self.told.clone());
        Box::new(Worker { every, told, count: 0, repeats: Repeats::No })
    }
}

impl FilterWorker for Worker {
    fn request(&mut self, _: Time, request: &mut dyn Request, number: &mut u64) -> Verdict {
        let Ok(Some(Value::Bytes(method))) = request.attr(&Attr::Method) else {
            panic!("all have a method");
        };
        let method = String::from_utf8_lossy(method).into_owned();
        self.tell(format!("asked about {method}"));
        self.repeats = match &*method {
            "slow" | "SET" => Repeats::OnConnection,
            _ => Repeats::Always,
        };
        self.count += 1;
        if self.count.is_multiple_of(3) {
            *number = self.count;
        }
        if self.count.is_multiple_of(11) {
            return Verdict::Refuse(Refusal::new(Outcome::Denied, "not now"));
        }
        Verdict::Pass
    }

    fn repeats(&self) -> Repeats {
        self.repeats
    }

    fn repeated(&mut self) -> bool {
        self.count += 1;
        !self.count.is_multiple_of(self.every)
    }

    fn done(&mut self, _: Time, end: &End<'_>, number: u64) {
        self.tell(format!("{number} ended: {:?}, {} bytes", end.outcome, end.reply_bytes));
    }
}

/// What clients ask of a protocol, and how its servers answer.
trait Speech: Codec<Options: Default> {
    /// A request by its number, of one of the kinds 0 to 3.
    fn request(number: u32, kind: u32) -> Vec<u8>;
    /// Takes the first request from the bytes, and answers it well or badly.
    fn serve(bytes: &mut Vec<u8>, well: bool) -> Option<Vec<u8>>;
    /// Routes by method.
    const METHODS: [&str; 2];
    /// Replies may come in any order.
    const BY_ID: bool;
}

impl Speech for AwesomeRpc {
    const METHODS: [&str; 2] = ["echo", "slow"];
    const BY_ID: bool = true;

    fn request(number: u32, kind: u32) -> Vec<u8> {
        let method = ["echo", "third", "slow", "other"][kind as usize];
        let body = vec![b'x'; number as usize % 50];
        match number % 97 {
            0 => Message::oneway("service", method).to_bytes(),
            n if n % 5 == 0 => {
                let message = Message::request(number, "service", method);
                message.header("lane", "fast").body(body).to_bytes()
            }
            _ => Message::request(number, "service", method).body(body).to_bytes(),
        }
    }

    fn serve(bytes: &mut Vec<u8>, well: bool) -> Option<Vec<u8>> {
        loop {
            let (m, n) = Message::decode(bytes).expect("the protocol")?;
            bytes.drain(..n);
            if m.kind == Kind::Request {
                return Some(match well {
                    true => Message::reply(m.id, m.body).to_bytes(),
                    false => Message::error(m.id, "OVERLOADED", "too much").to_bytes(),
                });
            }
        }
    }
}

/// A message of Thrift's strict binary protocol in a frame.
fn thrift(kind: u8, method: &str, id: u32, content: &[u8]) -> Vec<u8> {
    let name = [&(method.len() as u32).to_be_bytes(), method.as_bytes()].concat();
    let message = [&[0x80, 1, 0, kind], &name[..], &id.to_be_bytes(), content].concat();
    [&(message.len() as u32).to_be_bytes(), &message[..]].concat()
}

impl Speech for Thrift {
    const METHODS: [&str; 2] = ["echo", "slow"];
    const BY_ID: bool = true;

    fn request(number: u32, kind: u32) -> Vec<u8> {
        let method = ["echo", "third", "slow", "some:other"][kind as usize];
        let text = vec![b'x'; number as usize % 50];
        let length = (text.len() as u32).to_be_bytes();
        let argument = [&[11, 0, 1][..], &length, &text, &[0]].concat();
        let oneway = number.is_multiple_of(97);
        let more = vec![0; if number.is_multiple_of(89) { 5000 } else { 0 }];
        thrift(if oneway { 4 } else { 1 }, method, number, &[argument, more].concat())
    }

    fn serve(bytes: &mut Vec<u8>, well: bool) -> Option<Vec<u8>> {
        loop {
            let length = u32::from_be_bytes(*bytes.first_chunk()?) as usize;
            let frame: Vec<u8> = bytes.drain(..4 + length).collect();
            let name_end = 12 + frame[11] as usize;
            let method = String::from_utf8(frame[12..name_end].to_vec()).expect("a name");
            let id = u32::from_be_bytes(*frame[name_end..].first_chunk().expect("an id"));
            let result: &[u8] = match (id % 7, well) {
                (_, false) => &[8, 0, 1, 0, 0, 0, 6, 0],
                (0, true) => &[0],
                (_, true) => &[11, 0, 0, 0, 0, 0, 2, b'o', b'k', 0],
            };
            match frame[7] {
                4 => {}
                _ => return Some(thrift(if well { 2 } else { 3 }, &method, id, result)),
            }
        }
    }
}

impl Speech for Redis {
    const METHODS: [&str; 2] = ["GET", "SET"];
    const BY_ID: bool = false;

    fn request(number: u32, kind: u32) -> Vec<u8> {
        let key = format!("key:{}", number % 1000);
        match kind {
            _ if number.is_multiple_of(97) => command(&["PING"]),
            _ if number.is_multiple_of(89) => command(&["MGET", &key, "key:7", "key:8"]),
            0 => command(&["GET", &key]),
            1 => command(&["STRLEN", &key]),
            2 => command(&["SET", &key, "some value"]),
            _ => command(&["INCR", &key]),
        }
    }

    fn serve(bytes: &mut Vec<u8>, well: bool) -> Option<Vec<u8>> {
        let (Resp::Array(words), n) = Resp::decode(bytes)? else { panic!("a command") };
        bytes.drain(..n);
        let mut out = Vec::new();
        match well {
            false => Resp::Error("MOVED 7 a:0".into()),
            true if words.first() == Some(&Resp::bulk("MGET")) => Resp::Array(words[1..].to_vec()),
            true => words.last().cloned().expect("a command has words"),
        }
        .encode(false, &mut out);
        Some(out)
    }
}

/// An engine and all that it has written.
struct Side<C: Codec> {
    engine: Engine<C>,
    sessions: Vec<SessionId>,
    told: Arc<Mutex<Vec<String>>>,
    /// Bytes to each link that were not served yet, and all that went to each and to each client.
    links: BTreeMap<LinkId, Vec<u8>>,
    heard: BTreeMap<String, Vec<u8>>,
}

impl<C: Speech> Side<C> {
    fn new(seed: u64) -> Self {
        let told = Arc::new(Mutex::new(Vec::new()));
        let codec = C::new(&C::Options::default()).expect("the defaults");
        let mut engine = Engine::new(codec, Self::plan(seed, 0, &told), seed);
        let mut open = || engine.open_session(Time::from_nanos(1), Peer::local());
        let sessions = (0..3).map(|_| open().expect("there is room")).collect();
        let (links, heard) = (BTreeMap::new(), BTreeMap::new());
        Self { engine, sessions, told, links, heard }
    }

    /// The plan of a seed: with the same routes and clusters in each era, and other filters.
    fn plan(seed: u64, era: u64, told: &Arc<Mutex<Vec<String>>>) -> Arc<Plan> {
        let mut rng = Rng::with_seed(seed);
        let balance = match rng.u32(0..3) {
            0 => Balance::RoundRobin,
            1 if !C::BY_ID => Balance::Slots,
            _ => Balance::Ring { failover: false },
        };
        let links =
            Links::default().share(Some(true)).per_endpoint(rng.usize(1..3)).max_in_flight(1 << 20);
        let clusters = ["a", "b"].map(|name| cluster(name, rng.usize(1..4), balance, links));
        let route = |at: usize| {
            let route = Route::new(C::METHODS[at], Target::Cluster(at));
            route.timeout(Some(ms(500)))
        };
        let [first, second] = C::METHODS;
        let exact = |name: &str| Text::Exact(name.into());
        let two = Text::Any([second, "third", "STRLEN"].map(exact).into());
        let mut rules: Vec<_> =
            [exact(first), two].into_iter().map(|text| Expr::Attr(Attr::Method, text)).collect();
        let mut routes = vec![route(0), route(1)];
        if C::BY_ID && rng.bool() {
            // Requests of one method are of two routes then.
            rules.insert(0, Expr::Attr(Attr::Header("lane".into()), exact("fast")));
            routes.insert(0, Route::new("fast", Target::Cluster(0)));
        }
        let mut plan = Plan::new("test", table(&rules), routes, clusters.into());
        // Where something must wait, it is looked at after each read, and reads differ.
        let mut limits = Limits::default();
        limits.in_flight = 1 << 20;
        plan = plan.limits(limits);
        let moody = |every| -> Arc<dyn Filter> {
            Arc::new(Moody { every: every + era, told: told.clone() })
        };
        let filters = [7, 13, 5].into_iter().take(rng.usize(0..4)).map(moody).collect();
        Arc::new(plan.filters(filters))
    }

    /// Does what the engine wants.
    fn turn(&mut self, now: Time) {
        while let Some(event) = self.engine.poll_event() {
            let id = match event {
                Event::Write(id) => id,
                Event::Dial(id, _) => {
                    self.engine.link_up(now, id);
                    continue;
                }
                Event::Close(ConnId::Link(id)) => {
                    self.links.remove(&id);
                    continue;
                }
                _ => continue,
            };
            while let Some(bytes) = self.engine.out(id).map(|chain| chain.to_vec())
                && !bytes.is_empty()
            {
                self.engine.written(now, id, bytes.len());
                if let ConnId::Link(id) = id {
                    self.links.entry(id).or_default().extend_from_slice(&bytes);
                }
                self.heard.entry(format!("{id:?}")).or_default().extend_from_slice(&bytes);
            }
        }
        self.engine.check();
    }

    /// All that somebody outside can tell.
    fn tells(&self) -> Vec<String> {
        let stats = self.engine.collect();
        let mut all = self.told.lock().expect("nobody panicked").clone();
        all.extend(stats.series.iter().map(|s| {
            let (count, sum) = (s.duration.count, s.duration.sum_nanos);
            format!("{} {:?} {} {count} {sum:?}", s.route, s.counts, s.in_flight)
        }));
        all.extend(stats.methods.iter().map(|m| format!("{m:?}")));
        all.push(format!("{} {:?}", stats.late_replies, stats.session_ends));
        all.push(format!("{} answered", self.engine.answered()));
        all.extend(self.engine.endpoints().iter().map(|e| format!("{e:?}")));
        all.extend(self.heard.iter().map(|(id, b)| format!("{id} {}", b.escape_ascii())));
        all
    }
}

fn same<C: Speech>(one: &Side<C>, other: &Side<C>, when: &str) {
    let (one, other) = (one.tells(), other.tells());
    if let Some(at) = one.iter().zip(&other).position(|(one, other)| one != other) {
        let around = at.saturating_sub(5)..at + 3;
        assert_eq!(one.get(around.clone()), other.get(around), "{when}");
    }
    assert_eq!(one.len(), other.len(), "{when}");
}

fn frame_by_frame_comes_to_the_same<C: Speech>() {
    let mut followed = 0;
    for seed in 0..160 {
        let mut rng = Rng::with_seed(seed);
        let (mut one, mut other) = (Side::<C>::new(seed), Side::<C>::new(seed));
        let mut number = 0;
        let mut now = Time::from_nanos(1_000_000);
        for round in 0..60 {
            now = now + ms(rng.u64(0..4));
            if rng.u32(0..12) == 0 {
                for side in [&mut one, &mut other] {
                    side.engine.swap(now, Side::<C>::plan(seed, round, &side.told));
                }
            }
            let client = rng.usize(0..3);
            let mut kind = rng.u32(0..4);
            let mut whole = Vec::new();
            for _ in 0..rng.u32(0..24) {
                number += 1;
                if rng.u32(0..6) == 0 {
                    kind = rng.u32(0..4);
                }
                let frame = C::request(number, kind);
                other.engine.session_read(now, other.sessions[client], &frame);
                whole.extend_from_slice(&frame);
                followed += 1;
            }
            if !whole.is_empty() {
                one.engine.session_read(now, one.sessions[client], &whole);
            }
            one.turn(now);
            other.turn(now);
            same(&one, &other, &format!("seed {seed}, requests of round {round}"));

            now = now + ms(rng.u64(0..2));
            for link in one.links.keys().copied().collect::<Vec<_>>() {
                let bytes = one.links.get_mut(&link).expect("it is there");
                let mut replies = Vec::new();
                while rng.u32(0..20) > 0
                    && let Some(reply) = C::serve(bytes, rng.u32(0..15) > 0)
                {
                    replies.push(reply);
                }
                if C::BY_ID && rng.u32(0..4) == 0 {
                    rng.shuffle(&mut replies);
                }
                for reply in &replies {
                    other.engine.link_read(now, link, reply);
                }
                if !replies.is_empty() {
                    one.engine.link_read(now, link, &replies.concat());
                }
                other.links.insert(link, one.links[&link].clone());
            }
            one.turn(now);
            other.turn(now);
            if rng.u32(0..10) == 0 {
                now = now + ms(300);
                one.engine.timeouts(now);
                other.engine.timeouts(now);
                one.turn(now);
                other.turn(now);
            }
            same(&one, &other, &format!("seed {seed}, replies of round {round}"));
        }
    }
    assert!(followed > 10_000);
}

#[test]
fn requests_and_replies_by_id_may_come_together() {
    frame_by_frame_comes_to_the_same::<AwesomeRpc>();
}

#[test]
fn calls_and_their_results_may_come_together() {
    frame_by_frame_comes_to_the_same::<Thrift>();
}

#[test]
fn requests_and_replies_in_order_may_come_together() {
    frame_by_frame_comes_to_the_same::<Redis>();
}
