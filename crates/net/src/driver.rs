//! The outside of this crate: starts workers, tells them things and stops them. It runs on the
//! caller's threads and is on no request's way.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    fmt,
    future::Future,
    hash::{BuildHasher, RandomState},
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc as std_mpsc,
    },
    thread,
    time::Duration,
};

use heptad_core::Time;
use heptad_engine::{EndpointRow, Machine, Plan, Stats};
use tokio::sync::{
    mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    oneshot, watch,
};

use crate::{
    balance::Balance,
    clock::Clock,
    listen::{BadListen, Bound, SocketFile, bind},
    seat::{Io, Role},
    worker::{self, Command, Setup},
};

/// Makes a listener's machine for one worker (its number, and all the randomness it ever gets), on
/// that worker's thread. It is called again should the machine panic.
pub type Factory = Arc<dyn Fn(usize, u64) -> Box<dyn Machine> + Send + Sync>;

/// Performs what filters ask for under one name. The future runs on a worker's thread: it must not
/// block. A panic is an empty answer.
pub type Performer =
    Arc<dyn Fn(Vec<u8>) -> Pin<Box<dyn Future<Output = Vec<u8>> + Send>> + Send + Sync>;

/// How many workers, and what they serve.
#[derive(Clone)]
#[non_exhaustive]
pub struct DriverConfig {
    /// Threads; at least 1.
    pub workers: usize,
    /// Whether workers make pauses of about 0.1 ms where clients and servers keep them waiting and
    /// several requests and replies come together in one: less work for each request, here and at
    /// both ends, for as much more latency. Clients that wait for each reply before they go on feel
    /// it if they are few.
    pub moderation: bool,
    /// What is listened on, in the order of [`Driver::listeners`].
    pub listeners: Vec<ListenerConfig>,
    /// Who performs what filters ask for, by name. What nobody performs is answered with nothing.
    pub performers: HashMap<String, Performer>,
    /// Where all seeds come from; `None`: from the system.
    pub seed: Option<u64>,
}

impl DriverConfig {
    /// Workers that serve listeners.
    pub fn new(workers: usize, listeners: Vec<ListenerConfig>) -> Self {
        Self {
            workers: workers.max(1),
            moderation: false,
            listeners,
            performers: HashMap::new(),
            seed: None,
        }
    }

    /// Adds a performer.
    pub fn performer(mut self, name: impl Into<String>, performer: Performer) -> Self {
        self.performers.insert(name.into(), performer);
        self
    }

    /// Sets [`DriverConfig::seed`].
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }
}

impl fmt::Debug for DriverConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DriverConfig")
            .field("workers", &self.workers)
            .field("moderation", &self.moderation)
            .field("listeners", &self.listeners)
            .finish_non_exhaustive()
    }
}

/// One listener.
#[derive(Clone)]
#[non_exhaustive]
pub struct ListenerConfig {
    /// Its name in logs, errors and [`Driver::collect`].
    pub name: Arc<str>,
    /// Where: `ip:port`, `[v6]:port` or `unix:/path`.
    pub listen: String,
    /// Makes its machines.
    pub factory: Factory,
}

impl ListenerConfig {
    /// A listener.
    pub fn new(name: impl Into<Arc<str>>, listen: impl Into<String>, factory: Factory) -> Self {
        Self { name: name.into(), listen: listen.into(), factory }
    }
}

impl fmt::Debug for ListenerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListenerConfig")
            .field("name", &self.name)
            .field("listen", &self.listen)
            .finish_non_exhaustive()
    }
}

/// Why nothing was started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A listener's address cannot be read.
    #[error("listener {listener}: {source}")]
    Listen {
        /// Its name.
        listener: Arc<str>,
        /// What is wrong with the address.
        source: BadListen,
    },
    /// A listener's address cannot be had.
    #[error("listener {listener}: cannot listen on {address}: {source}")]
    Bind {
        /// Its name.
        listener: Arc<str>,
        /// The address as configured.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// A worker's thread could not begin its work.
    #[error("worker {worker}: {why}")]
    Worker {
        /// Its number.
        worker: usize,
        /// Why.
        why: String,
    },
}

/// What one machine counted.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Collected {
    /// The listener's name.
    pub listener: Arc<str>,
    /// The worker's number.
    pub worker: usize,
    /// The machine's counters. They begin anew if it panicked, see [`Io::restarts`].
    pub stats: Stats,
    /// The machine's endpoints.
    pub endpoints: Vec<EndpointRow>,
    /// What was done with its sockets.
    pub io: Io,
}

/// How a stop went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stopped {
    /// Sessions that were still open and have been cut off.
    pub cut_off: usize,
}

struct Thread {
    commands: UnboundedSender<Command>,
    thread: Option<thread::JoinHandle<()>>,
    up: Arc<AtomicBool>,
}

struct Listener {
    name: Arc<str>,
    bound: Bound,
    balance: Arc<Balance>,
}

/// Workers at work. Dropping it stops them at once.
pub struct Driver {
    clock: Clock,
    threads: Vec<Thread>,
    listeners: Vec<Listener>,
    files: Mutex<Vec<SocketFile>>,
    /// How many threads have ended.
    ended: watch::Receiver<usize>,
    /// Sessions there were when the end was made short.
    cut_off: AtomicUsize,
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").field("workers", &self.threads.len()).finish_non_exhaustive()
    }
}

/// Counts a thread's end, however it ends.
pub(crate) struct Ended(pub(crate) Arc<watch::Sender<usize>>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.send_modify(|n| *n += 1);
    }
}

impl Driver {
    /// Binds all listeners, starts all workers and returns once they accept connections.
    pub fn start(config: DriverConfig) -> Result<Self, StartError> {
        let workers = config.workers.max(1);
        let mut listeners = Vec::new();
        let mut files = Vec::new();
        let mut roles = Vec::new();
        let mut sockets: Vec<Vec<_>> = (0..workers).map(|_| Vec::new()).collect();
        for ListenerConfig { name, listen, factory } in config.listeners {
            let address = listen
                .parse()
                .map_err(|source| StartError::Listen { listener: name.clone(), source })?;
            let bound = bind(&address, workers).map_err(|source| StartError::Bind {
                listener: name.clone(),
                address: listen,
                source,
            })?;
            for (of_worker, socket) in sockets.iter_mut().zip(bound.by_worker) {
                of_worker.push(socket);
            }
            let balance = Balance::new(workers);
            roles.push(Role { name: name.clone(), factory, balance: balance.clone() });
            files.extend(bound.file);
            listeners.push(Listener { name, bound: bound.bound, balance });
        }

        let clock = Clock::new();
        let seed = config.seed.unwrap_or_else(|| RandomState::new().hash_one("seed"));
        let performers = Arc::new(config.performers);
        let (peers, receivers): (Vec<_>, Vec<_>) =
            (0..workers).map(|_| unbounded_channel::<Command>()).unzip();
        let (count, ended) = watch::channel(0);
        let count = Arc::new(count);
        let mut driver = Self {
            clock,
            threads: Vec::new(),
            listeners,
            files: Mutex::new(files),
            ended,
            cut_off: AtomicUsize::new(0),
        };
        let mut starts = Vec::new();
        for (index, (sockets, commands)) in sockets.into_iter().zip(receivers).enumerate() {
            let up = Arc::new(AtomicBool::new(false));
            let plans = roles.iter().map(|_| None).collect();
            let setup = Setup {
                index,
                clock,
                moderation: config.moderation,
                seed,
                roles: roles.clone(),
                sockets: RefCell::new(sockets),
                plans: RefCell::new(plans),
                performers: performers.clone(),
                peers: peers.clone(),
                draining: Cell::new(false),
                up: up.clone(),
            };
            let (ready, started) = std_mpsc::channel();
            let ended = Ended(count.clone());
            let thread = spawn(setup, commands, ready, ended)
                .map_err(|error| StartError::Worker { worker: index, why: error.to_string() })?;
            let commands = peers.get(index).cloned();
            driver.threads.extend(commands.map(|commands| Thread {
                commands,
                thread: Some(thread),
                up,
            }));
            starts.push(started);
        }
        for (worker, started) in starts.into_iter().enumerate() {
            let started = started.recv().unwrap_or_else(|_| Err("the thread is gone".to_owned()));
            started.map_err(|why| StartError::Worker { worker, why })?;
        }
        Ok(driver)
    }

    /// The listeners in the order configured: their names and where they really listen.
    pub fn listeners(&self) -> impl Iterator<Item = (&Arc<str>, &Bound)> {
        self.listeners.iter().map(|l| (&l.name, &l.bound))
    }

    /// The clock that all workers read, for whoever has to tell when something was.
    pub fn clock(&self) -> impl Fn() -> Time + Send + Sync + 'static {
        let clock = self.clock;
        move || clock.now()
    }

    /// How many workers there are.
    pub fn workers(&self) -> usize {
        self.threads.len()
    }

    /// Whether every worker is at work. One that panicked is down for a moment.
    pub fn up(&self) -> bool {
        self.threads.iter().all(|t| t.up.load(Ordering::Relaxed))
    }

    /// Sessions of all listeners and workers, those on their way out included.
    pub fn sessions(&self) -> usize {
        self.listeners.iter().map(|l| l.balance.total()).sum()
    }

    /// Sessions of one listener, by worker.
    pub fn sessions_by_worker(&self, listener: &str) -> Vec<usize> {
        let Some(found) = self.listeners.iter().find(|l| *l.name == *listener) else {
            return Vec::new();
        };
        (0..self.threads.len()).map(|worker| found.balance.count(worker)).collect()
    }

    /// Asks every worker for what its machines counted; merges nothing. Workers that do not answer
    /// in time are left out. Needs a tokio runtime with time.
    pub async fn collect(&self, within: Duration) -> Vec<Collected> {
        let asked: Vec<_> = self
            .threads
            .iter()
            .map(|t| {
                let (answer, rows) = oneshot::channel();
                // A worker that is gone drops the question, which is its answer.
                let _ = t.commands.send(Command::Collect(answer));
                rows
            })
            .collect();
        let mut all = Vec::new();
        let deadline = tokio::time::Instant::now() + within;
        for (worker, rows) in asked.into_iter().enumerate() {
            let Ok(Ok(rows)) = tokio::time::timeout_at(deadline, rows).await else { continue };
            all.extend(rows.into_iter().filter_map(|row| {
                let listener = self.listeners.get(row.listener)?.name.clone();
                let (stats, endpoints, io) = (row.stats, row.endpoints, row.io);
                Some(Collected { listener, worker, stats, endpoints, io })
            }));
        }
        all
    }

    /// [`Driver::collect`] for callers without a runtime.
    pub fn collect_blocking(&self, within: Duration) -> io::Result<Vec<Collected>> {
        Ok(small_runtime()?.block_on(self.collect(within)))
    }

    /// Gives all machines of a listener a new plan; false if there is no such listener. What is
    /// collected after that is counted under the new plan.
    pub fn swap(&self, listener: &str, plan: &Arc<Plan>) -> bool {
        let Some(index) = self.listeners.iter().position(|l| *l.name == *listener) else {
            return false;
        };
        self.tell(|| Command::Swap(index, plan.clone()));
        true
    }

    fn tell(&self, command: impl Fn() -> Command) {
        for thread in &self.threads {
            // One that is gone needs not be told.
            let _ = thread.commands.send(command());
        }
    }

    /// Stops gracefully: no more connections, sessions end as their protocol can, and what is left
    /// after `within` is cut off. `progress` is told each second how many sessions are left. Needs
    /// a tokio runtime with time.
    pub async fn stop(&self, within: Duration, mut progress: impl FnMut(usize)) -> Stopped {
        const SECOND: Duration = Duration::from_secs(1);
        self.files.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.tell(|| Command::Drain);
        let start = tokio::time::Instant::now();
        let mut seconds = tokio::time::interval_at(start + SECOND, SECOND);
        let mut ended = self.ended.clone();
        let deadline = tokio::time::sleep_until(start + within);
        tokio::pin!(deadline);
        let mut late = false;
        loop {
            tokio::select! {
                biased;
                _ = ended.wait_for(|n| *n >= self.threads.len()) => break,
                () = &mut deadline => {
                    if late {
                        tracing::error!("workers do not end");
                        break;
                    }
                    late = true;
                    self.halt();
                    // Now it is a matter of milliseconds, unless a machine never returns.
                    deadline.as_mut().reset(tokio::time::Instant::now() + 5 * SECOND);
                }
                _ = seconds.tick() => progress(self.sessions()),
            }
        }
        Stopped { cut_off: self.cut_off.load(Ordering::Relaxed) }
    }

    /// [`Driver::stop`] for callers without a runtime.
    pub fn stop_blocking(
        &self,
        within: Duration,
        progress: impl FnMut(usize),
    ) -> io::Result<Stopped> {
        Ok(small_runtime()?.block_on(self.stop(within, progress)))
    }

    /// Stops at once: all connections are closed. A [`Driver::stop`] under way returns.
    pub fn halt(&self) {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.cut_off.fetch_max(self.sessions(), Ordering::Relaxed);
        self.tell(|| Command::Stop);
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.halt();
        for thread in self.threads.iter_mut().filter_map(|t| t.thread.take()) {
            // A performer may own its driver.
            if thread.thread().id() != thread::current().id() && thread.join().is_err() {
                tracing::error!("a worker's thread panicked");
            }
        }
    }
}

fn spawn(
    setup: Setup,
    mut commands: UnboundedReceiver<Command>,
    ready: std_mpsc::Sender<Result<(), String>>,
    ended: Ended,
) -> io::Result<thread::JoinHandle<()>> {
    thread::Builder::new().name(format!("worker-{}", setup.index)).spawn(move || {
        let _ended = ended;
        worker::main(&setup, &mut commands, ready);
    })
}

fn small_runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_time().build()
}
