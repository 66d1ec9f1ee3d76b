//! THeader frames, as the demo's Thrift clients and servers write and read them. Knows nothing of
//! the message inside, nor of the router's own reader.
//!
//! ```text
//! u32 length | u16 0fff | u16 flags | u32 seq | u16 size / 4 | size bytes of header | message
//!
//! header: varint protocol | varint 0: no transforms | info blocks | zeros up to its end
//! block:  varint 1 | varint n, n pairs of: varint length, name, varint length, value
//! ```

use std::io;

const MAGIC: u16 = 0x0fff;
/// The binary protocol.
const BINARY: u32 = 0;
const PAIRS: u32 = 1;
/// What follows the length, up to the header.
const FIXED: usize = 10;
/// Far longer than anything here.
const LONGEST: usize = 1 << 20;

/// A frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Frame {
    /// The frame's own number, apart from the message's.
    pub(crate) seq: u32,
    /// Info headers.
    pub(crate) infos: Vec<(String, String)>,
    /// A message in the binary protocol.
    pub(crate) message: Vec<u8>,
}

impl Frame {
    /// The info header of this name.
    pub(crate) fn info(&self, name: &str) -> Option<&str> {
        self.infos.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }

    /// Appends the frame's bytes.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) -> io::Result<()> {
        let mut header = Vec::new();
        put(&mut header, BINARY);
        put(&mut header, 0);
        if !self.infos.is_empty() {
            put(&mut header, PAIRS);
            put(&mut header, size(self.infos.len())?);
            for text in self.infos.iter().flat_map(|(name, value)| [name, value]) {
                put(&mut header, size(text.len())?);
                header.extend_from_slice(text.as_bytes());
            }
        }
        header.resize(header.len().next_multiple_of(4), 0);
        out.extend(size(FIXED + header.len() + self.message.len())?.to_be_bytes());
        out.extend(MAGIC.to_be_bytes());
        out.extend(0_u16.to_be_bytes());
        out.extend(self.seq.to_be_bytes());
        out.extend(u16::try_from(header.len() / 4).map_err(io::Error::other)?.to_be_bytes());
        out.extend_from_slice(&header);
        out.extend_from_slice(&self.message);
        Ok(())
    }

    /// Reads the first frame of `buf` and tells how many bytes it had; `None` until all of it is
    /// there.
    pub(crate) fn decode(buf: &[u8]) -> io::Result<Option<(Self, usize)>> {
        let Some((length, rest)) = buf.split_first_chunk() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*length) as usize;
        if length > LONGEST {
            return Err(bad("a frame that long is none of ours"));
        }
        let Some(frame) = rest.get(..length) else {
            return Ok(None);
        };
        let (fixed, rest) = frame.split_first_chunk::<FIXED>().ok_or_else(short)?;
        let [m0, m1, _, _, s0, s1, s2, s3, n0, n1] = *fixed;
        if u16::from_be_bytes([m0, m1]) != MAGIC {
            return Err(bad("not a THeader frame"));
        }
        let size = usize::from(u16::from_be_bytes([n0, n1])) * 4;
        let (mut header, message) = rest.split_at_checked(size).ok_or_else(short)?;
        if (take(&mut header)?, take(&mut header)?) != (BINARY, 0) {
            return Err(bad("another protocol than binary, or transforms"));
        }
        let seq = u32::from_be_bytes([s0, s1, s2, s3]);
        let mut frame = Self { seq, infos: Vec::new(), message: message.to_vec() };
        while header.first().is_some_and(|block| *block != 0) {
            if take(&mut header)? != PAIRS {
                return Err(bad("an unknown info block"));
            }
            for _ in 0..take(&mut header)? {
                frame.infos.push((text(&mut header)?, text(&mut header)?));
            }
        }
        Ok(Some((frame, length + 4)))
    }
}

/// Appends a number, seven bits in each byte, the lowest first.
fn put(out: &mut Vec<u8>, mut n: u32) {
    while n > 0x7f {
        out.push((n & 0x7f) as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn take(from: &mut &[u8]) -> io::Result<u32> {
    let mut n = 0;
    for shift in [0, 7, 14, 21, 28] {
        let (byte, rest) = from.split_first().ok_or_else(short)?;
        *from = rest;
        n |= u32::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(n);
        }
    }
    Err(bad("a number without an end"))
}

fn text(from: &mut &[u8]) -> io::Result<String> {
    let len = take(from)? as usize;
    let (text, rest) = from.split_at_checked(len).ok_or_else(short)?;
    *from = rest;
    String::from_utf8(text.to_vec()).map_err(io::Error::other)
}

fn size(n: usize) -> io::Result<u32> {
    u32::try_from(n).map_err(io::Error::other)
}

fn bad(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("THeader: {why}"))
}

fn short() -> io::Error {
    bad("shorter than what it contains")
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES: &[u8] = b"\0\0\0\x20\x0f\xff\0\0\0\0\0\x07\0\x04\
        \0\0\x01\x01\x04user\x05jason\0msg!!!";

    fn frame() -> Frame {
        let infos = vec![("user".to_owned(), "jason".to_owned())];
        Frame { seq: 7, infos, message: b"msg!!!"[..].to_vec() }
    }

    #[test]
    fn frames_are_written_and_read_as_documented() {
        let mut bytes = Vec::new();
        frame().encode(&mut bytes).expect("short");
        assert_eq!(bytes, BYTES);
        for end in 0..bytes.len() {
            assert!(Frame::decode(&bytes[..end]).expect("not wrong yet").is_none(), "{end}");
        }
        bytes.push(b'x');
        assert_eq!(Frame::decode(&bytes).expect("a frame"), Some((frame(), 36)));
        assert_eq!((frame().info("user"), frame().info("tag")), (Some("jason"), None));
    }

    #[test]
    fn frames_that_lie_are_refused() {
        let mut bytes = Vec::new();
        frame().encode(&mut bytes).expect("short");
        // The magic number, the size of the header, the protocol, a transform, a block, a length.
        for (at, byte) in [(4, 0), (13, 9), (14, 2), (15, 1), (16, 3), (18, 99)] {
            let mut lie = bytes.clone();
            lie[at] = byte;
            assert!(Frame::decode(&lie).is_err(), "{at}");
        }
    }
}
