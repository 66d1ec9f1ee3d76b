//! The checks that every codec is put through, apart from the rest of the test kit: a program that
//! has an allocator of its own, such as `heptad codec test`, cannot link the kit's counting one.
#![forbid(unsafe_code)]

pub mod conformance;
