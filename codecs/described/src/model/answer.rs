//! What statuses mean, and how Heptad writes frames of its own.

use schemars::JsonSchema;
use serde::Deserialize;

use super::KindName;
use crate::Number;

/// What a status means.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Status {
    /// The number.
    pub value: Number,
    /// Its name in logs and metrics.
    pub name: String,
    /// What it counts as: `ok`, `app_error`, `protocol_error`, `timeout`, … .
    pub outcome: String,
    /// Outcomes of Heptad's own that are told to clients with this status, besides the one above;
    /// `others` for all that no status is there for.
    #[serde(default)]
    pub says: Vec<String>,
}

/// What Heptad writes itself. What is not given cannot be said in the protocol.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Answers {
    /// An error that is told to a client.
    pub error: Option<Template>,
    /// An error that is told to a client who opened a stream, if it is told in another way.
    pub stream_error: Option<Template>,
    /// A route's direct answer.
    pub direct: Option<Template>,
    /// A heartbeat for an endpoint.
    pub ping: Option<Template>,
    /// The answer to a heartbeat.
    pub pong: Option<Template>,
    /// What tells an endpoint that nobody waits any more.
    pub cancel: Option<Template>,
    /// What asks a client to go elsewhere.
    pub goaway: Option<Template>,
}

/// How a frame is written. Magic, kind, lengths, id, status and checksum need not be told.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Template {
    /// Which of the frames.
    pub kind: KindName,
    /// The initial bytes in hexadecimal digits, where they are not zero.
    pub initial: Option<String>,
    /// Initial bytes that are the same as those of the request.
    #[serde(default)]
    pub copy: Vec<Copied>,
    /// The status of this name.
    pub status: Option<String>,
    /// For each of the frame's parts what it consists of; a status is written without being told.
    #[serde(default)]
    pub parts: Vec<Vec<Piece>>,
    /// What the body consists of.
    #[serde(default)]
    pub body: Vec<Piece>,
    /// Other bodies for some requests.
    #[serde(default)]
    pub instead: Vec<Instead>,
}

/// A body for requests in whose initial bytes a byte has this value.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Instead {
    /// Bytes of the request in front of it.
    pub offset: usize,
    /// Its value.
    pub is: u8,
    /// What the body consists of.
    pub body: Vec<Piece>,
}

/// Bytes of the request that are repeated.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Copied {
    /// Where they stand in the request.
    pub from: usize,
    /// Where they go.
    pub to: usize,
    /// How many.
    pub width: usize,
}

/// A piece of a template.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Piece {
    /// Bytes in hexadecimal digits.
    Hex(String),
    /// Bytes that are this text.
    Literal(String),
    /// The text of the answer.
    Text(TextForm),
    /// The id.
    Id(NumberForm),
    /// The status.
    Status(NumberForm),
}

/// How a text is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TextForm {
    /// As it is.
    Plain,
    /// Behind its length in one byte; longer ones are cut.
    U8,
    /// Behind its length in two bytes, big endian.
    U16,
    /// Behind its length in four bytes, big endian.
    U32,
    /// Behind its length as a protobuf number.
    Varint,
    /// As a string of Hessian.
    Hessian,
    /// As a string of JSON.
    Json,
}

/// How a number is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NumberForm {
    /// In decimal digits.
    Decimal,
    /// As a protobuf number.
    Varint,
}
