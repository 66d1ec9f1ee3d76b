//! What is known of a connection: its dialect, where decoding stopped, and what it remembers.

use heptad_core::Ctx;

use crate::{dialect::Dialect, header::Persistent, json::JsonWalk, token::Walk};

/// The state of a connection.
#[derive(Debug)]
pub struct Conn {
    /// Of a session, what it was found to speak; of a link, what it must speak.
    pub(crate) dialect: Dialect,
    pub(crate) is_link: bool,
    pub(crate) strip_service: bool,
    pub(crate) resume: Resume,
    /// Persistent headers that the other end has sent.
    pub(crate) persistent: Option<Box<Persistent>>,
    /// The limits of the decoder, for what is read later.
    pub(crate) cx: Ctx,
}

/// Where decoding goes on when more bytes have come.
#[derive(Debug, Default)]
pub(crate) struct Resume {
    /// A message's struct is being walked through.
    pub(crate) active: bool,
    pub(crate) walk: Walk,
    pub(crate) json: JsonWalk,
}

impl Conn {
    pub(crate) fn new(is_link: bool, dialect: Dialect, strip_service: bool) -> Self {
        Self {
            dialect,
            is_link,
            strip_service,
            resume: Resume::default(),
            persistent: None,
            cx: Ctx::default(),
        }
    }
}

/// The dialect of a request: what its reply must be written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tag(pub(crate) u8);

impl Tag {
    pub(crate) const fn new(dialect: Dialect) -> Self {
        Self(dialect.to_bits() as u8)
    }

    pub(crate) const fn dialect(self) -> Dialect {
        Dialect::from_bits(self.0 as u32)
    }
}
