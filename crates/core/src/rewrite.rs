//! What is to be different in a rewritten frame, and the parts of a fan-out.

use crate::{Meta, Outcome, Reason};

/// One change to a frame's headers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeaderEdit {
    /// Replaces all headers of the name by one.
    Set {
        /// Name.
        name: Box<str>,
        /// Value.
        value: Box<str>,
    },
    /// Adds one, whatever is there.
    Add {
        /// Name.
        name: Box<str>,
        /// Value.
        value: Box<str>,
    },
    /// Removes all of the name.
    Remove {
        /// Name.
        name: Box<str>,
    },
}

/// What is to be different in a rewritten frame.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Rewrite<'a> {
    /// The new id; `None` leaves it.
    pub id: Option<u64>,
    /// Header edits in order. Protocols without headers ignore them.
    pub headers: &'a [HeaderEdit],
    /// Set on frames to and from one endpoint of a fan-out (`All`, `Index`).
    pub part: Option<Part<'a>>,
}

impl<'a> Rewrite<'a> {
    /// A new id and header edits.
    pub const fn new(id: Option<u64>, headers: &'a [HeaderEdit]) -> Self {
        Self { id, headers, part: None }
    }

    /// Sets [`Rewrite::part`].
    pub const fn part(mut self, part: Option<Part<'a>>) -> Self {
        self.part = part;
        self
    }
}

/// One part of a fan-out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Part<'a> {
    /// Index of the endpoint in its cluster.
    pub index: usize,
    /// How many endpoints the cluster has.
    pub of: usize,
    /// For `Split`: which keys, by their number in the order of `keys`, ascending.
    pub picks: &'a [u32],
}

impl<'a> Part<'a> {
    /// A part for the endpoint `index` of `of`.
    pub const fn new(index: usize, of: usize, picks: &'a [u32]) -> Self {
        Self { index, of, picks }
    }
}

/// What came back for one part.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct PartReply<'a> {
    /// The part.
    pub part: Part<'a>,
    /// The endpoint's reply, or Heptad's own error if there was none.
    pub reply: Result<(&'a Meta, &'a [u8]), (Outcome, Reason, &'a str)>,
}

impl<'a> PartReply<'a> {
    /// The reply to a part.
    pub const fn new(
        part: Part<'a>,
        reply: Result<(&'a Meta, &'a [u8]), (Outcome, Reason, &'a str)>,
    ) -> Self {
        Self { part, reply }
    }
}
