//! Cuts a buffer into frames by what a decoder says. Knows neither sides nor what frames are for.

use bytes::{Buf as _, Bytes, BytesMut};
use heptad_core::{Fault, Meta, Reason, Step};

/// Most bytes for which room is made before they have come: a length is easily claimed.
const AHEAD: usize = 64 << 10;

/// Where the cutting of one direction is.
#[derive(Debug)]
pub(crate) struct Cut<T> {
    /// The decoder is not called with fewer bytes.
    need: usize,
    /// A frame whose body has not come: it is decoded once.
    pending: Option<Found<T>>,
}

/// A frame, and why it must not be acted upon.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found<T> {
    pub(crate) meta: Meta,
    pub(crate) tag: T,
    pub(crate) fault: Option<Fault>,
}

impl<T: Copy + Default> Cut<T> {
    pub(crate) const fn new() -> Self {
        Self { need: 1, pending: None }
    }

    /// The next frame of `buf`, if all of it is there.
    pub(crate) fn next(
        &mut self,
        buf: &mut BytesMut,
        max_frame: u32,
        mut decode: impl FnMut(&[u8]) -> Result<Step<T>, Fault>,
    ) -> Result<Option<(Found<T>, Bytes)>, Fault> {
        loop {
            if buf.len() < self.need {
                buf.reserve((self.need - buf.len()).min(AHEAD));
                return Ok(None);
            }
            if let Some(found) = self.pending.take() {
                self.need = 1;
                return Ok(Some((found, buf.split_to(found.meta.len as usize).freeze())));
            }
            let found = match decode(buf)? {
                Step::Need(n) => {
                    // At least one more, whatever a decoder says: this must not go round for ever.
                    self.need = n.max(buf.len() + 1);
                    continue;
                }
                Step::Skip(n) => {
                    buf.advance(n.clamp(1, buf.len()));
                    self.need = 1;
                    continue;
                }
                Step::Frame(meta, tag) => Found { meta, tag, fault: None },
                Step::Reject(meta, fault) => Found { meta, tag: T::default(), fault: Some(fault) },
                _ => return Err(Fault::malformed("a step that is not known here")),
            };
            if found.meta.len > max_frame {
                return Err(Fault::too_large(Reason::FrameSize, "frame is too long"));
            }
            self.need = (found.meta.len as usize).max(1);
            self.pending = Some(found);
        }
    }
}
