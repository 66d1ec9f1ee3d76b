//! What part of a key is hashed, and how.
//!
//! The functions are those of twemproxy 0.5 (on x86-64, where C's `char` is signed), Redis Cluster
//! and predixy, result for result, so that a store filled through one of them is found again. Some
//! are bad hash functions; that is a fact about the data, not something to mend here.

mod checksum;
mod fnv;
mod mix;

use std::{fmt, str::FromStr};

use md5::{Digest as _, Md5};

macro_rules! functions {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)*) => {
        /// A function from a key to a number.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum HashFunction { $($(#[$doc])* $variant,)* }

        impl HashFunction {
            /// Every function, in declaration order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name in configuration.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

functions! {
    /// Jenkins' one-at-a-time.
    OneAtATime = "one_at_a_time",
    /// The first four bytes of the MD5 digest, little endian.
    Md5 = "md5",
    /// twemproxy's CRC-16: the remainders shifted out stay in the upper bits.
    Crc16 = "crc16",
    /// Bits 16 to 30 of the CRC-32, as libmemcached has it: 32768 values, which all lie at the
    /// start of a ring, so it suits `modula` only.
    Crc32 = "crc32",
    /// The CRC-32 of zlib.
    Crc32a = "crc32a",
    /// The lower half of 64-bit FNV-1.
    Fnv1_64 = "fnv1_64",
    /// The lower half of 64-bit FNV-1a; twemproxy's default.
    #[default]
    Fnv1a64 = "fnv1a_64",
    /// 32-bit FNV-1.
    Fnv1_32 = "fnv1_32",
    /// 32-bit FNV-1a.
    Fnv1a32 = "fnv1a_32",
    /// Paul Hsieh's.
    Hsieh = "hsieh",
    /// MurmurHash2, its seed made of the length.
    Murmur = "murmur",
    /// Jenkins' lookup3 with the initial value 13.
    Jenkins = "jenkins",
    /// The Redis Cluster slot: CRC-16/XMODEM modulo 16384, the hash tag always being `{}`.
    RedisSlot = "redis_slot",
    /// CRC-16/XMODEM; what predixy calls `crc16`.
    Crc16Xmodem = "crc16_xmodem",
    /// The decimal number that the key starts with, as predixy reads it.
    Atol = "atol",
}

impl HashFunction {
    /// The function's value for these bytes. No tag is looked for, and no exception made for an
    /// empty key; see [`KeyHash::hash`].
    pub fn hash(self, bytes: &[u8]) -> u64 {
        u64::from(match self {
            Self::OneAtATime => mix::one_at_a_time(bytes),
            Self::Md5 => md5_quarters(bytes)[0],
            Self::Crc16 => checksum::crc16_unmasked(bytes),
            Self::Crc32 => (crc32fast::hash(bytes) >> 16) & 0x7fff,
            Self::Crc32a => crc32fast::hash(bytes),
            Self::Fnv1_64 => fnv::fnv1(fnv::LOW_64, bytes),
            Self::Fnv1a64 => fnv::fnv1a(fnv::LOW_64, bytes),
            Self::Fnv1_32 => fnv::fnv1(fnv::BITS_32, bytes),
            Self::Fnv1a32 => fnv::fnv1a(fnv::BITS_32, bytes),
            Self::Hsieh => mix::hsieh(bytes),
            Self::Murmur => mix::murmur(bytes),
            Self::Jenkins => mix::jenkins(bytes),
            Self::RedisSlot => u32::from(checksum::crc16_xmodem(bytes)) % u32::from(crate::SLOTS),
            Self::Crc16Xmodem => u32::from(checksum::crc16_xmodem(bytes)),
            Self::Atol => return checksum::atol(bytes).cast_unsigned(),
        })
    }
}

impl fmt::Display for HashFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is not the name of a hash function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParseHashFunctionError;

impl fmt::Display for ParseHashFunctionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected ")?;
        let (last, all) = HashFunction::ALL.split_last().unwrap_or((&HashFunction::Fnv1a64, &[]));
        for (i, function) in all.iter().enumerate() {
            write!(f, "{}{function}", if i == 0 { "" } else { ", " })?;
        }
        write!(f, " or {last}")
    }
}

impl std::error::Error for ParseHashFunctionError {}

impl FromStr for HashFunction {
    type Err = ParseHashFunctionError;

    fn from_str(s: &str) -> Result<Self, ParseHashFunctionError> {
        Self::ALL.iter().copied().find(|f| f.as_str() == s).ok_or(ParseHashFunctionError)
    }
}

/// How a key becomes a number: which part of it, and by which function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct KeyHash {
    /// The function.
    pub function: HashFunction,
    /// If a key has the first of these bytes and, somewhere behind it, the second, only what is
    /// between them is hashed, unless that is nothing. The first of each counts.
    /// [`HashFunction::RedisSlot`] always has `{` and `}`, whatever this says.
    pub tag: Option<(u8, u8)>,
}

impl KeyHash {
    /// A key hash without tag.
    pub const fn new(function: HashFunction) -> Self {
        Self { function, tag: None }
    }

    /// The same with a tag.
    #[must_use]
    pub const fn tagged(mut self, begin: u8, end: u8) -> Self {
        self.tag = Some((begin, end));
        self
    }

    /// The part of the key that is hashed.
    pub fn part<'k>(&self, key: &'k [u8]) -> &'k [u8] {
        let tag = match self.function {
            HashFunction::RedisSlot => Some((b'{', b'}')),
            _ => self.tag,
        };
        tag.and_then(|(begin, end)| between(key, begin, end)).unwrap_or(key)
    }

    /// The key's number; 0 for an empty key, whatever the function. Below 2^32 for all functions
    /// but [`HashFunction::Atol`].
    pub fn hash(&self, key: &[u8]) -> u64 {
        match self.part(key) {
            [] => 0,
            part => self.function.hash(part),
        }
    }
}

fn between(key: &[u8], begin: u8, end: u8) -> Option<&[u8]> {
    let from = key.iter().position(|b| *b == begin)?;
    let rest = key.get(from + 1..)?;
    let to = rest.iter().position(|b| *b == end)?;
    rest.get(..to).filter(|part| !part.is_empty())
}

/// The four little-endian words of an MD5 digest.
pub(crate) fn md5_quarters(bytes: &[u8]) -> [u32; 4] {
    let digest: [u8; 16] = Md5::digest(bytes).into();
    let whole = u128::from_le_bytes(digest);
    [whole as u32, (whole >> 32) as u32, (whole >> 64) as u32, (whole >> 96) as u32]
}

/// Spreads a number over all 64 bits, so that a bad hash function does no harm where nothing has to
/// agree with other programs.
pub(crate) fn spread(n: u64) -> u64 {
    mix::spread(n)
}

/// 64 well-mixed bits of these bytes; an own function, not one that other programs have.
pub(crate) fn own(seed: u64, bytes: &[u8]) -> u64 {
    let mut h = mix::spread(seed ^ 0x9e37_79b9_7f4a_7c15);
    for b in bytes {
        h = (h ^ u64::from(*b)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    mix::spread(h)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for f in HashFunction::ALL {
            assert_eq!(f.as_str().parse(), Ok(*f));
        }
        assert_eq!("fnv".parse::<HashFunction>(), Err(ParseHashFunctionError));
        assert!(ParseHashFunctionError.to_string().ends_with("crc16_xmodem or atol"));
    }

    #[test]
    fn tag_is_the_first_pair_unless_empty() {
        let h = KeyHash::new(HashFunction::Md5).tagged(b'{', b'}');
        for (key, part) in [
            ("plain", "plain"),
            ("{a}b", "a"),
            ("x{a}b{c}", "a"),
            ("x{}b{c}", "x{}b{c}"),
            ("x}a{b}c", "b"),
            ("x{{a}}", "{a"),
            ("x{a", "x{a"),
            ("{", "{"),
            ("", ""),
        ] {
            assert_eq!(h.part(key.as_bytes()), part.as_bytes(), "{key}");
            assert_eq!(
                KeyHash::new(HashFunction::RedisSlot).part(key.as_bytes()),
                part.as_bytes(),
                "{key}"
            );
        }
        let same = KeyHash::new(HashFunction::Md5).tagged(b'$', b'$');
        assert_eq!(same.part(b"a$b$c$"), b"b");
        assert_eq!(same.part(b"a$$c$"), b"a$$c$");
    }

    #[test]
    fn an_empty_key_is_zero() {
        for f in HashFunction::ALL {
            assert_eq!(KeyHash::new(*f).hash(b""), 0, "{f}");
        }
    }
}
