//! What a decoder found in a frame: offsets and small facts, never the bytes themselves.

use std::ops::Range;

use crate::{Fault, Outcome};

/// A range of bytes inside a frame, as an offset from its first byte.
///
/// The empty span at offset 0 means "absent"; an empty value that is present has a non-zero offset
/// (no protocol has a value at the very first byte of a frame; one that does adds its own flag in
/// [`Meta::aux`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Span {
    /// Offset of the first byte.
    pub at: u32,
    /// Number of bytes.
    pub len: u32,
}

impl Span {
    /// Absent.
    pub const NONE: Self = Self { at: 0, len: 0 };

    /// `len` bytes at offset `at`. Values past 4 GiB saturate and then fail [`Span::of`].
    pub fn new(at: usize, len: usize) -> Self {
        Self {
            at: u32::try_from(at).unwrap_or(u32::MAX),
            len: u32::try_from(len).unwrap_or(u32::MAX),
        }
    }

    /// Whether there is a value.
    pub const fn is_present(self) -> bool {
        self.at != 0 || self.len != 0
    }

    /// The bytes, or `None` when absent or outside of `frame`.
    #[inline]
    pub fn of(self, frame: &[u8]) -> Option<&[u8]> {
        if self.is_present() { frame.get(self.range()) } else { None }
    }

    /// As a range of offsets.
    pub const fn range(self) -> Range<usize> {
        self.at as usize..(self.at as usize).saturating_add(self.len as usize)
    }
}

/// What a frame is, seen from the side that sent it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A request that gets exactly one reply.
    #[default]
    Request,
    /// A request without a reply.
    Oneway,
    /// The reply to a request; ends the attempt.
    Reply,
    /// Sent by the server without being asked, to the session that holds the link.
    Push,
    /// A heartbeat; answered where it arrives, never forwarded.
    Ping,
    /// The answer to a heartbeat.
    Pong,
    /// Opens a stream; counts as a request until its `Reply`, `End` or `Reset` from the server.
    Open,
    /// A frame of an open stream, either direction.
    Data,
    /// The sender will send no more on this stream. From the server: the stream is over.
    End,
    /// The sender gives up this stream. From a client it must be acknowledged by the server with
    /// `End`, `Reset` or `Reply`, which frees the id.
    Reset,
    /// Credentials: a barrier. Everything behind it waits until it is answered.
    Login,
    /// Changes the state of the connection: a barrier, as `Login`.
    Control,
    /// The peer asks for no new requests on this connection.
    GoAway,
}

/// Which held link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Lane {
    /// One link on one endpoint; while it is held every frame of the session goes over it, and a
    /// keyed frame whose key lives elsewhere is refused (`MULTI`, RESP2 `SUBSCRIBE`, `MONITOR`).
    One,
    /// A link of the session's own at each endpoint, opened as needed; every frame goes over them
    /// (`CLIENT TRACKING`).
    PerEndpoint,
    /// One link, only for frames that name this lane; all others stay on shared links (RESP3
    /// `SUBSCRIBE`).
    Named,
}

/// What kind of link a frame needs. On a reply only `Release` has a meaning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Bind {
    /// Any link may carry it among frames of others.
    #[default]
    Shared,
    /// A link for itself until its reply (`BLPOP`). If the session holds a link that the frame
    /// would use, it goes there.
    Exchange,
    /// Takes the link of the lane, and keeps it after the reply. Idempotent.
    Hold(Lane),
    /// Uses the held link of the lane if there is one; otherwise as `Exchange`.
    Held(Lane),
    /// As `Held`, and a barrier: its reply may release the link. On a reply: the link is released.
    Release(Lane),
}

/// Which endpoints of a cluster with several a frame goes to. With one endpoint all are the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FanOut {
    /// The endpoint of [`Meta::key`]; without a key the balancer's choice.
    #[default]
    One,
    /// Several keys, all of which must live on one endpoint; otherwise refused with
    /// [`Reason::CrossShard`](crate::Reason::CrossShard). The codec lists them in `keys`.
    Same,
    /// Several keys, split by endpoint with `split` and merged with `join`.
    Split,
    /// Every endpoint; replies are merged with `join`.
    All,
    /// The first endpoint, always the same one (`PUBLISH` must meet `SUBSCRIBE`).
    Home,
    /// The endpoint whose index `index` computes (`SCAN` cursors).
    Index,
    /// Refused with [`Reason::SingleEndpoint`](crate::Reason::SingleEndpoint) unless there is
    /// exactly one endpoint.
    Alone,
}

/// What a decoder found: `Copy`, at most a cache line, no pointers.
///
/// Built with [`Meta::request`], [`Meta::reply`] or [`Meta::frame`] and the setters, by codec
/// authors outside of this workspace too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Meta {
    /// The correlation id on the wire; 0 for protocols in order.
    pub id: u64,
    /// Length of the whole frame in bytes; may be more than the decoder was given.
    pub len: u32,
    /// How many bytes from the start are needed for attributes, `rewrite` and `answer`.
    pub head: u32,
    /// Free for the codec.
    pub aux: u32,
    /// On requests: how long the endpoint may keep the request waiting by the request's own will
    /// (`BLPOP k 30`), in milliseconds, added to the route's time-out. `u32::MAX`: for ever.
    pub wait_ms: u32,
    /// On error replies: the codec's number of the error code, named by `code_name`.
    pub code: u32,
    /// The `service` attribute.
    pub service: Span,
    /// The `method` attribute.
    pub method: Span,
    /// The `key` attribute: decides the endpoint for hashing balancers.
    pub key: Span,
    /// What the frame is.
    pub kind: Kind,
    /// What link it needs.
    pub bind: Bind,
    /// On replies: how the request ended. `Ok`, `AppError`, `ProtocolError`, `Overloaded`,
    /// `Timeout`, … .
    pub outcome: Outcome,
    /// Which endpoints it goes to.
    pub fan_out: FanOut,
    /// The request may be sent twice without harm.
    pub idempotent: bool,
    /// The client does not want the reply: it is received, counted and dropped.
    pub quiet: bool,
}

impl Meta {
    /// A frame of `len` bytes of the given kind; its head is the whole frame.
    pub fn frame(kind: Kind, len: usize) -> Self {
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        Self { kind, len, head: len, ..Self::default() }
    }

    /// A request of `len` bytes.
    pub fn request(len: usize) -> Self {
        Self::frame(Kind::Request, len)
    }

    /// A reply of `len` bytes that ended with `outcome`.
    pub fn reply(len: usize, outcome: Outcome) -> Self {
        Self { outcome, ..Self::frame(Kind::Reply, len) }
    }

    /// Sets [`Meta::id`].
    pub fn id(mut self, id: u64) -> Self {
        self.id = id;
        self
    }
    /// Sets [`Meta::head`].
    pub fn head(mut self, head: usize) -> Self {
        self.head = u32::try_from(head).unwrap_or(u32::MAX).min(self.len);
        self
    }
    /// Sets [`Meta::aux`].
    pub fn aux(mut self, aux: u32) -> Self {
        self.aux = aux;
        self
    }
    /// Sets [`Meta::wait_ms`].
    pub fn wait_ms(mut self, ms: u32) -> Self {
        self.wait_ms = ms;
        self
    }
    /// Sets [`Meta::code`].
    pub fn code(mut self, code: u32) -> Self {
        self.code = code;
        self
    }
    /// Sets [`Meta::service`].
    pub fn service(mut self, span: Span) -> Self {
        self.service = span;
        self
    }
    /// Sets [`Meta::method`].
    pub fn method(mut self, span: Span) -> Self {
        self.method = span;
        self
    }
    /// Sets [`Meta::key`].
    pub fn key(mut self, span: Span) -> Self {
        self.key = span;
        self
    }
    /// Sets [`Meta::bind`].
    pub fn bind(mut self, bind: Bind) -> Self {
        self.bind = bind;
        self
    }
    /// Sets [`Meta::outcome`].
    pub fn outcome(mut self, outcome: Outcome) -> Self {
        self.outcome = outcome;
        self
    }
    /// Sets [`Meta::fan_out`].
    pub fn fan_out(mut self, fan_out: FanOut) -> Self {
        self.fan_out = fan_out;
        self
    }
    /// Sets [`Meta::idempotent`].
    pub fn idempotent(mut self, yes: bool) -> Self {
        self.idempotent = yes;
        self
    }
    /// Sets [`Meta::quiet`].
    pub fn quiet(mut self, yes: bool) -> Self {
        self.quiet = yes;
        self
    }
}

/// What a decoder says about the bytes it was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step<T> {
    /// Not a frame yet: call again once the buffer, counted from the same first byte, has at least
    /// this many bytes (more than it has now).
    Need(usize),
    /// This many bytes belong to nobody (padding, a blank line); at least 1.
    Skip(usize),
    /// A frame. Its body may still be on the way: [`Meta::len`] says where it ends.
    Frame(Meta, T),
    /// A frame whose end is known but which must not be forwarded: it is answered with the fault,
    /// at its place, and the connection goes on.
    Reject(Meta, Fault),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meta_is_at_most_a_cache_line() {
        assert!(size_of::<Meta>() <= 64, "{}", size_of::<Meta>());
    }

    #[test]
    fn absent_spans_and_spans_outside_the_frame_have_no_bytes() {
        assert_eq!(Span::NONE.of(b"abc"), None);
        assert_eq!(Span::new(1, 2).of(b"abc"), Some(&b"bc"[..]));
        assert_eq!(Span::new(1, 3).of(b"abc"), None);
        assert_eq!(Span::new(2, 0).of(b"abc"), Some(&b""[..]));
        assert_eq!(Span::new(usize::MAX, usize::MAX).of(b"abc"), None);
    }
}
