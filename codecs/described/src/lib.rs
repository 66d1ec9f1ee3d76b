//! Protocols that are described in YAML instead of coded.
//!
//! A description says where in a frame things stand: its length, id, kind, service, method, headers
//! and status, and how an error is written. It is compiled into tables once; decoding, editing and
//! answering read those, and a described codec can do what a coded one can. The keys are the fields
//! of [`model::Description`]; `docs/described-codecs.md` explains them.
//!
//! Of all codecs this one knows the configuration's crate, because a description is a file and its
//! errors point into it.
#![forbid(unsafe_code)]

mod answer;
mod codec;
mod compile;
mod decode;
mod description;
mod edit;
mod hex;
mod json;
pub mod model;
mod number;
pub mod samples;
mod section;
mod shapes;
mod table;

pub use codec::{Conn, Described, Origin};
pub use compile::Complaint;
pub use description::{
    AwesomeRpc, AwesomeRpcOrigin, Bolt, BoltOrigin, Frame, Own, Protocol, SHIPPED, Trpc,
    TrpcOrigin, check, read,
};
pub use number::Number;
