//! The router itself, without I/O: sessions, links, exchanges, attempts, order, fan-out, deadlines,
//! the filter chain and counters.
//!
//! A driver feeds [`Machine`] with what happened on sockets and with the time, and performs the
//! [`Event`]s that come out. The engine has no protocol's name in it: everything it knows of a frame
//! is its [`heptad_core::Meta`].
#![forbid(unsafe_code)]

mod admit;
mod aim;
mod arena;
mod calls;
mod check;
mod choose;
mod copies;
mod dispatch;
mod engine;
mod exchange;
mod explain;
mod express;
mod fan;
mod follow;
mod follow_replies;
mod intake;
mod known;
mod leftovers;
mod link;
mod links;
mod machine;
mod memory;
mod open;
mod pen;
mod plan;
mod pool;
mod rare;
mod redirect;
mod replies;
mod ring;
mod session;
mod settle;
mod sniff;
mod stamp;
mod stats;
mod tap;
mod text;
mod timers;
mod transmit;
mod upkeep;
mod view;

pub use engine::Engine;
pub use explain::{
    Branch, Explained, Fate, Frame, Question, Refused, Said, To, Why, explain_frames,
    explain_question,
};
pub use machine::{ConnId, EndpointRow, Event, LinkId, Lost, Machine, Peer, SessionId};
pub use plan::{Cluster, Compare, Limits, Links, Mirror, Plan, Route, Target};
pub use sniff::{LooksAt, Sniffed, Sniffer};
pub use stats::{
    Count, Difference, Histogram, MethodSeries, MirrorSeries, Mirrors, Seen, Series, Stats,
};
pub use tap::{Tap, TapRecord, Tapped};
