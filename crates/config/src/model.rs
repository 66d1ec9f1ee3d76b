//! What a valid configuration file says, in types: every default filled in, every name resolved.
//!
//! Knows nothing of YAML but the [`Node`]s it keeps for plugins, and nothing of engines or sockets.
//! All types are read by others and built by [`load`](crate::load) only.

use std::{fmt, net::SocketAddr, path::PathBuf, time::Duration};

use heptad_cluster::{Balance, Endpoint, KeyHash};
use heptad_core::{Attr, HeaderEdit, Outcome};
use heptad_route::Expr;

use crate::{Node, Span};

/// A whole file.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Model {
    /// How many workers; `None`: one per core.
    pub workers: Option<usize>,
    /// Whether workers make pauses.
    pub moderation: bool,
    /// The admin server; `None`: there is none.
    pub admin: Option<Admin>,
    /// Logs.
    pub log: Log,
    /// At least one; names and addresses are unique.
    pub listeners: Vec<Listener>,
    /// Names are unique.
    pub clusters: Vec<Cluster>,
    /// The file as it was written; see [`Node::redacted`].
    pub source: Node,
}

impl Model {
    /// What stands in a model's place where a router was built in code: nothing.
    pub fn none() -> Self {
        Self {
            workers: None,
            moderation: false,
            admin: None,
            log: Log { level: "info".to_owned() },
            listeners: Vec::new(),
            clusters: Vec::new(),
            source: Node::empty_map(),
        }
    }
}

/// The admin server.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Admin {
    /// Where it listens: a loopback address, unless the file says `public: true`.
    pub listen: SocketAddr,
    /// What `/tap` gives.
    pub tap: TapPolicy,
}

/// What whoever reaches the admin server may see of requests and replies while they pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum TapPolicy {
    /// Nothing.
    #[default]
    Off,
    /// What is said about them: times, services, methods, lengths, outcomes; no frames.
    Redacted,
    /// The frames, too.
    Full,
}

/// Logs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Log {
    /// `off`, `error`, `warn`, `info`, `debug` or `trace`.
    pub level: String,
}

/// Where something listens or is reached.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_enums, reason = "a caller must know what to do with each kind")]
pub enum Address {
    /// `ip:port`
    Socket(SocketAddr),
    /// `host:port`, to be resolved.
    Host {
        /// A name of DNS.
        host: String,
        /// The port.
        port: u16,
    },
    /// `unix:/path`
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(address) => address.fmt(f),
            Self::Host { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// One address on which one codec is spoken.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Listener {
    /// Unique.
    pub name: String,
    /// Where it listens.
    pub listen: Address,
    /// The codec's name: one of [`Plugins`](crate::Plugins).
    pub codec: String,
    /// The codec's options, already accepted by its check; `None` if there are none in the file.
    /// See [`Node::deserialize`].
    pub codec_options: Option<Node>,
    /// Further codecs that are spoken on the same address, each with its options: a connection's
    /// first bytes tell which one it is.
    pub also: Vec<(String, Option<Node>)>,
    /// In order; each is one of [`Plugins`](crate::Plugins).
    pub filters: Vec<Filter>,
    /// At least one; names are unique.
    pub routes: Vec<Route>,
    /// Limits.
    pub limits: Limits,
    /// A session without a request for this time is closed; `None`: never.
    pub idle_timeout: Option<Duration>,
    /// How long a listener that stops waits for requests in flight.
    pub drain_timeout: Duration,
    /// Where the file names it.
    pub span: Span,
}

impl Listener {
    /// Its codecs and their options: `codec`, and then those of `also`.
    pub fn protocols(&self) -> impl Iterator<Item = (&str, Option<&Node>)> {
        let also = self.also.iter().map(|(name, options)| (name.as_str(), options.as_ref()));
        std::iter::once((self.codec.as_str(), self.codec_options.as_ref())).chain(also)
    }
}

/// One entry of a filter chain.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Filter {
    /// The filter's name.
    pub name: String,
    /// Its options, already accepted by its check.
    pub options: Option<Node>,
    /// Where the file names it.
    pub span: Span,
}

/// One rule of a listener.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Route {
    /// Unique in its listener.
    pub name: String,
    /// Which requests it is for; an empty `All` if the file says nothing.
    pub matches: Expr,
    /// Where they go.
    pub action: Action,
    /// How long a client waits for its reply; `None`: for ever.
    pub timeout: Option<Duration>,
    /// Whether a time-out that the request carries shortens `timeout`.
    pub client_timeout: bool,
    /// Where copies of its requests go.
    pub mirror: Option<Mirror>,
    /// Edits of request headers.
    pub request_headers: Vec<HeaderEdit>,
    /// Edits of reply headers.
    pub response_headers: Vec<HeaderEdit>,
    /// The attribute that decides among weighted clusters and feeds hashing balancers.
    pub hash_on: Option<Attr>,
    /// Where the file names it.
    pub span: Span,
}

/// Where copies of requests go.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mirror {
    /// Place in [`Model::clusters`].
    pub cluster: usize,
    /// How many of a hundred requests are copied.
    pub percent: u32,
    /// What is done with the copies' replies: `none`, `outcome` or `bytes`.
    pub compare: Compare,
}

/// What is done with the reply to a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "a caller must know what to do with each kind")]
pub enum Compare {
    /// It is dropped.
    None,
    /// Its outcome and code are compared with the original's.
    Outcome,
    /// As `Outcome`, and the bytes too.
    Bytes,
}

/// Where the requests of a route go.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "a caller must know what to do with each kind")]
pub enum Action {
    /// To one of these clusters by weight; at least one, and the weights do not sum to 0.
    To(Vec<Share>),
    /// Nowhere: answered with a success.
    Answer(String),
    /// Nowhere: answered with an error.
    Refuse(Outcome, String),
}

/// A cluster's share of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Share {
    /// Place in [`Model::clusters`].
    pub cluster: usize,
    /// Relative to the others; 1 if it is the only one.
    pub weight: u32,
}

/// Limits of a listener. All numbers of a worker are for each worker.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Longest frame, bytes; `None`: the codec's default.
    pub max_frame: Option<u32>,
    /// Most bytes a decoder looks at to find what a frame asks for.
    pub max_head: u32,
    /// Most elements, arguments or headers of a frame.
    pub max_parts: u32,
    /// Deepest nesting of a frame.
    pub max_depth: u32,
    /// Requests in flight of one session; it is not read from beyond.
    pub in_flight: usize,
    /// Sessions of a worker.
    pub sessions: usize,
    /// A session with more unread reply bytes than this is not read from.
    pub soft_mark: usize,
    /// A session with more unread reply bytes than this is closed.
    pub hard_mark: usize,
    /// Bytes of unfinished frames and waiting requests of all sessions of a worker.
    pub buffered: usize,
    /// Requests waiting for a link, per endpoint and worker.
    pub queue: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_frame: None,
            max_head: 64 << 10,
            max_parts: 1 << 20,
            max_depth: 64,
            in_flight: 1024,
            sessions: 65_536,
            soft_mark: 256 << 10,
            hard_mark: 8 << 20,
            buffered: 512 << 20,
            queue: 1024,
        }
    }
}

/// A group of endpoints and how to reach them.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Cluster {
    /// Unique.
    pub name: String,
    /// At least one. Addresses are valid: [`Address`] can be parsed from each.
    pub endpoints: Vec<Endpoint>,
    /// How one is chosen.
    pub balance: Balance,
    /// How keys are hashed, where a key decides.
    pub hash: KeyHash,
    /// Links.
    pub links: Links,
    /// How long a dial and the greeting may take together.
    pub connect_timeout: Duration,
    /// Upstream options, each under its codec's name, already accepted by that codec's check.
    pub upstream: Vec<(String, Node)>,
    /// Where the file names it.
    pub span: Span,
}

impl Cluster {
    /// The upstream options for a codec.
    pub fn upstream(&self, codec: &str) -> Option<&Node> {
        let found = self.upstream.iter().find(|(name, _)| name == codec)?;
        Some(&found.1)
    }
}

/// Links to the endpoints of a cluster. All numbers are per worker and listener.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Links {
    /// Shared links per endpoint.
    pub per_endpoint: usize,
    /// Most requests in flight on a shared link.
    pub max_in_flight: u32,
    /// Whether sessions share links; `None`: the codec's default.
    pub share: Option<bool>,
    /// Most links per endpoint that belong to one session or call at a time.
    pub max: usize,
    /// An unused link that is not shared is closed after this time.
    pub idle_timeout: Duration,
    /// A link that sent nothing for this time is pinged; `None`: never.
    pub ping: Option<Duration>,
    /// Most bytes waiting to be written to a link.
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
