//! What a driver drives: the engine as one object-safe trait, whatever its codec.
//!
//! A driver (the tokio one in `net`, a simulator, a host program's event loop) owns sockets and the
//! clock. It calls an input method for each thing that happened, then takes [`Event`]s until there
//! are none. One turn: all inputs of the sockets that are ready, then the events, then one write
//! for each connection named by [`Event::Write`], then [`Machine::timeouts`] with a fresh clock.

use std::{net::IpAddr, sync::Arc};

use heptad_core::{Ask, Chain, Time};

use crate::{Plan, Stats, arena::Key};

/// A client's connection. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub struct SessionId(pub(crate) Key);

/// A connection to an endpoint. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub struct LinkId(pub(crate) Key);

/// Either side's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(clippy::exhaustive_enums, reason = "drivers must handle both")]
pub enum ConnId {
    /// A client's.
    Session(SessionId),
    /// An endpoint's.
    Link(LinkId),
}

/// Where a session comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Peer {
    /// `source.ip`; none for Unix sockets.
    pub ip: Option<IpAddr>,
    /// `source.port`.
    pub port: u16,
    /// `source.principal` proven before the protocol began (a client certificate).
    pub principal: Option<Arc<str>>,
}

impl Peer {
    /// A peer at an IP address and port.
    pub const fn ip(ip: IpAddr, port: u16) -> Self {
        Self { ip: Some(ip), port, principal: None }
    }

    /// A peer without an address (a Unix socket).
    pub const fn local() -> Self {
        Self { ip: None, port: 0, principal: None }
    }
}

/// Why a link is gone, as the driver saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lost {
    /// The peer refused the connection, or its address cannot be resolved.
    Refused,
    /// The peer closed it, or reading or writing failed.
    Closed,
}

/// What the engine wants from its driver.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// Open a connection to this endpoint, then call `link_up` or `link_lost`. The address is as
    /// configured: `host:port` or `unix:/path`. The engine times dials out by itself (`Close`).
    Dial(LinkId, Arc<str>),
    /// There are bytes in [`Machine::out`] of this connection; write them in this turn's flush.
    /// Given once per connection until its buffer was empty again.
    Write(ConnId),
    /// Close this connection now. The id is already unknown to the engine. What is still to be
    /// written to a session that ends politely was written before.
    Close(ConnId),
    /// The session wants to be read again after [`Machine::wants_read`] was false.
    Read(SessionId),
    /// Perform this, then call `resumed` with the ticket.
    Ask(u64, Ask),
}

/// The engine, whatever its codec. Not thread-safe, but `Send`: one worker owns it.
///
/// Ids that are no longer known are ignored by every method, so a driver need not care about races
/// between its sockets and [`Event::Close`].
pub trait Machine: Send {
    /// A client connected. `None`: over the limit of sessions; close the socket.
    fn open_session(&mut self, now: Time, peer: Peer) -> Option<SessionId>;

    /// Bytes from a client. All of them are taken.
    fn session_read(&mut self, now: Time, id: SessionId, bytes: &[u8]);

    /// The client will send no more, but may still read (end of file). The engine closes the
    /// session once what is in flight was answered.
    fn session_eof(&mut self, now: Time, id: SessionId);

    /// The client's connection is broken.
    fn session_lost(&mut self, now: Time, id: SessionId);

    /// Whether the session should be read from: back-pressure is the driver not reading.
    fn wants_read(&self, id: SessionId) -> bool;

    /// A dial succeeded.
    fn link_up(&mut self, now: Time, id: LinkId);

    /// Bytes from an endpoint. All of them are taken.
    fn link_read(&mut self, now: Time, id: LinkId, bytes: &[u8]);

    /// A dial failed, or an endpoint's connection is broken or at its end.
    fn link_lost(&mut self, now: Time, id: LinkId, why: Lost);

    /// Looks at every deadline that has passed. To be called after the sockets that were ready, so
    /// that a reply that is already readable wins.
    fn timeouts(&mut self, now: Time);

    /// When `timeouts` must be called next, at the latest.
    fn next_timeout(&mut self) -> Option<Time>;

    /// What an [`Event::Ask`] brought.
    fn resumed(&mut self, now: Time, ticket: u64, answer: &[u8]);

    /// The next thing to do.
    fn poll_event(&mut self) -> Option<Event>;

    /// The bytes to be written to a connection; `None` if there are none (yet).
    fn out(&mut self, id: ConnId) -> Option<&Chain>;

    /// Whether it may pay to write to a link only when all sockets were read once more: what others
    /// ask may go in the same write.
    fn gathers(&self, id: LinkId) -> bool {
        let _ = id;
        true
    }

    /// The first `n` bytes of [`Machine::out`] were written.
    fn written(&mut self, now: Time, id: ConnId, n: usize);

    /// Replaces the plan. Requests in flight end as they began; links of unchanged clusters live on.
    fn swap(&mut self, now: Time, plan: Arc<Plan>);

    /// Accept no new work: sessions are told so where the protocol can, and closed once idle. The
    /// driver closes what is left at its own deadline.
    fn drain(&mut self, now: Time);

    /// Sessions that are still open.
    fn sessions(&self) -> usize;

    /// What was counted so far; of a machine of several engines see [`Machine::collect`].
    fn stats(&self) -> &Stats;

    /// What was counted so far, by all engines together.
    fn collect(&self) -> Stats {
        self.stats().clone()
    }

    /// Requests so far that were sent to an endpoint and ended. Cheap: asked once in each turn.
    fn answered(&self) -> u64 {
        self.stats().answered
    }

    /// A row for each endpoint, for `/clusters`.
    fn endpoints(&self) -> Vec<EndpointRow>;

    /// Panics if a structural invariant does not hold; for tests, slow.
    fn check(&self);
}

/// The state of one endpoint as one engine sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndpointRow {
    /// Name of its cluster.
    pub cluster: Arc<str>,
    /// Its address.
    pub address: Arc<str>,
    /// Open links, including those being dialed.
    pub links: usize,
    /// Attempts in flight.
    pub in_flight: usize,
    /// Requests waiting for a link.
    pub waiting: usize,
    /// Dials failed lately; it is not used until the next attempt is due.
    pub backing_off: bool,
}
