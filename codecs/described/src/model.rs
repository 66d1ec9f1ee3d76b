//! What a description says: the keys of its YAML, as types. They bring the schema and the errors of
//! form; whether the parts fit together is `compile`'s to judge. Nothing here is used at run time.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::Number;

/// Keys that say how the bytes of a frame are laid out. They may stand at the top, in a version and
/// in a frame; the inner one counts.
macro_rules! layout {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $key:ident: $type:ty,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, default)]
        #[non_exhaustive]
        pub struct $name {
            $($(#[$doc])* pub $key: $type,)*
            /// The bytes that every frame begins with, in hexadecimal digits: `"da bb"`.
            pub magic: Option<String>,
            /// Bytes in front of everything whose place is not fixed. Length fields, ids, kinds and
            /// flags stand in here.
            pub initial_bytes: Option<usize>,
            /// Where the length of a frame stands.
            pub length: Option<Length>,
            /// Where it stands how many bytes behind the initial bytes belong to the head. Without
            /// it the head ends where the last part ends.
            pub head: Option<Length>,
            /// What pairs a reply with its request. Without it replies come in order.
            pub id: Option<Source>,
            /// A checksum at the end of the frame.
            pub checksum: Option<Checksum>,
            /// How long the client waits, in milliseconds.
            pub timeout: Option<Source>,
            /// Where a reply's status stands, if it is not a part of its own.
            pub status: Option<Source>,
            /// A reply is the application's own error if this holds and its status is a good one.
            pub app_error: Option<Test>,
            /// A request gets no reply if this holds.
            pub oneway: Option<Test>,
            /// Where the service stands, if it is not a part of its own.
            pub service: Option<Source>,
            /// Where the method stands, if it is not a part of its own.
            pub method: Option<Source>,
            /// Where the key stands, which hashing balancers hash, if it is not a part of its own.
            pub key: Option<Source>,
        }

        impl $name {
            /// The layout's keys.
            pub(crate) fn layout(&self) -> Layout<'_> {
                Layout {
                    magic: self.magic.as_deref(),
                    initial_bytes: self.initial_bytes,
                    length: self.length.as_ref(),
                    head: self.head.as_ref(),
                    id: self.id.as_ref(),
                    checksum: self.checksum.as_ref(),
                    timeout: self.timeout.as_ref(),
                    status: self.status.as_ref(),
                    app_error: self.app_error.as_ref(),
                    oneway: self.oneway.as_ref(),
                    service: self.service.as_ref(),
                    method: self.method.as_ref(),
                    key: self.key.as_ref(),
                }
            }
        }
    };
}

/// The keys of one level.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Layout<'a> {
    pub(crate) magic: Option<&'a str>,
    pub(crate) initial_bytes: Option<usize>,
    pub(crate) length: Option<&'a Length>,
    pub(crate) head: Option<&'a Length>,
    pub(crate) id: Option<&'a Source>,
    pub(crate) checksum: Option<&'a Checksum>,
    pub(crate) timeout: Option<&'a Source>,
    pub(crate) status: Option<&'a Source>,
    pub(crate) app_error: Option<&'a Test>,
    pub(crate) oneway: Option<&'a Test>,
    pub(crate) service: Option<&'a Source>,
    pub(crate) method: Option<&'a Source>,
    pub(crate) key: Option<&'a Source>,
}

impl<'a> Layout<'a> {
    /// What this level says, and what it does not say from the level above.
    pub(crate) fn within(self, above: Layout<'a>) -> Self {
        Layout {
            magic: self.magic.or(above.magic),
            initial_bytes: self.initial_bytes.or(above.initial_bytes),
            length: self.length.or(above.length),
            head: self.head.or(above.head),
            id: self.id.or(above.id),
            checksum: self.checksum.or(above.checksum),
            timeout: self.timeout.or(above.timeout),
            status: self.status.or(above.status),
            app_error: self.app_error.or(above.app_error),
            oneway: self.oneway.or(above.oneway),
            service: self.service.or(above.service),
            method: self.method.or(above.method),
            key: self.key.or(above.key),
        }
    }
}

layout! {
    /// A protocol.
    Description {
        /// Its name in metrics and logs: lower case, one word.
        name: String,
        /// Frames end with these bytes instead of having a length: text, `"\r\n"`.
        delimiter: Option<String>,
        /// The default of a listener's `limits.max_frame`, bytes; 16 MiB unless told.
        max_frame: Option<u32>,
        /// The field whose value tells what a frame is. Without it the direction does.
        kind: Option<Field>,
        /// The frames there are.
        frames: Vec<Frame>,
        /// What status values mean.
        statuses: Vec<Status>,
        /// What Heptad writes itself.
        answers: Answers,
        /// For protocols of which several versions are spoken on one port: each says what differs.
        versions: Vec<Version>,
        /// Frames as they are on the wire, and what should be found in them; for
        /// `heptad codec test`.
        samples: Vec<Sample>,
    }
}

layout! {
    /// A version of the protocol.
    Version {
        /// The field whose value tells what a frame is.
        kind: Option<Field>,
        /// The frames there are.
        frames: Vec<Frame>,
        /// What Heptad writes itself.
        answers: Option<Answers>,
    }
}

layout! {
    /// Frames of one form.
    Frame {
        /// The kinds of frames of this form, and the value of the kind field for each.
        kinds: BTreeMap<KindName, Option<Number>>,
        /// Who sends them, if the kinds do not say it.
        from: Option<From>,
        /// What stands behind the initial bytes, in order. Whatever comes then is the body.
        parts: Vec<Part>,
        /// Whether there may be a body; yes unless told.
        body: Option<bool>,
    }
}

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
#[allow(missing_docs, reason = "the words of `heptad_core::Kind`")]
pub enum KindName {
    Request,
    Oneway,
    Reply,
    Push,
    Ping,
    Pong,
    Open,
    Data,
    End,
    Reset,
    Goaway,
}

/// Who sends a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum From {
    /// Clients.
    Client,
    /// Servers.
    Server,
    /// Either.
    Both,
}

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
    /// The headers stand in a message of their own, which is the field with this number. Such
    /// headers can be read and not edited.
    pub within: Option<u32>,
    /// Fields that are headers by themselves: the header's name, and the field's number.
    pub fields: BTreeMap<String, u32>,
}

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
