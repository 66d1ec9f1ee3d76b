//! Any codec as a [`tokio_util::codec`] `Decoder` and `Encoder`, for those who want frames and no
//! router.
//!
//! [`ServerEnd`] is the end that hears requests, [`ClientEnd`] the one that hears replies. Both cut
//! frames exactly as the router does, with the same limits. This crate knows one connection and
//! nothing of routes, filters or other connections.
//!
//! ```
//! use awesomerpc::{AwesomeRpc, wire::Message};
//! use bytes::Bytes;
//! use futures_util::{SinkExt as _, StreamExt as _};
//! use heptad_adapter::{ClientEnd, ServerEnd};
//! use heptad_core::NoOptions;
//! use tokio_util::codec::Framed;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (near, far) = tokio::io::duplex(4096);
//! let mut client = Framed::new(near, ClientEnd::new(AwesomeRpc::default(), &NoOptions::default()));
//! let mut server = Framed::new(far, ServerEnd::new(AwesomeRpc::default()));
//!
//! client.send(Bytes::from(Message::request(7, "users", "get").to_bytes())).await?;
//! let asked = server.next().await.expect("a request")?;
//! assert_eq!(asked.method(), Some(&b"get"[..]));
//! server.send(Bytes::from(Message::reply(asked.meta.id as u32, "hello").to_bytes())).await?;
//! let reply = client.next().await.expect("a reply")?;
//! assert_eq!(reply.meta.outcome, heptad_core::Outcome::Ok);
//! # Ok(()) }
//! ```
#![forbid(unsafe_code)]

mod client;
mod cut;
mod server;

use std::io;

use heptad_core::Fault;

pub use client::{ClientEnd, Reply};
pub use server::{Answered, Request, ServerEnd};

/// Why a connection cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The stream is broken, or ended within a frame.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The bytes are not the protocol, or pass a limit.
    #[error("{}", .0.text)]
    Fault(Fault),
}

impl From<Fault> for FrameError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}
