//! The tokio driver of the engine: the only crate with sockets and clocks.
//!
//! A [`Driver`] has workers, each a thread with one current-thread runtime. A worker owns one
//! [`heptad_engine::Machine`] for each listener and shares nothing with other workers on the way of
//! a request. The turn (read all sockets that are ready, then perform the machine's events, then
//! write each connection once, then look at the time) is in `flush` and `seat`; everything else is
//! about how connections come, go and are spread over the workers.
//!
//! A program that has a runtime and streams of its own takes a [`Service`] instead, see [`host`].
//!
//! This crate sees machines only; it must not know of codecs, routes or configuration.
#![forbid(unsafe_code)]

mod balance;
mod clock;
mod conn;
mod dial;
mod driver;
mod flush;
pub mod host;
mod listen;
mod moderate;
mod seat;
mod stream;
mod worker;

pub use driver::{
    Collected, Driver, DriverConfig, Factory, ListenerConfig, Performer, StartError, Stopped,
};
pub use host::{Connect, Service, ServiceConfig};
pub use listen::{BadListen, Bound, Listen};
pub use seat::Io;
