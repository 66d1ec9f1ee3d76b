//! Redis codec: RESP2, RESP3 and inline commands.
//!
//! Requests and replies share links in order; what changes a connection (`MULTI`, `SUBSCRIBE`,
//! `SELECT`, …), or is not known, gets a link of its own, prepared to be as the client's connection
//! would be. Where each duty is:
//!
//! - `scan`, `args`, `resp`: the grammar, read and written;
//! - `table`: what is known of each command;
//! - `classify`: from a request to what the engine must know of it, without changing anything;
//! - `conn`, `state`: what is remembered, and how it changes;
//! - `replies`, `prelude`: the links' side;
//! - `answer`, `join`: what clients are told.
//!
//! With several endpoints the command's own policy decides: the endpoint of its keys, all of them
//! and merged, the first one, or a clear error. `MSETNX` over several endpoints is not atomic: each
//! endpoint decides for its own keys, and the answer is 1 only if all of them did.
#![forbid(unsafe_code)]

mod answer;
mod args;
mod auth;
mod classify;
mod codec;
mod conn;
mod join;
mod options;
mod prelude;
mod replies;
mod resp;
mod scan;
mod state;
mod table;
mod tag;

pub use codec::Redis;
pub use conn::Conn;
pub use options::{CommandOptions, RedisOptions, RedisUpstream, Secret, UserOptions};
pub use tag::Tag;
