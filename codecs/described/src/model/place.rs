//! Where a value stands in a frame: numbers, lengths, checksums, and tests of them. What values mean
//! is said elsewhere.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::Number;

/// The order of a number's bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Endianness {
    /// The most significant byte first, as in most protocols.
    #[default]
    Big,
    /// The least significant byte first.
    Little,
}

/// A number at a fixed place.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Field {
    /// Bytes in front of it.
    pub offset: usize,
    /// Its bytes, 1 to 8.
    pub width: u8,
    /// The order of its bytes.
    #[serde(default)]
    pub endianness: Endianness,
    /// Only these bits of it count.
    pub mask: Option<Number>,
}

/// A length: of one field, or the sum of several.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Length {
    /// Bytes in front of the field.
    #[serde(alias = "length_field_offset")]
    pub offset: Option<usize>,
    /// The field's bytes, 1 to 8.
    #[serde(alias = "length_field_length")]
    pub width: Option<u8>,
    /// The order of the field's bytes.
    pub endianness: Endianness,
    /// Instead of `offset` and `width`: fields whose values are added up.
    pub fields: Vec<Field>,
    /// Added to what the field says, to make it count what follows it: -4 if a field of four bytes
    /// counts itself, 4 if four bytes stand behind it that it does not count.
    #[serde(alias = "length_adjustment")]
    pub adjustment: i64,
}

/// Where a value stands: at a fixed place, in a header, or in a field of a protobuf part.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Source {
    /// Bytes in front of it.
    pub offset: Option<usize>,
    /// A number of so many bytes, 1 to 8.
    pub width: Option<u8>,
    /// The order of the number's bytes.
    pub endianness: Endianness,
    /// A text of so many bytes, without blanks and zero bytes behind it.
    pub size: Option<usize>,
    /// The header of this name.
    pub header: Option<String>,
    /// The header that counts if there is none of that name.
    pub or_header: Option<String>,
    /// The field with this number of the protobuf part.
    pub field: Option<u32>,
    /// The field stands in a message of its own, which is the field with this number.
    pub within: Option<u32>,
    /// Without it the value stands where it cannot be read, so that rules about it must not be
    /// passed: it is unknown and not absent.
    pub otherwise_unknown: bool,
    /// Of a text only what stands behind the last of these characters.
    pub after: Option<char>,
    /// What numbers are called.
    pub names: BTreeMap<String, Number>,
}

/// Something that holds for some frames.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Test {
    /// The header of this name.
    pub header: Option<String>,
    /// The field with this number of the protobuf part.
    pub field: Option<u32>,
    /// It is this text, or of a protobuf field this number.
    pub is: Option<Scalar>,
    /// It is there and another number.
    pub is_not: Option<Number>,
}

/// Text or a number.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
#[non_exhaustive]
pub enum Scalar {
    /// A number.
    Number(Number),
    /// Text.
    Text(String),
}

/// A checksum behind everything else.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Checksum {
    /// How it is computed: over all bytes in front of it.
    pub algorithm: Algorithm,
    /// There is one only if this field is not zero (mind its `mask`).
    pub when: Option<Field>,
}

/// How a checksum is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Algorithm {
    /// CRC-32 as of Ethernet, zlib and Java, four bytes, big endian.
    Crc32,
}
