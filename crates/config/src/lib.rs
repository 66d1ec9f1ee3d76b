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

mod check;
mod cross;
mod de;
mod dump;
mod model;
mod node;
mod parse;
mod plugins;
mod problem;
mod read;
mod scalar;
mod schema;
mod shape;
mod suggest;
mod table;

pub use model::{
    Action, Address, Admin, Cluster, Compare, Filter, Limits, Links, Listener, Log, Mirror, Model,
    Route, Share, TapPolicy,
};
pub use node::Node;
pub use plugins::{OptionsRule, Plugins};
pub use problem::{Problem, Problems, Span};
pub use scalar::ParseAddressError;
pub use schema::schema;

/// Reads a file's text. `file` is its name, for messages.
pub fn load(file: &str, text: &str, plugins: &Plugins) -> Result<Model, Problems> {
    let fail = |list| Problems::new(file, text, list);
    let (root, mut problems) = parse::parse(text).map_err(|problem| fail(vec![problem]))?;
    problems.extend(check::check(&root, &table::ROOT, plugins));
    problems.extend(cross::check(&root, plugins));
    if !problems.is_empty() {
        return Err(fail(problems));
    }
    // Nothing was wrong, so there is a model; if not, the check missed something.
    read::model(&root, plugins).ok_or_else(|| {
        let message = "the file passed every check and cannot be read all the same";
        fail(vec![root.problem(message, "please report this file")])
    })
}

/// Reads any YAML text as a tree, within the same limits; for programs with files of their own.
pub fn parse_yaml(file: &str, text: &str) -> Result<Node, Problems> {
    match parse::parse(text) {
        Ok((root, problems)) if problems.is_empty() => Ok(root),
        Ok((_, problems)) => Err(Problems::new(file, text, problems)),
        Err(problem) => Err(Problems::new(file, text, vec![problem])),
    }
}

/// Longest file, in bytes.
pub const MAX_BYTES: usize = 32 << 20;

/// Most values in a file, those of aliases counted where they are used.
pub const MAX_NODES: usize = 2_000_000;

/// Deepest nesting.
pub const MAX_DEPTH: usize = 64;
