//! A load generator that checks every reply, the echo servers it is used with, and a relay that does
//! nothing but relay.
//!
//! All are one thread around `epoll`, because they share a core while a proxy is measured on
//! another one. Nothing here knows a proxy, and nothing is shared with Heptad's codecs: who judges
//! must not share the mistakes of the accused.
#![forbid(unsafe_code)]
#![allow(clippy::disallowed_methods, reason = "a load generator reads the clock")]

mod bare;
mod dubbo;
mod echo;
mod generator;
mod latency;
mod payload;
mod redis;
mod socket;
mod thrift;

pub use crate::{
    bare::{Frame, dubbo_frame, relay, thrift_frame},
    dubbo::Dubbo,
    echo::{Echo, listen, serve},
    generator::{Generator, Pace, Phase, Report},
    latency::Latency,
    redis::{Command, Redis},
    thrift::Thrift,
};

/// What is wrong with a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(clippy::exhaustive_enums, reason = "a report names every kind")]
pub enum Fault {
    /// It answers a request that is not there, or was answered before.
    Id,
    /// It is longer or shorter than what was asked for.
    Length,
    /// It is as long as it should be and says something else.
    Content,
    /// It is an error of the protocol.
    Refused,
    /// It is not a reply at all; the connection cannot go on.
    Garbage,
    /// It never came: the connection was closed, or the time was over.
    Lost,
}

/// The first reply in what was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cut {
    /// Its bytes, from the first one on.
    pub length: usize,
    /// The id it carries; `None` where replies come in order.
    pub id: Option<u64>,
}

impl Cut {
    /// A reply of so many bytes.
    pub const fn new(length: usize, id: Option<u64>) -> Self {
        Self { length, id }
    }
}

/// What a generator sends and how it judges what comes back.
pub trait Traffic {
    /// Appends one request. `serial` is never used twice and decides the content, so that a reply
    /// to another request is noticed; `id` is unique among the requests in flight of a connection.
    fn request(&self, id: u64, serial: u64, out: &mut Vec<u8>);

    /// Finds the first reply; `None` when it has no end yet.
    fn cut(&self, input: &[u8]) -> Result<Option<Cut>, Fault>;

    /// Compares a whole reply with what the request of this id and serial must get.
    fn check(&self, frame: &[u8], id: u64, serial: u64) -> Result<(), Fault>;
}

/// What an echo server does with what it read.
pub trait Answer {
    /// Appends the reply to the first request in the input and returns the request's length; `None`
    /// when it has no end yet.
    fn answer(&self, input: &[u8], out: &mut Vec<u8>) -> Result<Option<usize>, Fault>;
}
