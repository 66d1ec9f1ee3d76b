//! What can be configured: on the listener which dialects clients may speak, on the cluster which
//! one its servers speak.

use crate::dialect::{Protocol, Transport};

/// Options of a listener's `codec: { thrift: … }` entry.
#[derive(Clone, Copy, Debug, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct ThriftOptions {
    /// How messages are framed. `auto`: as the first bytes of each connection say.
    pub transport: ClientTransport,
    /// How messages are encoded. `auto`: as the first bytes of each connection say. `binary` is
    /// both the strict and the old form.
    pub protocol: ClientProtocol,
    /// Whether replies are sent in the order of the requests, as synchronous clients that send
    /// several calls at once expect. Without it, clients match replies by sequence id.
    pub ordered: bool,
}

impl Default for ThriftOptions {
    fn default() -> Self {
        Self { transport: ClientTransport::Auto, protocol: ClientProtocol::Auto, ordered: true }
    }
}

/// How a listener's clients frame their messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ClientTransport {
    /// As the first bytes of each connection say.
    #[default]
    Auto,
    /// A length ahead of each message.
    Framed,
    /// Messages as they are.
    Unframed,
    /// THeader, also inside of one more frame.
    Header,
}

/// How a listener's clients encode their messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ClientProtocol {
    /// As the first bytes of each connection say.
    #[default]
    Auto,
    /// Binary, strict or old.
    Binary,
    /// Compact.
    Compact,
    /// JSON.
    Json,
}

/// Options of a cluster of Thrift servers, under `thrift:`.
#[derive(Clone, Copy, Debug, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct ThriftUpstream {
    /// How messages to its servers are framed. `same`: as the client frames them.
    pub transport: ServerTransport,
    /// How messages to its servers are encoded. `same`: as the client encodes them.
    pub protocol: ServerProtocol,
    /// Sends `method` where a client of a multiplexed server says `Service:method`.
    pub strip_service: bool,
}

/// How messages to servers are framed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ServerTransport {
    /// As the client frames them.
    #[default]
    Same,
    /// A length ahead of each message.
    Framed,
    /// Messages as they are.
    Unframed,
    /// THeader.
    Header,
}

/// How messages to servers are encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ServerProtocol {
    /// As the client encodes them.
    #[default]
    Same,
    /// Binary, in its strict form.
    Binary,
    /// Compact.
    Compact,
    /// JSON; only for clients that speak JSON themselves.
    Json,
}

impl ClientTransport {
    /// Whether clients may speak this transport, and what to tell them if not.
    pub(crate) const fn refuses(self, found: Transport) -> Option<&'static str> {
        match (self, found) {
            (Self::Auto, _)
            | (Self::Framed, Transport::Framed)
            | (Self::Unframed, Transport::Unframed)
            | (Self::Header, Transport::Header | Transport::Nested) => None,
            (Self::Framed, _) => Some("only the framed transport is taken here"),
            (Self::Unframed, _) => Some("only the unframed transport is taken here"),
            (Self::Header, _) => Some("only the THeader transport is taken here"),
        }
    }
}

impl ClientProtocol {
    /// Whether clients may speak this protocol, and what to tell them if not.
    pub(crate) const fn refuses(self, found: Protocol) -> Option<&'static str> {
        match (self, found) {
            (Self::Auto, _)
            | (Self::Binary, Protocol::Strict | Protocol::Old)
            | (Self::Compact, Protocol::Compact)
            | (Self::Json, Protocol::Json) => None,
            (Self::Binary, _) => Some("only the binary protocol is taken here"),
            (Self::Compact, _) => Some("only the compact protocol is taken here"),
            (Self::Json, _) => Some("only the JSON protocol is taken here"),
        }
    }
}

impl ServerTransport {
    pub(crate) const fn fixed(self) -> Option<Transport> {
        match self {
            Self::Same => None,
            Self::Framed => Some(Transport::Framed),
            Self::Unframed => Some(Transport::Unframed),
            Self::Header => Some(Transport::Header),
        }
    }
}

impl ServerProtocol {
    pub(crate) const fn fixed(self) -> Option<Protocol> {
        match self {
            Self::Same => None,
            Self::Binary => Some(Protocol::Strict),
            Self::Compact => Some(Protocol::Compact),
            Self::Json => Some(Protocol::Json),
        }
    }
}
