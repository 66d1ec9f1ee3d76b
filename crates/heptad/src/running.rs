//! A running router: started from a model, looked at, reloaded, stopped. Everything here happens on
//! the threads of whoever asks; none of it is on a request's way.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use heptad_config::{Listener, Model, Problem};
use heptad_engine::{Plan, Tap};
use heptad_net::{Collected, Driver, DriverConfig, ListenerConfig};
use serde::Serialize;

use crate::{
    BuildError, Builder, Process, Registry, Totals,
    compile::compile,
    outlets::Outlets,
    render,
    setup::{Part, Setup, attach, attach_built, sum},
    tap::{TapError, TapOptions, Tapping},
};

/// Starts routers.
#[derive(Debug)]
#[non_exhaustive]
pub struct Heptad {}

/// A handle to a running router. Clones are handles to the same one. It runs until
/// [`Running::stop`] is called or the process ends.
#[derive(Clone, Debug)]
pub struct Running(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    driver: Driver,
    listeners: Vec<ListenerInfo>,
    /// As it was started: what only a restart changes is as it says there.
    started: Arc<Model>,
    model: Mutex<Arc<Model>>,
    /// By listener: the plan that was handed out last.
    plans: Mutex<BTreeMap<String, Arc<Plan>>>,
    /// By listener.
    taps: BTreeMap<String, Arc<Tap>>,
    /// Below the driver, so that what the workers recorded last is still written.
    outlets: Outlets,
    draining: AtomicBool,
    /// What each worker of each listener said last: one that is too busy to answer must not make
    /// counters go back.
    last: Mutex<BTreeMap<(Arc<str>, usize), Collected>>,
}

/// Where one listener listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ListenerInfo {
    /// Its name.
    pub name: String,
    /// Its codec's name.
    pub codec: String,
    /// `ip:port` or `unix:/path`, with the real port if the configuration says 0.
    pub address: String,
}

/// One endpoint as all workers of a listener see it together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct EndpointTotals {
    /// Name of its cluster.
    pub cluster: String,
    /// Its address.
    pub address: String,
    /// The listener whose workers these are.
    pub listener: String,
    /// Links open or being dialed.
    pub links: usize,
    /// Requests in flight.
    pub in_flight: usize,
    /// Requests waiting for a link.
    pub waiting: usize,
    /// Some worker could not connect lately and waits before it tries again.
    pub backing_off: bool,
}

/// Why a router could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// What was built in code makes no sense.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The model does not fit the registry's plugins.
    #[error("line {}: {}", .0.span.line, .0.message)]
    Model(Problem),
    /// The system did not let it start.
    #[error(transparent)]
    Driver(#[from] heptad_net::StartError),
    /// There is no thread for what filters record.
    #[error("no thread to write records: {0}")]
    Thread(std::io::Error),
}

/// How long what filters recorded may take to be written at the end.
pub(crate) const WRITE: Duration = Duration::from_secs(6);
pub(crate) const POLL: Duration = Duration::from_millis(2);
/// How long a worker may take to say what it counted.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

impl Heptad {
    /// Does everything that a start does before it asks the system for anything.
    pub fn check(registry: &Registry, model: &Model) -> Result<(), Problem> {
        model.listeners.iter().try_for_each(|one| compile(registry, model, one).map(drop))
    }

    /// Starts a router on threads of its own, and returns once it accepts connections.
    pub fn start(registry: &Registry, model: Model) -> Result<Running, StartError> {
        let setup = Setup::of_model(registry, &model).map_err(StartError::Model)?;
        let outlets = Outlets::default();
        for (listener, part) in model.listeners.iter().zip(&setup.parts) {
            attach(&outlets, listener, &part.plan).map_err(StartError::Model)?;
        }
        launch(setup, model, outlets)
    }

    /// A router written as code instead of a file; [`Builder::start`] starts it.
    pub fn build() -> Builder {
        Builder::default()
    }
}

impl Builder {
    /// Starts the router on threads of its own, and returns once it accepts connections. Its
    /// [`Running::model`] is empty, because there was no file.
    pub fn start(self) -> Result<Running, StartError> {
        let setup = self.compile(true)?;
        let outlets = Outlets::default();
        for part in &setup.parts {
            attach_built(&outlets, &part.name, &part.plan)?;
        }
        launch(setup, Model::none(), outlets)
    }
}

fn launch(mut setup: Setup, model: Model, outlets: Outlets) -> Result<Running, StartError> {
    let workers = setup.workers();
    let mut taps = BTreeMap::new();
    for part in &mut setup.parts {
        let tap = Arc::<Tap>::default();
        set_tap(&mut part.plan, &tap);
        taps.insert(part.name.clone(), tap);
    }
    let listen =
        |part: &Part| ListenerConfig::new(&*part.name, part.listen.as_str(), part.factory());
    let mut config = DriverConfig::new(workers, setup.parts.iter().map(listen).collect());
    config.performers = setup.performers;
    config.moderation = setup.moderation;
    let driver = Driver::start(config)?;
    outlets.start(Arc::new(driver.clock())).map_err(StartError::Thread)?;
    let listeners = driver
        .listeners()
        .zip(&setup.parts)
        .map(|((name, bound), part)| ListenerInfo {
            name: name.to_string(),
            codec: part.codec.clone(),
            address: bound.to_string(),
        })
        .collect();
    let plans = setup.parts.into_iter().map(|part| (part.name, part.plan)).collect();
    let started = Arc::new(model);
    Ok(Running(Arc::new(Inner {
        driver,
        listeners,
        model: Mutex::new(started.clone()),
        started,
        plans: Mutex::new(plans),
        taps,
        outlets,
        draining: AtomicBool::new(false),
        last: Mutex::default(),
    })))
}

impl Running {
    /// Whether it takes new work: every worker listens, and nobody has told it to stop.
    pub fn ready(&self) -> bool {
        !self.0.draining.load(Ordering::Relaxed) && self.0.driver.up()
    }

    /// Where it listens, in the order of the configuration.
    pub fn listeners(&self) -> impl Iterator<Item = &ListenerInfo> {
        self.0.listeners.iter()
    }

    /// The configuration that was loaded last. What [`Running::reload`] said to need a restart is
    /// not in use.
    pub fn model(&self) -> Arc<Model> {
        lock(&self.0.model).clone()
    }

    /// What each listener counted, summed over its workers. Needs a tokio runtime with time.
    pub async fn collect(&self) -> Vec<Totals> {
        let collected = self.ask().await;
        let plans = lock(&self.0.plans).clone();
        self.listeners()
            .map(|listener| {
                let plan = plans.get(&listener.name).map(|plan| &**plan);
                sum(&listener.name, &listener.codec, plan, &collected)
            })
            .collect()
    }

    /// Every endpoint of every listener, summed over its workers. Needs a tokio runtime with time.
    pub async fn endpoints(&self) -> Vec<EndpointTotals> {
        let mut rows = BTreeMap::<_, EndpointTotals>::new();
        for one in self.ask().await {
            for row in &one.endpoints {
                let key = [&row.cluster, &row.address, &one.listener].map(|name| name.to_string());
                let mine = rows.entry(key).or_default();
                mine.links += row.links;
                mine.in_flight += row.in_flight;
                mine.waiting += row.waiting;
                mine.backing_off |= row.backing_off;
            }
        }
        rows.into_iter()
            .map(|([cluster, address, listener], row)| EndpointTotals {
                cluster,
                address,
                listener,
                ..row
            })
            .collect()
    }

    /// What Prometheus scrapes: see [`render`]. Needs a tokio runtime with time.
    pub async fn metrics_text(&self) -> String {
        render(&self.collect().await, &Process::read())
    }

    /// Puts another configuration into use without losing a connection: routes, clusters, limits
    /// and filters of the listeners that both have. Returns what cannot be changed in a running
    /// router, one line each; those things stay as they are. After an error nothing has changed.
    pub fn reload(&self, registry: &Registry, model: Model) -> Result<Vec<String>, Problem> {
        // Held to the end, so that two reloads do not mix.
        let mut current = lock(&self.0.model);
        let started = &self.0.started;
        let mut restarts = Vec::new();
        let mut plans = Vec::new();
        for new in &model.listeners {
            let old = started.listeners.iter().find(|old| old.name == new.name);
            let Some(old) = old else {
                restarts.push(format!("listener {}: it is new", new.name));
                continue;
            };
            let compiled = compile(registry, &model, new)?;
            let names = |one: &Listener| -> Vec<String> {
                one.also.iter().map(|(name, _)| name.clone()).collect()
            };
            if old.codec != new.codec || names(old) != names(new) {
                restarts.push(format!("listener {}: its codec has changed", new.name));
                continue;
            }
            if old.listen != new.listen {
                restarts.push(format!("listener {}: its address has changed", new.name));
            }
            if options(old) != options(new) {
                restarts.push(format!("listener {}: its codec's options have changed", new.name));
            }
            plans.push((new, compiled.plan));
        }
        for info in self.listeners() {
            if !model.listeners.iter().any(|new| new.name == info.name) {
                restarts.push(format!("listener {}: it is gone from the file", info.name));
            }
        }
        if started.workers != model.workers {
            restarts.push("workers: the number has changed".to_owned());
        }
        if started.moderation != model.moderation {
            restarts.push("moderation: it was switched".to_owned());
        }
        if started.admin != model.admin {
            restarts.push("admin: its address has changed".to_owned());
        }
        for (listener, plan) in &plans {
            attach(&self.0.outlets, listener, plan)?;
        }
        for (listener, plan) in plans {
            let mut plan = plan;
            if let Some(tap) = self.0.taps.get(&listener.name) {
                set_tap(&mut plan, tap);
            }
            self.0.driver.swap(&listener.name, &plan);
            lock(&self.0.plans).insert(listener.name.clone(), plan);
        }
        *current = Arc::new(model);
        Ok(restarts)
    }

    /// [`Running::reload`] for routers built in code: routes, clusters, limits and filters of the
    /// listeners that both have. A codec's value is not looked at. Returns what cannot be changed
    /// in a running router; after an error nothing has changed.
    pub fn replace(&self, builder: Builder) -> Result<Vec<String>, BuildError> {
        // Held to the end, so that two of these do not mix.
        let _current = lock(&self.0.model);
        let setup = builder.compile(true)?;
        let mut restarts = Vec::new();
        let mut plans = Vec::new();
        for part in setup.parts {
            match self.listeners().find(|info| info.name == part.name) {
                None => restarts.push(format!("listener {}: it is new", part.name)),
                Some(info) if info.codec != part.codec => {
                    restarts.push(format!("listener {}: its codec has changed", part.name));
                }
                Some(_) => plans.push((part.name, part.plan)),
            }
        }
        for (listener, plan) in &plans {
            attach_built(&self.0.outlets, listener, plan)?;
        }
        for (listener, plan) in plans {
            let mut plan = plan;
            if let Some(tap) = self.0.taps.get(&listener) {
                set_tap(&mut plan, tap);
            }
            self.0.driver.swap(&listener, &plan);
            lock(&self.0.plans).insert(listener, plan);
        }
        Ok(restarts)
    }

    /// Stops: no more connections, sessions end as their protocol can, and those left after `grace`
    /// are cut off; says how many that were. Needs a tokio runtime with time.
    pub async fn stop(&self, grace: Duration) -> usize {
        self.0.draining.store(true, Ordering::Relaxed);
        let left = |sessions| tracing::info!(sessions, "draining");
        let cut_off = self.0.driver.stop(grace, left).await.cut_off;
        // No worker is left that could record anything.
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

    /// Opens the files that filters write to anew, for whoever has renamed them: what is recorded
    /// from now on is in new files. Returns before that is done.
    pub fn reopen(&self) {
        self.0.outlets.reopen();
    }

    /// Stops at once: all connections are cut off.
    pub fn halt(&self) {
        self.0.draining.store(true, Ordering::Relaxed);
        self.0.driver.halt();
    }

    /// Opens the tap of a listener; see [`Tapping`]. There is one for each listener.
    pub fn tap(&self, listener: &str, wanted: TapOptions) -> Result<Tapping, TapError> {
        let name = listener.to_owned();
        let tap = self.0.taps.get(listener).ok_or(TapError::NoListener { name })?;
        Tapping::open(tap.clone(), wanted, Arc::new(self.0.driver.clock()))
    }

    /// What the admin server may show of requests and replies, as the router was started.
    pub fn tap_policy(&self) -> heptad_config::TapPolicy {
        self.0.started.admin.as_ref().map_or_else(Default::default, |admin| admin.tap)
    }

    async fn ask(&self) -> Vec<Collected> {
        let fresh = self.0.driver.collect(PATIENCE).await;
        let mut last = lock(&self.0.last);
        for one in fresh {
            last.insert((one.listener.clone(), one.worker), one);
        }
        last.values().cloned().collect()
    }
}

/// Gives a plan that nobody else has yet the tap of its listener.
fn set_tap(plan: &mut Arc<Plan>, tap: &Arc<Tap>) {
    if let Some(plan) = Arc::get_mut(plan) {
        plan.tap = Some(tap.clone());
        plan.also.iter_mut().for_each(|plan| set_tap(plan, tap));
    }
}

fn options(listener: &Listener) -> Vec<Option<serde_json::Value>> {
    let also = listener.also.iter().map(|(_, options)| options);
    let all = std::iter::once(&listener.codec_options).chain(also);
    all.map(|options| options.as_ref().map(heptad_config::Node::to_json)).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // What is in there is replaced as a whole, so a panic elsewhere cannot have left half of it.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
