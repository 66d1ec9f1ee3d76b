//! Attributes: the words in which routes, filters, labels and logs speak about a request.

use std::{fmt, net::IpAddr, str::FromStr};

use crate::Want;

/// The name of an attribute.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Attr {
    /// `service`
    Service,
    /// `method`
    Method,
    /// `key`: the first key, where the protocol has keys.
    Key,
    /// `header.<name>`; names are compared as the codec defines (most: exactly).
    Header(Box<str>),
    /// `arg.<n>`: an argument of the call; what the number means is the codec's to say (Dubbo: its
    /// place from 0; Thrift: the field's id).
    Arg(u16),
    /// `protocol`: the codec's name.
    Protocol,
    /// `listener`: the listener's name.
    Listener,
    /// `source.ip`
    SourceIp,
    /// `source.port`
    SourcePort,
    /// `source.principal`: who the client proved to be.
    SourcePrincipal,
    /// `destination.port`: the listener's port.
    DestinationPort,
    /// `route`: the name of the route that was found. Only filters can ask: there is none before.
    Route,
    /// `cluster`: the name of the cluster that was chosen. As `route`.
    Cluster,
}

impl Attr {
    /// What decoders must be told where a rule asks for it.
    pub const fn want(&self) -> Want {
        Want {
            headers: matches!(self, Self::Header(_) | Self::Arg(_)),
            edits: false,
            service: matches!(self, Self::Service),
        }
    }

    /// Whether two requests of a listener that have the same service and method have the same of it.
    pub const fn is_by_names(&self) -> bool {
        matches!(
            self,
            Self::Service | Self::Method | Self::Protocol | Self::Listener | Self::DestinationPort
        )
    }

    /// Whether it can be known only once the request has its route.
    pub const fn is_routed(&self) -> bool {
        matches!(self, Self::Route | Self::Cluster)
    }
}

impl fmt::Display for Attr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service => f.write_str("service"),
            Self::Method => f.write_str("method"),
            Self::Key => f.write_str("key"),
            Self::Header(name) => write!(f, "header.{name}"),
            Self::Arg(n) => write!(f, "arg.{n}"),
            Self::Protocol => f.write_str("protocol"),
            Self::Listener => f.write_str("listener"),
            Self::SourceIp => f.write_str("source.ip"),
            Self::SourcePort => f.write_str("source.port"),
            Self::SourcePrincipal => f.write_str("source.principal"),
            Self::DestinationPort => f.write_str("destination.port"),
            Self::Route => f.write_str("route"),
            Self::Cluster => f.write_str("cluster"),
        }
    }
}

/// The text is not the name of an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParseAttrError;

impl fmt::Display for ParseAttrError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "expected service, method, key, header.<name>, arg.<number>, protocol, listener, \
             source.ip, source.port, source.principal or destination.port",
        )
    }
}

impl std::error::Error for ParseAttrError {}

impl FromStr for Attr {
    type Err = ParseAttrError;

    fn from_str(s: &str) -> Result<Self, ParseAttrError> {
        Ok(match s {
            "service" => Self::Service,
            "method" => Self::Method,
            "key" => Self::Key,
            "protocol" => Self::Protocol,
            "listener" => Self::Listener,
            "source.ip" => Self::SourceIp,
            "source.port" => Self::SourcePort,
            "source.principal" => Self::SourcePrincipal,
            "destination.port" => Self::DestinationPort,
            "route" => Self::Route,
            "cluster" => Self::Cluster,
            _ => {
                if let Some(name) = s.strip_prefix("header.").filter(|name| !name.is_empty()) {
                    return Ok(Self::Header(name.into()));
                }
                // One spelling for each number.
                let number = s.strip_prefix("arg.").ok_or(ParseAttrError)?;
                let n = number.parse::<u16>().map_err(|_| ParseAttrError)?;
                if n.to_string() != number {
                    return Err(ParseAttrError);
                }
                Self::Arg(n)
            }
        })
    }
}

/// The value of an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Value<'a> {
    /// Text as it stands in the frame.
    Bytes(&'a [u8]),
    /// An address.
    Ip(IpAddr),
    /// A number.
    Number(u64),
}

/// The attribute may be there but could not be read (a compressed header, an unreadable body, over
/// a limit). Not the same as absent: unknown matches every deny rule and no allow rule, through
/// `not` as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "a word, for codec authors to say")]
pub struct Unknown;

/// What reading an attribute found: `Ok(None)` is absent, which is not the same as [`Unknown`].
pub type Found<'a> = Result<Option<&'a [u8]>, Unknown>;

/// What routes and filters may ask about a request.
pub trait Attributes {
    /// `Ok(None)`: the request does not have it. `Err(Unknown)`: it cannot be told.
    ///
    /// `&mut self`, because values are found lazily and may need a scratch buffer.
    fn attr(&mut self, attr: &Attr) -> Result<Option<Value<'_>>, Unknown>;
}
