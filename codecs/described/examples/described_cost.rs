//! AwesomeRPC to be counted: `described_cost coded|described decode|exchange TIMES`.
//!
//! `decode` decodes a request and writes it with another id and a header more; `exchange` is a call
//! and its reply through an engine. Everything is done some times before, then `TIMES` times in a
//! function of its own, for `valgrind --tool=callgrind --toggle-collect=described_cost::measured`.
#![forbid(unsafe_code)]

use std::{env, hint::black_box, process::exit, sync::Arc};

use awesomerpc::wire::Message;
use heptad_cluster::{Balance, Endpoint, Spec};
use heptad_core::{Chain, Codec, Ctx, Flavour, HeaderEdit, Rewrite, Side, Splice, Step, Time};
use heptad_engine::{
    Cluster, ConnId, Engine, Event, LinkId, Machine, Peer, Plan, Route, SessionId, Target,
};
use heptad_route::{Expr, Table};

#[inline(never)]
fn measured(times: u32, run: &mut dyn FnMut()) {
    for _ in 0..times {
        run();
    }
}

fn request() -> Vec<u8> {
    Message::request(7, "com.heptad.reviews", "list")
        .header("user", "jason")
        .header("trace", "0af7651916cd43dd8448eb211c80319c")
        .body("page=1")
        .to_bytes()
}

fn decode<C: Codec<Tag = ()>>(times: u32) {
    let codec = C::new(&C::Options::default()).expect("it can be built");
    let mut conn = codec.open(Side::Session, Flavour::default());
    let bytes = request();
    let cx = Ctx::default();
    let edits = [HeaderEdit::Set { name: "via".into(), value: "heptad".into() }];
    let mut chain = Chain::default();
    let mut once = || {
        let Ok(Step::Frame(meta, ())) = codec.decode_request(&mut conn, &cx, black_box(&bytes))
        else {
            exit(1);
        };
        chain.clear();
        let edit = Rewrite::new(Some(9), &edits);
        let mut splice = Splice::new(&bytes, None, &mut chain);
        let written = codec.rewrite(&conn, &conn, &meta, (), &edit, &mut splice);
        assert!(written.is_ok() && chain.len() > bytes.len());
    };
    (0..8).for_each(|_| once());
    measured(times, &mut once);
}

/// An engine driven by hand, with one client and one endpoint.
struct Bench {
    machine: Box<dyn Machine>,
    session: SessionId,
    link: LinkId,
    now: u64,
    /// The id with which the last request went to the endpoint.
    sent: [u8; 4],
    answered: u32,
}

impl Bench {
    fn new<C: Codec>(first: &[u8]) -> Option<Self> {
        let spec = Spec::new(Balance::RoundRobin, vec![Endpoint::new("a:0")]);
        let cluster = Cluster::new("a", spec).ok()?;
        let table = Table::compile(&[Expr::All(vec![])]).ok()?;
        let route = Route::new("all", Target::Cluster(0));
        let plan = Arc::new(Plan::new("test", table, vec![route], vec![cluster]));
        let codec = C::new(&C::Options::default()).ok()?;
        let mut machine: Box<dyn Machine> = Box::new(Engine::new(codec, plan, 1));
        let now = Time::from_nanos(1);
        let session = machine.open_session(now, Peer::local())?;
        machine.session_read(now, session, first);
        let link = loop {
            if let Event::Dial(link, _) = machine.poll_event()? {
                break link;
            }
        };
        machine.link_up(now, link);
        let mut bench = Self { machine, session, link, now: 1, sent: [0; 4], answered: 0 };
        bench.flush();
        Some(bench)
    }

    fn flush(&mut self) {
        let now = Time::from_nanos(self.now);
        while let Some(event) = self.machine.poll_event() {
            if let Event::Write(id) = event {
                while let Some(chain) = self.machine.out(id) {
                    let n = chain.len();
                    let to_link = matches!(id, ConnId::Link(_));
                    self.answered += u32::from(!to_link);
                    chain.pieces(|piece| {
                        if let (true, Some(id)) = (to_link, piece.get(8..12)) {
                            self.sent.copy_from_slice(id);
                        }
                        false
                    });
                    self.machine.written(now, id, n);
                }
            }
        }
    }

    /// Answers what was sent, with its id.
    fn reply(&mut self, reply: &mut [u8]) {
        let Some(to) = reply.get_mut(8..12) else { exit(1) };
        to.copy_from_slice(&self.sent);
        self.machine.link_read(Time::from_nanos(self.now), self.link, reply);
        self.flush();
    }
}

fn exchange<C: Codec>(times: u32) {
    let bytes = request();
    let mut reply = Message::reply(0, "five stars").to_bytes();
    let Some(mut bench) = Bench::new::<C>(&bytes) else { exit(1) };
    bench.reply(&mut reply);
    let mut once = || {
        bench.now += 50_000;
        bench.machine.session_read(Time::from_nanos(bench.now), bench.session, &bytes);
        bench.flush();
        bench.reply(&mut reply);
    };
    (0..8).for_each(|_| once());
    measured(times, &mut once);
    assert_eq!(bench.answered, times + 9, "every call was answered");
}

fn main() {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let [codec, what, times] = args[..] else { exit(2) };
    let times = times.parse().unwrap_or(1);
    match (codec, what) {
        ("coded", "decode") => decode::<awesomerpc::AwesomeRpc>(times),
        ("described", "decode") => decode::<heptad_described::AwesomeRpc>(times),
        ("coded", "exchange") => exchange::<awesomerpc::AwesomeRpc>(times),
        ("described", "exchange") => exchange::<heptad_described::AwesomeRpc>(times),
        _ => exit(2),
    }
}
