//! Undoing the zlib transform, never further than a bound.

use flate2::{Decompress, FlushDecompress, Status};
use heptad_core::{Fault, Reason};

const BROKEN: Fault = Fault::malformed("a payload that is not what zlib writes");
const BOMB: Fault =
    Fault::too_large(Reason::FrameSize, "the payload is too long when it is uncompressed");
/// First guess at what the head of a message takes.
const FIRST: usize = 512;

/// Inflates all of `payload`; more than `most` bytes are refused.
pub(crate) fn all(payload: &[u8], most: usize) -> Result<Vec<u8>, Fault> {
    let mut inflate = Inflate::new(payload);
    while !inflate.done {
        if inflate.out.len() >= most {
            return Err(BOMB);
        }
        let room = inflate.out.len().max(payload.len()).max(FIRST).min(most - inflate.out.len());
        // One more byte tells whether there is more.
        if !inflate.more(room.saturating_add(1))? {
            return Err(BROKEN);
        }
    }
    if inflate.out.len() > most { Err(BOMB) } else { Ok(inflate.out) }
}

/// The first bytes of a payload that may be cut off: a little more each time it is asked.
pub(crate) struct Inflate<'a> {
    input: &'a [u8],
    state: Decompress,
    pub(crate) out: Vec<u8>,
    pub(crate) done: bool,
}

impl<'a> Inflate<'a> {
    pub(crate) fn new(input: &'a [u8]) -> Self {
        Self { input, state: Decompress::new(true), out: Vec::new(), done: false }
    }

    /// Inflates up to so many bytes more; `false` if nothing more can come of the input.
    pub(crate) fn more(&mut self, room: usize) -> Result<bool, Fault> {
        let before = self.out.len();
        // `decompress_vec` fills the capacity, which may be more than was asked for.
        self.out.reserve_exact(room);
        while !self.done && self.out.len() < before.saturating_add(room) {
            let (taken, made) = (self.state.total_in(), self.state.total_out());
            let status =
                self.state.decompress_vec(self.input, &mut self.out, FlushDecompress::None);
            let taken = (self.state.total_in() - taken) as usize;
            self.input = self.input.get(taken..).unwrap_or_default();
            match status.map_err(|_| BROKEN)? {
                Status::StreamEnd => self.done = true,
                _ if taken == 0 && self.state.total_out() == made => break,
                Status::Ok | Status::BufError => {}
            }
        }
        Ok(self.out.len() > before || self.done)
    }

    /// Inflates the next part of a head of at most `most` bytes.
    pub(crate) fn head(&mut self, most: usize) -> Result<bool, Fault> {
        let room = self.out.len().max(FIRST).min(most.saturating_sub(self.out.len()));
        Ok(room > 0 && !self.done && self.more(room)?)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn zlib(bytes: &[u8]) -> Vec<u8> {
        let mut out = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        out.write_all(bytes).expect("a vector takes it");
        out.finish().expect("a vector takes it")
    }

    #[test]
    fn all_is_inflated_up_to_the_bound_and_no_further() {
        for len in [0, 1, 511, 512, 513, 100_000] {
            let bytes: Vec<u8> = (0..len).map(|i| (i / 7) as u8).collect();
            let packed = zlib(&bytes);
            assert_eq!(all(&packed, len.max(1)).as_deref(), Ok(&bytes[..]));
            assert_eq!(all(&packed, len + 1).as_deref(), Ok(&bytes[..]));
            if len > 1 {
                assert_eq!(all(&packed, len - 1), Err(BOMB));
            }
            assert_eq!(all(&packed[..packed.len() - 1], len + 9), Err(BROKEN));
        }
        assert_eq!(all(b"\x78\x9cnot zlib", 100), Err(BROKEN));
    }

    #[test]
    fn a_bomb_costs_no_more_than_the_bound() {
        let packed = zlib(&vec![0; 10 << 20]);
        let mut inflate = Inflate::new(&packed);
        while inflate.head(4096).is_ok_and(|more| more) {}
        assert!(inflate.out.len() <= 4096 + 512 && inflate.out.capacity() <= 8192);
        assert_eq!(all(&packed, 1 << 20), Err(BOMB));
    }
}
