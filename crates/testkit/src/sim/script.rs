//! What a client or a server of a simulation is: bytes in, bytes out, and timers.

use std::time::Duration;

use fastrand::Rng;
use heptad_core::Time;

/// One end of a simulated connection: a client's, or an endpoint's of one link.
pub trait Script {
    /// The connection is open.
    fn opened(&mut self, io: &mut Io<'_>) {
        let _ = io;
    }

    /// Bytes came, cut anywhere.
    fn heard(&mut self, io: &mut Io<'_>, bytes: &[u8]);

    /// A timer set with [`Io::after`] has run out.
    fn timer(&mut self, io: &mut Io<'_>, token: u64) {
        let _ = (io, token);
    }

    /// The other side closed the connection, or it broke. Nothing more will be heard.
    fn closed(&mut self, now: Time) {
        let _ = now;
    }
}

/// How a script ends its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "for scripts to say")]
pub enum End {
    /// Nothing more will be sent, but still heard.
    Shutdown,
    /// Nothing more will be sent or heard; what was sent still arrives.
    Close,
    /// The connection breaks at once.
    Reset,
}

/// What a script can do.
#[derive(Debug)]
pub struct Io<'a> {
    /// The virtual time.
    pub now: Time,
    /// The simulation's randomness.
    pub rng: &'a mut Rng,
    pub(crate) sent: Vec<u8>,
    pub(crate) timers: Vec<(Duration, u64)>,
    pub(crate) end: Option<End>,
    pub(crate) reads: Option<bool>,
}

impl<'a> Io<'a> {
    pub(crate) fn new(now: Time, rng: &'a mut Rng) -> Self {
        Self { now, rng, sent: Vec::new(), timers: Vec::new(), end: None, reads: None }
    }

    /// Sends bytes; they are on their way as far as the network takes them.
    pub fn send(&mut self, bytes: &[u8]) {
        self.sent.extend_from_slice(bytes);
    }

    /// Calls [`Script::timer`] with the token after a while.
    pub fn after(&mut self, wait: Duration, token: u64) {
        self.timers.push((wait, token));
    }

    /// Ends the connection.
    pub fn end(&mut self, how: End) {
        self.end = Some(how);
    }

    /// Stops or resumes reading: what arrives stays in the network, which has bounds.
    pub fn read(&mut self, yes: bool) {
        self.reads = Some(yes);
    }
}
