//! What an operator may set on a codec, as types that bring their own errors and schema.

use std::{fmt, fmt::Debug};

/// What a codec's options must be able to do. Implemented for every type that can.
///
/// Use `#[serde(deny_unknown_fields, default)]`; unknown keys and wrong types are then reported at
/// their line of the configuration file.
pub trait Options:
    serde::de::DeserializeOwned + schemars::JsonSchema + Default + Debug + Send + Sync + 'static
{
}

impl<T> Options for T where
    T: serde::de::DeserializeOwned + schemars::JsonSchema + Default + Debug + Send + Sync + 'static
{
}

/// For codecs without options.
#[derive(Clone, Copy, Debug, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct NoOptions {}

/// Options that have the right type but make no sense.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OptionsError {
    /// The option, as a dotted path below the codec's options (`users.0.name`); empty for all.
    pub path: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl OptionsError {
    /// An error at a dotted path below the options.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }
}

impl fmt::Display for OptionsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.path, self.message)
        }
    }
}

impl std::error::Error for OptionsError {}
