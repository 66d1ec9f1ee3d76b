//! The dialects of Thrift: how messages are framed and encoded, and how to tell from first bytes.
//! Knows nothing of what a message says.

use heptad_core::{Fault, Flavour};

use crate::cursor::{Parse, Stop};

/// Longest frame that the protocol allows; what is more is something else than a length.
pub(crate) const LONGEST: u32 = 0x3fff_ffff;

/// How messages are framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// Not at all.
    Unframed,
    /// By a length.
    Framed,
    /// THeader.
    Header,
    /// THeader inside of a frame.
    Nested,
}

impl Transport {
    pub(crate) const fn has_headers(self) -> bool {
        matches!(self, Self::Header | Self::Nested)
    }
}

/// How messages are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// Binary with a version.
    Strict,
    /// Binary without one.
    Old,
    /// Compact.
    Compact,
    /// JSON.
    Json,
}

impl Protocol {
    /// By the first byte of a message.
    pub(crate) fn of(first: u8) -> Parse<Self> {
        match first {
            0x80 => Ok(Self::Strict),
            0x82 => Ok(Self::Compact),
            b'[' => Ok(Self::Json),
            0..0x40 => Ok(Self::Old),
            _ => Err(NOT_THRIFT.into()),
        }
    }

    /// By the number in a THeader.
    pub(crate) const fn of_header(id: u32, first: u8) -> Option<Self> {
        match (id, first) {
            (0, 0x80) => Some(Self::Strict),
            (0, 0..0x40) => Some(Self::Old),
            (1, b'[') => Some(Self::Json),
            (2, 0x82) => Some(Self::Compact),
            _ => None,
        }
    }

    /// The number in a THeader.
    pub(crate) const fn header_id(self) -> u8 {
        match self {
            Self::Strict | Self::Old => 0,
            Self::Json => 1,
            Self::Compact => 2,
        }
    }

    /// Whether what follows the head of a message is encoded in the same way.
    pub(crate) const fn same_body(self, other: Self) -> bool {
        self.header_id() == other.header_id()
    }
}

/// Transport and protocol, of which one or both may not be known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dialect {
    pub(crate) transport: Option<Transport>,
    pub(crate) protocol: Option<Protocol>,
}

impl Dialect {
    pub(crate) const fn new(transport: Transport, protocol: Protocol) -> Self {
        Self { transport: Some(transport), protocol: Some(protocol) }
    }

    /// What is known here, else what is known there.
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            transport: self.transport.or(other.transport),
            protocol: self.protocol.or(other.protocol),
        }
    }

    /// As a small number; 0 if nothing is known.
    pub(crate) const fn to_bits(self) -> u32 {
        let transport = match self.transport {
            None => 0,
            Some(Transport::Unframed) => 1,
            Some(Transport::Framed) => 2,
            Some(Transport::Header) => 3,
            Some(Transport::Nested) => 4,
        };
        let protocol = match self.protocol {
            None => 0,
            Some(Protocol::Strict) => 1,
            Some(Protocol::Old) => 2,
            Some(Protocol::Compact) => 3,
            Some(Protocol::Json) => 4,
        };
        transport | protocol << 3
    }

    /// The reverse of [`Dialect::to_bits`]; other bits are ignored.
    pub(crate) const fn from_bits(bits: u32) -> Self {
        let transport = match bits & 7 {
            1 => Some(Transport::Unframed),
            2 => Some(Transport::Framed),
            3 => Some(Transport::Header),
            4 => Some(Transport::Nested),
            _ => None,
        };
        let protocol = match bits >> 3 & 7 {
            1 => Some(Protocol::Strict),
            2 => Some(Protocol::Old),
            3 => Some(Protocol::Compact),
            4 => Some(Protocol::Json),
            _ => None,
        };
        Self { transport, protocol }
    }

    pub(crate) const fn flavour(self) -> Flavour {
        Flavour(self.to_bits())
    }
}

const NOT_THRIFT: Fault = Fault::malformed("not Thrift, or a dialect of it that is not known");

/// How messages are framed, by as few first bytes as it takes.
///
/// ```text
/// 80              unframed, strict     82 unframed, compact      5b unframed, JSON
/// 00..3f          a length: of the name (unframed, old) or of a frame, in which there is:
///   .... 80 | 82 | 5b    a message
///   .... 0f ff           THeader
///   .... 00 ... 0f ff    one more length ahead of THeader
///   .... 00              the length of a name (framed, old)
///   .... a letter        the name of an unframed message in the old form
/// ```
///
/// Names are UTF-8 without control characters, which is what makes it unambiguous.
pub(crate) fn detect(buf: &[u8]) -> Parse<Transport> {
    let at = |i: usize| buf.get(i).copied().ok_or(Stop::Need(i + 1));
    match at(0)? {
        0x80 | 0x82 | b'[' => return Ok(Transport::Unframed),
        0..0x40 => {}
        _ => return Err(NOT_THRIFT.into()),
    }
    match at(4)? {
        0x80 | 0x82 | b'[' => Ok(Transport::Framed),
        0x0f if at(5)? == 0xff => Ok(Transport::Header),
        0 if at(8)? == 0x0f && at(9)? == 0xff => Ok(Transport::Nested),
        0 => Ok(Transport::Framed),
        1..=4 if buf.starts_with(&[0; 4]) => Ok(Transport::Unframed),
        0x20.. => Ok(Transport::Unframed),
        _ => Err(NOT_THRIFT.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_dialects_go_both_ways() {
        let transports =
            [Transport::Unframed, Transport::Framed, Transport::Header, Transport::Nested];
        let protocols = [Protocol::Strict, Protocol::Old, Protocol::Compact, Protocol::Json];
        for transport in transports {
            for protocol in protocols {
                let dialect = Dialect::new(transport, protocol);
                assert_eq!(Dialect::from_bits(dialect.to_bits() | 0xffc0), dialect);
            }
        }
        assert_eq!(Dialect::default().flavour(), Flavour::default());
    }

    #[test]
    fn few_bytes_tell() {
        let table: &[(&[u8], Parse<Transport>)] = &[
            (b"\x80", Ok(Transport::Unframed)),
            (b"\x82", Ok(Transport::Unframed)),
            (b"[", Ok(Transport::Unframed)),
            (b"\0", Err(Stop::Need(5))),
            (b"\0\0\0\x20\x80", Ok(Transport::Framed)),
            (b"\0\0\0\x20\x82", Ok(Transport::Framed)),
            (b"\0\0\0\x20[", Ok(Transport::Framed)),
            (b"\0\0\0\x20\x0f", Err(Stop::Need(6))),
            (b"\0\0\0\x20\x0f\xff", Ok(Transport::Header)),
            (b"\0\0\0\x20\0", Err(Stop::Need(9))),
            (b"\0\0\0\x20\0\0\0\x04p", Ok(Transport::Framed)),
            (b"\0\0\0\x20\0\0\0\x1c\x0f\xff", Ok(Transport::Nested)),
            (b"\0\0\0\x04p", Ok(Transport::Unframed)),
            (b"\0\0\0\0\x01", Ok(Transport::Unframed)),
            (b"\0\0\0\x05\x01", Err(NOT_THRIFT.into())),
            (b"GET / HTTP/1.1", Err(NOT_THRIFT.into())),
            (b"\xff", Err(NOT_THRIFT.into())),
        ];
        for (bytes, expected) in table {
            assert_eq!(detect(bytes), *expected, "{}", bytes.escape_ascii());
        }
    }
}
