//! A router written as code: clusters, routes and filters as values of the same types that a file
//! becomes, and no YAML. It says in a typed error what a file's reader would say with a line; it
//! starts nothing by itself.
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use heptad::{Heptad, build::{Cluster, Listener, Route}, core::Codec as _, redis::Redis};
//!
//! let running = Heptad::build()
//!     .cluster(Cluster::new("stores", ["10.0.0.1:6379", "10.0.0.2:6379"]))
//!     .listener(
//!         Listener::new("cache", Redis::new(&Default::default())?)
//!             .listen("127.0.0.1:6400")
//!             .route(Route::to("all", "stores")),
//!     )
//!     .start()?;
//! # Ok(()) }
//! ```

use std::{
    any::Any,
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use heptad_cluster::{Balance, BalanceError, Endpoint, KeyHash, Spec, Weighted};
use heptad_config::Address;
use heptad_core::{Attr, Codec, Filter, HeaderEdit, Outcome};
use heptad_engine::{Engine, Limits, Links, Plan, Target};
use heptad_net::Performer;
use heptad_route::{CompileError, Expr, Table};

use crate::{
    Machines,
    setup::{Part, Setup},
};

/// A router to be. See the [module](self) for an example.
#[derive(Clone, Default)]
#[must_use]
#[non_exhaustive]
pub struct Builder {
    workers: Option<usize>,
    moderation: bool,
    clusters: Vec<Cluster>,
    listeners: Vec<Listener>,
    performers: HashMap<String, Performer>,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("workers", &self.workers)
            .field("moderation", &self.moderation)
            .field("clusters", &self.clusters)
            .field("listeners", &self.listeners)
            .finish_non_exhaustive()
    }
}

impl Builder {
    /// How many workers, at least 1. Unless told: one for each core.
    pub fn workers(mut self, n: usize) -> Self {
        self.workers = Some(n.max(1));
        self
    }

    /// Whether workers make pauses, as [`heptad_net::DriverConfig::moderation`] says. They do not
    /// unless told, and never where the host brings the runtime ([`Builder::host`]).
    pub fn moderation(mut self, on: bool) -> Self {
        self.moderation = on;
        self
    }

    /// One more cluster.
    pub fn cluster(mut self, cluster: Cluster) -> Self {
        self.clusters.push(cluster);
        self
    }

    /// One more listener.
    pub fn listener(mut self, listener: Listener) -> Self {
        self.listeners.push(listener);
        self
    }

    /// Who performs what filters ask for under this name (see [`heptad_core::Verdict::Ask`]).
    pub fn performer(mut self, name: impl Into<String>, performer: Performer) -> Self {
        self.performers.insert(name.into(), performer);
        self
    }

    /// Checks everything that can be checked without a system. `dialed`: sockets are going to be
    /// listened on and dialed, so that addresses must be those of sockets.
    pub(crate) fn compile(self, dialed: bool) -> Result<Setup, BuildError> {
        if self.listeners.is_empty() {
            return Err(BuildError::NoListener);
        }
        let mut names = HashSet::new();
        for cluster in &self.clusters {
            if !names.insert(&cluster.name) {
                return Err(BuildError::SameCluster { cluster: cluster.name.clone() });
            }
            let good = |endpoint: &&Endpoint| endpoint.address.parse::<Address>().is_ok();
            if let Some(bad) = cluster.endpoints.iter().find(|e| dialed && !good(e)) {
                let (cluster, address) = (cluster.name.clone(), bad.address.clone());
                return Err(BuildError::Address { cluster, address });
            }
        }
        let mut names = HashSet::new();
        let mut parts = Vec::new();
        for listener in &self.listeners {
            if !names.insert(&listener.name) {
                return Err(BuildError::SameListener { listener: listener.name.clone() });
            }
            parts.push(listener.compile(&self.clusters, dialed)?);
        }
        Ok(Setup {
            workers: self.workers,
            moderation: self.moderation,
            parts,
            performers: self.performers,
        })
    }
}

/// A codec, what its requests pass, and where they go.
#[derive(Clone)]
#[must_use]
#[non_exhaustive]
pub struct Listener {
    name: String,
    codec: &'static str,
    /// Its name in metrics.
    protocol: String,
    machines: Machines,
    listen: Option<String>,
    filters: Vec<Arc<dyn Filter>>,
    routes: Vec<Route>,
    limits: Limits,
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener")
            .field("name", &self.name)
            .field("codec", &self.codec)
            .field("listen", &self.listen)
            .field("filters", &self.filters)
            .field("routes", &self.routes)
            .finish_non_exhaustive()
    }
}

impl Listener {
    /// A listener on which `codec` is spoken; see [`Codec::new`].
    pub fn new<C: Codec>(name: impl Into<String>, codec: C) -> Self {
        Self {
            name: name.into(),
            codec: C::NAME,
            protocol: codec.name().to_owned(),
            machines: Arc::new(move |plan, seed| Box::new(Engine::new(codec.clone(), plan, seed))),
            listen: None,
            filters: Vec::new(),
            routes: Vec::new(),
            limits: Limits::default(),
        }
    }

    /// Where it listens: `ip:port`, `[v6]:port` or `unix:/path`; port 0 takes a free one. Listeners
    /// of a router that serves streams of its host have no address.
    pub fn listen(mut self, address: impl Into<String>) -> Self {
        self.listen = Some(address.into());
        self
    }

    /// One more filter, behind the others.
    pub fn filter(mut self, filter: impl Filter) -> Self {
        self.filters.push(Arc::new(filter));
        self
    }

    /// One more route. The first one that matches counts.
    pub fn route(mut self, route: Route) -> Self {
        self.routes.push(route);
        self
    }

    /// Limits; those of a worker are for each worker.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    fn compile(&self, clusters: &[Cluster], dialed: bool) -> Result<Part, BuildError> {
        let listener = self.name.clone();
        let listen = match &self.listen {
            Some(address) => address.clone(),
            None if dialed => return Err(BuildError::NoAddress { listener }),
            None => String::new(),
        };
        if self.routes.is_empty() {
            return Err(BuildError::NoRoute { listener });
        }
        let mut marks = [
            ("soft_mark", self.limits.soft_mark, "hard_mark", self.limits.hard_mark),
            ("max_frame", self.limits.frames.max_frame as usize, "buffered", self.limits.buffered),
        ]
        .into_iter();
        if let Some((low, _, high, _)) = marks.find(|(_, low, _, high)| low > high) {
            return Err(BuildError::Limits { listener, low, high });
        }
        let mut places = Places { clusters, codec: self.codec, of: HashMap::new() };
        let mut compiled = Vec::new();
        let mut routes = Vec::new();
        let mut names = HashSet::new();
        for route in &self.routes {
            if !names.insert(&route.name) {
                return Err(BuildError::SameRoute { listener, route: route.name.clone() });
            }
            routes.push(route.compile(&listener, &mut places, &mut compiled)?);
        }
        let rules: Vec<Expr> = self.routes.iter().map(|route| route.when.clone()).collect();
        let table = Table::compile(&rules).map_err(|source| BuildError::Match {
            listener: listener.clone(),
            route: self.routes.get(source.rule).map(|r| r.name.clone()).unwrap_or_default(),
            source,
        })?;
        let port = match listen.parse() {
            Ok(Address::Socket(address)) => address.port(),
            _ => 0,
        };
        let plan = Plan::new(listener.as_str(), table, routes, compiled)
            .port(port)
            .limits(self.limits)
            .filters(self.filters.clone());
        Ok(Part {
            name: listener,
            codec: self.protocol.clone(),
            listen,
            plan: Arc::new(plan),
            machines: self.machines.clone(),
        })
    }
}

/// Which requests, and what becomes of them.
#[derive(Clone, Debug)]
#[must_use]
#[non_exhaustive]
pub struct Route {
    name: String,
    when: Expr,
    action: Action,
    /// Everything that is there in the compiled form too.
    rest: heptad_engine::Route,
}

#[derive(Clone, Debug)]
enum Action {
    Split(Vec<(String, u32)>),
    Fixed(Target),
}

impl Route {
    fn new(name: impl Into<String>, action: Action) -> Self {
        let name = name.into();
        let rest = heptad_engine::Route::new(name.as_str(), Target::Cluster(0));
        Self { name, when: Expr::All(Vec::new()), action, rest }
    }

    /// To one cluster.
    pub fn to(name: impl Into<String>, cluster: impl Into<String>) -> Self {
        Self::new(name, Action::Split(vec![(cluster.into(), 1)]))
    }

    /// To one of several clusters, by weight.
    pub fn split<S: Into<String>>(
        name: impl Into<String>,
        clusters: impl IntoIterator<Item = (S, u32)>,
    ) -> Self {
        let shares = clusters.into_iter().map(|(cluster, weight)| (cluster.into(), weight));
        Self::new(name, Action::Split(shares.collect()))
    }

    /// Nowhere: answered with a success.
    pub fn answer(name: impl Into<String>, text: &str) -> Self {
        Self::new(name, Action::Fixed(Target::Answer(text.into())))
    }

    /// Nowhere: answered with an error.
    pub fn refuse(name: impl Into<String>, outcome: Outcome, text: &str) -> Self {
        Self::new(name, Action::Fixed(Target::Refuse(outcome, text.into())))
    }

    /// Which requests it is for. Unless told: all.
    pub fn when(mut self, expr: Expr) -> Self {
        self.when = expr;
        self
    }

    /// How long a client waits for its reply; `None`: for ever. Unless told:
    /// [`heptad_engine::Route::TIMEOUT`].
    pub fn timeout(mut self, timeout: Option<Duration>) -> Self {
        self.rest = self.rest.timeout(timeout);
        self
    }

    /// Lets a time-out that the request carries shorten [`Route::timeout`].
    pub fn client_timeout(mut self, yes: bool) -> Self {
        self.rest = self.rest.client_timeout(yes);
        self
    }

    /// The attribute that decides among weighted clusters and feeds hashing balancers.
    pub fn hash_on(mut self, attr: Attr) -> Self {
        self.rest = self.rest.hash_on(Some(attr));
        self
    }

    /// Edits of request and reply headers.
    pub fn headers(mut self, request: Vec<HeaderEdit>, reply: Vec<HeaderEdit>) -> Self {
        self.rest = self.rest.headers(request, reply);
        self
    }

    fn compile(
        &self,
        listener: &str,
        places: &mut Places<'_>,
        compiled: &mut Vec<heptad_engine::Cluster>,
    ) -> Result<heptad_engine::Route, BuildError> {
        let at = || (listener.to_owned(), self.name.clone());
        let mut routed = false;
        if self.when.depth() <= heptad_route::MAX_DEPTH {
            self.when.attrs(&mut |attr| routed |= attr.is_routed());
        }
        if routed {
            let (listener, route) = at();
            return Err(BuildError::Routed { listener, route });
        }
        let mut route = self.rest.clone();
        route.target = match &self.action {
            Action::Fixed(target) => target.clone(),
            Action::Split(shares) => {
                let mut found = Vec::new();
                for (cluster, _) in shares {
                    found.push(places.place(cluster, compiled, at)?);
                }
                match found[..] {
                    [one] => Target::Cluster(one),
                    _ => {
                        let weights: Vec<u32> = shares.iter().map(|(_, weight)| *weight).collect();
                        let weighted = Weighted::new(&weights).map_err(|source| {
                            let (listener, route) = at();
                            BuildError::Weights { listener, route, source }
                        })?;
                        Target::Weighted(weighted, found)
                    }
                }
            }
        };
        Ok(route)
    }
}

/// A group of endpoints and how to reach them.
#[derive(Clone)]
#[must_use]
#[non_exhaustive]
pub struct Cluster {
    name: String,
    endpoints: Vec<Endpoint>,
    balance: Balance,
    hash: KeyHash,
    links: Links,
    connect_timeout: Duration,
    /// By codec.
    upstream: BTreeMap<&'static str, Arc<dyn Any + Send + Sync>>,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("name", &self.name)
            .field("endpoints", &self.endpoints)
            .field("balance", &self.balance)
            .field("links", &self.links)
            .finish_non_exhaustive()
    }
}

impl Cluster {
    /// Endpoints at these addresses, in turns: `ip:port`, `host:port` or `unix:/path`, or whatever
    /// the host's connector understands.
    pub fn new<S: Into<String>>(
        name: impl Into<String>,
        addresses: impl IntoIterator<Item = S>,
    ) -> Self {
        Self {
            name: name.into(),
            endpoints: addresses.into_iter().map(Endpoint::new).collect(),
            balance: Balance::default(),
            hash: KeyHash::default(),
            links: Links::default(),
            connect_timeout: heptad_engine::Cluster::CONNECT_TIMEOUT,
            upstream: BTreeMap::new(),
        }
    }

    /// One more endpoint, with a weight, a name or slots.
    pub fn endpoint(mut self, endpoint: Endpoint) -> Self {
        self.endpoints.push(endpoint);
        self
    }

    /// How an endpoint is chosen.
    pub fn balance(mut self, balance: Balance) -> Self {
        self.balance = balance;
        self
    }

    /// How keys are hashed, where a key decides.
    pub fn hash(mut self, hash: KeyHash) -> Self {
        self.hash = hash;
        self
    }

    /// Links to each endpoint.
    pub fn links(mut self, links: Links) -> Self {
        self.links = links;
        self
    }

    /// How long a dial and the greeting may take together.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Options of listeners of one codec for this cluster (credentials, database, dialect).
    pub fn upstream<C: Codec>(mut self, options: C::Upstream) -> Self {
        self.upstream.insert(C::NAME, Arc::new(options));
        self
    }

    fn compile(&self, codec: &str) -> Result<heptad_engine::Cluster, BuildError> {
        let spec = Spec::new(self.balance, self.endpoints.clone()).keyed(self.hash);
        let wrong = |source| BuildError::Cluster { cluster: self.name.clone(), source };
        let mut cluster = heptad_engine::Cluster::new(self.name.as_str(), spec).map_err(wrong)?;
        if let Some(options) = self.upstream.get(codec) {
            cluster = cluster.upstream(options.clone());
        }
        Ok(cluster
            .links(self.links)
            .connect_timeout(self.connect_timeout)
            .fingerprint(self.fingerprint(codec)))
    }

    /// The same for the same cluster: its links outlive a new plan. Options are the same if they
    /// are the same value: what they say cannot be compared, and may be a password.
    fn fingerprint(&self, codec: &str) -> u64 {
        let mut hasher = DefaultHasher::new();
        let Self { name, endpoints, balance, hash, links, connect_timeout, upstream } = self;
        (name, endpoints, connect_timeout).hash(&mut hasher);
        format!("{balance:?} {hash:?} {links:?}").hash(&mut hasher);
        upstream.get(codec).map(|options| Arc::as_ptr(options).cast::<()>()).hash(&mut hasher);
        hasher.finish()
    }
}

/// The clusters of one plan: those that its routes lead to, each once.
struct Places<'a> {
    clusters: &'a [Cluster],
    codec: &'a str,
    /// From names to places in the plan.
    of: HashMap<&'a str, usize>,
}

impl Places<'_> {
    fn place(
        &mut self,
        name: &str,
        compiled: &mut Vec<heptad_engine::Cluster>,
        at: impl Fn() -> (String, String),
    ) -> Result<usize, BuildError> {
        if let Some(place) = self.of.get(name) {
            return Ok(*place);
        }
        let found = self.clusters.iter().find(|cluster| cluster.name == name);
        let Some(cluster) = found else {
            let (listener, route) = at();
            return Err(BuildError::NoCluster { listener, route, cluster: name.to_owned() });
        };
        compiled.push(cluster.compile(self.codec)?);
        self.of.insert(&cluster.name, compiled.len() - 1);
        Ok(compiled.len() - 1)
    }
}

/// What is wrong with a router that was written as code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the messages say it, and the fields are names of parts")]
pub enum BuildError {
    #[error("there is no listener")]
    NoListener,
    #[error("a second listener is called `{listener}`")]
    SameListener { listener: String },
    #[error("a second cluster is called `{cluster}`")]
    SameCluster { cluster: String },
    #[error("listener {listener}: a second route is called `{route}`")]
    SameRoute { listener: String, route: String },
    #[error("listener {listener}: it has no address to listen on")]
    NoAddress { listener: String },
    #[error("listener {listener}: it has no route")]
    NoRoute { listener: String },
    #[error("listener {listener}: `{low}` is above `{high}`")]
    Limits { listener: String, low: &'static str, high: &'static str },
    #[error("listener {listener}, route {route}: there is no cluster `{cluster}`")]
    NoCluster { listener: String, route: String, cluster: String },
    #[error("listener {listener}, route {route}: {source}")]
    Weights { listener: String, route: String, source: BalanceError },
    #[error("listener {listener}, route {route}: {}", .source.message)]
    Match { listener: String, route: String, source: CompileError },
    #[error("listener {listener}, route {route}: a route cannot ask which route was found")]
    Routed { listener: String, route: String },
    #[error("cluster {cluster}: {source}")]
    Cluster { cluster: String, source: BalanceError },
    #[error("cluster {cluster}: `{address}` is not `ip:port`, `host:port` or `unix:/path`")]
    Address { cluster: String, address: String },
    #[error("listener {listener}, filter {filter}: {why}")]
    Record { listener: String, filter: String, why: String },
}
