//! One listener's machine inside one worker, with its connections: the only place that calls the
//! machine. A panic in there costs the connections of this seat and nothing else.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
    sync::Arc,
};

use foldhash::fast::RandomState;
use heptad_core::{Ask, Time};
use heptad_engine::{ConnId, Event, LinkId, Lost, Machine, Peer, Plan};

use crate::{
    balance::{Balance, Place},
    conn::{self, Conn},
    driver::{Factory, Performer},
    flush::{self, Wrote},
    stream::Stream,
    worker::Worker,
};

/// Rounds of events and writes in one turn: what a write lets happen is done in the same turn, but
/// the sockets are not kept waiting for ever.
pub(crate) const ROUNDS: usize = 4;

/// What one seat did with its sockets so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Io {
    /// Reads that brought bytes.
    pub reads: u64,
    /// Write calls, whatever came of them.
    pub writes: u64,
    /// Write calls that found the socket full.
    pub blocked: u64,
    /// Turns in which something happened.
    pub turns: u64,
    /// Connections accepted, for this worker or another.
    pub accepted: u64,
    /// Connections that were handed to another worker.
    pub handed_over: u64,
    /// How often the machine panicked and was replaced.
    pub restarts: u64,
}

/// How a listener is served, the same for all workers and for a seat that is made anew.
#[derive(Clone)]
pub(crate) struct Role {
    pub(crate) name: Arc<str>,
    pub(crate) factory: Factory,
    pub(crate) balance: Arc<Balance>,
}

pub(crate) struct Seat {
    pub(crate) role: Role,
    /// Which listener this is, counted as in the configuration.
    pub(crate) index: usize,
    pub(crate) worker: Rc<Worker>,
    machine: RefCell<Box<dyn Machine>>,
    conns: RefCell<HashMap<ConnId, Rc<Conn>, RandomState>>,
    /// Connections to write in this turn, and the list of the turn before for its memory.
    dirty: RefCell<Vec<Rc<Conn>>>,
    spare: RefCell<Vec<Rc<Conn>>>,
    /// Those that have more to be written, in the next turn.
    rest: RefCell<Vec<Rc<Conn>>>,
    /// Something was told to the machine since its events were taken.
    stirred: Cell<bool>,
    /// The machine panicked and must not be called again.
    broken: Cell<bool>,
    /// Counts machines, so that what was asked by one is not answered to the next.
    epoch: Cell<u64>,
    /// The plan that was swapped in last.
    plan: RefCell<Option<Arc<Plan>>>,
    pub(crate) io: Cell<Io>,
}

impl Seat {
    pub(crate) fn new(
        role: Role,
        index: usize,
        worker: Rc<Worker>,
        plan: Option<Arc<Plan>>,
    ) -> Self {
        let machine = (role.factory)(worker.index, worker.seed());
        let seat = Self {
            role,
            index,
            worker,
            machine: RefCell::new(machine),
            conns: RefCell::default(),
            dirty: RefCell::default(),
            spare: RefCell::default(),
            rest: RefCell::default(),
            stirred: Cell::new(true),
            broken: Cell::new(false),
            epoch: Cell::new(0),
            plan: RefCell::default(),
            io: Cell::default(),
        };
        if let Some(plan) = plan {
            seat.swap(plan);
        }
        if seat.worker.draining.get() {
            seat.drain();
        }
        seat
    }

    pub(crate) fn count(&self, add: impl FnOnce(&mut Io)) {
        let mut io = self.io.get();
        add(&mut io);
        self.io.set(io);
    }

    /// Calls the machine. `None` if it panicked, now or before: its connections are about to go.
    pub(crate) fn look<R>(&self, f: impl FnOnce(&mut dyn Machine, Time) -> R) -> Option<R> {
        if self.broken.get() {
            return None;
        }
        let now = self.worker.now();
        let mut machine = self.machine.borrow_mut();
        match catch_unwind(AssertUnwindSafe(|| f(&mut **machine, now))) {
            Ok(r) => Some(r),
            Err(panic) => {
                let what = panic_text(&*panic);
                tracing::error!(
                    listener = %self.role.name,
                    worker = self.worker.index,
                    what,
                    "the engine panicked; its connections are closed and it starts afresh"
                );
                self.broken.set(true);
                self.stir();
                None
            }
        }
    }

    /// Tells the machine something; its events are taken when this turn ends.
    pub(crate) fn tell<R>(&self, f: impl FnOnce(&mut dyn Machine, Time) -> R) -> Option<R> {
        self.stir();
        self.look(f)
    }

    /// Has the turn look at this seat.
    pub(crate) fn stir(&self) {
        self.stirred.set(true);
        self.worker.wake();
    }

    /// A client's connection begins here.
    pub(crate) fn admit(self: &Rc<Self>, stream: Stream, peer: Peer, place: Place) {
        let Some(Some(id)) = self.tell(|m, now| m.open_session(now, peer)) else {
            return;
        };
        let (read, write) = stream.split();
        let conn = Conn::new(ConnId::Session(id));
        conn.connected(write);
        self.conns.borrow_mut().insert(conn.id, conn.clone());
        let seat = self.clone();
        tokio::task::spawn_local(async move {
            conn::session(&seat, &conn, id, read).await;
            drop(place);
            // A worker that drains counts places.
            seat.worker.wake();
        });
    }

    /// The connection is gone, and the machine is told so unless it said so itself.
    pub(crate) fn lose(&self, conn: &Rc<Conn>, why: Lost) {
        if conn.end() {
            self.conns.borrow_mut().remove(&conn.id);
            self.tell(|m, now| match conn.id {
                ConnId::Session(id) => m.session_lost(now, id),
                ConnId::Link(id) => m.link_lost(now, id, why),
            });
        }
    }

    /// Has the connection written in this turn.
    pub(crate) fn queue(&self, conn: &Rc<Conn>) {
        self.enqueue(conn);
        self.stir();
    }

    /// The same, within the turn.
    fn enqueue(&self, conn: &Rc<Conn>) {
        if !conn.queued.replace(true) {
            self.dirty.borrow_mut().push(conn.clone());
        }
        self.stirred.set(true);
    }

    /// Performs what the machine wants and writes to clients and to links that nobody else uses; how
    /// many other connections to endpoints are left to be written.
    pub(crate) fn answer(self: &Rc<Self>) -> usize {
        if !self.stirred.get() {
            return 0;
        }
        self.mend();
        self.perform_all();
        self.flush(false);
        if self.broken.get() { 0 } else { self.dirty.borrow().len() }
    }

    fn perform_all(self: &Rc<Self>) {
        while let Some(Some(event)) = self.look(|m, _| m.poll_event()) {
            self.perform(event);
        }
    }

    /// Performs what the machine wants and writes each dirty connection once.
    pub(crate) fn turn(self: &Rc<Self>) {
        if !self.stirred.replace(false) {
            return;
        }
        self.count(|io| io.turns += 1);
        let done = self.rounds();
        let mut rest = self.rest.borrow_mut();
        if !done || !rest.is_empty() {
            // More to do, but the sockets first.
            self.dirty.borrow_mut().append(&mut rest);
            self.stir();
        }
    }

    /// Whether there is nothing more to perform.
    fn rounds(self: &Rc<Self>) -> bool {
        for _ in 0..ROUNDS {
            self.mend();
            self.perform_all();
            if self.dirty.borrow().is_empty() {
                if self.broken.get() {
                    continue;
                }
                self.stirred.set(false);
                return true;
            }
            self.flush(true);
        }
        false
    }

    fn perform(self: &Rc<Self>, event: Event) {
        match event {
            Event::Write(id) => {
                if let Some(conn) = self.find(id) {
                    self.enqueue(&conn);
                }
            }
            Event::Close(id) => {
                let conn = self.conns.borrow_mut().remove(&id);
                if let Some(conn) = conn {
                    conn.end();
                }
            }
            Event::Read(id) => {
                if let Some(conn) = self.find(ConnId::Session(id)) {
                    conn.wake();
                }
            }
            Event::Dial(id, address) => self.dial(id, address),
            Event::Ask(ticket, ask) => self.ask(ticket, ask),
            other => tracing::error!(event = ?other, "the driver cannot do this"),
        }
    }

    fn find(&self, id: ConnId) -> Option<Rc<Conn>> {
        self.conns.borrow().get(&id).cloned()
    }

    fn dial(self: &Rc<Self>, id: LinkId, address: Arc<str>) {
        let conn = Conn::new(ConnId::Link(id));
        self.conns.borrow_mut().insert(conn.id, conn.clone());
        let seat = self.clone();
        tokio::task::spawn_local(async move { conn::link(&seat, &conn, id, &address).await });
    }

    fn ask(self: &Rc<Self>, ticket: u64, ask: Ask) {
        let performer: Option<Performer> = self.worker.performers.get(&*ask.service).cloned();
        let (seat, epoch) = (self.clone(), self.epoch.get());
        tokio::task::spawn_local(async move {
            let answer = match performer {
                // In a task of its own, so that its panic is an empty answer.
                Some(perform) => {
                    let work = async move { perform(ask.data).await };
                    tokio::task::spawn_local(work).await.unwrap_or_default()
                }
                None => {
                    tracing::warn!(service = %ask.service, "a filter asks for an unknown service");
                    Vec::new()
                }
            };
            if seat.epoch.get() == epoch {
                seat.tell(|m, now| m.resumed(now, ticket, &answer));
            }
        });
    }

    /// Writes to connections that are to be written; to those that may gather more only if told.
    fn flush(&self, all: bool) {
        let mut dirty = self.dirty.replace(self.spare.take());
        for conn in dirty.drain(..) {
            if !all
                && let ConnId::Link(id) = conn.id
                && self.look(|m, _| m.gathers(id)).unwrap_or(true)
            {
                self.dirty.borrow_mut().push(conn);
                continue;
            }
            conn.queued.set(false);
            if conn.ended() {
                continue;
            }
            let wrote = self.look(|m, now| {
                flush::write(m, now, &conn, &mut |n, full| {
                    self.count(|io| {
                        io.writes += n;
                        io.blocked += u64::from(full);
                    });
                })
            });
            match wrote {
                Some(Wrote::All) => {}
                // Its task waits until the socket takes more.
                Some(Wrote::Full) => {
                    conn.blocked.set(true);
                    conn.wake();
                }
                Some(Wrote::Enough) => {
                    conn.queued.set(true);
                    self.rest.borrow_mut().push(conn);
                }
                Some(Wrote::Failed) => self.lose(&conn, Lost::Closed),
                None => break,
            }
        }
        dirty.clear();
        self.spare.replace(dirty);
    }

    /// Replaces a machine that panicked.
    fn mend(self: &Rc<Self>) {
        if !self.broken.get() {
            return;
        }
        for (_, conn) in self.conns.borrow_mut().drain() {
            conn.end();
        }
        self.dirty.borrow_mut().clear();
        self.rest.borrow_mut().clear();
        self.epoch.set(self.epoch.get() + 1);
        self.count(|io| io.restarts += 1);
        // A factory that panics is the worker's panic.
        let fresh = (self.role.factory)(self.worker.index, self.worker.seed());
        let old = self.machine.replace(fresh);
        // What panicked once may do so again when dropped.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(old)));
        self.broken.set(false);
        let plan = self.plan.borrow().clone();
        if let Some(plan) = plan {
            self.swap(plan);
        }
        if self.worker.draining.get() {
            self.drain();
        }
        assert!(!self.broken.get(), "the new engine of {} panicked", self.role.name);
    }

    /// Looks at the deadlines if one has passed.
    pub(crate) fn timeouts(self: &Rc<Self>) {
        let due = self.look(|m, now| {
            let due = m.next_timeout().is_some_and(|at| at <= now);
            if due {
                m.timeouts(now);
            }
            due
        });
        if due == Some(true) {
            self.stirred.set(true);
            self.turn();
        }
    }

    pub(crate) fn next_timeout(&self) -> Option<Time> {
        self.look(|m, _| m.next_timeout()).flatten()
    }

    pub(crate) fn swap(&self, plan: Arc<Plan>) {
        self.plan.replace(Some(plan.clone()));
        self.tell(|m, now| m.swap(now, plan));
    }

    pub(crate) fn drain(&self) {
        self.tell(|m, now| m.drain(now));
    }

    /// Whether no session is left, closing ones included, and nothing waits to be written.
    pub(crate) fn idle(&self) -> bool {
        if self.role.balance.count(self.worker.index) > 0 {
            return false;
        }
        let conns = self.conns.borrow();
        self.look(|m, _| {
            let written =
                conns.keys().all(|id| m.out(*id).is_none_or(heptad_core::Chain::is_empty));
            m.sessions() == 0 && written
        })
        .unwrap_or(false)
    }
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(no text)")
}
