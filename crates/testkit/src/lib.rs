//! What the tests of Heptad and of codecs share: the codec conformance checks, a simulator of whole
//! topologies, and a counting allocator.
#![forbid(unsafe_code)]

pub mod alloc;
pub mod sim;

pub use heptad_conformance::{self as conformance, conformance, fuzz, fuzz_target};
