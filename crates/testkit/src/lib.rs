//! What the tests of Heptad and of codecs share: the codec conformance checks and a counting
//! allocator.
#![forbid(unsafe_code)]

pub mod alloc;
pub mod conformance;
