//! What plugins there are: codecs and filters by name, as factories of what the runtime needs.
//!
//! The one place where a codec's type is known; everything above sees names and machines.

use std::{any::Any, collections::BTreeMap, fmt, marker::PhantomData, sync::Arc};

use heptad_config::{Node, OptionsRule, Plugins, Problem};
use heptad_core::{Codec, Filter, Options, OptionsError};
use heptad_engine::{Engine, Explained, LooksAt, Machine, Peer, Plan, explain_frames};
use heptad_filters::{AccessLog, Authorize, InjectFault, LimitConcurrency, LimitRate, Trace};

use crate::described;
use crate::inspect::{Inspected, Inspector, Piece, Walk, walk};

/// Builds one worker's engine from its listener's plan and a seed.
pub type Machines = Arc<dyn Fn(Arc<Plan>, u64) -> Box<dyn Machine> + Send + Sync>;

/// The codecs and filters that a configuration may name.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Registry {
    plugins: Plugins,
    codecs: BTreeMap<&'static str, Box<dyn AnyCodec>>,
    filters: BTreeMap<String, FilterFactory>,
}

impl Registry {
    /// No plugins.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Every protocol and policy that comes with Heptad.
    pub fn standard() -> Self {
        Self::empty()
            .codec::<heptad_redis::Redis>()
            .codec::<heptad_dubbo::Dubbo>()
            .codec::<heptad_thrift::Thrift>()
            .codec::<heptad_described::AwesomeRpc>()
            .codec::<heptad_described::Bolt>()
            .codec::<heptad_described::Trpc>()
            .described()
            .filter("authorize", |options| Ok(Arc::new(Authorize::new(options)?)))
            .filter("limit_rate", |options| Ok(Arc::new(LimitRate::new(options)?)))
            .filter("limit_concurrency", |options| Ok(Arc::new(LimitConcurrency::new(options)?)))
            .filter("inject_fault", |options| Ok(Arc::new(InjectFault::new(options)?)))
            .filter("access_log", |options| Ok(Arc::new(AccessLog::new(options)?)))
            .filter("trace", |options| Ok(Arc::new(Trace::new(options)?)))
    }

    /// One more codec, under its [`Codec::NAME`]. The last of a name counts.
    #[must_use]
    pub fn codec<C: Codec>(mut self) -> Self {
        self.plugins = self.plugins.codec::<C>();
        self.codecs.insert(C::NAME, Box::new(Of::<C>(PhantomData)));
        self
    }

    /// The codec `frame`, whose description is in the configuration or in a file that it names.
    fn described(mut self) -> Self {
        type Frame = heptad_described::Frame;
        self.plugins = self.plugins.codec_named(Frame::NAME, described::rule(), described::none());
        self.codecs.insert(Frame::NAME, Box::new(Of::<Frame>(PhantomData)));
        self
    }

    /// One more filter: its name, and how it is made from its options. The last of a name counts.
    #[must_use]
    pub fn filter<O: Options>(
        mut self,
        name: &str,
        make: impl Fn(&O) -> Result<Arc<dyn Filter>, OptionsError> + Send + Sync + 'static,
    ) -> Self {
        let make = Arc::new(make);
        let check = make.clone();
        let rule = OptionsRule::of::<O>(move |options| check(options).map(drop));
        self.plugins = self.plugins.filter(name, rule);
        let make = move |node: Option<&Node>| {
            let options = options::<O>(node)?;
            make(&options).map_err(|error| complaint(node, &error))
        };
        self.filters.insert(name.to_owned(), FilterFactory(Box::new(make)));
        self
    }

    /// What [`heptad_config::load`] and [`heptad_config::schema`] need to know.
    pub fn plugins(&self) -> &Plugins {
        &self.plugins
    }

    /// The names of the codecs, sorted.
    pub fn codecs(&self) -> impl Iterator<Item = &'static str> {
        self.codecs.keys().copied()
    }

    /// Reads a configuration file's text; `file` is its name in messages.
    pub fn load(&self, file: &str, text: &str) -> Result<crate::Model, crate::Problems> {
        let mut model = heptad_config::load(file, text, &self.plugins)?;
        described::resolve(file, text, &mut model)?;
        Ok(model)
    }

    /// The JSON schema of configuration files with these plugins.
    pub fn schema(&self) -> serde_json::Value {
        heptad_config::schema(&self.plugins)
    }

    pub(crate) fn any_codec(&self, name: &str) -> Option<&dyn AnyCodec> {
        self.codecs.get(name).map(|codec| &**codec)
    }

    pub(crate) fn make_filter(
        &self,
        name: &str,
        options: Option<&Node>,
    ) -> Option<Result<Arc<dyn Filter>, Problem>> {
        self.filters.get(name).map(|factory| (factory.0)(options))
    }
}

/// A codec whose type is forgotten.
pub(crate) trait AnyCodec: fmt::Debug + Send + Sync {
    /// How engines of this codec with these options are built.
    fn machines(&self, options: Option<&Node>) -> Result<Machines, Problem>;
    /// A cluster's options for this codec, as [`heptad_engine::Cluster::upstream`] wants them.
    fn upstream(&self, options: Option<&Node>) -> Result<Arc<dyn Any + Send + Sync>, Problem>;
    /// What a plan does with the frames that a client of this codec sends on a new connection.
    fn explain(
        &self,
        options: Option<&Node>,
        plan: &Plan,
        peer: Peer,
        bytes: &[u8],
    ) -> Result<Vec<Explained>, Problem>;
    /// Captured bytes of a connection, taken apart.
    fn inspect(&self, options: Option<&Node>, pieces: &[Piece]) -> Result<Vec<Inspected>, Problem>;
    /// What tells by a connection's first bytes whether this is its protocol.
    fn sniff(&self, options: Option<&Node>) -> Result<LooksAt, Problem>;
    /// The same for a connection that goes on.
    fn inspector(&self, options: Option<&Node>) -> Result<Box<dyn Inspector>, Problem>;
}

struct Of<C>(PhantomData<fn() -> C>);

impl<C: Codec> fmt::Debug for Of<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(C::NAME)
    }
}

impl<C: Codec> AnyCodec for Of<C> {
    fn machines(&self, node: Option<&Node>) -> Result<Machines, Problem> {
        let codec =
            C::new(&options::<C::Options>(node)?).map_err(|error| complaint(node, &error))?;
        Ok(Arc::new(move |plan, seed| Box::new(Engine::new(codec.clone(), plan, seed))))
    }

    fn upstream(&self, node: Option<&Node>) -> Result<Arc<dyn Any + Send + Sync>, Problem> {
        Ok(Arc::new(options::<C::Upstream>(node)?))
    }

    fn explain(
        &self,
        node: Option<&Node>,
        plan: &Plan,
        peer: Peer,
        bytes: &[u8],
    ) -> Result<Vec<Explained>, Problem> {
        let codec =
            C::new(&options::<C::Options>(node)?).map_err(|error| complaint(node, &error))?;
        Ok(explain_frames(&codec, plan, peer, bytes))
    }

    fn inspect(&self, node: Option<&Node>, pieces: &[Piece]) -> Result<Vec<Inspected>, Problem> {
        let codec =
            C::new(&options::<C::Options>(node)?).map_err(|error| complaint(node, &error))?;
        Ok(walk(&codec, pieces))
    }

    fn sniff(&self, node: Option<&Node>) -> Result<LooksAt, Problem> {
        let codec =
            C::new(&options::<C::Options>(node)?).map_err(|error| complaint(node, &error))?;
        Ok(Arc::new(move |bytes| codec.sniff(bytes)))
    }

    fn inspector(&self, node: Option<&Node>) -> Result<Box<dyn Inspector>, Problem> {
        let codec =
            C::new(&options::<C::Options>(node)?).map_err(|error| complaint(node, &error))?;
        Ok(Box::new(Walk::new(&codec)))
    }
}

struct FilterFactory(
    #[allow(clippy::type_complexity, reason = "named once, here")]
    Box<dyn Fn(Option<&Node>) -> Result<Arc<dyn Filter>, Problem> + Send + Sync>,
);

impl fmt::Debug for FilterFactory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FilterFactory").finish_non_exhaustive()
    }
}

fn options<O: Options>(node: Option<&Node>) -> Result<O, Problem> {
    node.map_or_else(|| Ok(O::default()), Node::deserialize)
}

fn complaint(node: Option<&Node>, error: &OptionsError) -> Problem {
    match node {
        Some(node) => Plugins::problem(node, error),
        None => Problem::new(heptad_config::Span::default(), error.to_string(), ""),
    }
}
