//! The suites on real Thrift clients and servers.
//!
//! The server is always Apache's threaded Python server; clients are Apache's for Python and for
//! Node, thriftpy2, and bytes written here. Their scripts are in `tests/real/thrift`, the code that
//! they need is generated when a suite begins.

mod convert;
mod errors;
mod hostile;
mod matrix;
mod pipeline;
mod routes;
mod stage;
mod throughput;
mod wire;

pub(super) use convert::run as convert;
pub(super) use errors::run as errors;
pub(super) use hostile::run as hostile;
pub(super) use matrix::{node, python, recorded, thriftpy2};
pub(super) use pipeline::run as pipeline;
pub(super) use routes::run as routes;
pub(super) use throughput::run as throughput;
