//! A compiled configuration of one listener: what the engine looks things up in, never how it was
//! written down. Immutable; shared by all workers; replaced as a whole.

use std::{any::Any, fmt, sync::Arc, time::Duration};

use heptad_cluster::{BalanceError, Balancer, Spec, Weighted};
use heptad_core::{Attr, Ctx, Filter, HeaderEdit, Outcome, Reason, Traits, Want};
use heptad_route::Table;

use crate::Tap;

/// Everything one engine needs to know about its listener.
#[derive(Debug)]
#[non_exhaustive]
pub struct Plan {
    /// The listener's name.
    pub listener: Arc<str>,
    /// The listener's port, 0 for Unix sockets.
    pub port: u16,
    /// The rules, in order.
    pub table: Table,
    /// What each rule leads to; same length as the rules of `table`.
    pub routes: Vec<Route>,
    /// The clusters that routes point to.
    pub clusters: Vec<Cluster>,
    /// The filter chain, in order.
    pub filters: Vec<Arc<dyn Filter>>,
    /// Limits of the listener.
    pub limits: Limits,
    /// The listener's tap, which outlives the plan.
    pub tap: Option<Arc<Tap>>,
    /// Of a listener of several protocols: the plans of all but the first, which differ in what
    /// clusters are told for each protocol.
    pub also: Vec<Arc<Plan>>,
}

impl Plan {
    /// A plan without filters and with default limits.
    pub fn new(
        listener: impl Into<Arc<str>>,
        table: Table,
        routes: Vec<Route>,
        clusters: Vec<Cluster>,
    ) -> Self {
        Self {
            listener: listener.into(),
            port: 0,
            table,
            routes,
            clusters,
            filters: Vec::new(),
            limits: Limits::default(),
            tap: None,
            also: Vec::new(),
        }
    }

    /// Sets [`Plan::tap`].
    pub fn tap(mut self, tap: Option<Arc<Tap>>) -> Self {
        self.tap = tap;
        self
    }

    /// Sets [`Plan::port`].
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Sets [`Plan::limits`].
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets [`Plan::filters`].
    pub fn filters(mut self, filters: Vec<Arc<dyn Filter>>) -> Self {
        self.filters = filters;
        self
    }

    /// What the codec must be told that rules, routes and filters will ask.
    pub fn want(&self) -> Want {
        let mut want = self.table.want();
        self.filters.iter().for_each(|filter| want |= filter.want());
        for route in &self.routes {
            route.hash_on.iter().for_each(|attr| want |= attr.want());
            want.headers |= route.client_timeout;
            want.edits |= !route.request_headers.is_empty() || !route.reply_headers.is_empty();
        }
        want
    }

    /// What decoders of a codec may rely on.
    pub(crate) fn frames(&self, traits: &Traits) -> Ctx {
        let frames = match self.limits.frames {
            frames if frames.max_frame == 0 => frames.max_frame(traits.max_frame),
            frames => frames,
        };
        frames.want(self.want())
    }
}

/// What a rule leads to.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Route {
    /// For metrics and logs.
    pub name: Arc<str>,
    /// Where its requests go.
    pub target: Target,
    /// How long a client waits for its reply, from the moment its request was decoded to the moment
    /// the reply came; `None`: for ever.
    pub timeout: Option<Duration>,
    /// Whether a time-out that the request carries shortens [`Route::timeout`].
    pub client_timeout: bool,
    /// The attribute whose value decides among weighted clusters and feeds hashing balancers;
    /// `None`: the key for balancers, and chance for weights.
    pub hash_on: Option<Attr>,
    /// Where copies of its requests go.
    pub mirror: Option<Mirror>,
    /// Edits of request headers.
    pub request_headers: Arc<[HeaderEdit]>,
    /// Edits of reply headers.
    pub reply_headers: Arc<[HeaderEdit]>,
}

impl Route {
    /// The documented default of `timeout`.
    pub const TIMEOUT: Duration = Duration::from_secs(15);

    /// A route with the default time-out and nothing else.
    pub fn new(name: impl Into<Arc<str>>, target: Target) -> Self {
        Self {
            name: name.into(),
            target,
            timeout: Some(Self::TIMEOUT),
            client_timeout: false,
            mirror: None,
            hash_on: None,
            request_headers: Arc::from([]),
            reply_headers: Arc::from([]),
        }
    }

    /// Sets [`Route::timeout`].
    pub fn timeout(mut self, timeout: Option<Duration>) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets [`Route::hash_on`].
    pub fn hash_on(mut self, attr: Option<Attr>) -> Self {
        self.hash_on = attr;
        self
    }

    /// Lets a client's own time-out shorten [`Route::timeout`].
    pub fn client_timeout(mut self, yes: bool) -> Self {
        self.client_timeout = yes;
        self
    }

    /// Sets [`Route::mirror`].
    pub fn mirror(mut self, mirror: Option<Mirror>) -> Self {
        self.mirror = mirror;
        self
    }

    /// Sets the header edits of requests and replies.
    pub fn headers(mut self, request: Vec<HeaderEdit>, reply: Vec<HeaderEdit>) -> Self {
        self.request_headers = request.into();
        self.reply_headers = reply.into();
        self
    }
}

/// Where copies of requests go. A copy is sent beside its request and never waited for; what would
/// have to wait for a link or does not go over any link is not copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mirror {
    /// Index in [`Plan::clusters`].
    pub cluster: usize,
    /// How many of a hundred requests are copied.
    pub percent: u32,
    /// What is done with the replies.
    pub compare: Compare,
    /// How long the reply to a copy is waited for.
    pub timeout: Duration,
}

impl Mirror {
    /// Copies of all requests whose replies are dropped.
    pub const fn new(cluster: usize) -> Self {
        Self { cluster, percent: 100, compare: Compare::None, timeout: Route::TIMEOUT }
    }

    /// Sets [`Mirror::percent`].
    pub const fn percent(mut self, percent: u32) -> Self {
        self.percent = percent;
        self
    }

    /// Sets [`Mirror::compare`].
    pub const fn compare(mut self, compare: Compare) -> Self {
        self.compare = compare;
        self
    }

    /// Sets [`Mirror::timeout`].
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

/// What is done with the reply to a copy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Compare {
    /// It is dropped.
    #[default]
    None,
    /// Its outcome and code are compared with the original's.
    Outcome,
    /// As `Outcome`, and the bytes of the replies too.
    Bytes,
}

/// Where requests go.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Target {
    /// To the cluster with this index in [`Plan::clusters`].
    Cluster(usize),
    /// To one of these clusters (indices), by weight.
    Weighted(Weighted, Vec<usize>),
    /// Nowhere: answered with a success.
    Answer(Arc<str>),
    /// Nowhere: answered with an error.
    Refuse(Outcome, Arc<str>),
}

/// A group of endpoints and how to reach them.
#[derive(Clone)]
#[non_exhaustive]
pub struct Cluster {
    /// For metrics and logs, and to find it again in the next plan.
    pub name: Arc<str>,
    /// Endpoints and balancing.
    pub spec: Arc<Spec>,
    /// The balancer of `spec`; workers use forks of it.
    pub balancer: Arc<Balancer>,
    /// Link policy.
    pub links: Links,
    /// How long a dial and the greeting may take together.
    pub connect_timeout: Duration,
    /// The codec's `Upstream` options; the default ones if of another type.
    pub upstream: Arc<dyn Any + Send + Sync>,
    /// A fingerprint of everything above: links survive a swap if it is the same.
    pub fingerprint: u64,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("name", &self.name)
            .field("spec", &self.spec)
            .field("links", &self.links)
            .finish_non_exhaustive()
    }
}

impl Cluster {
    /// The documented default of `connect_timeout`.
    pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

    /// A cluster with default links and options, and the fingerprint 0. Fails if there is no
    /// balancer for the spec.
    pub fn new(name: impl Into<Arc<str>>, spec: Spec) -> Result<Self, BalanceError> {
        Ok(Self {
            name: name.into(),
            balancer: Arc::new(Balancer::new(&spec, 0)?),
            spec: Arc::new(spec),
            links: Links::default(),
            connect_timeout: Self::CONNECT_TIMEOUT,
            upstream: Arc::new(()),
            fingerprint: 0,
        })
    }

    /// Sets [`Cluster::links`].
    pub fn links(mut self, links: Links) -> Self {
        self.links = links;
        self
    }

    /// Sets [`Cluster::connect_timeout`].
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets [`Cluster::upstream`].
    pub fn upstream(mut self, options: Arc<dyn Any + Send + Sync>) -> Self {
        self.upstream = options;
        self
    }

    /// Sets [`Cluster::fingerprint`].
    pub fn fingerprint(mut self, fingerprint: u64) -> Self {
        self.fingerprint = fingerprint;
        self
    }
}

/// How many links, and what they carry. All numbers are per worker and listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Links {
    /// Shared links per endpoint and flavour.
    pub per_endpoint: usize,
    /// Most attempts in flight on a shared link; further requests wait.
    pub max_in_flight: u32,
    /// Whether calls of several sessions share links; `None`: the codec's default.
    pub share: Option<bool>,
    /// Most links per endpoint that belong to one session or call at a time.
    pub max: usize,
    /// An unused link that is not shared is closed after this time.
    pub idle_timeout: Duration,
    /// A link that sent nothing for this time is pinged, and closed if it stays silent for as long
    /// again; `None`: never.
    pub ping: Option<Duration>,
    /// Most bytes waiting to be written to a link; further requests wait.
    pub max_buffered: usize,
    /// A link in order is closed when the reply it owes first is this much too late.
    pub orphan_age: Duration,
}

impl Default for Links {
    fn default() -> Self {
        Self {
            per_endpoint: 2,
            max_in_flight: 1024,
            share: None,
            max: 1024,
            idle_timeout: Duration::from_secs(60),
            ping: None,
            max_buffered: 4 << 20,
            orphan_age: Duration::from_secs(10),
        }
    }
}

impl Links {
    /// [`Links::per_endpoint`], at least 1.
    pub(crate) fn slots(&self) -> usize {
        self.per_endpoint.max(1)
    }

    /// The slot that the session with this number uses.
    #[inline]
    pub(crate) fn slot_of(&self, session: usize) -> usize {
        match self.slots() {
            1 => 0,
            slots => session % slots,
        }
    }

    /// Sets [`Links::per_endpoint`]; at least 1.
    pub fn per_endpoint(mut self, n: usize) -> Self {
        self.per_endpoint = n.max(1);
        self
    }
    /// Sets [`Links::max_in_flight`]; at least 1.
    pub fn max_in_flight(mut self, n: u32) -> Self {
        self.max_in_flight = n.max(1);
        self
    }
    /// Sets [`Links::share`].
    pub fn share(mut self, share: Option<bool>) -> Self {
        self.share = share;
        self
    }
    /// Sets [`Links::max`]; at least 1.
    pub fn max(mut self, n: usize) -> Self {
        self.max = n.max(1);
        self
    }
    /// Sets [`Links::idle_timeout`].
    pub fn idle_timeout(mut self, d: Duration) -> Self {
        self.idle_timeout = d;
        self
    }
    /// Sets [`Links::ping`].
    pub fn ping(mut self, d: Option<Duration>) -> Self {
        self.ping = d;
        self
    }
    /// Sets [`Links::max_buffered`].
    pub fn max_buffered(mut self, bytes: usize) -> Self {
        self.max_buffered = bytes;
        self
    }
    /// Sets [`Links::orphan_age`].
    pub fn orphan_age(mut self, d: Duration) -> Self {
        self.orphan_age = d;
        self
    }
}

/// Limits of a listener, per worker. Each has an outcome and a reason that say when it was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// What decoders may rely on: frame, head, parts, depth (`too_large`). A `max_frame` of 0 means
    /// the codec's default.
    pub frames: Ctx,
    /// Requests in flight of one session; it is not read from beyond (back-pressure).
    pub in_flight: usize,
    /// Sessions; further connections are closed at once (`overloaded`/`sessions`).
    pub sessions: usize,
    /// A session with more unread reply bytes than this is not read from (back-pressure).
    pub soft_mark: usize,
    /// A session with more unread reply bytes than this when yet another reply comes is closed
    /// (`overloaded`/`slow_reader`).
    pub hard_mark: usize,
    /// Bytes of unfinished frames and waiting requests of all sessions; the session that passes it
    /// is closed (`overloaded`/`buffered`).
    pub buffered: usize,
    /// Requests waiting for a link, per endpoint (`overloaded`/`queue`).
    pub queue: usize,
    /// A session without a request for this time is closed; `None`: never.
    pub idle_timeout: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frames: Ctx::default().max_frame(0),
            in_flight: 1024,
            sessions: 65_536,
            soft_mark: 256 << 10,
            hard_mark: 8 << 20,
            buffered: 512 << 20,
            queue: 1024,
            idle_timeout: None,
        }
    }
}

impl Limits {
    /// Sets [`Limits::frames`].
    pub fn frames(mut self, ctx: Ctx) -> Self {
        self.frames = ctx;
        self
    }
    /// Sets [`Limits::in_flight`]; at least 1.
    pub fn in_flight(mut self, n: usize) -> Self {
        self.in_flight = n.max(1);
        self
    }
    /// Sets [`Limits::sessions`].
    pub fn sessions(mut self, n: usize) -> Self {
        self.sessions = n;
        self
    }
    /// Sets [`Limits::soft_mark`].
    pub fn soft_mark(mut self, bytes: usize) -> Self {
        self.soft_mark = bytes;
        self
    }
    /// Sets [`Limits::hard_mark`].
    pub fn hard_mark(mut self, bytes: usize) -> Self {
        self.hard_mark = bytes;
        self
    }
    /// Sets [`Limits::buffered`].
    pub fn buffered(mut self, bytes: usize) -> Self {
        self.buffered = bytes;
        self
    }
    /// Sets [`Limits::queue`].
    pub fn queue(mut self, n: usize) -> Self {
        self.queue = n;
        self
    }
    /// Sets [`Limits::idle_timeout`].
    pub fn idle_timeout(mut self, d: Option<Duration>) -> Self {
        self.idle_timeout = d;
        self
    }
}

/// The outcome and reason of a request for which Heptad itself decided the end.
pub(crate) type End = (Outcome, Reason);
