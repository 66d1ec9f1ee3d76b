//! Where filters' records go: a thread for each file or collector, which reads the feeds that lead
//! there.
//!
//! An outlet is shared by all feeds with its service and target: those of several listeners, and
//! those of a configuration and the next one. It ends when its last feed has, or with the router;
//! in both cases what was recorded is written first. Nothing here is on a request's way.

mod file;
mod http;

use std::{
    collections::HashMap,
    fmt, io,
    sync::{
        Arc, Mutex, OnceLock, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use heptad_core::{Feed, Time, Wall};

/// Reads the driver's clock.
pub(crate) type Clock = Arc<dyn Fn() -> Time + Send + Sync>;

/// A performer of feeds: what an outlet's thread does with records.
trait Sink: Send {
    /// How long a record may wait for company.
    fn pause(&self) -> Duration;
    /// Takes the records of a feed that were read at once, rendered, and how many they are.
    fn take(&mut self, feed: &Arc<Feed>, rendered: &[u8], records: u64, last: &dyn Fn() -> bool);
    /// Begins anew, because an operator has moved a file away.
    fn reopen(&mut self) {}
}

/// Rendered bytes after which a batch is handed on before more is rendered.
const BATCH: usize = 256 << 10;
/// How long a router that is dropped waits for what is still to be written.
const LAST_WAIT: Duration = Duration::from_secs(1);
const LAST_NAP: Duration = Duration::from_millis(1);
/// How far the wall clock may be from where it should be before it is believed.
const DRIFT: u64 = 10_000_000;

/// All outlets of a router.
#[derive(Default)]
pub(crate) struct Outlets(Arc<Shared>);

#[derive(Default)]
struct Shared {
    clock: OnceLock<Clock>,
    open: Mutex<HashMap<Key, Arc<Outlet>>>,
    /// All threads that were started and may still be at work.
    threads: Mutex<Vec<JoinHandle<()>>>,
    stopping: AtomicBool,
}

/// Service and target.
type Key = (Box<str>, Box<str>);

struct Outlet {
    feeds: Mutex<Vec<Arc<Feed>>>,
    /// Until its thread is started.
    sink: Mutex<Option<Box<dyn Sink>>>,
    thread: OnceLock<thread::Thread>,
    reopen: AtomicBool,
}

impl fmt::Debug for Outlets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(lock(&self.0.open).keys()).finish()
    }
}

impl Drop for Outlets {
    /// The workers are gone by now; what they recorded last is worth a short wait.
    fn drop(&mut self) {
        self.stop();
        let mut left = LAST_WAIT;
        while !self.stopped() && !left.is_zero() {
            thread::sleep(LAST_NAP);
            left = left.saturating_sub(LAST_NAP);
        }
    }
}

impl Outlets {
    /// Opens where a feed leads, unless it is open. An error is the operator's to solve, and names
    /// the target.
    pub(crate) fn attach(&self, feed: &Arc<Feed>) -> Result<(), String> {
        let key = (feed.service().into(), feed.target().into());
        let mut open = lock(&self.0.open);
        let outlet = match open.get(&key) {
            Some(outlet) => outlet.clone(),
            None => {
                let outlet = Arc::new(Outlet {
                    feeds: Mutex::default(),
                    sink: Mutex::new(Some(sink(&key)?)),
                    thread: OnceLock::new(),
                    reopen: AtomicBool::new(false),
                });
                open.insert(key.clone(), outlet.clone());
                outlet
            }
        };
        lock(&outlet.feeds).push(feed.clone());
        let woken = Arc::downgrade(&outlet);
        feed.on_pressure(move || {
            if let Some(outlet) = woken.upgrade() {
                outlet.wake();
            }
        });
        drop(open);
        if self.0.clock.get().is_some() {
            self.run(key, &outlet).map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// The clock is known: reads the feeds that are attached, and those that will be.
    pub(crate) fn start(&self, clock: Clock) -> io::Result<()> {
        // Called once.
        let _ = self.0.clock.set(clock);
        let open: Vec<_> = lock(&self.0.open).iter().map(|(k, o)| (k.clone(), o.clone())).collect();
        open.into_iter().try_for_each(|(key, outlet)| self.run(key, &outlet))
    }

    fn run(&self, key: Key, outlet: &Arc<Outlet>) -> io::Result<()> {
        let (Some(sink), Some(clock)) = (lock(&outlet.sink).take(), self.0.clock.get()) else {
            return Ok(());
        };
        let reader = Reader {
            key,
            outlet: outlet.clone(),
            // A thread must not keep alive what stops it when it is dropped.
            shared: Arc::downgrade(&self.0),
            clock: clock.clone(),
            sink,
            wall: None,
        };
        let thread = thread::Builder::new().name("heptad-records".into());
        let thread = thread.spawn(move || reader.run())?;
        // Called once, by whoever took the sink.
        let _ = outlet.thread.set(thread.thread().clone());
        let mut threads = lock(&self.0.threads);
        threads.retain(|thread| !thread.is_finished());
        threads.push(thread);
        Ok(())
    }

    /// Has every file opened anew, for whoever has renamed it. What was recorded before goes to the
    /// old one.
    pub(crate) fn reopen(&self) {
        for outlet in lock(&self.0.open).values() {
            outlet.reopen.store(true, Ordering::Release);
            outlet.wake();
        }
    }

    /// Has everything written that was recorded, and ends all threads.
    pub(crate) fn stop(&self) {
        self.0.stopping.store(true, Ordering::Release);
        for outlet in lock(&self.0.open).values() {
            outlet.wake();
        }
    }

    /// Whether all threads have ended.
    pub(crate) fn stopped(&self) -> bool {
        lock(&self.0.threads).iter().all(JoinHandle::is_finished)
    }
}

impl Outlet {
    fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }
}

/// The thread of one outlet.
struct Reader {
    key: Key,
    outlet: Arc<Outlet>,
    shared: Weak<Shared>,
    clock: Clock,
    sink: Box<dyn Sink>,
    wall: Option<Wall>,
}

impl Reader {
    fn run(mut self) {
        // Memory that is not used costs nothing.
        let (mut scratch, mut rendered) = (Vec::new(), Vec::with_capacity(BATCH + BATCH / 4));
        let mut feeds = Vec::new();
        loop {
            // Looked at before reading: what was recorded before is read below.
            let stopping = self.stopping();
            let reopen = self.outlet.reopen.swap(false, Ordering::AcqRel);
            self.pair();
            feeds.extend(lock(&self.outlet.feeds).iter().cloned());
            let mut over = Vec::new();
            for feed in feeds.drain(..) {
                // This list's handle is not one of those that keep a feed alive.
                lock(&self.outlet.feeds).retain(|other| !Arc::ptr_eq(other, &feed));
                let more = self.drain(&feed, &mut scratch, &mut rendered);
                if more {
                    lock(&self.outlet.feeds).push(feed);
                } else {
                    over.push(feed);
                }
            }
            drop(over);
            if reopen {
                self.sink.reopen();
            }
            if stopping || self.leave() {
                return;
            }
            thread::park_timeout(self.sink.pause());
        }
    }

    fn stopping(&self) -> bool {
        self.shared.upgrade().is_none_or(|shared| shared.stopping.load(Ordering::Acquire))
    }

    /// Takes all of a feed's records; whether more can come.
    fn drain(&mut self, feed: &Arc<Feed>, scratch: &mut Vec<u8>, rendered: &mut Vec<u8>) -> bool {
        rendered.clear();
        let mut records = 0;
        let wall = self.wall.unwrap_or_default();
        let (sink, shared) = (&mut self.sink, &self.shared);
        let last = || shared.upgrade().is_none_or(|shared| shared.stopping.load(Ordering::Acquire));
        let more = feed.read(scratch, &mut |record| {
            feed.render().record(record, wall, rendered);
            records += 1;
            if rendered.len() >= BATCH {
                sink.take(feed, rendered, records, &last);
                rendered.clear();
                records = 0;
            }
        });
        if records > 0 {
            sink.take(feed, rendered, records, &last);
        }
        more
    }

    /// Ends, unless feeds are left or one was attached meanwhile.
    fn leave(&self) -> bool {
        if !lock(&self.outlet.feeds).is_empty() {
            return false;
        }
        let Some(shared) = self.shared.upgrade() else {
            return true;
        };
        // Who attaches holds this lock.
        let mut open = lock(&shared.open);
        let empty = lock(&self.outlet.feeds).is_empty();
        if empty {
            open.remove(&self.key);
        }
        empty
    }

    /// Pairs the wall clock with the driver's, and again only once it was set: nothing else makes
    /// the two differ by much.
    #[allow(clippy::disallowed_methods, reason = "not on a request's way; lines show the date")]
    fn pair(&mut self) {
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let fresh = Wall::pair((self.clock)(), u64::try_from(nanos).unwrap_or(u64::MAX));
        match self.wall {
            Some(wall) if wall.origin.abs_diff(fresh.origin) <= DRIFT => {}
            _ => self.wall = Some(fresh),
        }
    }
}

fn sink(key: &Key) -> Result<Box<dyn Sink>, String> {
    let (service, target) = key;
    match &**service {
        heptad_filters::FILE => Ok(Box::new(file::File::open(target)?)),
        heptad_filters::OTLP => Ok(Box::new(http::Post::new(target)?)),
        other => Err(format!("nothing performs {other}")),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Lists and single values: a panic elsewhere cannot have left half of one.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
