//! The suites on real Dubbo clients and servers.
//!
//! Servers are of sofa-rpc-node, apache-dubbo-service and dubbo-py; clients of sofa-rpc-node,
//! apache-dubbo-consumer, dubbo-py and dubbo-ssl-python, and bytes written here. Their scripts are
//! in `tests/real/dubbo`.

mod matrix;
mod stage;

pub(super) use matrix::{apache, dubbo_py, dubbo_ssl, sofa};
