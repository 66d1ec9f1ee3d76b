//! FNV, with bytes sign-extended as C does it where `char` is signed.

/// An offset basis and a prime.
pub(crate) type Basis = (u32, u32);

/// The 32-bit constants.
pub(crate) const BITS_32: Basis = (0x811c_9dc5, 0x0100_0193);

/// The lower halves of the 64-bit constants. The lower half of a product depends on nothing else,
/// so a result of which only that half is kept needs no 64-bit arithmetic.
pub(crate) const LOW_64: Basis = (0x8422_2325, 0x0000_01b3);

/// Multiply, then mix in.
pub(crate) fn fnv1((offset, prime): Basis, bytes: &[u8]) -> u32 {
    bytes.iter().fold(offset, |h, b| h.wrapping_mul(prime) ^ super::mix::signed(*b))
}

/// Mix in, then multiply.
pub(crate) fn fnv1a((offset, prime): Basis, bytes: &[u8]) -> u32 {
    bytes.iter().fold(offset, |h, b| (h ^ super::mix::signed(*b)).wrapping_mul(prime))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_values_hold() {
        // From the test suite in the FNV draft: "a" and "foobar".
        assert_eq!(fnv1(BITS_32, b"a"), 0x050c_5d7e);
        assert_eq!(fnv1a(BITS_32, b"a"), 0xe40c_292c);
        assert_eq!(fnv1(BITS_32, b"foobar"), 0x31f0_b262);
        assert_eq!(fnv1a(BITS_32, b"foobar"), 0xbf9c_f968);
        assert_eq!(fnv1(LOW_64, b"foobar"), 0x340d_8765_a4dd_a9c2_u64 as u32);
        assert_eq!(fnv1a(LOW_64, b"foobar"), 0x8594_4171_f739_67e8_u64 as u32);
    }
}
