//! A router inside a host program's own tokio runtime: the host brings the streams, opens the links
//! and hears the numbers. No socket is listened on, and no thread is started but those that write
//! what filters record.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use heptad_config::{Model, Problem};
use heptad_engine::{Peer, Plan};
use heptad_net::{
    Collected, Connect, Performer, Service, ServiceConfig,
    host::{NoRuntime, Session, Sockets},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::JoinHandle,
};

use crate::{
    BuildError, Builder, Heptad, Process, Registry, Totals,
    outlets::Outlets,
    render,
    running::{PATIENCE, POLL, WRITE},
    setup::{Setup, attach, attach_built, sum},
};

/// What is told the numbers.
type Sink = Box<dyn FnMut(&[Totals]) + Send>;

/// What a host gives its router. Unless told, links are sockets and nobody hears the numbers.
#[must_use]
#[non_exhaustive]
pub struct Host {
    connector: Arc<dyn Connect>,
    sink: Option<(Duration, Sink)>,
    performers: HashMap<String, Performer>,
}

impl Default for Host {
    fn default() -> Self {
        Self { connector: Arc::new(Sockets::default()), sink: None, performers: HashMap::new() }
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("metrics", &self.sink.is_some()).finish_non_exhaustive()
    }
}

impl Host {
    /// How links to endpoints are opened: a function from an address to a stream, see [`Connect`].
    pub fn connector(mut self, connector: impl Connect) -> Self {
        self.connector = Arc::new(connector);
        self
    }

    /// Has `sink` told what each listener counted since the start: every so often, and once more
    /// at the beginning of [`Hosted::stop`]. It is called in a task, and must not block.
    pub fn metrics(
        mut self,
        every: Duration,
        sink: impl FnMut(&[Totals]) + Send + 'static,
    ) -> Self {
        self.sink = Some((every, Box::new(sink)));
        self
    }

    /// Who performs what filters ask for under this name.
    pub fn performer(mut self, name: impl Into<String>, performer: Performer) -> Self {
        self.performers.insert(name.into(), performer);
        self
    }
}

/// Why a router could not be started in a host's runtime.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// What was built in code makes no sense.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The model does not fit the registry's plugins.
    #[error("line {}: {}", .0.span.line, .0.message)]
    Model(Problem),
    /// The caller is in no tokio runtime.
    #[error(transparent)]
    Runtime(#[from] NoRuntime),
    /// There is no thread for what filters record.
    #[error("no thread to write records: {0}")]
    Thread(std::io::Error),
}

/// A router in its host's runtime. Clones are handles to the same one; it stops at once when the
/// last handle is dropped, those of [`Streams`] included.
#[derive(Clone, Debug)]
pub struct Hosted(Arc<Inner>);

struct Inner {
    streams: Vec<Streams>,
    outlets: Arc<Outlets>,
    last: Mutex<BTreeMap<(Arc<str>, usize), Collected>>,
    sink: tokio::sync::Mutex<Option<Sink>>,
    ticking: Mutex<Option<JoinHandle<()>>>,
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hosted").field("streams", &self.streams).finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(ticking) = lock(&self.ticking).take() {
            ticking.abort();
        }
    }
}

/// What serves streams in one codec, with the routes and filters of one listener.
#[derive(Clone)]
pub struct Streams {
    codec: Arc<str>,
    plan: Arc<Plan>,
    service: Service,
    /// Filters record as long as somebody serves.
    _outlets: Arc<Outlets>,
}

impl fmt::Debug for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streams").field("listener", self.service.name()).finish_non_exhaustive()
    }
}

impl Streams {
    /// Serves a client until its end. May be called on any thread; see [`Service::serve_stream`].
    pub fn serve_stream(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + 'static,
        peer: Peer,
    ) -> Session {
        self.service.serve_stream(stream, peer)
    }

    /// Its sessions, those on their way out included.
    pub fn sessions(&self) -> usize {
        self.service.sessions()
    }
}

impl Heptad {
    /// Starts what a model says in the caller's runtime, which must have time enabled. Addresses of
    /// its listeners are not listened on.
    pub fn host(registry: &Registry, model: &Model, host: Host) -> Result<Hosted, HostError> {
        let setup = Setup::of_model(registry, model).map_err(HostError::Model)?;
        let outlets = Outlets::default();
        for (listener, part) in model.listeners.iter().zip(&setup.parts) {
            attach(&outlets, listener, &part.plan).map_err(HostError::Model)?;
        }
        launch(setup, host, outlets)
    }
}

impl Builder {
    /// Starts the router in the caller's runtime, which must have time enabled. Its listeners need
    /// no addresses, and addresses of endpoints are whatever the host's connector understands.
    pub fn host(self, host: Host) -> Result<Hosted, HostError> {
        let setup = self.compile(false)?;
        let outlets = Outlets::default();
        for part in &setup.parts {
            attach_built(&outlets, &part.name, &part.plan)?;
        }
        launch(setup, host, outlets)
    }
}

fn launch(setup: Setup, host: Host, outlets: Outlets) -> Result<Hosted, HostError> {
    let workers = setup.workers();
    let outlets = Arc::new(outlets);
    let mut streams = Vec::new();
    for part in &setup.parts {
        let mut config = ServiceConfig::new(part.name.as_str(), part.factory())
            .workers(workers)
            .connector(host.connector.clone());
        config.performers = setup.performers.clone();
        config.performers.extend(host.performers.clone());
        streams.push(Streams {
            codec: part.codec.as_str().into(),
            plan: part.plan.clone(),
            service: Service::start(config)?,
            _outlets: outlets.clone(),
        });
    }
    if let Some(first) = streams.first() {
        // Clocks of several services differ by the moment between their starts.
        outlets.start(Arc::new(first.service.clock())).map_err(HostError::Thread)?;
    }
    let (every, sink) = host.sink.map_or((None, None), |(every, sink)| (Some(every), Some(sink)));
    let hosted = Hosted(Arc::new(Inner {
        streams,
        outlets,
        last: Mutex::default(),
        sink: tokio::sync::Mutex::new(sink),
        ticking: Mutex::default(),
    }));
    if let Some(every) = every {
        // The task must not keep its router alive.
        let weak = Arc::downgrade(&hosted.0);
        let ticking = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(every.max(Duration::from_millis(1)));
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            ticks.tick().await; // The first one is at once.
            loop {
                ticks.tick().await;
                let Some(inner) = weak.upgrade() else { return };
                Hosted(inner).tell().await;
            }
        });
        *lock(&hosted.0.ticking) = Some(ticking);
    }
    Ok(hosted)
}

impl Hosted {
    /// What serves the streams of the listener with this name.
    pub fn listener(&self, name: &str) -> Option<&Streams> {
        self.0.streams.iter().find(|streams| **streams.service.name() == *name)
    }

    /// What each listener counted, summed over its workers.
    pub async fn collect(&self) -> Vec<Totals> {
        for streams in &self.0.streams {
            for one in streams.service.collect(PATIENCE).await {
                lock(&self.0.last).insert((one.listener.clone(), one.worker), one);
            }
        }
        let last = lock(&self.0.last);
        let sum =
            |one: &Streams| sum(one.service.name(), &one.codec, Some(&one.plan), last.values());
        self.0.streams.iter().map(sum).collect()
    }

    /// What Prometheus scrapes: see [`render`].
    pub async fn metrics_text(&self) -> String {
        render(&self.collect().await, &Process::read())
    }

    async fn tell(&self) {
        if let Some(sink) = &mut *self.0.sink.lock().await {
            sink(&self.collect().await);
        }
    }

    /// Stops: new streams are dropped, sessions end as their protocol can, and those left after
    /// `grace` are cut off; says how many that were. Before any of that the sink is told once more.
    pub async fn stop(&self, grace: Duration) -> usize {
        if let Some(ticking) = lock(&self.0.ticking).take() {
            ticking.abort();
        }
        self.tell().await;
        let stops: Vec<_> = self
            .0
            .streams
            .iter()
            .map(|streams| {
                let service = streams.service.clone();
                tokio::spawn(async move { service.stop(grace).await.cut_off })
            })
            .collect();
        let mut cut_off = 0;
        for stop in stops {
            cut_off += stop.await.unwrap_or(0);
        }
        self.0.outlets.stop();
        let written = async {
            while !self.0.outlets.stopped() {
                tokio::time::sleep(POLL).await;
            }
        };
        if tokio::time::timeout(WRITE, written).await.is_err() {
            tracing::error!("records could not be written in time and are lost");
        }
        cut_off
    }

    /// Stops at once: all streams are dropped.
    pub fn halt(&self) {
        self.0.streams.iter().for_each(|streams| streams.service.halt());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // What is in there is replaced as a whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
