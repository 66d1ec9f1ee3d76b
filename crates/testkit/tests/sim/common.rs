//! Plans, and the clients and servers of AwesomeRPC.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, sync::Arc, time::Duration};

use awesomerpc::wire::Message;
use heptad_cluster::{Balance, Endpoint, Spec};
use heptad_core::{Codec, Kind, Time};
use heptad_engine::{Cluster, Engine, Links, Plan, Route, Target};
use heptad_route::{Expr, Table};
use heptad_testkit::sim::{Io, Profile, Script, Sim};

/// A cluster of the endpoints `name:0` to `name:n-1`.
pub(crate) fn cluster(name: &str, n: usize, balance: Balance, links: Links) -> Cluster {
    let endpoints = (0..n).map(|i| Endpoint::new(format!("{name}:{i}"))).collect();
    Cluster::new(name, Spec::new(balance, endpoints)).unwrap().links(links)
}

/// A plan that sends everything to one cluster.
pub(crate) fn plan_to(cluster: Cluster, timeout: Option<Duration>) -> Plan {
    let route = Route::new("all", Target::Cluster(0)).timeout(timeout);
    Plan::new("test", table(&[Expr::All(vec![])]), vec![route], vec![cluster])
}

pub(crate) fn table(rules: &[Expr]) -> Table {
    Table::compile(rules).unwrap()
}

pub(crate) fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

pub(crate) fn sim<C: Codec>(plan: Plan, seed: u64) -> Sim {
    let codec = C::new(&C::Options::default()).unwrap();
    Sim::new(Engine::new(codec, Arc::new(plan), seed), seed)
}

/// A handle to what a script saw.
pub(crate) type Shared<T> = Rc<RefCell<T>>;

pub(crate) fn shared<T>(value: T) -> Shared<T> {
    Rc::new(RefCell::new(value))
}

/// What an AwesomeRPC client got.
#[derive(Debug, Default)]
pub(crate) struct Got {
    pub(crate) replies: Vec<(Time, Message)>,
    pub(crate) closed: Option<Time>,
    pub(crate) buf: Vec<u8>,
}

impl Got {
    /// The status of the only reply to the id.
    pub(crate) fn status(&self, id: u32) -> &'static str {
        let mut all = self.replies.iter().filter(|(_, m)| m.id == id && m.kind == Kind::Reply);
        let first = all.next().map_or("none", |(_, m)| m.status_name());
        assert!(all.next().is_none(), "two replies to {id}");
        first
    }

    pub(crate) fn body(&self, id: u32) -> String {
        let m = self.replies.iter().find(|(_, m)| m.id == id);
        m.map_or_else(String::new, |(_, m)| String::from_utf8_lossy(&m.body).into_owned())
    }
}

/// A client that sends what it is told and keeps what it hears.
pub(crate) struct RpcClient(pub(crate) Shared<Got>);

impl Script for RpcClient {
    fn heard(&mut self, io: &mut Io<'_>, bytes: &[u8]) {
        let mut got = self.0.borrow_mut();
        got.buf.extend_from_slice(bytes);
        while let Some((m, n)) =
            Message::decode(&got.buf).expect("what Heptad sends is the protocol")
        {
            got.buf.drain(..n);
            got.replies.push((io.now, m));
        }
    }

    fn closed(&mut self, now: Time) {
        self.0.borrow_mut().closed = Some(now);
    }
}

/// What all servers of one kind saw, and how they behave.
#[derive(Debug, Default)]
pub(crate) struct Rpc {
    pub(crate) name: String,
    pub(crate) seen: Vec<Message>,
    pub(crate) links: usize,
    /// Calls in flight on one link, at most.
    pub(crate) deepest: usize,
    pub(crate) broken_links: usize,
}

/// A server: echoes the body. Methods: `echo`; `slow` (after the header `ms`); `never`; `fail`;
/// `die` (breaks the link); `big` (as many bytes as the body says).
pub(crate) struct RpcServer {
    pub(crate) all: Shared<Rpc>,
    buf: Vec<u8>,
    later: BTreeMap<u64, Vec<u8>>,
    tokens: u64,
    /// Up to this much is waited before an `echo`.
    pub(crate) think: Duration,
}

impl RpcServer {
    pub(crate) fn new(all: Shared<Rpc>, think: Duration) -> Self {
        all.borrow_mut().links += 1;
        Self { all, buf: Vec::new(), later: BTreeMap::new(), tokens: 0, think }
    }

    fn reply(&mut self, io: &mut Io<'_>, wait: Duration, m: &Message) {
        if wait.is_zero() {
            return io.send(&m.to_bytes());
        }
        self.tokens += 1;
        self.later.insert(self.tokens, m.to_bytes());
        let mut all = self.all.borrow_mut();
        all.deepest = all.deepest.max(self.later.len());
        io.after(wait, self.tokens);
    }
}

impl Script for RpcServer {
    fn heard(&mut self, io: &mut Io<'_>, bytes: &[u8]) {
        self.buf.extend_from_slice(bytes);
        while let Some((m, n)) = Message::decode(&self.buf).expect("whole frames reach an endpoint")
        {
            self.buf.drain(..n);
            self.all.borrow_mut().seen.push(m.clone());
            let name = self.all.borrow().name.clone();
            let body = [name.as_bytes(), b":", &m.body].concat();
            let ok = Message::reply(m.id, body);
            match (m.kind, &*m.method) {
                (Kind::Request, "never") => {}
                (Kind::Request, "die") => io.end(heptad_testkit::sim::End::Reset),
                (Kind::Request, "slow") => {
                    let wait = m.value("ms").and_then(|v| v.parse().ok()).unwrap_or(10);
                    self.reply(io, ms(wait), &ok);
                }
                (Kind::Request, "len") => {
                    let len = m.body.len().to_string();
                    self.reply(io, Duration::ZERO, &Message::reply(m.id, len));
                }
                (Kind::Request, "fail") => {
                    self.reply(io, Duration::ZERO, &Message::error(m.id, "APP_ERROR", "no"));
                }
                (Kind::Request, "big") => {
                    let n = String::from_utf8_lossy(&m.body).parse().unwrap_or(0);
                    self.reply(io, Duration::ZERO, &Message::reply(m.id, vec![b'x'; n]));
                }
                (Kind::Request, _) => {
                    let think = self.think.as_micros() as u64;
                    let wait = Duration::from_micros(io.rng.u64(0..=think));
                    self.reply(io, wait, &ok);
                }
                (Kind::Ping, _) => io.send(&Message::new(Kind::Pong, m.id).to_bytes()),
                // A stream is echoed frame by frame; a reset is acknowledged.
                (Kind::Data, _) => io.send(&Message::data(m.id, m.body).to_bytes()),
                (Kind::End, _) => io.send(&Message::new(Kind::End, m.id).to_bytes()),
                (Kind::Reset, _) => {
                    io.send(&Message::reset(m.id, "CANCELLED").to_bytes());
                }
                _ => {}
            }
        }
    }

    fn timer(&mut self, io: &mut Io<'_>, token: u64) {
        if let Some(bytes) = self.later.remove(&token) {
            io.send(&bytes);
        }
    }

    fn closed(&mut self, _: Time) {
        self.all.borrow_mut().broken_links += 1;
    }
}

/// Servers at `address`.
pub(crate) fn serve(
    sim: &mut Sim,
    address: &str,
    profile: Profile,
    think: Duration,
) -> Shared<Rpc> {
    let all = shared(Rpc { name: address.to_owned(), ..Rpc::default() });
    let kept = all.clone();
    sim.endpoint(address, profile, move |_| Box::new(RpcServer::new(kept.clone(), think)));
    all
}

pub(crate) fn rpc_client(
    sim: &mut Sim,
    profile: Profile,
) -> (heptad_testkit::sim::Client, Shared<Got>) {
    let got = shared(Got::default());
    (sim.client(profile, RpcClient(got.clone())), got)
}

pub(crate) fn call(id: u32, method: &str, body: &str) -> Vec<u8> {
    Message::request(id, "svc", method).body(body).to_bytes()
}
