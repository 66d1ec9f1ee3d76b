//! What stands behind the initial bytes: texts, headers in each of their forms, protobuf messages.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Endianness, Field};

/// What stands behind the initial bytes.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Part {
    /// The service, as text.
    Service(Extent),
    /// The method, as text.
    Method(Extent),
    /// The key, as text.
    Key(Extent),
    /// The status, a number.
    Status(StatusPart),
    /// Headers.
    Headers(Headers),
    /// A protobuf message.
    Protobuf(Protobuf),
    /// Something that is of no interest here.
    Opaque(Extent),
}

/// How long a part is. With nothing said: up to the end of the head.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Extent {
    /// Its length stands right in front of it, a number of so many bytes.
    pub prefix: Option<u8>,
    /// The order of the prefix's bytes.
    pub endianness: Endianness,
    /// Its length stands among the initial bytes.
    pub length: Option<Field>,
    /// It is always so long.
    pub size: Option<usize>,
}

/// A status of so many bytes.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct StatusPart {
    /// Its bytes, 1 to 8.
    pub width: u8,
    /// The order of its bytes.
    #[serde(default)]
    pub endianness: Endianness,
}

/// Headers, and how they are written.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Headers {
    /// How they are written.
    pub format: Format,
    /// See [`Extent::prefix`].
    pub prefix: Option<u8>,
    /// See [`Extent::length`].
    pub length: Option<Field>,
    /// See [`Extent::size`].
    pub size: Option<usize>,
    /// The order of the bytes of all lengths in here.
    #[serde(default)]
    pub endianness: Endianness,
    /// Of pairs: bytes of the length in front of a name.
    pub name: Option<u8>,
    /// Of pairs: bytes of the length in front of a value.
    pub value: Option<u8>,
    /// Of lines: what stands between name and value; `=` unless told.
    pub separator: Option<String>,
    /// Of lines: what a line ends with; a line feed unless told.
    pub terminator: Option<String>,
    /// Of pairs: a length of all ones means that there is nothing, as Java's -1 for null.
    #[serde(default)]
    pub nulls: bool,
    /// Which of several with one name counts; the last unless told.
    #[serde(default)]
    pub repeated: Repeated,
}

/// How headers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Format {
    /// Name and value, each with its length in front.
    Pairs,
    /// A line for each.
    Lines,
    /// A JSON object.
    Json,
}

/// Which of several headers with one name counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Repeated {
    /// The first.
    First,
    /// The last.
    #[default]
    Last,
}

/// A protobuf message. Its fields are named by number.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Protobuf {
    /// See [`Extent::prefix`].
    pub prefix: Option<u8>,
    /// The order of the prefix's bytes.
    pub endianness: Endianness,
    /// See [`Extent::length`].
    pub length: Option<Field>,
    /// See [`Extent::size`].
    pub size: Option<usize>,
    /// The field that holds headers: a map from text to text or bytes.
    pub headers: Option<u32>,
    /// The headers stand in a message of their own, which is the field with this number.
    pub within: Option<u32>,
    /// Fields that are headers by themselves: the header's name, and the field's number.
    pub fields: BTreeMap<String, u32>,
}
