//! What Heptad's fuzz targets do with their bytes. The targets in `fuzz/` are one line each over
//! this crate, so that ordinary tests can run the same over the corpora that are kept, and so that
//! it is built and linted with everything else. Nothing here knows a fuzzer.
#![forbid(unsafe_code)]

mod config;
mod convert;
mod described;
mod differential;
mod ops;
mod suites;

pub use described::described_seeds;

/// A fuzz target.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Target {
    /// Its name, also that of its binary.
    pub name: &'static str,
    /// The folder of `fuzz/corpus` that it begins with; targets that read alike share one.
    pub corpus: &'static str,
    /// Does it; panics at a finding.
    pub run: fn(&[u8]),
}

const fn target(name: &'static str, corpus: &'static str, run: fn(&[u8])) -> Target {
    Target { name, corpus, run }
}

/// All targets.
pub const TARGETS: &[Target] = &[
    target("redis_decode", "redis", suites::redis_decode),
    target("redis_chunks", "redis", suites::redis_chunks),
    target("redis_rewrite", "redis", suites::redis_rewrite),
    target("redis_users_decode", "redis_users", suites::users_decode),
    target("redis_users_chunks", "redis_users", suites::users_chunks),
    target("redis_users_rewrite", "redis_users", suites::users_rewrite),
    target("redis_differential", "redis", differential::redis),
    target("thrift_decode", "thrift", suites::thrift_decode),
    target("thrift_chunks", "thrift", suites::thrift_chunks),
    target("thrift_rewrite", "thrift", suites::thrift_rewrite),
    target("thrift_convert", "thrift", convert::run),
    target("thrift_differential", "thrift", differential::thrift),
    target("dubbo_decode", "dubbo", suites::dubbo_decode),
    target("dubbo_chunks", "dubbo", suites::dubbo_chunks),
    target("dubbo_rewrite", "dubbo", suites::dubbo_rewrite),
    target("awesomerpc_decode", "awesomerpc", suites::awesomerpc_decode),
    target("awesomerpc_chunks", "awesomerpc", suites::awesomerpc_chunks),
    target("awesomerpc_rewrite", "awesomerpc", suites::awesomerpc_rewrite),
    target("described_decode", "described", described::decode),
    target("described_chunks", "described", described::chunks),
    target("described_rewrite", "described", described::rewrite),
    target("engine_ops", "engine_ops", ops::run),
    target("config", "config", config::run),
];

/// Runs the target with this name.
///
/// # Panics
/// At a finding, and when there is no such target.
pub fn run(name: &str, data: &[u8]) {
    match TARGETS.iter().find(|target| target.name == name) {
        Some(target) => (target.run)(data),
        None => panic!("there is no fuzz target `{name}`"),
    }
}
