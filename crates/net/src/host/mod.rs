//! Machines inside a host program's own runtime: streams come from the host, links are opened by
//! its connector, and no thread is started.
//!
//! # Why there are two drivers
//!
//! [`Driver`](crate::Driver) has threads of its own, each with a runtime whose tasks stay where they
//! are; its connections are tasks that share cells, and its writes are plain system calls on sockets.
//! A host's runtime moves tasks between threads, so all of that would need locks on the way of each
//! request. Here one *task* owns a worker's machine and all of its streams, and polls those that are
//! ready; the only lock is the one around the list of ready streams, which their wakers fill.
//! What the two have in common (clock, balance of sessions, how an out-buffer becomes one vectored
//! write, counters, performers) is one code; the way of a byte is two, so that neither pays for what
//! only the other needs.
//!
//! # The turn
//!
//! It is the same: read everything that is ready, perform the machine's events, write each
//! connection once, look at the deadlines. No scheduler is trusted with it. A task that has read
//! something goes to the back of its runtime's queue once, so that streams which became ready
//! together with the first are read too, and only then ends its turn.

mod connect;
mod ready;
mod task;
mod wire;

use std::{
    collections::HashMap,
    fmt,
    future::Future,
    hash::{BuildHasher, RandomState},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use heptad_core::Time;
use heptad_engine::{Peer, Plan};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    runtime::Handle,
    sync::{
        mpsc::{UnboundedSender, unbounded_channel},
        oneshot, watch,
    },
    time::Instant,
};

pub use connect::{BoxStream, Connect, Duplex, Sockets};

use crate::{
    balance::Balance,
    clock::Clock,
    driver::{Collected, Ended, Factory, Performer, Stopped},
};
use task::{Command, Setup};

/// What is served, by how many tasks, and how its links are opened.
#[derive(Clone)]
#[non_exhaustive]
pub struct ServiceConfig {
    /// The name in logs and in [`Service::collect`].
    pub name: Arc<str>,
    /// Tasks, each with a machine of its own; at least 1.
    pub workers: usize,
    /// Makes the machines.
    pub factory: Factory,
    /// Opens links.
    pub connector: Arc<dyn Connect>,
    /// Who performs what filters ask for, by name.
    pub performers: HashMap<String, Performer>,
    /// Where all seeds come from; `None`: from the system.
    pub seed: Option<u64>,
}

impl ServiceConfig {
    /// One task, and sockets as links.
    pub fn new(name: impl Into<Arc<str>>, factory: Factory) -> Self {
        Self {
            name: name.into(),
            workers: 1,
            factory,
            connector: Arc::new(Sockets::default()),
            performers: HashMap::new(),
            seed: None,
        }
    }

    /// Sets [`ServiceConfig::workers`].
    pub fn workers(mut self, n: usize) -> Self {
        self.workers = n.max(1);
        self
    }

    /// Sets [`ServiceConfig::connector`].
    pub fn connector(mut self, connector: Arc<dyn Connect>) -> Self {
        self.connector = connector;
        self
    }

    /// Adds a performer.
    pub fn performer(mut self, name: impl Into<String>, performer: Performer) -> Self {
        self.performers.insert(name.into(), performer);
        self
    }

    /// Sets [`ServiceConfig::seed`].
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }
}

impl fmt::Debug for ServiceConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceConfig")
            .field("name", &self.name)
            .field("workers", &self.workers)
            .finish_non_exhaustive()
    }
}

/// There is no tokio runtime here on which tasks could be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[error("a service is started inside of a tokio runtime")]
pub struct NoRuntime;

/// Machines at work in the host's runtime. Clones are handles to the same ones; when the last one
/// is dropped they stop at once.
#[derive(Clone)]
pub struct Service(Arc<Inner>);

struct Inner {
    name: Arc<str>,
    clock: Clock,
    balance: Arc<Balance>,
    /// By worker.
    commands: Vec<UnboundedSender<Command>>,
    /// Where the next search for a place begins.
    next: AtomicUsize,
    stopping: AtomicBool,
    ended: watch::Receiver<usize>,
    cut_off: AtomicUsize,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("name", &self.0.name).finish_non_exhaustive()
    }
}

impl Service {
    /// Starts the tasks on the runtime of the caller, which must have its time driver enabled.
    pub fn start(config: ServiceConfig) -> Result<Self, NoRuntime> {
        let runtime = Handle::try_current().map_err(|_| NoRuntime)?;
        let workers = config.workers.max(1);
        let clock = Clock::new();
        let balance = Balance::new(workers);
        let seed = config.seed.unwrap_or_else(|| RandomState::new().hash_one("seed"));
        let performers = Arc::new(config.performers);
        let (count, ended) = watch::channel(0);
        let count = Arc::new(count);
        let mut senders = Vec::with_capacity(workers);
        for index in 0..workers {
            let (sender, commands) = unbounded_channel();
            senders.push(sender);
            let setup = Setup {
                name: config.name.clone(),
                index,
                clock,
                seed,
                factory: config.factory.clone(),
                connector: config.connector.clone(),
                performers: performers.clone(),
                balance: balance.clone(),
            };
            let ended = Ended(count.clone());
            // The task ends its turns by itself, so that it needs nobody else's budget.
            runtime.spawn(tokio::task::unconstrained(async move {
                let _ended = ended;
                task::main(setup, commands).await;
            }));
        }
        Ok(Self(Arc::new(Inner {
            name: config.name,
            clock,
            balance,
            commands: senders,
            next: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
            ended,
            cut_off: AtomicUsize::new(0),
        })))
    }

    /// Serves a client until its end. May be called on any thread.
    ///
    /// The stream is read and written in the order of its readiness only; a wrapper that buffers
    /// writes is flushed at the end of each turn, and shut down before it is dropped. A stream that
    /// is not read for back-pressure cannot tell that it broke.
    pub fn serve_stream(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + 'static,
        peer: Peer,
    ) -> Session {
        let (over, session) = oneshot::channel();
        if !self.0.stopping.load(Ordering::Relaxed) {
            let me = self.0.next.fetch_add(1, Ordering::Relaxed) % self.0.commands.len().max(1);
            let place = self.0.balance.place(me);
            if let Some(to) = self.0.commands.get(place.worker()) {
                // A worker that is gone drops the stream.
                let _ = to.send(Command::Serve(Box::pin(stream), peer, place, over));
            }
        }
        Session(session)
    }

    /// Its name.
    pub fn name(&self) -> &Arc<str> {
        &self.0.name
    }

    /// The clock that all workers read.
    pub fn clock(&self) -> impl Fn() -> Time + Send + Sync + 'static {
        let clock = self.0.clock;
        move || clock.now()
    }

    /// Sessions, those on their way out included.
    pub fn sessions(&self) -> usize {
        self.0.balance.total()
    }

    /// Asks every worker for what its machine counted; those that do not answer in time are left
    /// out.
    pub async fn collect(&self, within: Duration) -> Vec<Collected> {
        let asked: Vec<_> = self
            .0
            .commands
            .iter()
            .map(|to| {
                let (answer, row) = oneshot::channel();
                // A worker that is gone drops the question, which is its answer.
                let _ = to.send(Command::Collect(answer));
                row
            })
            .collect();
        let deadline = Instant::now() + within;
        let mut all = Vec::new();
        for (worker, row) in asked.into_iter().enumerate() {
            let Ok(Ok(row)) = tokio::time::timeout_at(deadline, row).await else { continue };
            let (listener, stats) = (self.0.name.clone(), row.stats);
            all.push(Collected { listener, worker, stats, endpoints: row.endpoints, io: row.io });
        }
        all
    }

    /// Gives all machines a new plan.
    pub fn swap(&self, plan: &Arc<Plan>) {
        self.tell(|| Command::Swap(plan.clone()));
    }

    fn tell(&self, command: impl Fn() -> Command) {
        for to in &self.0.commands {
            // One that is gone needs not be told.
            let _ = to.send(command());
        }
    }

    /// Stops gracefully: new streams are dropped, sessions end as their protocol can, and what is
    /// left after `within` is cut off.
    pub async fn stop(&self, within: Duration) -> Stopped {
        self.0.stopping.store(true, Ordering::Relaxed);
        self.tell(|| Command::Drain);
        let workers = self.0.commands.len();
        let mut ended = self.0.ended.clone();
        if tokio::time::timeout(within, ended.wait_for(|n| *n >= workers)).await.is_err() {
            self.halt();
            // Now it is a matter of milliseconds, unless a machine never returns.
            let end = ended.wait_for(|n| *n >= workers);
            if tokio::time::timeout(Duration::from_secs(5), end).await.is_err() {
                tracing::error!(service = %self.0.name, "workers do not end");
            }
        }
        Stopped { cut_off: self.0.cut_off.load(Ordering::Relaxed) }
    }

    /// Stops at once: all streams are dropped. A [`Service::stop`] under way returns.
    pub fn halt(&self) {
        self.0.stopping.store(true, Ordering::Relaxed);
        self.0.cut_off.fetch_max(self.sessions(), Ordering::Relaxed);
        self.tell(|| Command::Stop);
    }
}

/// Ready once a stream's session is over and the stream was dropped. Dropping it ends nothing.
#[derive(Debug)]
pub struct Session(oneshot::Receiver<()>);

impl Future for Session {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // Said or dropped: over is over.
        Pin::new(&mut self.0).poll(cx).map(drop)
    }
}
