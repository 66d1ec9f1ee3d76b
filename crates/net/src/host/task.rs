//! One worker: the task that owns a machine and its streams, and its turn. It is told things through
//! a channel, and by wakers through the list of ready streams; it shares nothing else.

use std::{
    collections::HashMap,
    future::{Future as _, poll_fn},
    io, mem,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use foldhash::fast::RandomState;
use heptad_core::{Ask, Chain, Time};
use heptad_engine::{ConnId, EndpointRow, Event, LinkId, Lost, Machine, Peer, Plan, Stats};
use tokio::sync::{
    mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    oneshot,
};

use super::{
    connect::{BoxStream, Connect},
    ready::Ready,
    wire::{Guest, Wire},
};
use crate::{
    balance::{Balance, Place},
    clock::Clock,
    conn::READS,
    driver::{Factory, Performer},
    flush::{AGAIN, Wrote},
    seat::{Io, ROUNDS, panic_text},
    worker::{BUFFER, MUCH, RESTART_PAUSE, mix},
};

/// What a worker is told.
pub(crate) enum Command {
    Serve(BoxStream, Peer, Place, oneshot::Sender<()>),
    Swap(Arc<Plan>),
    Collect(oneshot::Sender<Row>),
    /// End once no session is left.
    Drain,
    /// End now.
    Stop,
}

/// What a worker has to say for itself.
pub(crate) struct Row {
    pub(crate) stats: Stats,
    pub(crate) endpoints: Vec<EndpointRow>,
    pub(crate) io: Io,
}

/// All a worker is given. It outlives the worker's panics.
pub(crate) struct Setup {
    pub(crate) name: Arc<str>,
    pub(crate) index: usize,
    pub(crate) clock: Clock,
    pub(crate) seed: u64,
    pub(crate) factory: Factory,
    pub(crate) connector: Arc<dyn Connect>,
    pub(crate) performers: Arc<HashMap<String, Performer>>,
    pub(crate) balance: Arc<Balance>,
}

/// What a worker that is made anew goes on with.
struct Kept {
    seeds: u64,
    /// The plan that was swapped in last.
    plan: Option<Arc<Plan>>,
    draining: bool,
}

/// What a worker's own small tasks bring back, with the number of the machine that asked.
enum Note {
    Dialed(u64, LinkId, io::Result<BoxStream>),
    Answered(u64, u64, Vec<u8>),
    /// A client's stream has ended; a worker that drains counts them.
    Gone,
}

/// Sends its note when it is dropped, so that a panic of the host's code is an answer too.
struct Report(UnboundedSender<Note>, Option<Note>);

impl Report {
    /// Sends another note instead. Takes all of it, so that a task that calls this owns it, whether
    /// or not the task comes that far.
    fn instead(mut self, note: Note) {
        self.1 = Some(note);
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        if let Some(note) = self.1.take() {
            // A worker that is gone needs not know.
            let _ = self.0.send(note);
        }
    }
}

/// The life of a worker, from start over panics to its end.
pub(crate) async fn main(setup: Setup, mut commands: UnboundedReceiver<Command>) {
    let seeds = setup.seed.wrapping_add(mix(setup.index as u64 + 1));
    let mut kept = Kept { seeds, plan: None, draining: false };
    loop {
        let end = {
            let mut run = Box::pin(run(&setup, &mut kept, &mut commands));
            poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| run.as_mut().poll(cx))) {
                Ok(poll) => poll.map(Ok),
                Err(panic) => Poll::Ready(Err(panic_text(&*panic).to_owned())),
            })
            .await
        };
        let Err(why) = end else { return };
        tracing::error!(
            service = %setup.name,
            worker = setup.index,
            why,
            "the worker failed; its connections are closed and it starts afresh"
        );
        tokio::time::sleep(RESTART_PAUSE).await;
    }
}

/// Commands that are obeyed before streams are looked at again.
const COMMANDS: usize = 256;

async fn run(setup: &Setup, kept: &mut Kept, commands: &mut UnboundedReceiver<Command>) {
    let (notes, mut noted) = unbounded_channel();
    let mut worker = Worker::new(setup, kept, notes);
    let mut sleep = pin!(tokio::time::sleep(Duration::ZERO));
    // What `sleep` waits for; set back only for something earlier, as in the other driver.
    let mut armed: Option<Time> = None;
    let mut listed = Vec::new();
    loop {
        let stop = poll_fn(|cx| {
            worker.now = setup.clock.now();
            let mut any = worker.stirred;
            for _ in 0..COMMANDS {
                match commands.poll_recv(cx) {
                    Poll::Ready(Some(command)) => {
                        any = true;
                        if worker.obey(command) {
                            return Poll::Ready(true);
                        }
                    }
                    // The last handle is gone.
                    Poll::Ready(None) => return Poll::Ready(true),
                    Poll::Pending => break,
                }
            }
            while let Poll::Ready(Some(note)) = noted.poll_recv(cx) {
                any = true;
                worker.hear(note);
            }
            worker.ready.take(cx.waker(), &mut listed);
            any |= !listed.is_empty();
            if armed.is_some() && sleep.as_mut().poll(cx).is_ready() {
                armed = None;
                any = true;
            }
            if any { Poll::Ready(false) } else { Poll::Pending }
        })
        .await;
        if stop {
            return;
        }
        worker.read(&listed);
        if worker.stirred {
            // To the end of the queue, so that what became ready together is read together.
            tokio::task::yield_now().await;
            worker.ready.take_now(&mut listed);
            worker.read(&listed);
        }
        worker.turn();
        if let Some(at) = worker.timeouts() {
            let at = at.max(setup.clock.now() + AGAIN);
            if armed.is_none_or(|set| at < set) {
                armed = Some(at);
                sleep.as_mut().reset(setup.clock.instant(at));
            }
        }
        if worker.idle() {
            return;
        }
    }
}

struct Worker<'a> {
    setup: &'a Setup,
    kept: &'a mut Kept,
    machine: Box<dyn Machine>,
    /// The machine panicked and must not be called again.
    broken: bool,
    /// Something was told to the machine since its events were taken.
    stirred: bool,
    /// Counts machines, so that what was asked by one is not answered to the next.
    epoch: u64,
    /// The time of this turn.
    now: Time,
    wires: HashMap<ConnId, Wire, RandomState>,
    /// To be written in this turn, and the list of the turn before for its memory.
    dirty: Vec<ConnId>,
    spare: Vec<ConnId>,
    /// Those that have more to be written, in the next turn.
    rest: Vec<ConnId>,
    ready: Arc<Ready>,
    notes: UnboundedSender<Note>,
    memory: Box<[u8]>,
    /// Bytes read in this turn.
    taken: usize,
    io: Io,
}

impl<'a> Worker<'a> {
    fn new(setup: &'a Setup, kept: &'a mut Kept, notes: UnboundedSender<Note>) -> Self {
        let machine = (setup.factory)(setup.index, next_seed(kept));
        let mut worker = Self {
            setup,
            kept,
            machine,
            broken: false,
            stirred: true,
            epoch: 0,
            now: setup.clock.now(),
            wires: HashMap::default(),
            dirty: Vec::new(),
            spare: Vec::new(),
            rest: Vec::new(),
            ready: Arc::default(),
            notes,
            memory: vec![0; BUFFER].into(),
            taken: 0,
            io: Io::default(),
        };
        worker.catch_up();
        worker
    }

    /// Tells a new machine what the last one knew.
    fn catch_up(&mut self) {
        if let Some(plan) = self.kept.plan.clone() {
            self.tell(|m, now| m.swap(now, plan));
        }
        if self.kept.draining {
            self.tell(|m, now| m.drain(now));
        }
    }

    /// Calls the machine. `None` if it panicked, now or before: its connections are about to go.
    fn look<R>(&mut self, f: impl FnOnce(&mut dyn Machine, Time) -> R) -> Option<R> {
        if self.broken {
            return None;
        }
        let (machine, now) = (&mut *self.machine, self.now);
        let result = catch_unwind(AssertUnwindSafe(|| f(machine, now)));
        result.map_err(|panic| self.panicked(&*panic)).ok()
    }

    fn panicked(&mut self, panic: &(dyn std::any::Any + Send)) {
        tracing::error!(
            service = %self.setup.name,
            worker = self.setup.index,
            what = panic_text(panic),
            "the engine panicked; its connections are closed and it starts afresh"
        );
        self.broken = true;
        self.stirred = true;
    }

    /// Tells the machine something; its events are taken when this turn ends.
    fn tell<R>(&mut self, f: impl FnOnce(&mut dyn Machine, Time) -> R) -> Option<R> {
        self.stirred = true;
        self.look(f)
    }

    /// True: end now.
    fn obey(&mut self, command: Command) -> bool {
        match command {
            Command::Serve(stream, peer, place, over) => {
                match self.tell(|m, now| m.open_session(now, peer)) {
                    Some(Some(id)) => {
                        let id = ConnId::Session(id);
                        let guest = Guest { place, over };
                        let wire = Wire::session(id, &self.ready, stream, guest);
                        wire.wake();
                        self.wires.insert(id, wire);
                        self.io.accepted += 1;
                    }
                    // Too many sessions: the stream is dropped.
                    _ => drop((stream, place, over)),
                }
            }
            Command::Swap(plan) => {
                self.kept.plan = Some(plan.clone());
                self.tell(|m, now| m.swap(now, plan));
            }
            Command::Collect(answer) => {
                let io = self.io;
                let row = self.look(|m, _| (m.collect(), m.endpoints()));
                if let Some((stats, endpoints)) = row {
                    // Who asked may have given up.
                    let _ = answer.send(Row { stats, endpoints, io });
                }
            }
            Command::Drain => {
                if !mem::replace(&mut self.kept.draining, true) {
                    self.tell(|m, now| m.drain(now));
                }
            }
            Command::Stop => return true,
        }
        false
    }

    fn hear(&mut self, note: Note) {
        match note {
            Note::Dialed(epoch, id, stream) if epoch == self.epoch => {
                let at = ConnId::Link(id);
                match (self.wires.get_mut(&at), stream) {
                    (Some(wire), Ok(stream)) => {
                        wire.connected(stream);
                        wire.wake();
                        self.tell(|m, now| m.link_up(now, id));
                        // In case the machine had something to say before it was up.
                        self.queue(at);
                    }
                    (Some(_), Err(error)) => {
                        tracing::debug!(service = %self.setup.name, %error, "dial failed");
                        self.lose(at, Lost::Refused);
                    }
                    (None, _) => {}
                }
            }
            Note::Answered(epoch, ticket, answer) if epoch == self.epoch => {
                self.tell(|m, now| m.resumed(now, ticket, &answer));
            }
            Note::Dialed(..) | Note::Answered(..) | Note::Gone => {}
        }
    }

    /// Polls these streams.
    fn read(&mut self, listed: &[ConnId]) {
        for id in listed {
            // Out of the way, so that what was read can be told.
            let mut memory = mem::take(&mut self.memory);
            self.poll(*id, &mut memory);
            self.memory = memory;
        }
    }

    fn poll(&mut self, at: ConnId, memory: &mut [u8]) {
        let Some(wire) = self.wires.get_mut(&at) else { return };
        wire.unlist();
        if mem::take(&mut wire.blocked) {
            self.queue(at);
        }
        for _ in 0..READS {
            let wants = match at {
                ConnId::Session(id) => self.look(|m, _| m.wants_read(id)) == Some(true),
                // A link is shared, and never paused for one session.
                ConnId::Link(_) => true,
            };
            let wire = self.wires.get_mut(&at).filter(|wire| wants && !wire.eof);
            let Some(wire) = wire else { return };
            match wire.read(memory) {
                Poll::Pending => return,
                Poll::Ready(Err(_)) => return self.lose(at, Lost::Closed),
                Poll::Ready(Ok(0)) => {
                    wire.eof = true;
                    match at {
                        ConnId::Session(id) => {
                            self.tell(|m, now| m.session_eof(now, id));
                        }
                        ConnId::Link(_) => self.lose(at, Lost::Closed),
                    }
                    return;
                }
                Poll::Ready(Ok(n)) => {
                    self.io.reads += 1;
                    self.taken += n;
                    let bytes = memory.get(..n).unwrap_or_default();
                    self.tell(|m, now| match at {
                        ConnId::Session(id) => m.session_read(now, id, bytes),
                        ConnId::Link(id) => m.link_read(now, id, bytes),
                    });
                }
            }
            if self.taken >= MUCH {
                // What it led to is written before more is read.
                self.turn();
            }
        }
        // Others come first now and then.
        if let Some(wire) = self.wires.get(&at) {
            wire.wake();
        }
    }

    /// The connection is broken, and the machine is told so.
    fn lose(&mut self, at: ConnId, why: Lost) {
        if let Some(wire) = self.wires.remove(&at) {
            wire.over();
            self.tell(|m, now| match at {
                ConnId::Session(id) => m.session_lost(now, id),
                ConnId::Link(id) => m.link_lost(now, id, why),
            });
        }
    }

    /// Has the connection written in this turn.
    fn queue(&mut self, at: ConnId) {
        self.stirred = true;
        if let Some(wire) = self.wires.get_mut(&at)
            && !mem::replace(&mut wire.queued, true)
        {
            self.dirty.push(at);
        }
    }

    /// Performs what the machine wants and writes each dirty connection once.
    fn turn(&mut self) {
        if !mem::take(&mut self.stirred) {
            return;
        }
        self.taken = 0;
        self.io.turns += 1;
        let done = self.rounds();
        if !done || !self.rest.is_empty() {
            // More to do, but the streams first.
            self.dirty.append(&mut self.rest);
            self.stirred = true;
        }
    }

    /// Whether there is nothing more to perform.
    fn rounds(&mut self) -> bool {
        for _ in 0..ROUNDS {
            self.mend();
            while let Some(Some(event)) = self.look(|m, _| m.poll_event()) {
                self.perform(event);
            }
            if self.dirty.is_empty() {
                if self.broken {
                    continue;
                }
                self.stirred = false;
                return true;
            }
            self.flush();
        }
        false
    }

    fn perform(&mut self, event: Event) {
        match event {
            Event::Write(at) => self.queue(at),
            Event::Read(id) => {
                if let Some(wire) = self.wires.get(&ConnId::Session(id)) {
                    wire.wake();
                }
            }
            Event::Close(at) => {
                let Some(wire) = self.wires.remove(&at) else { return };
                if !wire.is_connected() {
                    return wire.over();
                }
                let gone = Report(self.notes.clone(), Some(Note::Gone));
                tokio::spawn(async move {
                    // Sent when the stream and its place are gone.
                    let _gone = gone;
                    wire.farewell().await;
                });
            }
            Event::Dial(id, address) => {
                let connector = self.setup.connector.clone();
                let failed = Err(io::Error::other("the connector panicked"));
                let failed = Note::Dialed(self.epoch, id, failed);
                let (epoch, report) = (self.epoch, Report(self.notes.clone(), Some(failed)));
                let dialing = tokio::spawn(async move {
                    let stream = connector.connect(address).await;
                    report.instead(Note::Dialed(epoch, id, stream));
                });
                let at = ConnId::Link(id);
                let wire = Wire::dialing(at, &self.ready, dialing.abort_handle());
                self.wires.insert(at, wire);
            }
            Event::Ask(ticket, ask) => self.ask(ticket, ask),
            other => tracing::error!(event = ?other, "the driver cannot do this"),
        }
    }

    fn ask(&self, ticket: u64, ask: Ask) {
        let performer: Option<Performer> = self.setup.performers.get(&*ask.service).cloned();
        let nothing = Note::Answered(self.epoch, ticket, Vec::new());
        let (epoch, report) = (self.epoch, Report(self.notes.clone(), Some(nothing)));
        let Some(perform) = performer else {
            tracing::warn!(service = %ask.service, "a filter asks for an unknown service");
            return; // The report says nothing was found.
        };
        tokio::spawn(async move {
            let answer = perform(ask.data).await;
            report.instead(Note::Answered(epoch, ticket, answer));
        });
    }

    fn flush(&mut self) {
        let mut dirty = mem::replace(&mut self.dirty, mem::take(&mut self.spare));
        for at in dirty.drain(..) {
            let Self { machine, wires, io, now, broken: false, .. } = self else { break };
            let Some(wire) = wires.get_mut(&at) else { continue };
            wire.queued = false;
            // It waits for its waker.
            if wire.blocked {
                continue;
            }
            let mut count = |n, full| {
                io.writes += n;
                io.blocked += u64::from(full);
            };
            let wrote =
                catch_unwind(AssertUnwindSafe(|| wire.write(&mut **machine, *now, &mut count)));
            match wrote {
                Ok(Wrote::All) => {}
                Ok(Wrote::Full) => wire.blocked = true,
                Ok(Wrote::Enough) => {
                    wire.queued = true;
                    self.rest.push(at);
                }
                Ok(Wrote::Failed) => self.lose(at, Lost::Closed),
                Err(panic) => self.panicked(&*panic),
            }
        }
        dirty.clear();
        self.spare = dirty;
    }

    /// Replaces a machine that panicked.
    fn mend(&mut self) {
        if !self.broken {
            return;
        }
        for (_, wire) in self.wires.drain() {
            wire.over();
        }
        self.dirty.clear();
        self.rest.clear();
        self.epoch += 1;
        self.io.restarts += 1;
        // A factory that panics is the worker's panic.
        let fresh = (self.setup.factory)(self.setup.index, next_seed(self.kept));
        let old = mem::replace(&mut self.machine, fresh);
        // What panicked once may do so again when dropped.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(old)));
        self.broken = false;
        self.catch_up();
        assert!(!self.broken, "the new engine of {} panicked", self.setup.name);
    }

    /// Looks at the deadlines with a fresh clock, and says when the next one is.
    fn timeouts(&mut self) -> Option<Time> {
        self.now = self.setup.clock.now();
        let due = self.look(|m, now| {
            let due = m.next_timeout().is_some_and(|at| at <= now);
            if due {
                m.timeouts(now);
            }
            due
        });
        if due == Some(true) {
            self.stirred = true;
            self.turn();
        }
        self.look(|m, _| m.next_timeout()).flatten()
    }

    /// Whether it drains and nothing is left: no session, closing ones included, and nothing to be
    /// written.
    fn idle(&mut self) -> bool {
        if !self.kept.draining || self.setup.balance.count(self.setup.index) > 0 {
            return false;
        }
        let ids: Vec<ConnId> = self.wires.keys().copied().collect();
        self.look(|m, _| {
            m.sessions() == 0 && ids.iter().all(|id| m.out(*id).is_none_or(Chain::is_empty))
        })
        .unwrap_or(false)
    }
}

fn next_seed(kept: &mut Kept) -> u64 {
    kept.seeds = kept.seeds.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mix(kept.seeds)
}
