//! A machine that does what a test's script says and tells the test what the driver told it.
#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test file uses a part of it")]
#![allow(clippy::exhaustive_structs, clippy::exhaustive_enums, reason = "test code")]

pub mod mint;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    io::{Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    sync::{Arc, mpsc},
    time::Duration,
};

use heptad_core::{Ask, Chain, Time};
use heptad_engine::{
    ConnId, EndpointRow, Event, LinkId, Lost, Machine, Peer, Plan, SessionId, Stats,
};
use heptad_net::{Collected, Driver, DriverConfig, Factory, Io, Listen, ListenerConfig};

/// Longer than anything takes; only a defect waits so long.
pub const LONG: Duration = Duration::from_secs(20);

/// What a machine was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    Opened(usize, Peer),
    Read(SessionId, Vec<u8>),
    Eof,
    Lost,
    Up,
    LinkRead(Vec<u8>),
    LinkLost(Lost),
    Written(ConnId, usize),
    Swapped,
    Drained,
}

/// What a test's machine does. Every method has the core to act with.
pub trait Script: Send {
    fn opened(&mut self, _: &mut Core, _: SessionId) {}
    /// Whether another session would be too many.
    fn full(&self, _: &Core) -> bool {
        false
    }
    fn read(&mut self, _: &mut Core, _: SessionId, _: &[u8]) {}
    fn eof(&mut self, core: &mut Core, id: SessionId) {
        core.close(ConnId::Session(id));
    }
    fn up(&mut self, _: &mut Core, _: LinkId) {}
    fn link_read(&mut self, _: &mut Core, _: LinkId, _: &[u8]) {}
    fn link_lost(&mut self, _: &mut Core, _: LinkId, _: Lost) {}
    fn due(&mut self, _: &mut Core) {}
    fn resumed(&mut self, _: &mut Core, _: u64, _: &[u8]) {}
    fn drain(&mut self, core: &mut Core) {
        for id in core.sessions() {
            core.close(id);
        }
    }
}

/// Sends back what it reads.
pub struct Echo;

impl Script for Echo {
    fn read(&mut self, core: &mut Core, id: SessionId, bytes: &[u8]) {
        core.send(ConnId::Session(id), bytes);
    }
}

#[derive(Default)]
struct Out {
    chain: Chain,
    dirty: bool,
    /// Close once everything was written.
    closing: bool,
}

pub struct Core {
    mint: mint::Mint,
    pub worker: usize,
    pub now: Time,
    pub timer: Option<Time>,
    pub events: VecDeque<Event>,
    pub paused: BTreeSet<SessionId>,
    pub order: Vec<SessionId>,
    outs: BTreeMap<ConnId, Out>,
    notes: mpsc::Sender<Note>,
}

impl Core {
    fn note(&self, note: Note) {
        // The test may have heard enough.
        let _ = self.notes.send(note);
    }

    pub fn send(&mut self, id: ConnId, bytes: &[u8]) {
        self.push(id, |chain| chain.extend(bytes));
    }

    pub fn push(&mut self, id: ConnId, add: impl FnOnce(&mut Chain)) {
        let Some(out) = self.outs.get_mut(&id) else { return };
        add(&mut out.chain);
        if !out.dirty && !out.chain.is_empty() {
            out.dirty = true;
            self.events.push_back(Event::Write(id));
        }
    }

    /// Closes once everything was written.
    pub fn close(&mut self, id: ConnId) {
        let Some(out) = self.outs.get_mut(&id) else { return };
        out.closing = true;
        if out.chain.is_empty() {
            self.outs.remove(&id);
            self.events.push_back(Event::Close(id));
        }
    }

    pub fn dial(&mut self, address: &str) -> ConnId {
        let id = self.mint.link();
        self.outs.insert(ConnId::Link(id), Out::default());
        self.events.push_back(Event::Dial(id, address.into()));
        ConnId::Link(id)
    }

    pub fn ask(&mut self, ticket: u64, service: &'static str, data: &[u8]) {
        self.events.push_back(Event::Ask(ticket, Ask::new(service, data.to_vec())));
    }

    pub fn resume(&mut self, id: SessionId) {
        self.paused.remove(&id);
        self.events.push_back(Event::Read(id));
    }

    pub fn sessions(&self) -> Vec<ConnId> {
        self.outs.keys().filter(|id| matches!(id, ConnId::Session(_))).copied().collect()
    }
}

struct Fake {
    core: Core,
    script: Box<dyn Script>,
    stats: Stats,
    ends: bool,
}

impl Machine for Fake {
    fn open_session(&mut self, now: Time, peer: Peer) -> Option<SessionId> {
        self.core.now = now;
        if self.ends || self.script.full(&self.core) {
            return None;
        }
        let id = self.core.mint.session();
        self.core.order.push(id);
        self.core.outs.insert(ConnId::Session(id), Out::default());
        self.core.note(Note::Opened(self.core.worker, peer));
        self.script.opened(&mut self.core, id);
        Some(id)
    }

    fn session_read(&mut self, now: Time, id: SessionId, bytes: &[u8]) {
        self.core.now = now;
        self.core.note(Note::Read(id, bytes.to_vec()));
        self.script.read(&mut self.core, id, bytes);
    }

    fn session_eof(&mut self, now: Time, id: SessionId) {
        self.core.now = now;
        self.core.note(Note::Eof);
        self.script.eof(&mut self.core, id);
    }

    fn session_lost(&mut self, _: Time, id: SessionId) {
        self.core.note(Note::Lost);
        self.core.outs.remove(&ConnId::Session(id));
    }

    fn wants_read(&self, id: SessionId) -> bool {
        !self.core.paused.contains(&id)
    }

    fn link_up(&mut self, now: Time, id: LinkId) {
        self.core.now = now;
        self.core.note(Note::Up);
        self.script.up(&mut self.core, id);
    }

    fn link_read(&mut self, now: Time, id: LinkId, bytes: &[u8]) {
        self.core.now = now;
        self.core.note(Note::LinkRead(bytes.to_vec()));
        self.script.link_read(&mut self.core, id, bytes);
    }

    fn link_lost(&mut self, _: Time, id: LinkId, why: Lost) {
        self.core.outs.remove(&ConnId::Link(id));
        self.core.note(Note::LinkLost(why));
        self.script.link_lost(&mut self.core, id, why);
    }

    fn timeouts(&mut self, now: Time) {
        if self.core.timer.is_some_and(|at| at <= now) {
            self.core.timer = None;
            self.core.now = now;
            self.script.due(&mut self.core);
        }
    }

    fn next_timeout(&mut self) -> Option<Time> {
        self.core.timer
    }

    fn resumed(&mut self, now: Time, ticket: u64, answer: &[u8]) {
        self.core.now = now;
        self.script.resumed(&mut self.core, ticket, answer);
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.core.events.pop_front()
    }

    fn out(&mut self, id: ConnId) -> Option<&Chain> {
        self.core.outs.get(&id).map(|o| &o.chain)
    }

    fn written(&mut self, _: Time, id: ConnId, n: usize) {
        self.core.note(Note::Written(id, n));
        let Some(out) = self.core.outs.get_mut(&id) else { return };
        out.chain.consume(n);
        if out.chain.is_empty() {
            out.dirty = false;
            if out.closing {
                self.core.close(id);
            }
        }
    }

    fn swap(&mut self, _: Time, _: Arc<Plan>) {
        self.core.note(Note::Swapped);
    }

    fn drain(&mut self, _: Time) {
        self.ends = true;
        self.core.note(Note::Drained);
        self.script.drain(&mut self.core);
    }

    fn sessions(&self) -> usize {
        self.core.sessions().len()
    }

    fn stats(&self) -> &Stats {
        &self.stats
    }

    fn endpoints(&self) -> Vec<EndpointRow> {
        Vec::new()
    }

    fn check(&self) {}
}

/// A driver under test, and what its machines were told.
pub struct Bench {
    pub driver: Driver,
    pub notes: mpsc::Receiver<Note>,
}

/// Machines that follow a script.
pub fn factory<S: Script + 'static>(
    script: impl Fn() -> S + Send + Sync + 'static,
) -> (Factory, mpsc::Receiver<Note>) {
    let (notes, heard) = mpsc::channel();
    let factory: Factory = Arc::new(move |worker, _| {
        let core = Core {
            mint: mint::Mint::new(),
            worker,
            now: Time::ZERO,
            timer: None,
            events: VecDeque::new(),
            paused: BTreeSet::new(),
            order: Vec::new(),
            outs: BTreeMap::new(),
            notes: notes.clone(),
        };
        Box::new(Fake { core, script: Box::new(script()), stats: Stats::default(), ends: false })
    });
    (factory, heard)
}

/// Starts workers with one listener called `test`.
pub fn bench<S: Script + 'static>(
    workers: usize,
    listen: &str,
    script: impl Fn() -> S + Send + Sync + 'static,
) -> Bench {
    bench_with(workers, listen, script, |config| config)
}

pub fn bench_with<S: Script + 'static>(
    workers: usize,
    listen: &str,
    script: impl Fn() -> S + Send + Sync + 'static,
    change: impl FnOnce(DriverConfig) -> DriverConfig,
) -> Bench {
    let (factory, notes) = factory(script);
    let config = DriverConfig::new(workers, vec![ListenerConfig::new("test", listen, factory)]);
    Bench { driver: Driver::start(change(config)).unwrap(), notes }
}

pub const ANY: &str = "127.0.0.1:0";

impl Bench {
    /// A client's connection to the listener.
    pub fn tcp(&self) -> TcpStream {
        let Some((_, Listen::Tcp(addr))) = self.driver.listeners().next() else { panic!() };
        let s = TcpStream::connect(addr).unwrap();
        s.set_read_timeout(Some(LONG)).unwrap();
        s.set_write_timeout(Some(LONG)).unwrap();
        s
    }

    pub fn unix(&self) -> UnixStream {
        let Some((_, Listen::Unix(path))) = self.driver.listeners().next() else { panic!() };
        let s = UnixStream::connect(path).unwrap();
        s.set_read_timeout(Some(LONG)).unwrap();
        s.set_write_timeout(Some(LONG)).unwrap();
        s
    }

    /// The next thing that a machine was told and that is wanted.
    pub fn hear<T>(&self, want: impl Fn(Note) -> Option<T>) -> T {
        loop {
            let note = self.notes.recv_timeout(LONG).expect("the driver tells the machine");
            if let Some(t) = want(note) {
                return t;
            }
        }
    }

    pub fn hear_that(&self, note: &Note) {
        self.hear(|heard| (heard == *note).then_some(()));
    }

    pub fn collect(&self) -> Vec<Collected> {
        self.driver.collect_blocking(LONG).unwrap()
    }

    /// The sum over all workers.
    pub fn io(&self) -> Io {
        let mut sum = Io::default();
        for c in self.collect() {
            sum.reads += c.io.reads;
            sum.writes += c.io.writes;
            sum.blocked += c.io.blocked;
            sum.accepted += c.io.accepted;
            sum.handed_over += c.io.handed_over;
            sum.restarts += c.io.restarts;
        }
        sum
    }

    /// Waits until something is so.
    pub fn until(&self, mut so: impl FnMut() -> bool) {
        for _ in 0..4000 {
            if so() {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("it never came so");
    }
}

/// Sends and expects the same back.
pub fn round(s: &mut (impl Read + Write), bytes: &[u8]) {
    s.write_all(bytes).unwrap();
    expect(s, bytes);
}

pub fn expect(s: &mut impl Read, bytes: &[u8]) {
    let mut got = vec![0; bytes.len()];
    s.read_exact(&mut got).unwrap();
    assert_eq!(got, bytes);
}

/// Expects that the other side is gone, whether by an end or by a reset.
pub fn expect_gone(s: &mut impl Read) {
    match s.read(&mut [0]) {
        Ok(n) => assert_eq!(n, 0),
        Err(e) => assert_eq!(e.kind(), std::io::ErrorKind::ConnectionReset),
    }
}

/// Expects this and then a proper end.
pub fn expect_end(s: &mut impl Read, bytes: &[u8]) {
    let mut got = Vec::new();
    s.read_to_end(&mut got).unwrap();
    assert_eq!(got, bytes);
}
