//! The suites on real Dubbo clients and servers.
//!
//! Servers are of sofa-rpc-node, apache-dubbo-service and dubbo-py; clients of sofa-rpc-node,
//! apache-dubbo-consumer, dubbo-py and dubbo-ssl-python, and bytes written here. Their scripts are
//! in `tests/real/dubbo`.

mod differential;
mod errors;
mod frames;
mod hostile;
mod links;
mod matrix;
mod routes;
mod stage;
mod wire;

pub(super) use differential::run as differential;
pub(super) use errors::run as errors;
pub(super) use frames::run as frames;
pub(super) use hostile::run as hostile;
pub(super) use links::run as links;
pub(super) use matrix::{apache, dubbo_py, dubbo_ssl, recorded, sofa};
pub(super) use routes::run as routes;
