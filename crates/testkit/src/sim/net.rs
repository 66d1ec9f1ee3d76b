//! One direction of a connection: bytes on their way and bytes that arrived.

use std::time::Duration;

use fastrand::Rng;
use heptad_core::Time;

/// How a connection behaves.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Profile {
    /// Time on the way.
    pub latency: Duration,
    /// Up to this much more, differently for each write.
    pub jitter: Duration,
    /// Most bytes of one read.
    pub chop: usize,
    /// Most bytes of one write.
    pub short: usize,
    /// Most bytes on the way and unread, per direction.
    pub window: usize,
    /// One of this many writes is held up for [`Profile::stall`]; 0 for none.
    pub stall_one_in: u32,
    /// How long.
    pub stall: Duration,
}

impl Default for Profile {
    /// 100 µs, nothing chopped, no faults.
    fn default() -> Self {
        Self {
            latency: Duration::from_micros(100),
            jitter: Duration::ZERO,
            chop: 1 << 16,
            short: 1 << 20,
            window: 1 << 20,
            stall_one_in: 0,
            stall: Duration::ZERO,
        }
    }
}

impl Profile {
    /// Anything from a good to a terrible network; nothing is lost.
    pub fn random(rng: &mut Rng) -> Self {
        let size = |rng: &mut Rng| 1_usize << rng.u32(0..14);
        Self {
            latency: Duration::from_micros(rng.u64(10..2_000)),
            jitter: Duration::from_micros(rng.u64(0..3_000)),
            chop: size(rng),
            short: size(rng),
            window: size(rng).max(64),
            stall_one_in: if rng.bool() { 0 } else { rng.u32(20..200) },
            stall: Duration::from_millis(rng.u64(1..60)),
        }
    }

    /// Sets [`Profile::chop`] and [`Profile::short`].
    #[must_use]
    pub fn chopped(mut self, bytes: usize) -> Self {
        (self.chop, self.short) = (bytes.max(1), bytes.max(1));
        self
    }

    /// Sets [`Profile::window`].
    #[must_use]
    pub fn window(mut self, bytes: usize) -> Self {
        self.window = bytes.max(1);
        self
    }

    /// Sets [`Profile::latency`].
    #[must_use]
    pub fn latency(mut self, latency: Duration) -> Self {
        self.latency = latency;
        self
    }
}

/// One direction.
#[derive(Debug, Default)]
pub(crate) struct Pipe {
    /// Arrived and not yet read.
    pub(crate) arrived: Vec<u8>,
    pub(crate) read: usize,
    pub(crate) on_the_way: usize,
    /// When the last byte arrives: what follows cannot be faster.
    pub(crate) last: Time,
    /// The writer has more than fits.
    pub(crate) blocked: bool,
    /// A read is scheduled.
    pub(crate) scheduled: bool,
    /// The end has arrived.
    pub(crate) ended: bool,
}

impl Pipe {
    pub(crate) fn unread(&self) -> usize {
        self.arrived.len() - self.read
    }

    pub(crate) fn room(&self, profile: &Profile) -> usize {
        profile.window.saturating_sub(self.unread() + self.on_the_way)
    }

    /// When something written now arrives.
    pub(crate) fn arrival(&mut self, now: Time, profile: &Profile, rng: &mut Rng) -> Time {
        let jitter = profile.jitter.as_nanos() as u64;
        let mut at = now + profile.latency + Duration::from_nanos(rng.u64(0..=jitter));
        if profile.stall_one_in > 0 && rng.u32(0..profile.stall_one_in) == 0 {
            at = at + profile.stall;
        }
        // Whole microseconds, so that several things happen in one turn now and then.
        at = Time::from_nanos(at.as_nanos().div_ceil(1000) * 1000).max(self.last);
        self.last = at;
        at
    }

    /// Takes up to `n` bytes of what arrived.
    pub(crate) fn take(&mut self, n: usize) -> Vec<u8> {
        let end = self.read.saturating_add(n).min(self.arrived.len());
        let bytes = self.arrived[self.read..end].to_vec();
        self.read = end;
        if self.read == self.arrived.len() {
            self.arrived.clear();
            self.read = 0;
        } else if self.read > 1 << 16 {
            self.arrived.drain(..self.read);
            self.read = 0;
        }
        bytes
    }
}
