//! The fixed head of a frame, its flags and status bytes. It knows nothing of bodies.

use heptad_core::Outcome;

/// Bytes in front of the body.
pub(crate) const FIXED: usize = 16;
/// First two bytes of every frame.
pub(crate) const MAGIC: [u8; 2] = [0xda, 0xbb];

pub(crate) const REQUEST: u8 = 0x80;
pub(crate) const TWO_WAY: u8 = 0x40;
pub(crate) const EVENT: u8 = 0x20;
pub(crate) const SERIALIZATION: u8 = 0x1f;

/// The serialization that is read here.
pub(crate) const HESSIAN2: u8 = 2;
/// One JSON value on each line.
pub(crate) const FASTJSON: u8 = 6;

/// Status of a reply with a value, null or exception.
pub(crate) const OK: u8 = 20;

/// Every status but [`OK`]: its number, its name, and the outcome it counts as.
pub(crate) const STATUSES: [(u8, &str, Outcome); 11] = [
    (25, "SERIALIZATION_ERROR", Outcome::ProtocolError),
    (30, "CLIENT_TIMEOUT", Outcome::Timeout),
    (31, "SERVER_TIMEOUT", Outcome::Timeout),
    (35, "CHANNEL_INACTIVE", Outcome::ProtocolError),
    (40, "BAD_REQUEST", Outcome::ProtocolError),
    (50, "BAD_RESPONSE", Outcome::ProtocolError),
    (60, "SERVICE_NOT_FOUND", Outcome::ProtocolError),
    (70, "SERVICE_ERROR", Outcome::ProtocolError),
    (80, "SERVER_ERROR", Outcome::ProtocolError),
    (90, "CLIENT_ERROR", Outcome::ProtocolError),
    (100, "SERVER_THREADPOOL_EXHAUSTED_ERROR", Outcome::Overloaded),
];

/// The fixed head, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) flags: u8,
    pub(crate) status: u8,
    pub(crate) id: u64,
    /// Of the whole frame; more than 4 GiB saturates.
    pub(crate) len: u32,
}

impl Head {
    /// `None` until all of it is there; the magic is the caller's to check.
    pub(crate) fn of(buf: &[u8]) -> Option<Self> {
        let &[_, _, flags, status, i0, i1, i2, i3, i4, i5, i6, i7, l0, l1, l2, l3] =
            buf.first_chunk::<FIXED>()?;
        Some(Self {
            flags,
            status,
            id: u64::from_be_bytes([i0, i1, i2, i3, i4, i5, i6, i7]),
            len: u32::from_be_bytes([l0, l1, l2, l3]).saturating_add(FIXED as u32),
        })
    }

    pub(crate) const fn is(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    pub(crate) const fn serialization(&self) -> u8 {
        self.flags & SERIALIZATION
    }
}

/// Appends a whole frame; `body` writes the body behind what is there.
pub(crate) fn put(
    out: &mut Vec<u8>,
    flags: u8,
    status: u8,
    id: u64,
    body: impl FnOnce(&mut Vec<u8>),
) {
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[flags, status]);
    out.extend_from_slice(&id.to_be_bytes());
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    body(out);
    let len = u32::try_from(out.len().saturating_sub(at + 4)).unwrap_or(u32::MAX);
    if let Some(place) = out.get_mut(at..at + 4) {
        place.copy_from_slice(&len.to_be_bytes());
    }
}
