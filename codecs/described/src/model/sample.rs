//! Frames as they are on the wire, and what a description should find in them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{From, KindName};

/// Frames as they are on the wire, and what should be found in each.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Sample {
    /// Who sends it.
    pub from: From,
    /// The bytes, in hexadecimal digits.
    pub hex: String,
    /// Of a reply: the requests it answers, in hexadecimal digits.
    pub asked: Option<String>,
    /// What each frame is.
    pub frames: Vec<Expected>,
}

/// What should be found in a frame. What is not given is not looked at.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Expected {
    /// What it is.
    pub kind: KindName,
    /// Its id.
    pub id: Option<u64>,
    /// The service.
    pub service: Option<String>,
    /// The method.
    pub method: Option<String>,
    /// The key.
    pub key: Option<String>,
    /// Headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// How the request ended.
    pub outcome: Option<String>,
    /// The name of the error code.
    pub code: Option<String>,
}
