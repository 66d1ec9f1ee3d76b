//! The engine in the simulator: every invariant and every hard case that AwesomeRPC, Redis and a
//! small codec made for the purpose can express. Each scenario runs for several seeds.

mod common;
mod dubbo;
mod filters;
mod known;
mod limits;
mod mirror;
mod narrow;
mod passage;
mod policy;
mod redis;
mod rpc;
mod sessions;
mod soak;
mod thrift;
mod together;
