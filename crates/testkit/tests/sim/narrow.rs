//! A small codec with 16-bit ids, for what wide ids hide; and allocations.

use std::sync::Arc;

use awesomerpc::{AwesomeRpc, wire::Message};
use heptad_cluster::{Balance, Weighted};
use heptad_core::{
    Answer, Asked, Attr, Bind, Codec, Ctx, Fault, Flavour, Lane, Meta, NoOptions, OptionsError,
    Outcome, Question, Reason, Rewrite, Side, Splice, Step, Time, Traits,
};
use heptad_engine::{
    ConnId, Engine, Event, LinkId, Links, Machine, Peer, Plan, Route, SessionId, Target,
};
use heptad_redis::Redis;
use heptad_route::Expr;
use heptad_testkit::{
    alloc,
    sim::{Io, Profile, Script, resp::line},
};

use crate::common::*;

/// Frames of six bytes: id (16 bits), payload (32 bits). A payload of 0 is an error reply. `HELD`:
/// each session has a link for itself.
#[derive(Clone, Copy, Default)]
struct Narrow<const HELD: bool = false>;

fn id(buf: &[u8]) -> Result<Step<()>, Fault> {
    let Some(&[a, b, ..]) = buf.first_chunk::<6>() else {
        return Ok(Step::Need(6));
    };
    Ok(Step::Frame(Meta::request(6).id(u16::from_be_bytes([a, b]).into()), ()))
}

impl<const HELD: bool> Codec for Narrow<HELD> {
    const NAME: &'static str = "narrow";
    type Options = NoOptions;
    type Upstream = NoOptions;
    type Conn = ();
    type Tag = ();

    fn new(_: &NoOptions) -> Result<Self, OptionsError> {
        Ok(Self)
    }
    fn traits(&self) -> Traits {
        Traits::by_id(16)
    }
    fn open(&self, _: Side<'_, NoOptions>, _: Flavour) {}
    fn decode_request(&self, (): &mut (), _: &Ctx, buf: &[u8]) -> Result<Step<()>, Fault> {
        Ok(match id(buf)? {
            Step::Frame(meta, ()) if HELD => Step::Frame(meta.bind(Bind::Hold(Lane::One)), ()),
            other => other,
        })
    }
    fn decode_reply<A: Asked<()>>(
        &self,
        (): &mut (),
        _: &A,
        _: &Ctx,
        buf: &[u8],
    ) -> Result<Step<()>, Fault> {
        Ok(match id(buf)? {
            Step::Frame(meta, ()) => {
                let reply = Meta::reply(6, Outcome::Ok).id(meta.id);
                Step::Frame(reply, ())
            }
            other => other,
        })
    }
    fn answer(
        &self,
        (): &mut (),
        to: &Question<'_, ()>,
        _: &Answer<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        out.extend_from_slice(&(to.meta.id as u16).to_be_bytes());
        out.extend_from_slice(&[0; 4]);
        Ok(())
    }
    fn rewrite(
        &self,
        (): &(),
        (): &(),
        meta: &Meta,
        (): (),
        edit: &Rewrite<'_>,
        out: &mut Splice<'_>,
    ) -> Result<(), Fault> {
        let id = u16::try_from(edit.id.unwrap_or(meta.id)).map_err(|_| Fault::malformed("id"))?;
        out.put(&id.to_be_bytes());
        out.keep(2..6);
        Ok(())
    }
}

/// Answers one in ten only after the time-out, and one in a thousand never.
#[derive(Default)]
struct Lazy {
    buf: Vec<u8>,
    n: u64,
    late: std::collections::BTreeMap<u64, [u8; 6]>,
}

impl Script for Lazy {
    fn heard(&mut self, io: &mut Io<'_>, bytes: &[u8]) {
        self.buf.extend_from_slice(bytes);
        let whole = self.buf.len() / 6 * 6;
        for frame in self.buf.drain(..whole).collect::<Vec<_>>().chunks_exact(6) {
            self.n += 1;
            if self.n.is_multiple_of(1_000) {
                continue;
            }
            if self.n.is_multiple_of(10) {
                self.late.insert(self.n, frame.try_into().unwrap());
                io.after(ms(60), self.n);
            } else {
                io.send(frame);
            }
        }
    }
    fn timer(&mut self, io: &mut Io<'_>, token: u64) {
        if let Some(frame) = self.late.remove(&token) {
            io.send(&frame);
        }
    }
}

/// Checks that a reply carries the payload that was sent with its id, or is an error.
#[derive(Default)]
struct Fast {
    buf: Vec<u8>,
    next: u32,
    open: std::collections::BTreeMap<u16, u32>,
    ok: u32,
    failed: u32,
    left: u32,
}

struct Client(Shared<Fast>);

impl Script for Client {
    fn opened(&mut self, io: &mut Io<'_>) {
        io.after(ms(1), 0);
    }
    fn timer(&mut self, io: &mut Io<'_>, _: u64) {
        let mut me = self.0.borrow_mut();
        for _ in 0..100 {
            me.next += 1;
            let id = me.next as u16;
            let payload = me.next;
            assert!(me.open.insert(id, payload).is_none(), "the client's own ids are free");
            io.send(&[id.to_be_bytes().as_slice(), payload.to_be_bytes().as_slice()].concat());
        }
        me.left -= 1;
        if me.left > 0 {
            io.after(ms(1), 0);
        }
    }
    fn heard(&mut self, _: &mut Io<'_>, bytes: &[u8]) {
        let mut me = self.0.borrow_mut();
        me.buf.extend_from_slice(bytes);
        let whole = me.buf.len() / 6 * 6;
        for f in me.buf.drain(..whole).collect::<Vec<_>>().chunks_exact(6) {
            let id = u16::from_be_bytes([f[0], f[1]]);
            let payload = u32::from_be_bytes([f[2], f[3], f[4], f[5]]);
            let sent = me.open.remove(&id).expect("one answer to each request");
            if payload == 0 {
                me.failed += 1;
            } else {
                assert_eq!(payload, sent, "a late reply was taken for another request's");
                me.ok += 1;
            }
        }
    }
}

#[test]
fn sixteen_bit_ids_at_100_000_requests_per_second_with_time_outs() {
    let links = Links::default().per_endpoint(1).max_in_flight(4_096).orphan_age(ms(500));
    let plan = plan_to(cluster("n", 1, Balance::RoundRobin, links), Some(ms(50)))
        .limits(heptad_engine::Limits::default().in_flight(10_000));
    let mut sim = sim::<Narrow>(plan, 1);
    sim.check_every(2_000);
    sim.endpoint("n:0", Profile::default(), |_| Box::new(Lazy::default()));
    let fast = shared(Fast { left: 1_000, ..Fast::default() });
    sim.client(Profile::default(), Client(fast.clone()));
    sim.run(ms(1_500));
    let (ok, failed) = (fast.borrow().ok, fast.borrow().failed);
    assert_eq!(ok + failed, 100_000, "in one second of virtual time");
    assert!((9_000..12_000).contains(&failed), "one in ten is late: {failed}");
    assert_eq!(sim.ended(Outcome::Timeout, Reason::Request), u64::from(failed));
    assert!(sim.machine().stats().late_replies > 9_000, "and comes after all");
    sim.finish();
}

#[test]
fn a_held_link_whose_ids_are_all_in_use_refuses_and_goes_on() {
    let links = Links::default().per_endpoint(1).max_in_flight(50);
    let plan = plan_to(cluster("n", 1, Balance::RoundRobin, links), Some(ms(2_000)))
        .limits(heptad_engine::Limits::default().in_flight(10_000));
    let mut sim = sim::<Narrow<true>>(plan, 1);
    sim.endpoint("n:0", Profile::default(), |_| Box::new(Lazy::default()));
    // Three bursts of a hundred, in each of which half find no id.
    let fast = shared(Fast { left: 3, ..Fast::default() });
    sim.client(Profile::default(), Client(fast.clone()));
    sim.run(ms(1_000));
    let (ok, failed) = (fast.borrow().ok, fast.borrow().failed);
    assert_eq!(ok + failed, 300);
    assert!(ok > 100 && failed > 100, "{ok} and {failed}");
    assert_eq!(sim.ended(Outcome::Overloaded, Reason::Ids), u64::from(failed));
    assert_eq!(sim.links("n:0"), 1);
    sim.finish_clean();
}

#[test]
fn traffic_is_split_by_weight_and_stable_by_hash() {
    for stable in [false, true] {
        let clusters = ["a", "b"].map(|n| cluster(n, 1, Balance::RoundRobin, Links::default()));
        let target = Target::Weighted(Weighted::new(&[75, 25]).unwrap(), vec![0, 1]);
        let route =
            Route::new("split", target).hash_on(stable.then(|| Attr::Header("user".into())));
        let plan = Plan::new("t", table(&[Expr::All(vec![])]), vec![route], clusters.into());
        let mut sim = sim::<AwesomeRpc>(plan, 1);
        sim.check_every(500);
        let a = serve(&mut sim, "a:0", Profile::default(), ms(0));
        let b = serve(&mut sim, "b:0", Profile::default(), ms(0));
        let (client, got) = rpc_client(&mut sim, Profile::default());
        for id in 0..4_000 {
            let m = Message::request(id, "s", "echo").header("user", &format!("u{}", id % 2_000));
            sim.send(client, &m.to_bytes());
        }
        sim.run(ms(500));
        let (a, b) = (a.borrow().seen.len(), b.borrow().seen.len());
        assert_eq!(a + b, 4_000);
        assert!((880..1_120).contains(&b), "a quarter: {b}");
        let same = (0..2_000).filter(|i| got.borrow().body(*i) == got.borrow().body(i + 2_000));
        let same = same.count();
        assert_eq!(same == 2_000, stable, "{same} users stayed");
        sim.finish_clean();
    }
}

/// The engine driven by hand, so that nobody else allocates.
struct Bench {
    machine: Box<dyn Machine>,
    session: SessionId,
    link: LinkId,
    now: u64,
}

impl Bench {
    fn new<C: Codec>(plan: Plan, first: &[u8]) -> Self {
        let codec = C::new(&C::Options::default()).unwrap();
        let mut machine: Box<dyn Machine> = Box::new(Engine::new(codec, Arc::new(plan), 1));
        let now = Time::from_nanos(1);
        let session = machine.open_session(now, Peer::local()).unwrap();
        machine.session_read(now, session, first);
        let link = loop {
            match machine.poll_event() {
                Some(Event::Dial(link, _)) => break link,
                Some(_) => {}
                None => panic!("the first request dials"),
            }
        };
        machine.link_up(now, link);
        let mut me = Self { machine, session, link, now: 1 };
        me.flush();
        me
    }

    /// Takes all events and writes everything; returns the bytes that went to the endpoint.
    fn flush(&mut self) -> usize {
        let now = Time::from_nanos(self.now);
        let mut sent = 0;
        while let Some(event) = self.machine.poll_event() {
            if let Event::Write(id) = event {
                while let Some(chain) = self.machine.out(id) {
                    let n = chain.len();
                    if matches!(id, ConnId::Link(_)) {
                        sent += n;
                    }
                    self.machine.written(now, id, n);
                }
            }
        }
        sent
    }

    fn exchange(&mut self, request: &[u8], reply: &[u8]) {
        self.now += 50_000;
        let now = Time::from_nanos(self.now);
        self.machine.session_read(now, self.session, request);
        self.flush();
        self.machine.timeouts(now);
        self.machine.link_read(now, self.link, reply);
        self.flush();
        self.machine.next_timeout();
    }
}

#[test]
fn no_allocation_per_exchange_once_warm_awesomerpc() {
    let plan = plan_to(
        cluster("a", 1, Balance::RoundRobin, Links::default().per_endpoint(1).max_in_flight(16)),
        Some(ms(1)),
    );
    let request = call(7, "echo", "hello");
    // The ids on a link are known: slots are opened one after the other until four rest, and used in
    // turn.
    let mut bench = Bench::new::<AwesomeRpc>(plan, &call(1, "echo", "hello"));
    let low_bits = 5;
    let replies: Vec<Vec<u8>> = (0..1_000_u32)
        .map(|n| {
            let (slot, generation) = (n % 4 + 1, n / 4);
            Message::reply(slot | generation << low_bits, "hello").to_bytes()
        })
        .collect();
    bench.machine.link_read(Time::from_nanos(2), bench.link, &replies[0]);
    bench.flush();
    for reply in &replies[1..500] {
        bench.exchange(&request, reply);
    }
    let ((), counts) = alloc::count(|| {
        for reply in &replies[500..] {
            bench.exchange(&request, reply);
        }
    });
    let ended: u64 =
        bench.machine.stats().series.iter().flat_map(|s| &s.counts).map(|c| c.count).sum();
    assert_eq!(ended, 1_000);
    assert_eq!(bench.machine.stats().late_replies, 0);
    assert_eq!(counts.allocations, 0, "{counts:?}");
}

#[test]
fn no_allocation_per_exchange_once_warm_redis() {
    let plan = crate::redis::plan(1, 1);
    let mut bench = Bench::new::<Redis>(plan, &line("GET k"));
    bench.machine.link_read(Time::from_nanos(2), bench.link, b"$-1\r\n");
    bench.flush();
    let (get, set) = (line("GET key"), line("SET key value"));
    for _ in 0..500 {
        bench.exchange(&set, b"+OK\r\n");
        bench.exchange(&get, b"$5\r\nvalue\r\n");
    }
    let before = bench.machine.stats().series[1].counts[0].count;
    let ((), counts) = alloc::count(|| {
        for _ in 0..500 {
            bench.exchange(&set, b"+OK\r\n");
            bench.exchange(&get, b"$5\r\nvalue\r\n");
        }
    });
    assert_eq!(bench.machine.stats().series[1].counts[0].count, before + 1_000);
    assert_eq!(counts.allocations, 0, "{counts:?}");
}
