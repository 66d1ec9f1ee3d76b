//! What is wrong with the bytes a peer sent.

use crate::{Outcome, Reason};

/// A fault in received bytes: `Copy` and without allocation, because a hostile peer chooses how
/// often it happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fault {
    /// `BadRequest`, `TooLarge`, `Unauthenticated`, `ProtocolError`, … .
    pub outcome: Outcome,
    /// Which limit or rule.
    pub reason: Reason,
    /// One line for the human at the other end, in the protocol's customary words where it has any.
    pub text: &'static str,
}

impl Fault {
    /// A fault with all parts given.
    pub const fn new(outcome: Outcome, reason: Reason, text: &'static str) -> Self {
        Self { outcome, reason, text }
    }

    /// Bytes that are not the protocol.
    pub const fn malformed(text: &'static str) -> Self {
        Self::new(Outcome::BadRequest, Reason::Malformed, text)
    }

    /// Bytes that announce or contain more than a limit allows.
    pub const fn too_large(reason: Reason, text: &'static str) -> Self {
        Self::new(Outcome::TooLarge, reason, text)
    }
}
