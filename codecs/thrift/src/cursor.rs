//! Reading numbers and runs of bytes from a buffer that may not be all there yet. Knows bounds, and
//! no message.

use heptad_core::{Fault, Reason};

/// Why reading stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The buffer must have this many bytes before reading goes on.
    Need(usize),
    /// It never will.
    Fault(Fault),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// What reading gives.
pub(crate) type Parse<T> = Result<T, Stop>;

/// An offset that must not be passed, and what passing it means.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound {
    pub(crate) at: usize,
    pub(crate) fault: Fault,
}

impl Bound {
    /// The end of what contains the message: there is nothing behind it.
    pub(crate) const fn end(at: usize) -> Self {
        Self { at, fault: Fault::malformed("a Thrift message goes past the end of its frame") }
    }

    /// Most bytes of a frame.
    pub(crate) const fn frame(at: usize) -> Self {
        Self { at, fault: Fault::too_large(Reason::FrameSize, "the Thrift message is too long") }
    }

    /// Most bytes of a head.
    pub(crate) const fn head(at: usize) -> Self {
        Self {
            at,
            fault: Fault::too_large(Reason::HeadSize, "the head of the Thrift message is too long"),
        }
    }
}

/// A place in a buffer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a> {
    buf: &'a [u8],
    at: usize,
    end: Bound,
    limit: Bound,
}

impl<'a> Cursor<'a> {
    /// Reads `buf` from `at` on; two bounds, of which the nearer counts.
    pub(crate) const fn new(buf: &'a [u8], at: usize, end: Bound, limit: Bound) -> Self {
        Self { buf, at, end, limit }
    }

    /// Reads a buffer that is all there.
    #[cfg(test)]
    pub(crate) const fn whole(buf: &'a [u8], at: usize) -> Self {
        let end = Bound::end(buf.len());
        Self { buf, at, end, limit: end }
    }

    pub(crate) const fn at(&self) -> usize {
        self.at
    }

    /// The same place with a nearer end.
    pub(crate) fn until(mut self, end: Bound) -> Self {
        self.end = end;
        self
    }

    /// The next byte without taking it.
    pub(crate) fn peek(&self) -> Parse<u8> {
        Self { ..*self }.u8()
    }

    pub(crate) fn take(&mut self, n: usize) -> Parse<&'a [u8]> {
        let to = self.at.saturating_add(n);
        for bound in [self.end, self.limit] {
            if to > bound.at {
                return Err(bound.fault.into());
            }
        }
        let bytes = self.buf.get(self.at..to).ok_or(Stop::Need(to))?;
        self.at = to;
        Ok(bytes)
    }

    /// Steps over bytes that need not be there yet.
    pub(crate) fn skip(&mut self, n: usize) -> Parse<()> {
        let to = self.at.saturating_add(n);
        for bound in [self.end, self.limit] {
            if to > bound.at {
                return Err(bound.fault.into());
            }
        }
        self.at = to;
        Ok(())
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Parse<[u8; N]> {
        let bytes = self.take(N)?;
        bytes.first_chunk().copied().ok_or(Stop::Need(self.at))
    }

    pub(crate) fn u8(&mut self) -> Parse<u8> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    pub(crate) fn u16(&mut self) -> Parse<u16> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Parse<u32> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    /// A length or count of 32 bits with a sign.
    pub(crate) fn size(&mut self) -> Parse<u32> {
        positive(self.u32()?)
    }

    /// A varint of at most 32 bits.
    pub(crate) fn varint32(&mut self) -> Parse<u32> {
        let value = self.varint(5)?;
        u32::try_from(value).map_err(|_| LONG_VARINT.into())
    }

    /// A varint of at most 64 bits; what does not fit is lost, as in other readers.
    pub(crate) fn varint64(&mut self) -> Parse<u64> {
        self.varint(10)
    }

    /// A length or count as a varint.
    pub(crate) fn varsize(&mut self) -> Parse<u32> {
        positive(self.varint32()?)
    }

    fn varint(&mut self, most: u32) -> Parse<u64> {
        let mut value = 0;
        for i in 0..most {
            let byte = self.u8()?;
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(LONG_VARINT.into())
    }
}

const LONG_VARINT: Fault = Fault::malformed("a varint that is too long");

fn positive(n: u32) -> Parse<u32> {
    if n > i32::MAX as u32 { Err(Fault::malformed("a negative length").into()) } else { Ok(n) }
}

/// A varint as it is written: at most ten bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Varint {
    bytes: [u8; 10],
    len: usize,
}

impl Varint {
    pub(crate) fn new(mut value: u64) -> Self {
        let mut me = Self { bytes: [0; 10], len: 0 };
        for byte in &mut me.bytes {
            *byte = (value as u8) & 0x7f;
            me.len += 1;
            value >>= 7;
            if value == 0 {
                break;
            }
            *byte |= 0x80;
        }
        me
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// Zigzag: small numbers of either sign become small numbers.
pub(crate) const fn zigzag(n: i64) -> u64 {
    ((n << 1) ^ (n >> 63)) as u64
}

/// The reverse of [`zigzag`].
pub(crate) const fn unzigzag(n: u64) -> i64 {
    (n >> 1) as i64 ^ -((n & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_read_as_written() {
        for n in [0, 1, 127, 128, 300, 16_383, 16_384, u64::from(u32::MAX), i64::MAX as u64, !0] {
            let v = Varint::new(n);
            let mut cursor = Cursor::whole(v.as_slice(), 0);
            assert_eq!(cursor.varint64(), Ok(n));
            assert_eq!(cursor.at(), v.as_slice().len());
            let mut cursor = Cursor::whole(v.as_slice(), 0);
            assert_eq!(cursor.varint32().ok(), u32::try_from(n).ok());
        }
        for n in [0, -1, 1, i64::MIN, i64::MAX] {
            assert_eq!(unzigzag(zigzag(n)), n);
        }
    }

    #[test]
    fn what_is_not_there_is_asked_for_and_bounds_are_kept() {
        let far = Bound::head(100);
        let cursor = |end| Cursor::new(&[0x80, 1, 2], 0, Bound::end(end), far);
        assert_eq!(cursor(9).take(4), Err(Stop::Need(4)));
        assert_eq!(cursor(3).take(4), Err(Bound::end(0).fault.into()));
        assert_eq!(cursor(1).varint32(), Err(Bound::end(0).fault.into()));
        assert_eq!(cursor(2).varint32(), Ok(128));
        assert_eq!(cursor(900).take(101), Err(far.fault.into()));
    }
}
