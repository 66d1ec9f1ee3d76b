//! The configuration file: one YAML document to one [`Model`], with every problem found in one run.
//!
//! [`load`] reads a file's text. Whatever is wrong with it (unknown keys, wrong types, missing keys,
//! numbers out of range, names that point nowhere, duplicates, bad addresses, durations and regular
//! expressions) comes back as one [`Problems`], each with its place, the line and the cure. What
//! plugins there are, the caller says with [`Plugins`]; [`schema`] writes the same rules down as a
//! JSON schema for editors.
//!
//! This crate opens no files and starts nothing. Hostile input is refused by its limits:
//! [`MAX_BYTES`], [`MAX_NODES`], [`MAX_DEPTH`].
#![forbid(unsafe_code)]

mod model;
mod node;
mod problem;

pub use model::{
    Action, Address, Admin, Cluster, Filter, Limits, Links, Listener, Log, Model, Route, Share,
};
pub use node::Node;
pub use problem::{Problem, Problems, Span};

/// Longest file, in bytes.
pub const MAX_BYTES: usize = 64 << 20;

/// Most values in a file, those of aliases counted where they are used.
pub const MAX_NODES: usize = 4_000_000;

/// Deepest nesting.
pub const MAX_DEPTH: usize = 64;
