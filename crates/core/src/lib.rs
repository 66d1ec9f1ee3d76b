//! The vocabulary of Heptad and the two traits that plugins implement: [`Codec`] and [`Filter`].
//!
//! This crate is what a codec author depends on. It does no I/O, reads no clock and knows no
//! protocol. It changes rarely, and everything above it (`route`, `cluster`, `engine`, `net`)
//! speaks in its words.
#![forbid(unsafe_code)]

mod attr;
mod chain;
mod codec;
mod fault;
mod feed;
mod filter;
mod meta;
mod options;
mod outcome;
mod rewrite;
mod splice;
mod template;
mod time;
mod traits;
pub mod units;

pub use attr::{Attr, Attributes, Found, ParseAttrError, Unknown, Value};
pub use chain::{Chain, Mark, Piece, SHARE_FROM};
pub use codec::{Accepted, Asked, Codec, Greet, Prelude, Question, Redirect, Sniff};
pub use fault::Fault;
pub use feed::{Feed, FeedWriter, Render, Wall};
pub use filter::{Ask, End, Filter, FilterWorker, Refusal, Repeats, Request, Verdict};
pub use meta::{Bind, FanOut, Kind, Lane, Meta, Span, Step};
pub use options::{NoOptions, Options, OptionsError};
pub use outcome::{Answer, Outcome, Reason};
pub use rewrite::{HeaderEdit, Part, PartReply, Rewrite};
pub use splice::Splice;
pub use template::{Template, same};
pub use time::Time;
pub use traits::{Ctx, Flavour, Pairing, Side, Traits, Want};
