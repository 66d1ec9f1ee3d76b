//! The simulation itself: what happens next, and the driver's duties towards the engine.

mod faults;
mod verdict;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
    time::Duration,
};

use fastrand::Rng;
use heptad_core::{Ask, Time};
use heptad_engine::{ConnId, Event, LinkId, Lost, Machine, Peer};

use super::{
    net::{Pipe, Profile},
    script::{End, Io, Script},
    trace::{Trace, show},
};

/// A client of a [`Sim`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Client(usize);

type Server = Box<dyn FnMut(&mut Rng) -> Box<dyn Script>>;
type Answerer = Box<dyn FnMut(&Ask, &mut Rng) -> Option<(Duration, Vec<u8>)>>;

struct Endpoint {
    serve: Server,
    profile: Profile,
    up: bool,
    /// Dials to it neither succeed nor fail.
    deaf: bool,
    dials: usize,
}

struct Wire {
    id: ConnId,
    script: Option<Box<dyn Script>>,
    profile: Profile,
    address: Option<Arc<str>>,
    /// From the script to the engine.
    up: Pipe,
    /// From the engine to the script.
    down: Pipe,
    /// What the script sent and the network has not taken.
    unsent: Vec<u8>,
    /// The script's wish to end, once `unsent` is gone.
    ending: Option<End>,
    /// The script reads.
    reads: bool,
    /// The script hears no more.
    deaf: bool,
}

enum What {
    ToEngine(usize, Vec<u8>),
    ToScript(usize, Vec<u8>),
    EngineReads(usize),
    ScriptReads(usize),
    Flush(usize),
    EngineHearsEnd(usize, End),
    ScriptHearsEnd(usize),
    DialDone(LinkId, bool),
    Timer(usize, u64),
    Resume(u64, Vec<u8>),
    Call(Box<dyn FnOnce(&mut Sim)>),
}

/// A simulation.
pub struct Sim {
    machine: Box<dyn Machine>,
    seed: u64,
    now: Time,
    rng: Rng,
    queue: BTreeMap<(Time, u64), What>,
    turn: u64,
    endpoints: BTreeMap<Arc<str>, Endpoint>,
    wires: Vec<Option<Wire>>,
    by_id: BTreeMap<ConnId, usize>,
    dialing: BTreeMap<LinkId, Arc<str>>,
    /// Connections of which the engine said that there is something to write.
    dirty: BTreeSet<usize>,
    /// Of these the engine need not say it again.
    told: BTreeSet<ConnId>,
    answer: Option<Answerer>,
    trace: Trace,
    /// The engine is checked after every so many steps.
    check_every: u64,
    steps: u64,
    /// Most bytes that waited to be written to a session, and to a link.
    longest: [usize; 2],
}

impl fmt::Debug for Sim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sim").field("seed", &self.seed).field("now", &self.now).finish()
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.trace.print(self.seed);
        }
    }
}

impl Sim {
    /// A simulation of `machine`, with nobody in it yet. All that is left to chance comes from the
    /// seed.
    pub fn new(machine: impl Machine + 'static, seed: u64) -> Self {
        Self {
            machine: Box::new(machine),
            seed,
            now: Time::from_nanos(1_000_000),
            rng: Rng::with_seed(seed),
            queue: BTreeMap::new(),
            turn: 0,
            endpoints: BTreeMap::new(),
            wires: Vec::new(),
            by_id: BTreeMap::new(),
            dialing: BTreeMap::new(),
            dirty: BTreeSet::new(),
            told: BTreeSet::new(),
            answer: None,
            trace: Trace::default(),
            check_every: 1,
            steps: 0,
            longest: [0; 2],
        }
    }

    /// Checks the engine after every `n` steps only; for large topologies.
    pub fn check_every(&mut self, n: u64) {
        self.check_every = n.max(1);
    }

    /// The virtual time.
    pub fn now(&self) -> Time {
        self.now
    }

    /// The simulation's randomness.
    pub fn rng(&mut self) -> &mut Rng {
        &mut self.rng
    }

    /// The engine.
    pub fn machine(&self) -> &dyn Machine {
        &*self.machine
    }

    /// Equal for equal runs.
    pub fn digest(&self) -> u64 {
        self.trace.digest()
    }

    /// An endpoint: for each link to it `serve` makes a script.
    pub fn endpoint(
        &mut self,
        address: &str,
        profile: Profile,
        serve: impl FnMut(&mut Rng) -> Box<dyn Script> + 'static,
    ) {
        let endpoint =
            Endpoint { serve: Box::new(serve), profile, up: true, deaf: false, dials: 0 };
        self.endpoints.insert(address.into(), endpoint);
    }

    /// How often an endpoint was dialed.
    pub fn dials(&self, address: &str) -> usize {
        self.endpoints.get(address).map_or(0, |e| e.dials)
    }

    /// Links to an endpoint that are open now.
    pub fn links(&self, address: &str) -> usize {
        let ours = |w: &&Wire| w.address.as_deref() == Some(address);
        self.wires.iter().flatten().filter(ours).count()
    }

    /// How [`Ask`]s are answered: after how long, and with what; `None` for never.
    pub fn on_ask(
        &mut self,
        answer: impl FnMut(&Ask, &mut Rng) -> Option<(Duration, Vec<u8>)> + 'static,
    ) {
        self.answer = Some(Box::new(answer));
    }

    /// Connects a client.
    pub fn client(&mut self, profile: Profile, script: impl Script + 'static) -> Client {
        let ip = [10, 0, (self.wires.len() >> 8) as u8, self.wires.len() as u8];
        self.client_from(Peer::ip(ip.into(), 40_000), profile, script)
    }

    /// Connects a client with an address of its own.
    pub fn client_from(
        &mut self,
        peer: Peer,
        profile: Profile,
        script: impl Script + 'static,
    ) -> Client {
        let at = self.wires.len();
        let id = self.machine.open_session(self.now, peer);
        self.trace.note(self.now, format_args!("c{at} connects: {}", id.is_some()));
        match id {
            Some(id) => {
                self.add_wire(ConnId::Session(id), Box::new(script), profile, None);
                self.ask_script(at, |s, io| s.opened(io));
            }
            None => {
                let mut script = script;
                script.closed(self.now);
                self.wires.push(None);
            }
        }
        self.after_input();
        Client(at)
    }

    /// Whether a client's connection is still open.
    pub fn is_open(&self, client: Client) -> bool {
        self.wire(client.0).is_some()
    }

    /// Ends a client's connection.
    pub fn end(&mut self, client: Client, how: End) {
        if self.wire(client.0).is_some() {
            self.ask_script(client.0, |_, io| io.end(how));
        }
    }

    /// Lets a client's script do something.
    pub fn with(&mut self, client: Client, act: impl FnOnce(&mut dyn Script, &mut Io<'_>)) {
        self.ask_script(client.0, act);
    }

    /// Sends bytes as a client.
    pub fn send(&mut self, client: Client, bytes: &[u8]) {
        self.ask_script(client.0, |_, io| io.send(bytes));
    }

    /// Does something after a while.
    pub fn after(&mut self, wait: Duration, act: impl FnOnce(&mut Self) + 'static) {
        self.later(wait, What::Call(Box::new(act)));
    }

    /// Calls the engine directly and performs what follows.
    pub fn drive(&mut self, act: impl FnOnce(&mut dyn Machine, Time)) {
        act(&mut *self.machine, self.now);
        self.after_input();
    }

    /// Runs for a span of virtual time.
    pub fn run(&mut self, span: Duration) {
        let until = self.now + span;
        self.flush();
        loop {
            let next = self.queue.first_key_value().map(|((at, _), _)| *at);
            let due = self.machine.next_timeout();
            let at = match (next, due) {
                (Some(a), Some(b)) => a.min(b),
                (Some(a), None) | (None, Some(a)) => a,
                (None, None) => break,
            };
            if at > until {
                break;
            }
            self.now = self.now.max(at);
            self.turn();
        }
        self.now = until;
    }

    /// One turn: everything that is ready now, one flush, then the deadlines.
    fn turn(&mut self) {
        for _ in 0..64 {
            match self.queue.first_entry() {
                Some(entry) if entry.key().0 <= self.now => {
                    let what = entry.remove();
                    self.perform(what);
                    self.after_input();
                }
                _ => break,
            }
        }
        self.flush();
        self.machine.timeouts(self.now);
        self.after_input();
        self.flush();
    }

    fn after_input(&mut self) {
        while let Some(event) = self.machine.poll_event() {
            self.obey(event);
        }
        self.steps += 1;
        if self.steps.is_multiple_of(self.check_every) {
            self.machine.check();
        }
    }

    fn later(&mut self, wait: Duration, what: What) {
        let at = self.now + wait;
        self.at(at, what);
    }

    fn at(&mut self, at: Time, what: What) {
        self.turn += 1;
        self.queue.insert((at, self.turn), what);
    }

    fn wire(&self, at: usize) -> Option<&Wire> {
        self.wires.get(at)?.as_ref()
    }

    fn add_wire(
        &mut self,
        id: ConnId,
        script: Box<dyn Script>,
        profile: Profile,
        address: Option<Arc<str>>,
    ) {
        self.by_id.insert(id, self.wires.len());
        self.wires.push(Some(Wire {
            id,
            script: Some(script),
            profile,
            address,
            up: Pipe::default(),
            down: Pipe::default(),
            unsent: Vec::new(),
            ending: None,
            reads: true,
            deaf: false,
        }));
    }

    /// What the engine wants.
    fn obey(&mut self, event: Event) {
        match event {
            Event::Dial(link, address) => {
                self.trace.note(self.now, format_args!("dial {address} for {link:?}"));
                self.dialing.insert(link, address.clone());
                let Some(e) = self.endpoints.get_mut(&address) else {
                    return self.later(Duration::ZERO, What::DialDone(link, false));
                };
                e.dials += 1;
                if !e.deaf {
                    let jitter = self.rng.u64(0..=e.profile.jitter.as_nanos() as u64);
                    let wait = e.profile.latency + Duration::from_nanos(jitter);
                    self.later(wait, What::DialDone(link, true));
                }
            }
            Event::Write(id) => {
                assert!(self.told.insert(id), "a write is announced once: {id:?}");
                if let Some(at) = self.by_id.get(&id) {
                    self.dirty.insert(*at);
                }
            }
            Event::Close(id) => {
                if let ConnId::Link(link) = id {
                    self.dialing.remove(&link);
                }
                self.told.remove(&id);
                if let Some(at) = self.by_id.remove(&id) {
                    self.trace.note(self.now, format_args!("engine closes c{at}"));
                    if let Some(w) = self.wires.get_mut(at).and_then(Option::as_mut) {
                        let end = w.down.arrival(self.now, &w.profile, &mut self.rng);
                        self.at(end, What::ScriptHearsEnd(at));
                    }
                }
            }
            Event::Read(session) => {
                if let Some(at) = self.by_id.get(&ConnId::Session(session)) {
                    let at = *at;
                    self.schedule_engine_read(at);
                }
            }
            Event::Ask(ticket, ask) => {
                let answer = self.answer.as_mut().and_then(|f| f(&ask, &mut self.rng));
                if let Some((wait, answer)) = answer {
                    self.later(wait, What::Resume(ticket, answer));
                }
            }
            other => panic!("an event that the simulator does not know: {other:?}"),
        }
    }

    fn schedule_engine_read(&mut self, at: usize) {
        if let Some(w) = self.wires.get_mut(at).and_then(Option::as_mut)
            && !w.up.scheduled
        {
            w.up.scheduled = true;
            self.later(Duration::ZERO, What::EngineReads(at));
        }
    }

    fn perform(&mut self, what: What) {
        match what {
            What::ToEngine(at, bytes) => {
                if let Some(w) = self.wires.get_mut(at).and_then(Option::as_mut) {
                    w.up.on_the_way -= bytes.len();
                    w.up.arrived.extend_from_slice(&bytes);
                    self.schedule_engine_read(at);
                }
            }
            What::EngineReads(at) => self.engine_reads(at),
            What::ToScript(at, bytes) => {
                if let Some(w) = self.wires.get_mut(at).and_then(Option::as_mut) {
                    w.down.on_the_way -= bytes.len();
                    if w.deaf {
                        // Written to a peer that has closed: it resets the connection.
                        return self.later(Duration::ZERO, What::EngineHearsEnd(at, End::Reset));
                    }
                    w.down.arrived.extend_from_slice(&bytes);
                    self.script_reads(at);
                }
            }
            What::ScriptReads(at) => {
                if let Some(w) = self.wires.get_mut(at).and_then(Option::as_mut) {
                    w.down.scheduled = false;
                }
                self.script_reads(at);
            }
            What::Flush(at) => {
                self.dirty.insert(at);
            }
            What::EngineHearsEnd(at, how) => self.engine_hears_end(at, how),
            What::ScriptHearsEnd(at) => {
                if let Some(mut w) = self.wires.get_mut(at).and_then(Option::take)
                    && let Some(mut script) = w.script.take()
                {
                    self.trace.note(self.now, format_args!("c{at} is closed"));
                    let rest = w.down.take(usize::MAX);
                    if !rest.is_empty() && w.reads && !w.deaf {
                        script.heard(&mut Io::new(self.now, &mut self.rng), &rest);
                    }
                    script.closed(self.now);
                }
            }
            What::DialDone(link, answered) => {
                let Some(address) = self.dialing.remove(&link) else {
                    return;
                };
                match self.endpoints.get_mut(&address) {
                    Some(e) if e.up && answered => {
                        let script = (e.serve)(&mut self.rng);
                        let profile = e.profile;
                        let at = self.wires.len();
                        self.trace.note(self.now, format_args!("c{at} is a link to {address}"));
                        self.add_wire(ConnId::Link(link), script, profile, Some(address));
                        self.machine.link_up(self.now, link);
                        self.ask_script(at, |s, io| s.opened(io));
                    }
                    _ => {
                        self.trace.note(self.now, format_args!("{address} refuses {link:?}"));
                        self.machine.link_lost(self.now, link, Lost::Refused);
                    }
                }
            }
            What::Timer(at, token) => self.ask_script(at, |s, io| s.timer(io, token)),
            What::Resume(ticket, answer) => {
                self.trace.note(self.now, format_args!("resume {ticket}"));
                self.machine.resumed(self.now, ticket, &answer);
            }
            What::Call(act) => act(self),
        }
    }

    /// One read of the engine's, of as many bytes as chance wants.
    fn engine_reads(&mut self, at: usize) {
        let Some(w) = self.wires.get_mut(at).and_then(Option::as_mut) else {
            return;
        };
        w.up.scheduled = false;
        let id = w.id;
        if let ConnId::Session(session) = id
            && !self.machine.wants_read(session)
        {
            return;
        }
        let most = w.profile.chop.min(w.up.unread());
        if most > 0 {
            let n = if w.profile.chop < 1 << 16 { self.rng.usize(1..=most) } else { most };
            let bytes = w.up.take(n);
            self.trace.note(self.now, format_args!("c{at} → engine {}", show(&bytes)));
            match id {
                ConnId::Session(id) => self.machine.session_read(self.now, id, &bytes),
                ConnId::Link(id) => self.machine.link_read(self.now, id, &bytes),
            }
            self.push_up(at);
        }
        let Some(w) = self.wires.get_mut(at).and_then(Option::as_mut) else {
            return;
        };
        if w.up.unread() > 0 {
            self.schedule_engine_read(at);
        } else if w.up.ended {
            w.up.ended = false;
            self.trace.note(self.now, format_args!("c{at} → engine: end"));
            match id {
                ConnId::Session(id) => self.machine.session_eof(self.now, id),
                ConnId::Link(_) => self.broken(at),
            }
        }
    }

    fn engine_hears_end(&mut self, at: usize, how: End) {
        let Some(w) = self.wires.get_mut(at).and_then(Option::as_mut) else {
            return;
        };
        if how == End::Reset {
            return self.broken(at);
        }
        w.up.ended = true;
        self.schedule_engine_read(at);
    }

    /// The connection is gone for both.
    fn broken(&mut self, at: usize) {
        let Some(mut w) = self.wires.get_mut(at).and_then(Option::take) else {
            return;
        };
        self.trace.note(self.now, format_args!("c{at} breaks"));
        if self.by_id.remove(&w.id).is_some() {
            self.told.remove(&w.id);
            match w.id {
                ConnId::Session(id) => self.machine.session_lost(self.now, id),
                ConnId::Link(id) => self.machine.link_lost(self.now, id, Lost::Closed),
            }
        }
        if let Some(script) = &mut w.script {
            script.closed(self.now);
        }
    }

    fn script_reads(&mut self, at: usize) {
        let Some(w) = self.wires.get_mut(at).and_then(Option::as_mut) else {
            return;
        };
        if !w.reads || w.deaf || w.down.unread() == 0 {
            return;
        }
        let most = w.profile.chop.min(w.down.unread());
        let bytes = w.down.take(most);
        let more = w.down.unread() > 0 && !w.down.scheduled;
        w.down.scheduled |= more;
        let blocked = std::mem::take(&mut w.down.blocked);
        self.trace.note(self.now, format_args!("c{at} hears {}", show(&bytes)));
        self.ask_script(at, |s, io| s.heard(io, &bytes));
        if more {
            self.later(Duration::from_micros(1), What::ScriptReads(at));
        }
        if blocked {
            self.later(Duration::ZERO, What::Flush(at));
        }
    }

    /// Lets a script act, and does what it wants.
    fn ask_script(&mut self, at: usize, act: impl FnOnce(&mut dyn Script, &mut Io<'_>)) {
        let Some(w) = self.wires.get_mut(at).and_then(Option::as_mut) else {
            return;
        };
        let Some(mut script) = w.script.take() else {
            return;
        };
        let mut io = Io::new(self.now, &mut self.rng);
        act(&mut *script, &mut io);
        let Io { sent, timers, end, reads, .. } = io;
        if w.ending.is_none() {
            w.unsent.extend_from_slice(&sent);
        }
        w.script = Some(script);
        if let Some(reads) = reads {
            w.reads = reads;
            if reads && !w.down.scheduled {
                w.down.scheduled = true;
                self.later(Duration::ZERO, What::ScriptReads(at));
            }
        }
        for (wait, token) in timers {
            self.later(wait, What::Timer(at, token));
        }
        let Some(w) = self.wires.get_mut(at).and_then(Option::as_mut) else {
            return;
        };
        if let Some(how) = end {
            match how {
                End::Reset => return self.later(Duration::ZERO, What::EngineHearsEnd(at, how)),
                End::Close => w.deaf = true,
                End::Shutdown => {}
            }
            w.ending = w.ending.or(Some(how));
        }
        self.push_up(at);
    }

    /// Moves what a script sent into the network, as far as it fits.
    fn push_up(&mut self, at: usize) {
        let Some(w) = self.wires.get_mut(at).and_then(Option::as_mut) else {
            return;
        };
        let mut arrivals = Vec::new();
        while !w.unsent.is_empty() {
            let n = w.up.room(&w.profile).min(w.unsent.len()).min(w.profile.short);
            if n == 0 {
                break;
            }
            let bytes: Vec<u8> = w.unsent.drain(..n).collect();
            w.up.on_the_way += n;
            let when = w.up.arrival(self.now, &w.profile, &mut self.rng);
            arrivals.push((when, What::ToEngine(at, bytes)));
        }
        if w.unsent.is_empty()
            && let Some(how) = w.ending
            && how != End::Reset
        {
            w.ending = Some(End::Reset);
            let when = w.up.arrival(self.now, &w.profile, &mut self.rng);
            arrivals.push((when, What::EngineHearsEnd(at, how)));
        }
        for (when, what) in arrivals {
            self.at(when, what);
        }
    }

    /// Writes what the engine has for each dirty connection.
    fn flush(&mut self) {
        for at in std::mem::take(&mut self.dirty) {
            self.flush_one(at);
        }
        self.after_input();
    }

    fn flush_one(&mut self, at: usize) {
        let Some(w) = self.wires.get_mut(at).and_then(Option::as_mut) else {
            return;
        };
        let id = w.id;
        let Some(chain) = self.machine.out(id) else {
            self.told.remove(&id);
            return;
        };
        let longest = &mut self.longest[usize::from(matches!(id, ConnId::Link(_)))];
        *longest = chain.len().max(*longest);
        let room = w.down.room(&w.profile);
        let n = room.min(chain.len()).min(w.profile.short);
        if n == 0 {
            w.down.blocked = true;
            return;
        }
        let mut bytes = Vec::with_capacity(n);
        chain.pieces(|piece| {
            let take = piece.len().min(n - bytes.len());
            bytes.extend_from_slice(&piece[..take]);
            bytes.len() < n
        });
        assert_eq!(bytes.len(), n, "a chain has as many bytes as it says");
        let all = n == chain.len();
        w.down.on_the_way += n;
        let when = w.down.arrival(self.now, &w.profile, &mut self.rng);
        self.trace.note(self.now, format_args!("engine → c{at} {}", show(&bytes)));
        self.at(when, What::ToScript(at, bytes));
        if all {
            self.told.remove(&id);
        } else if room > n {
            self.later(Duration::from_micros(5), What::Flush(at));
        } else if let Some(w) = self.wires.get_mut(at).and_then(Option::as_mut) {
            w.down.blocked = true;
        }
        self.machine.written(self.now, id, n);
        self.after_input();
        if all && self.machine.out(id).is_some() && self.told.insert(id) {
            // What was held back behind a greeting.
            self.dirty.insert(at);
            self.later(Duration::ZERO, What::Flush(at));
        }
    }
}
