//! What codecs and filters there are, and how their options are judged.
//!
//! The caller says it; this crate knows no plugin by name.

use std::fmt;

use heptad_core::{Codec, Options, OptionsError};
use serde_json::Value;

use crate::{Node, Problem};

type Check = Box<dyn Fn(&Node) -> Vec<Problem> + Send + Sync>;

/// The plugins that a file may name.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Plugins {
    pub(crate) codecs: Vec<CodecPlugin>,
    pub(crate) filters: Vec<FilterPlugin>,
}

/// A codec that a file may name.
#[derive(Debug)]
pub(crate) struct CodecPlugin {
    pub(crate) name: String,
    pub(crate) listener: OptionsRule,
    pub(crate) upstream: OptionsRule,
}

/// A filter that a file may name.
#[derive(Debug)]
pub(crate) struct FilterPlugin {
    pub(crate) name: String,
    pub(crate) options: OptionsRule,
}

/// How options are judged: by a check, and by a JSON schema that should agree with it.
#[non_exhaustive]
pub struct OptionsRule {
    pub(crate) schema: Value,
    pub(crate) check: Check,
    pub(crate) several: bool,
}

impl fmt::Debug for OptionsRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OptionsRule").finish_non_exhaustive()
    }
}

impl OptionsRule {
    /// A rule of the caller's own; see [`Node::deserialize_all`] and [`Plugins::problem`].
    pub fn new(
        schema: Value,
        check: impl Fn(&Node) -> Vec<Problem> + Send + Sync + 'static,
    ) -> Self {
        Self { schema, check: Box::new(check), several: false }
    }

    /// Of a codec: a listener may name it more than once, because its options make it another
    /// protocol each time.
    #[must_use]
    pub fn several(mut self) -> Self {
        self.several = true;
        self
    }

    /// The rule that an options type brings with it, and what its maker says of a value that has
    /// the right type.
    pub fn of<O: Options>(
        make: impl Fn(&O) -> Result<(), OptionsError> + Send + Sync + 'static,
    ) -> Self {
        let schema = schemars::schema_for!(O).to_value();
        Self::new(schema, move |node| match node.deserialize_all::<O>() {
            Ok(options) => match make(&options) {
                Ok(()) => Vec::new(),
                Err(error) => vec![Plugins::problem(node, &error)],
            },
            Err(problems) => problems,
        })
    }
}

impl Plugins {
    /// No plugins.
    pub fn new() -> Self {
        Self::default()
    }

    /// One more codec; its name, options and schema are the trait's. The last of a name counts.
    #[must_use]
    pub fn codec<C: Codec>(self) -> Self {
        self.codec_named(
            C::NAME,
            OptionsRule::of::<C::Options>(|options| C::new(options).map(drop)),
            OptionsRule::of::<C::Upstream>(|_| Ok(())),
        )
    }

    /// One more codec, given as rules for a listener's and for a cluster's options.
    #[must_use]
    pub fn codec_named(
        mut self,
        name: impl Into<String>,
        listener: OptionsRule,
        upstream: OptionsRule,
    ) -> Self {
        let name = name.into();
        self.codecs.retain(|codec| codec.name != name);
        self.codecs.push(CodecPlugin { name, listener, upstream });
        self
    }

    /// One more filter. The last of a name counts.
    #[must_use]
    pub fn filter(mut self, name: impl Into<String>, options: OptionsRule) -> Self {
        let name = name.into();
        self.filters.retain(|filter| filter.name != name);
        self.filters.push(FilterPlugin { name, options });
        self
    }

    /// A maker's complaint as a problem at the place in `options` that its path leads to.
    pub fn problem(options: &Node, error: &OptionsError) -> Problem {
        Problem::new(options.at(&error.path).span(), &error.message, "")
    }

    pub(crate) fn find_codec(&self, name: &str) -> Option<&CodecPlugin> {
        self.codecs.iter().find(|codec| codec.name == name)
    }

    pub(crate) fn find_filter(&self, name: &str) -> Option<&FilterPlugin> {
        self.filters.iter().find(|filter| filter.name == name)
    }

    pub(crate) fn codec_names(&self) -> impl Iterator<Item = &str> {
        self.codecs.iter().map(|codec| codec.name.as_str())
    }

    pub(crate) fn filter_names(&self) -> impl Iterator<Item = &str> {
        self.filters.iter().map(|filter| filter.name.as_str())
    }
}
