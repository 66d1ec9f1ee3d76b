//! Content that belongs to one request: its serial number in hexadecimal digits, then a pattern.
//!
//! Only ASCII, so that a string of it has as many characters as bytes in every protocol.

use crate::Fault;

/// Digits of a serial number.
pub(crate) const STAMP: usize = 16;

/// Contents of one length.
#[derive(Clone, Debug)]
pub(crate) struct Payload {
    /// As if the serial number were 0.
    pattern: Vec<u8>,
}

impl Payload {
    /// Contents of `length` bytes, which is at least [`STAMP`].
    pub(crate) fn new(length: usize) -> Self {
        let mut pattern = vec![b'0'; length.max(STAMP)];
        for (i, byte) in pattern.iter_mut().enumerate().skip(STAMP) {
            *byte = b'!' + u8::try_from(i * 7 % 89).unwrap_or_default();
        }
        Self { pattern }
    }

    pub(crate) fn len(&self) -> usize {
        self.pattern.len()
    }

    /// Appends the content of a serial number.
    pub(crate) fn write(&self, serial: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(&stamp(serial));
        out.extend_from_slice(&self.pattern[STAMP..]);
    }

    /// Whether these bytes are the content of a serial number.
    pub(crate) fn check(&self, bytes: &[u8], serial: u64) -> Result<(), Fault> {
        if bytes.len() != self.pattern.len() {
            return Err(Fault::Length);
        }
        let same = bytes[..STAMP] == stamp(serial) && bytes[STAMP..] == self.pattern[STAMP..];
        if same { Ok(()) } else { Err(Fault::Content) }
    }
}

fn stamp(serial: u64) -> [u8; STAMP] {
    let mut digits = [0; STAMP];
    for (place, digit) in digits.iter_mut().enumerate() {
        let nibble = (serial >> (60 - 4 * place)) & 15;
        *digit = b"0123456789abcdef"[nibble as usize];
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_own_bytes_are_right() {
        let payload = Payload::new(128);
        let mut bytes = Vec::new();
        payload.write(0x12ab, &mut bytes);
        assert_eq!(bytes.len(), 128);
        assert!(bytes.starts_with(b"00000000000012ab"));
        assert!(bytes.iter().all(|b| b.is_ascii_graphic()));
        assert_eq!(payload.check(&bytes, 0x12ab), Ok(()));
        assert_eq!(payload.check(&bytes, 0x12ac), Err(Fault::Content));
        assert_eq!(payload.check(&bytes[..127], 0x12ab), Err(Fault::Length));
        for i in 0..bytes.len() {
            bytes[i] ^= 1;
            assert_eq!(payload.check(&bytes, 0x12ab), Err(Fault::Content), "byte {i}");
            bytes[i] ^= 1;
        }
    }
}
