//! One thread: its runtime, its seats, its turn, and its life from start over panics to its end.
//! It accepts connections and obeys the driver's commands; it knows no connection by itself.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    io,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc as std_mpsc,
    },
    task::{Context, Waker},
    time::Duration,
};

use heptad_core::Time;
use heptad_engine::{EndpointRow, Peer, Plan, Stats};
use tokio::{
    runtime::{Builder, LocalOptions},
    sync::{
        Notify,
        mpsc::{UnboundedReceiver, UnboundedSender},
        oneshot,
    },
};

use crate::{
    balance::Place,
    clock::Clock,
    driver::Performer,
    flush::flusher,
    listen::{Acceptor, Socketed, transient},
    moderate::Moderation,
    seat::{Io, Role, Seat, panic_text},
    stream::Parcel,
};

/// The buffer into which all sockets of a worker are read.
pub(crate) const BUFFER: usize = 64 << 10;
/// Bytes read after which the turn ends early: what they led to is written before more is read.
pub(crate) const MUCH: usize = 256 << 10;
/// The first and the longest pause after an accept that failed, say for want of descriptors.
const ACCEPT_PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));
/// How long a worker that panicked stays down: long enough not to burn the processor.
pub(crate) const RESTART_PAUSE: Duration = Duration::from_millis(200);

/// What a worker is told.
pub(crate) enum Command {
    /// Serve a connection that another worker accepted for this listener.
    Adopt(usize, Parcel, Peer, Place),
    Swap(usize, Arc<Plan>),
    Collect(oneshot::Sender<Vec<Row>>),
    /// Accept no more, and end once no session is left.
    Drain,
    /// End now.
    Stop,
}

/// What one seat has to say for itself.
pub(crate) struct Row {
    pub(crate) listener: usize,
    pub(crate) stats: Stats,
    pub(crate) endpoints: Vec<EndpointRow>,
    pub(crate) io: Io,
}

/// All a worker's thread is given. It outlives the worker's panics.
pub(crate) struct Setup {
    pub(crate) index: usize,
    pub(crate) clock: Clock,
    pub(crate) moderation: bool,
    pub(crate) seed: u64,
    pub(crate) roles: Vec<Role>,
    /// By listener.
    pub(crate) sockets: RefCell<Vec<Option<Socketed>>>,
    /// By listener: what was swapped in.
    pub(crate) plans: RefCell<Vec<Option<Arc<Plan>>>>,
    pub(crate) performers: Arc<HashMap<String, Performer>>,
    /// To all workers, for connections handed over.
    pub(crate) peers: Vec<UnboundedSender<Command>>,
    pub(crate) draining: Cell<bool>,
    /// Whether the worker is at work.
    pub(crate) up: Arc<AtomicBool>,
}

/// What the seats of one worker share.
pub(crate) struct Worker {
    pub(crate) index: usize,
    pub(crate) clock: Clock,
    pub(crate) buffer: RefCell<Box<[u8]>>,
    pub(crate) performers: Arc<HashMap<String, Performer>>,
    pub(crate) draining: Cell<bool>,
    seats: RefCell<Vec<Rc<Seat>>>,
    seeds: Cell<u64>,
    /// The time of this turn, read when something was first told to a machine in it.
    time: Cell<Option<Time>>,
    /// Bytes read in this turn.
    taken: Cell<usize>,
    woken: Cell<bool>,
    flusher: RefCell<Option<Waker>>,
    done: Notify,
}

impl Worker {
    fn new(setup: &Setup) -> Rc<Self> {
        Rc::new(Self {
            index: setup.index,
            clock: setup.clock,
            buffer: RefCell::new(vec![0; BUFFER].into()),
            performers: setup.performers.clone(),
            draining: Cell::new(setup.draining.get()),
            seats: RefCell::default(),
            // Workers that are made anew go on with other numbers, as the time has gone on.
            seeds: Cell::new(setup.seed.wrapping_add(mix(setup.index as u64 + 1))),
            time: Cell::new(None),
            taken: Cell::new(0),
            woken: Cell::new(true),
            flusher: RefCell::new(None),
            done: Notify::new(),
        })
    }

    /// The next seed for a machine.
    pub(crate) fn seed(&self) -> u64 {
        self.seeds.set(self.seeds.get().wrapping_add(0x9e37_79b9_7f4a_7c15));
        mix(self.seeds.get())
    }

    /// The time, which stands still from the first input of a turn to its end.
    pub(crate) fn now(&self) -> Time {
        self.time.get().unwrap_or_else(|| self.clock.now())
    }

    fn hold_time(&self) {
        if self.time.get().is_none() {
            self.time.set(Some(self.clock.now()));
        }
    }

    /// Has the turn end, once all sockets that are ready were read.
    pub(crate) fn wake(&self) {
        self.hold_time();
        if !self.woken.replace(true)
            && let Some(flusher) = &*self.flusher.borrow()
        {
            flusher.wake_by_ref();
        }
    }

    /// For the flusher: whether it was woken since it asked last.
    pub(crate) fn woken(&self, cx: &Context<'_>) -> bool {
        let mut flusher = self.flusher.borrow_mut();
        match &*flusher {
            Some(waker) if waker.will_wake(cx.waker()) => {}
            _ => *flusher = Some(cx.waker().clone()),
        }
        self.woken.take()
    }

    /// Whether a turn has left something for the next.
    pub(crate) fn has_more(&self) -> bool {
        self.woken.get()
    }

    pub(crate) fn took(&self, bytes: usize) {
        self.taken.set(self.taken.get() + bytes);
    }

    /// Bytes that were read in this turn.
    pub(crate) fn taken(&self) -> usize {
        self.taken.get()
    }

    /// Ends the turn early if much was read in it.
    pub(crate) fn turn_if_much(&self) {
        if self.taken.get() >= MUCH {
            self.turn();
        }
    }

    /// Writes to clients; how many connections to endpoints are to be written.
    pub(crate) fn answer(&self) -> usize {
        self.seats.borrow().iter().map(Seat::answer).sum()
    }

    /// Whether something was told to a machine since this was asked last.
    pub(crate) fn told_more(&self) -> bool {
        self.woken.take()
    }

    /// Performs events and writes.
    pub(crate) fn turn(&self) {
        self.hold_time();
        self.taken.set(0);
        self.woken.set(false);
        for seat in &*self.seats.borrow() {
            seat.turn();
        }
    }

    /// Requests so far that were answered, by all machines of now.
    pub(crate) fn answered(&self) -> u64 {
        let seats = self.seats.borrow();
        seats.iter().filter_map(|seat| seat.look(|m, _| m.answered())).sum()
    }

    /// Looks at deadlines by a fresh time, and says when the next one is. Ends the turn.
    pub(crate) fn timeouts(&self, now: Time) -> Option<Time> {
        self.time.set(Some(now));
        let seats = self.seats.borrow();
        for seat in &*seats {
            seat.timeouts();
        }
        let next = seats.iter().filter_map(|s| s.next_timeout()).min();
        self.time.set(None);
        next
    }

    /// A worker that drains is done once nothing is left.
    pub(crate) fn finish_if_idle(&self) {
        if self.draining.get() && self.seats.borrow().iter().all(|s| s.idle()) {
            self.done.notify_one();
        }
    }

    fn drain(&self) {
        if !self.draining.replace(true) {
            for seat in &*self.seats.borrow() {
                seat.drain();
            }
        }
        self.wake();
    }

    fn seat(&self, listener: usize) -> Option<Rc<Seat>> {
        self.seats.borrow().get(listener).cloned()
    }

    fn rows(&self) -> Vec<Row> {
        let row = |seat: &Rc<Seat>| {
            let (stats, endpoints) = seat.look(|m, _| (m.collect(), m.endpoints()))?;
            Some(Row { listener: seat.index, stats, endpoints, io: seat.io.get() })
        };
        self.seats.borrow().iter().filter_map(row).collect()
    }
}

/// SplitMix64's finaliser.
pub(crate) const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The life of a worker's thread. `ready` is told once how the start went.
pub(crate) fn main(
    setup: &Setup,
    commands: &mut UnboundedReceiver<Command>,
    ready: std_mpsc::Sender<Result<(), String>>,
) {
    let mut ready = Some(ready);
    loop {
        let end = catch_unwind(AssertUnwindSafe(|| run(setup, commands, &mut ready)));
        setup.up.store(false, Ordering::Relaxed);
        let why = match end {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(panic) => panic_text(&*panic).to_owned(),
        };
        if let Some(ready) = ready.take() {
            // The driver that waits for it gives up on all workers.
            let _ = ready.send(Err(why));
            return;
        }
        tracing::error!(
            worker = setup.index,
            why,
            "the worker failed; its connections are closed and it starts afresh"
        );
        std::thread::sleep(RESTART_PAUSE);
    }
}

/// Breaks the circle of seats and worker, on whatever path.
struct Unseat(Rc<Worker>);

impl Drop for Unseat {
    fn drop(&mut self) {
        if let Ok(mut seats) = self.0.seats.try_borrow_mut() {
            seats.clear();
        }
    }
}

fn run(
    setup: &Setup,
    commands: &mut UnboundedReceiver<Command>,
    ready: &mut Option<std_mpsc::Sender<Result<(), String>>>,
) -> io::Result<()> {
    let runtime = Builder::new_current_thread()
        .enable_io()
        .enable_time()
        // Only names of endpoints are looked up there.
        .max_blocking_threads(8)
        .build_local(LocalOptions::default())?;
    let end = catch_unwind(AssertUnwindSafe(|| runtime.block_on(serve(setup, commands, ready))));
    // A look-up of a name must not hold up the end.
    runtime.shutdown_background();
    end.unwrap_or_else(|panic| resume_unwind(panic))
}

async fn serve(
    setup: &Setup,
    commands: &mut UnboundedReceiver<Command>,
    ready: &mut Option<std_mpsc::Sender<Result<(), String>>>,
) -> io::Result<()> {
    let worker = Worker::new(setup);
    let _unseat = Unseat(worker.clone());
    for (index, role) in setup.roles.iter().enumerate() {
        let plan = setup.plans.borrow().get(index).cloned().flatten();
        let seat = Rc::new(Seat::new(role.clone(), index, worker.clone(), plan));
        worker.seats.borrow_mut().push(seat);
    }
    let mut accepting = Vec::new();
    for (index, socket) in setup.sockets.borrow().iter().enumerate() {
        if let (Some(socket), Some(seat)) = (socket, worker.seat(index)) {
            let acceptor = socket.acceptor()?;
            let peers = setup.peers.clone();
            accepting.push(tokio::task::spawn_local(accept(seat, acceptor, peers)));
        }
    }
    let moderation = setup.moderation.then(Moderation::new);
    let mut flusher = tokio::task::spawn_local(flusher(worker.clone(), moderation));
    setup.up.store(true, Ordering::Relaxed);
    if let Some(ready) = ready.take() {
        let _ = ready.send(Ok(()));
    }
    loop {
        let command = tokio::select! {
            biased;
            () = worker.done.notified() => return Ok(()),
            end = &mut flusher => return failed(end),
            command = commands.recv() => command,
        };
        match command {
            Some(Command::Adopt(listener, parcel, peer, place)) => {
                // A socket that cannot be registered is closed: there are no descriptors left.
                if let (Some(seat), Ok(stream)) = (worker.seat(listener), parcel.unpack()) {
                    seat.admit(stream, peer, place);
                }
            }
            Some(Command::Swap(listener, plan)) => {
                if let Some(seat) = worker.seat(listener) {
                    if let Some(slot) = setup.plans.borrow_mut().get_mut(listener) {
                        *slot = Some(plan.clone());
                    }
                    seat.swap(plan);
                }
            }
            Some(Command::Collect(answer)) => {
                // Who asked may have given up.
                let _ = answer.send(worker.rows());
            }
            Some(Command::Drain) => {
                setup.draining.set(true);
                setup.sockets.borrow_mut().clear();
                accepting.drain(..).for_each(|task| task.abort());
                worker.drain();
            }
            Some(Command::Stop) | None => return Ok(()),
        }
    }
}

/// The flusher ends only by a panic, which is the worker's.
fn failed(end: Result<(), tokio::task::JoinError>) -> io::Result<()> {
    match end {
        Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
        _ => Ok(()),
    }
}

/// Accepts connections for ever, for this worker or another.
async fn accept(seat: Rc<Seat>, acceptor: Acceptor, peers: Vec<UnboundedSender<Command>>) {
    let mut pause = ACCEPT_PAUSE.0;
    loop {
        let (stream, peer) = match acceptor.accept().await {
            Ok(accepted) => accepted,
            Err(error) if transient(&error) => continue,
            Err(error) => {
                tracing::warn!(listener = %seat.role.name, %error, ?pause, "cannot accept");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(ACCEPT_PAUSE.1);
                continue;
            }
        };
        pause = ACCEPT_PAUSE.0;
        seat.count(|io| io.accepted += 1);
        let place = seat.role.balance.place(seat.worker.index);
        if place.worker() == seat.worker.index {
            seat.admit(stream, peer, place);
            continue;
        }
        // A socket that cannot be handed over is closed.
        if let (Some(to), Ok(parcel)) = (peers.get(place.worker()), stream.pack()) {
            seat.count(|io| io.handed_over += 1);
            let _ = to.send(Command::Adopt(seat.index, parcel, peer, place));
        }
    }
}
