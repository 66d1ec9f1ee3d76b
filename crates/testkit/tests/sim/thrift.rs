//! Thrift: synchronous clients, servers that echo one id of two, oneways, conversions, and headers
//! that hold for a connection.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use heptad_cluster::Balance;
use heptad_core::{Codec as _, Outcome, Reason, Time};
use heptad_engine::{Cluster, Engine, Links};
use heptad_testkit::sim::{Client, End, Io, Profile, Script, Sim, seeds};
use heptad_thrift::{ServerProtocol, ServerTransport, Thrift, ThriftOptions, ThriftUpstream};

use crate::{
    common::*,
    policy::{self, Peer, Reached, Row, World},
};

/// A dialect of the model clients and servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wire {
    Unframed,
    Framed,
    Header,
}

/// A message whose struct has texts and small numbers only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Msg {
    kind: u8,
    name: String,
    seq: u32,
    /// The id in the THeader.
    outer: u32,
    headers: Vec<(String, String)>,
    persistent: Vec<(String, String)>,
    texts: BTreeMap<u8, String>,
    number: Option<u32>,
}

const CALL: u8 = 1;
const REPLY: u8 = 2;
const EXCEPTION: u8 = 3;
const ONEWAY: u8 = 4;

fn call(seq: u32, name: &str, text: &str) -> Msg {
    let texts = BTreeMap::from([(1, text.to_owned())]);
    Msg { kind: CALL, name: name.into(), seq, outer: seq, texts, ..Msg::default() }
}

/// How it is framed, and whether it is compact or strict.
#[derive(Clone, Copy, Debug)]
struct Dialect {
    wire: Wire,
    compact: bool,
}

fn varint(mut n: u32, out: &mut Vec<u8>) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// Bytes from the front, or `None` if they are not there yet.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(taken)
    }

    fn u8(&mut self) -> Option<u8> {
        Some(self.take(1)?[0])
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(*self.take(4)?.first_chunk()?))
    }

    fn varint(&mut self) -> Option<u32> {
        let mut n = 0;
        for i in 0.. {
            let byte = self.u8()?;
            n |= u32::from(byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                break;
            }
        }
        Some(n)
    }

    fn text(&mut self, n: u32) -> Option<String> {
        Some(String::from_utf8_lossy(self.take(n as usize)?).into_owned())
    }
}

impl Dialect {
    fn payload(self, m: &Msg) -> Vec<u8> {
        let mut out = Vec::new();
        if self.compact {
            out.extend_from_slice(&[0x82, m.kind << 5 | 1]);
            varint(m.seq, &mut out);
            varint(m.name.len() as u32, &mut out);
            out.extend_from_slice(m.name.as_bytes());
        } else {
            out.extend_from_slice(&[0x80, 1, 0, m.kind]);
            out.extend_from_slice(&(m.name.len() as u32).to_be_bytes());
            out.extend_from_slice(m.name.as_bytes());
            out.extend_from_slice(&m.seq.to_be_bytes());
        }
        for (id, text) in &m.texts {
            if self.compact {
                out.extend_from_slice(&[8, id << 1]);
                varint(text.len() as u32, &mut out);
            } else {
                out.extend_from_slice(&[11, 0, *id]);
                out.extend_from_slice(&(text.len() as u32).to_be_bytes());
            }
            out.extend_from_slice(text.as_bytes());
        }
        if let Some(number) = m.number {
            if self.compact {
                out.extend_from_slice(&[5, 4]);
                varint(number << 1, &mut out);
            } else {
                out.extend_from_slice(&[8, 0, 2]);
                out.extend_from_slice(&number.to_be_bytes());
            }
        }
        out.push(0);
        out
    }

    fn encode(self, m: &Msg) -> Vec<u8> {
        let payload = self.payload(m);
        let mut rest = Vec::new();
        match self.wire {
            Wire::Unframed => return payload,
            Wire::Framed => {}
            Wire::Header => {
                let mut head = vec![if self.compact { 2 } else { 0 }, 0];
                for (block, pairs) in [(1, &m.headers), (2, &m.persistent)] {
                    if !pairs.is_empty() {
                        head.extend_from_slice(&[block, pairs.len() as u8]);
                        for text in pairs.iter().flat_map(|(k, v)| [k, v]) {
                            head.push(text.len() as u8);
                            head.extend_from_slice(text.as_bytes());
                        }
                    }
                }
                head.resize(head.len().next_multiple_of(4), 0);
                rest.extend_from_slice(&[0x0f, 0xff, 0, 0]);
                rest.extend_from_slice(&m.outer.to_be_bytes());
                rest.extend_from_slice(&(head.len() as u16 / 4).to_be_bytes());
                rest.extend_from_slice(&head);
            }
        }
        let len = (rest.len() + payload.len()) as u32;
        [&len.to_be_bytes()[..], &rest, &payload].concat()
    }

    /// A message and how many bytes it has; `None` if it is not all there.
    fn decode(self, buf: &[u8]) -> Option<(Msg, usize)> {
        let mut m = Msg::default();
        let mut r = Reader(buf);
        if self.wire != Wire::Unframed {
            let len = r.u32()? as usize;
            r = Reader(r.take(len)?);
            let rest = buf.len() - 4 - len;
            if self.wire == Wire::Header {
                assert_eq!(r.take(4)?, [0x0f, 0xff, 0, 0]);
                m.outer = r.u32()?;
                let size = r.take(2)?;
                let size = usize::from(u16::from_be_bytes([size[0], size[1]])) * 4;
                let mut head = Reader(r.take(size)?);
                assert_eq!(head.take(2)?, [if self.compact { 2 } else { 0 }, 0]);
                while let Some(block @ 1..) = head.u8() {
                    for _ in 0..head.varint()? {
                        let mut text = || {
                            let n = head.varint()?;
                            head.text(n)
                        };
                        let pair = (text()?, text()?);
                        if block == 1 { &mut m.headers } else { &mut m.persistent }.push(pair);
                    }
                }
            }
            self.decode_payload(&mut r, &mut m).expect("a frame has a whole message");
            assert!(r.0.is_empty());
            return Some((m, buf.len() - rest));
        }
        self.decode_payload(&mut r, &mut m)?;
        Some((m, buf.len() - r.0.len()))
    }

    fn decode_payload(self, r: &mut Reader<'_>, m: &mut Msg) -> Option<()> {
        if self.compact {
            let [id, first] = *r.take(2)?.first_chunk()?;
            assert_eq!((id, first & 0x1f), (0x82, 1));
            m.kind = first >> 5;
            m.seq = r.varint()?;
            let n = r.varint()?;
            m.name = r.text(n)?;
        } else {
            let [a, b, _, kind] = *r.take(4)?.first_chunk()?;
            assert_eq!([a, b], [0x80, 1]);
            m.kind = kind;
            let n = r.u32()?;
            m.name = r.text(n)?;
            m.seq = r.u32()?;
        }
        let mut last = 0;
        loop {
            let first = r.u8()?;
            if first == 0 {
                return Some(());
            }
            if self.compact {
                let id = if first < 16 { r.u8()? >> 1 } else { last + (first >> 4) };
                last = id;
                match first & 15 {
                    8 => {
                        let n = r.varint()?;
                        m.texts.insert(id, r.text(n)?);
                    }
                    5 => m.number = Some(r.varint()? >> 1),
                    ty => panic!("type {ty}"),
                }
            } else {
                let [_, id] = *r.take(2)?.first_chunk()?;
                match first {
                    11 => {
                        let n = r.u32()?;
                        m.texts.insert(id, r.text(n)?);
                    }
                    8 => m.number = Some(r.u32()?),
                    ty => panic!("type {ty}"),
                }
            }
        }
    }
}

/// What a client got.
#[derive(Debug, Default)]
struct Got {
    replies: Vec<Msg>,
    closed: bool,
    buf: Vec<u8>,
}

impl Got {
    /// Ids and texts of all replies, in order.
    fn said(&self) -> Vec<(u32, &str)> {
        let all = self.replies.iter();
        all.map(|m| (m.seq, m.texts.values().next().map_or("", |text| text))).collect()
    }
}

struct ThriftClient(Dialect, Shared<Got>);

impl Script for ThriftClient {
    fn heard(&mut self, _: &mut Io<'_>, bytes: &[u8]) {
        let mut got = self.1.borrow_mut();
        got.buf.extend_from_slice(bytes);
        while let Some((m, n)) = self.0.decode(&got.buf) {
            got.buf.drain(..n);
            got.replies.push(m);
        }
    }

    fn closed(&mut self, _: Time) {
        self.1.borrow_mut().closed = true;
    }
}

/// What all links of a server saw.
#[derive(Debug, Default)]
struct Seen {
    calls: Vec<Msg>,
    /// Calls that one link had open at once, at most.
    deepest: usize,
}

/// A server: `echo` says what it was told; `slow` waits as many milliseconds as the text says;
/// `fail` throws; `die` breaks the link. The id in its THeader is the message's, if `inner`, else 0.
struct ThriftServer {
    dialect: Dialect,
    seen: Shared<Seen>,
    buf: Vec<u8>,
    later: BTreeMap<u64, Vec<u8>>,
    think: Duration,
    inner: bool,
    tokens: u64,
}

impl Script for ThriftServer {
    fn heard(&mut self, io: &mut Io<'_>, bytes: &[u8]) {
        self.buf.extend_from_slice(bytes);
        while let Some((m, n)) = self.dialect.decode(&self.buf) {
            self.buf.drain(..n);
            self.seen.borrow_mut().calls.push(m.clone());
            if m.kind == ONEWAY {
                continue;
            }
            let told = m.texts.get(&1).cloned().unwrap_or_default();
            let mut think = Duration::from_micros(io.rng.u64(0..=self.think.as_micros() as u64));
            let name = m.name.rsplit(':').next().unwrap_or_default().to_owned();
            let outer = if self.inner { m.seq } else { 0 };
            let mut reply = Msg { kind: REPLY, name, seq: m.seq, outer, ..Msg::default() };
            match &*reply.name {
                "die" => return io.end(End::Reset),
                "fail" => {
                    reply.kind = EXCEPTION;
                    reply.number = Some(6);
                    reply.texts.insert(1, "thrown".into());
                }
                method => {
                    if method == "slow" {
                        think = ms(told.parse().expect("milliseconds"));
                    }
                    reply.texts.insert(0, told);
                }
            }
            self.tokens += 1;
            self.later.insert(self.tokens, self.dialect.encode(&reply));
            let mut seen = self.seen.borrow_mut();
            seen.deepest = seen.deepest.max(self.later.len());
            io.after(think, self.tokens);
        }
    }

    fn timer(&mut self, io: &mut Io<'_>, token: u64) {
        if let Some(bytes) = self.later.remove(&token) {
            io.send(&bytes);
        }
    }
}

fn serve(
    sim: &mut Sim,
    dialect: Dialect,
    profile: Profile,
    think: Duration,
    inner: bool,
) -> Shared<Seen> {
    let seen = shared(Seen::default());
    let kept = seen.clone();
    sim.endpoint("t:0", profile, move |_| {
        Box::new(ThriftServer {
            dialect,
            seen: kept.clone(),
            buf: Vec::new(),
            later: BTreeMap::new(),
            think,
            inner,
            tokens: 0,
        })
    });
    seen
}

fn client(sim: &mut Sim, dialect: Dialect, profile: Profile) -> (Client, Shared<Got>) {
    let got = shared(Got::default());
    (sim.client(profile, ThriftClient(dialect, got.clone())), got)
}

fn plan(links: Links) -> Cluster {
    cluster("t", 1, Balance::RoundRobin, links)
}

fn world(seed: u64, cluster: Cluster) -> Sim {
    sim::<Thrift>(plan_to(cluster, Some(ms(2_000))), seed)
}

const ALL: [Dialect; 6] = {
    const fn of(wire: Wire, compact: bool) -> Dialect {
        Dialect { wire, compact }
    }
    [
        of(Wire::Unframed, false),
        of(Wire::Unframed, true),
        of(Wire::Framed, false),
        of(Wire::Framed, true),
        of(Wire::Header, false),
        of(Wire::Header, true),
    ]
};

#[test]
fn a_synchronous_client_that_pipelines_keeps_its_order() {
    for seed in seeds(10) {
        for dialect in ALL {
            let mut sim = world(seed, plan(Links::default()));
            sim.check_every(7);
            let profile = Profile::random(sim.rng());
            let seen = serve(&mut sim, dialect, profile, ms(5), true);
            let mut clients = Vec::new();
            for _ in 0..3 {
                let profile = Profile::random(sim.rng());
                let (client, got) = client(&mut sim, dialect, profile);
                for seq in 0..12 {
                    sim.send(client, &dialect.encode(&call(seq, "S:echo", &format!("{seq}"))));
                }
                clients.push(got);
            }
            sim.run(ms(60_000));
            for got in clients {
                let got = got.borrow();
                let order: Vec<u32> = got.replies.iter().map(|m| m.seq).collect();
                assert_eq!(order, (0..12).collect::<Vec<_>>(), "{dialect:?}");
                for m in got.replies.iter().filter(|m| m.kind == REPLY) {
                    assert_eq!(m.texts[&0], m.seq.to_string());
                }
            }
            assert_eq!(seen.borrow().deepest, 1, "one call per link");
            sim.finish_clean();
        }
    }
}

#[test]
fn byte_by_byte_is_the_same_as_at_once() {
    for seed in seeds(5) {
        for dialect in ALL {
            let mut sim = world(seed, plan(Links::default()));
            serve(&mut sim, dialect, Profile::default().chopped(1), ms(0), true);
            let (client, got) = client(&mut sim, dialect, Profile::default().chopped(1));
            let long = "x".repeat(100);
            for seq in 0..5 {
                sim.send(client, &dialect.encode(&call(seq, "echo", &long)));
            }
            sim.run(ms(60_000));
            let expected: Vec<_> = (0..5).map(|seq| (seq, &*long)).collect();
            assert_eq!(got.borrow().said(), expected, "{dialect:?}");
            sim.finish_clean();
        }
    }
}

#[test]
fn two_ids_come_back_as_they_were_whatever_the_server_echoes() {
    for seed in seeds(5) {
        for compact in [false, true] {
            for inner in [false, true] {
                let dialect = Dialect { wire: Wire::Header, compact };
                let mut sim = world(seed, plan(Links::default().share(Some(true))));
                let profile = Profile::random(sim.rng());
                let seen = serve(&mut sim, dialect, profile, ms(5), inner);
                let (client, got) = client(&mut sim, dialect, Profile::default());
                for n in 0..8 {
                    let m = Msg { outer: 1000 + n, ..call(7, "echo", &format!("{n}")) };
                    sim.send(client, &dialect.encode(&m));
                }
                sim.run(ms(60_000));
                let replies = got.borrow().replies.clone();
                for (n, m) in (0..).zip(&replies) {
                    assert_eq!((m.outer, m.seq), (1000 + n, 7));
                    assert_eq!(m.texts[&0], n.to_string());
                }
                assert_eq!(replies.len(), 8);
                let calls = seen.borrow().calls.clone();
                assert!(calls.iter().all(|m| m.outer == m.seq), "both are the link's");
                sim.finish_clean();
            }
        }
    }
}

#[test]
fn a_oneway_amid_calls_is_silent_and_in_its_place() {
    for seed in seeds(5) {
        for dialect in ALL {
            let mut sim = world(seed, plan(Links::default()));
            let seen = serve(&mut sim, dialect, Profile::default(), ms(0), true);
            let profile = Profile::random(sim.rng());
            let (client, got) = client(&mut sim, dialect, profile);
            let mut all = Vec::new();
            for seq in 0..9 {
                let mut m = call(seq, "echo", &seq.to_string());
                if seq % 3 == 1 {
                    m.kind = ONEWAY;
                }
                all.extend(dialect.encode(&m));
            }
            sim.send(client, &all);
            sim.run(ms(30_000));
            let order: Vec<u32> = got.borrow().replies.iter().map(|m| m.seq).collect();
            assert_eq!(order, [0, 2, 3, 5, 6, 8], "{dialect:?}");
            let told: Vec<String> =
                seen.borrow().calls.iter().map(|m| m.texts[&1].clone()).collect();
            let sorted: Vec<String> = (0..9).map(|n| n.to_string()).collect();
            assert_eq!(told, sorted, "{dialect:?}");
            assert_eq!(sim.ended(Outcome::Ok, Reason::None), 9);
            sim.finish_clean();
        }
    }
}

#[test]
fn a_cluster_that_speaks_another_dialect_is_spoken_to_in_it() {
    for seed in seeds(3) {
        for from in ALL {
            for to in ALL {
                let mut upstream = ThriftUpstream::default();
                upstream.transport = match to.wire {
                    Wire::Unframed => ServerTransport::Unframed,
                    Wire::Framed => ServerTransport::Framed,
                    Wire::Header => ServerTransport::Header,
                };
                upstream.protocol =
                    if to.compact { ServerProtocol::Compact } else { ServerProtocol::Binary };
                upstream.strip_service = true;
                let cluster = plan(Links::default()).upstream(Arc::new(upstream));
                let mut sim = world(seed, cluster);
                let profile = Profile::random(sim.rng());
                let seen = serve(&mut sim, to, profile, ms(2), true);
                let profile = Profile::random(sim.rng());
                let (client, got) = client(&mut sim, from, profile);
                for seq in 0..6 {
                    let name = if seq == 3 { "S:fail" } else { "S:echo" };
                    sim.send(client, &from.encode(&call(seq, name, &format!("{seq}"))));
                }
                sim.run(ms(60_000));
                let expected = [(0, "0"), (1, "1"), (2, "2"), (3, "thrown"), (4, "4"), (5, "5")];
                assert_eq!(got.borrow().said(), expected, "{from:?} to {to:?}");
                assert!(seen.borrow().calls.iter().all(|m| !m.name.contains(':')));
                sim.finish_clean();
            }
        }
    }
}

#[test]
fn a_late_reply_is_given_to_nobody() {
    for seed in seeds(5) {
        for (dialect, share) in ALL.into_iter().flat_map(|d| [(d, false), (d, true)]) {
            let links = Links::default().per_endpoint(1).share(Some(share));
            let mut sim = world(seed, plan(links));
            serve(&mut sim, dialect, Profile::default(), ms(0), true);
            let (one, a) = client(&mut sim, dialect, Profile::default());
            let (two, b) = client(&mut sim, dialect, Profile::default());
            sim.send(one, &dialect.encode(&call(7, "S:slow", "2500")));
            sim.run(ms(2_100));
            {
                let a = a.borrow();
                let [m] = &a.replies[..] else { panic!("{a:?}") };
                assert_eq!((m.kind, m.seq, &*m.name, m.number), (EXCEPTION, 7, "slow", Some(6)));
            }
            // The same id again while the old reply may still come, by both clients.
            for client in [one, two] {
                sim.send(client, &dialect.encode(&call(7, "slow", "1000")));
            }
            sim.run(ms(5_000));
            assert_eq!(a.borrow().replies.len(), 2);
            assert_eq!(a.borrow().said()[1], (7, "1000"), "{dialect:?} {share}");
            assert_eq!(b.borrow().said(), [(7, "1000")], "{dialect:?} {share}");
            sim.finish_clean();
        }
    }
}

#[test]
fn a_persistent_header_reaches_no_other_clients_calls() {
    for seed in seeds(5) {
        for share in [false, true] {
            let dialect = Dialect { wire: Wire::Header, compact: true };
            let links = Links::default().per_endpoint(1).share(Some(share));
            let mut sim = world(seed, plan(links));
            let seen = serve(&mut sim, dialect, Profile::default(), ms(0), true);
            let (one, a) = client(&mut sim, dialect, Profile::default());
            let (two, b) = client(&mut sim, dialect, Profile::default());
            let first =
                Msg { persistent: vec![("user".into(), "jason".into())], ..call(1, "echo", "a1") };
            sim.send(one, &dialect.encode(&first));
            sim.run(ms(100));
            for n in 2..6 {
                sim.send(two, &dialect.encode(&call(n, "echo", &format!("b{n}"))));
                sim.run(ms(100));
                sim.send(one, &dialect.encode(&call(n, "echo", &format!("a{n}"))));
                sim.run(ms(100));
            }
            assert_eq!((a.borrow().replies.len(), b.borrow().replies.len()), (5, 4));
            assert_eq!(sim.dials("t:0"), 1, "they use one link");
            for m in &seen.borrow().calls {
                assert!(m.persistent.is_empty(), "none is persistent on a link");
                let users: Vec<_> = m.headers.iter().filter(|(k, _)| k == "user").collect();
                let of_a = m.texts[&1].starts_with('a');
                assert_eq!(users.len(), usize::from(of_a), "{m:?}");
            }
            sim.finish_clean();
        }
    }
}

#[test]
fn a_dead_link_is_told_in_the_clients_dialect_and_replaced() {
    for seed in seeds(5) {
        for dialect in ALL {
            let mut sim = world(seed, plan(Links::default()));
            serve(&mut sim, dialect, Profile::default(), ms(0), true);
            let (client, got) = client(&mut sim, dialect, Profile::default());
            sim.send(client, &dialect.encode(&call(1, "S:die", "")));
            sim.run(ms(500));
            sim.send(client, &dialect.encode(&call(2, "S:echo", "again")));
            sim.run(ms(500));
            let replies = got.borrow().replies.clone();
            let [dead, alive] = &replies[..] else { panic!("{replies:?}") };
            assert_eq!((dead.kind, dead.seq, &*dead.name), (EXCEPTION, 1, "die"));
            assert_eq!(dead.number, Some(6));
            assert!(!dead.texts[&1].is_empty());
            assert_eq!((alive.kind, alive.seq, &*alive.texts[&0]), (REPLY, 2, "again"));
            assert!(!got.borrow().closed);
            sim.finish();
        }
    }
}

#[test]
fn clients_that_match_by_id_get_replies_as_they_come() {
    for seed in seeds(5) {
        for dialect in ALL {
            let mut options = ThriftOptions::default();
            options.ordered = false;
            let codec = Thrift::new(&options).unwrap();
            let plan = plan_to(plan(Links::default()), Some(ms(2_000)));
            let mut sim = Sim::new(Engine::new(codec, Arc::new(plan), seed), seed);
            serve(&mut sim, dialect, Profile::default(), ms(0), true);
            let (client, got) = client(&mut sim, dialect, Profile::default());
            for (seq, wait) in [(1, "300"), (2, "100"), (3, "200")] {
                sim.send(client, &dialect.encode(&call(seq, "slow", wait)));
            }
            sim.run(ms(1_000));
            assert_eq!(got.borrow().said(), [(2, "100"), (3, "200"), (1, "300")], "{dialect:?}");
            sim.finish_clean();
        }
    }
}

const STRICT_HEADER: Dialect = Dialect { wire: Wire::Header, compact: false };

/// Thrift in the table of policies, over THeader: the tenant is an info header. Links are shared, as
/// calls of one client would wait for each other otherwise.
pub(crate) const ROW: Row = Row {
    name: "thrift",
    per: "header.tenant",
    service: Some("svc"),
    // An internal error, whatever is behind it: Thrift has no words for these.
    words: |_| "6",
    world: |front| {
        let cluster = plan(Links::default().share(Some(true)));
        let mut sim = sim::<Thrift>(front.of(plan_to(cluster, Some(ms(1000)))), 1);
        let far = Profile::default().latency(policy::FAR);
        let server = serve(&mut sim, STRICT_HEADER, far, ms(0), true);
        let reached = |m: &Msg| Reached {
            method: m.name.strip_prefix("svc:").expect("the service").to_owned(),
            headers: m.headers.clone(),
        };
        let reached = move || server.borrow().calls.iter().map(reached).collect();
        World { sim, reached: Box::new(reached) }
    },
    connect: |sim| {
        let (client, got) = client(sim, STRICT_HEADER, Profile::default());
        let also = got.clone();
        let headers = move || also.borrow().replies.iter().map(|m| m.headers.clone()).collect();
        let heard = move || {
            let got = got.borrow();
            let said = |m: &Msg| match m.kind {
                EXCEPTION => {
                    let number = m.number.expect("a type").to_string();
                    Err((number, m.texts.get(&1).cloned().unwrap_or_default()))
                }
                _ => Ok(()),
            };
            got.replies.iter().map(said).collect()
        };
        Peer { client, heard: Box::new(heard), headers: Some(Box::new(headers)) }
    },
    request: |asked| STRICT_HEADER.encode(&asked_for(asked)),
    oneway: Some(|asked| STRICT_HEADER.encode(&Msg { kind: ONEWAY, ..asked_for(asked) })),
};

fn asked_for(asked: &policy::Call<'_>) -> Msg {
    let mut m = call(asked.id, &format!("svc:{}", asked.method), "x");
    m.headers.push(("tenant".to_owned(), asked.tenant.to_owned()));
    m
}
