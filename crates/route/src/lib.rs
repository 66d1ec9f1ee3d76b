//! Routing rules compiled to an indexed look-up.
//!
//! An [`Expr`] says which requests a rule is for, in the vocabulary of Envoy and Istio; a [`Table`]
//! is a list of them compiled so that finding the first one that matches costs what the request
//! costs and not what the list costs. This crate knows attributes ([`heptad_core::Attr`]) and
//! nothing of protocols, clusters or configuration files.
//!
//! # Limits
//!
//! | what | most | what happens |
//! | --- | --- | --- |
//! | rules of a table | [`MAX_RULES`] | [`Table::compile`] fails |
//! | nesting of an expression, texts included | [`MAX_DEPTH`] | [`Table::compile`] fails |
//! | source of a regular expression, bytes | [`MAX_PATTERN`] | [`Pattern::new`] fails |
//! | automaton of a regular expression, bytes | [`MAX_AUTOMATON`] | [`Pattern::new`] fails |
#![forbid(unsafe_code)]

mod affix;
mod cover;
mod explain;
mod expr;
mod find;
mod index;
mod matches;
mod nets;
mod pattern;
mod ranges;
mod table;
mod text;

pub use explain::{Cause, Explained, Reason, Seen};
pub use expr::{Expr, MAX_DEPTH, Tri};
pub use find::Scratch;
pub use matches::Match;
pub use pattern::{MAX_AUTOMATON, MAX_PATTERN, Pattern};
pub use table::{CompileError, MAX_RULES, Table};
pub use text::{InvalidText, Text};
