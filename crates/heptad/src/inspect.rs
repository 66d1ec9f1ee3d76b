//! Captured bytes taken apart by a codec, frame by frame, with the byte at which decoding fails.
//!
//! Here a codec is asked as an engine asks it, but nothing is routed, sent or answered: what one
//! side said is decoded in the light of what the other side said before.

mod show;
#[cfg(test)]
mod tests;
mod walk;

use heptad_config::{Listener, Node, Problem};
use heptad_core::{Fault, Kind, Outcome, Sniff};

use crate::{Registry, registry::AnyCodec};
pub(crate) use walk::{Walk, walk};

/// Who said something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "a connection has two ends")]
pub enum Sender {
    /// Requests.
    Client,
    /// Replies.
    Server,
}

/// Bytes of one direction, in the order in which they were captured among those of the other.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Piece {
    /// Whose.
    pub sender: Sender,
    /// Cut anywhere.
    pub bytes: Vec<u8>,
}

impl Piece {
    /// What `sender` said.
    pub fn new(sender: Sender, bytes: impl Into<Vec<u8>>) -> Self {
        Self { sender, bytes: bytes.into() }
    }
}

/// Something found in captured bytes.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Inspected {
    /// In whose bytes.
    pub sender: Sender,
    /// The first byte's place among all bytes of its direction.
    pub at: usize,
    /// Bytes.
    pub len: usize,
    /// What it is.
    pub found: Found,
}

/// What was found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Found {
    /// A frame.
    Frame(Box<FrameFacts>),
    /// Bytes that belong to no frame (padding, a blank line).
    Skipped,
    /// A frame whose end is not there; so many bytes were wanted at least.
    CutOff(usize),
    /// What is not the protocol. Nothing behind it in its direction is looked at.
    Broken(Broken),
}

/// What a codec says of a frame. Values are as rules see them; `Err(Unknown)` cannot be read.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FrameFacts {
    /// What it is.
    pub kind: Kind,
    /// On the wire; 0 for protocols in order.
    pub id: u64,
    /// Of requests.
    pub service: Known,
    /// Of requests.
    pub method: Known,
    /// Every key of a request, or that they cannot be told.
    pub keys: Result<Vec<Vec<u8>>, heptad_core::Unknown>,
    /// Of requests, in order; or that they cannot be read.
    pub headers: Result<Headers, heptad_core::Unknown>,
    /// How a reply says that its request ended.
    pub outcome: Option<Outcome>,
    /// The protocol's own name of the error, of replies that have one.
    pub code: Option<String>,
    /// Why a request whose end is known would not be forwarded.
    pub refused: Option<Fault>,
}

/// Names and values.
pub type Headers = Vec<(Vec<u8>, Vec<u8>)>;

/// An attribute, owned.
pub type Known = Result<Option<Vec<u8>>, heptad_core::Unknown>;

/// Where and why decoding ends.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Broken {
    /// The byte that shows it, among all bytes of its direction: up to the one before, this may
    /// still have become a frame.
    pub byte: usize,
    /// Why.
    pub fault: Fault,
    /// The bytes around `byte`, and the place of the first of them.
    pub around: (usize, Vec<u8>),
}

/// Why nothing was looked at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InspectError {
    /// There is no codec of this name.
    #[error(
        "there is no codec {name}; there are: {}, and files with a description",
        known.join(", ")
    )]
    NoCodec {
        /// What was asked for.
        name: String,
        /// All there are.
        known: Vec<&'static str>,
    },
    /// The codec does not take the options.
    #[error("{}", said(.0))]
    Options(Problem),
}

fn said(problem: &Problem) -> String {
    match problem.span.line {
        // There was no file.
        0 => problem.message.clone(),
        line => format!("line {line}: {}", problem.message),
    }
}

/// Takes a connection apart while it goes on.
pub trait Inspector: Send {
    /// What has come to its end with these bytes. After [`Found::Broken`] nothing more is found in
    /// the same direction; its `byte` is then the last one that was there.
    fn hear(&mut self, sender: Sender, bytes: &[u8]) -> Vec<Inspected>;
}

/// An inspector for a new connection.
pub fn inspector(
    registry: &Registry,
    codec: &str,
    options: Option<&Node>,
) -> Result<Box<dyn Inspector>, InspectError> {
    find(registry, codec)?.inspector(options).map_err(InspectError::Options)
}

/// The protocol of a listener that a client who begins with these bytes is taken to speak, by its
/// place in [`Listener::protocols`](heptad_config::Listener::protocols).
pub fn spoken(registry: &Registry, listener: &Listener, bytes: &[u8]) -> Result<usize, Problem> {
    if listener.also.is_empty() || bytes.is_empty() {
        return Ok(0);
    }
    for (number, (name, options)) in listener.protocols().enumerate() {
        let Some(codec) = registry.any_codec(name) else { continue };
        if codec.sniff(options)?(bytes) != Sniff::No {
            return Ok(number);
        }
    }
    Ok(0)
}

fn find<'a>(registry: &'a Registry, codec: &str) -> Result<&'a dyn AnyCodec, InspectError> {
    registry.any_codec(codec).ok_or_else(|| InspectError::NoCodec {
        name: codec.to_owned(),
        known: registry.codecs().collect(),
    })
}

/// Takes apart what was said on one connection, from its first byte.
pub fn inspect(
    registry: &Registry,
    codec: &str,
    options: Option<&Node>,
    pieces: &[Piece],
) -> Result<Vec<Inspected>, InspectError> {
    find(registry, codec)?.inspect(options, pieces).map_err(InspectError::Options)
}
