//! What a description says: the keys of its YAML, as types. They bring the schema and the errors of
//! form; whether the parts fit together is `compile`'s to judge. Nothing here is used at run time.

mod answer;
mod part;
mod place;
mod sample;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::Number;

pub use answer::{Answers, Copied, Instead, NumberForm, Piece, Status, Template, TextForm};
pub use part::{Extent, Format, Headers, Part, Protobuf, Repeated, StatusPart};
pub use place::{Algorithm, Checksum, Endianness, Field, Length, Scalar, Source, Test};
pub use sample::{Expected, Sample};

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
