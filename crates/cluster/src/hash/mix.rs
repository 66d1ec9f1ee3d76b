//! Hash functions made of shifts, additions and multiplications.

/// A byte as C's signed `char`, widened.
pub(crate) fn signed(b: u8) -> u32 {
    i32::from(b.cast_signed()).cast_unsigned()
}

/// MurmurHash3's finaliser: every input bit reaches every output bit.
pub(crate) fn spread(mut n: u64) -> u64 {
    n ^= n >> 33;
    n = n.wrapping_mul(0xff51_afd7_ed55_8ccd);
    n ^= n >> 33;
    n = n.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    n ^ (n >> 33)
}

/// Jenkins' one-at-a-time, bytes sign-extended.
pub(crate) fn one_at_a_time(bytes: &[u8]) -> u32 {
    let mut h = bytes.iter().fold(0u32, |h, b| {
        let h = h.wrapping_add(signed(*b));
        let h = h.wrapping_add(h << 10);
        h ^ (h >> 6)
    });
    h = h.wrapping_add(h << 3);
    h ^= h >> 11;
    h.wrapping_add(h << 15)
}

/// Paul Hsieh's; of the odd last byte of three, the sign is extended.
pub(crate) fn hsieh(bytes: &[u8]) -> u32 {
    let word = |a: u8, b: u8| u32::from(u16::from_le_bytes([a, b]));
    let (quads, tail) = bytes.as_chunks::<4>();
    let mut h = 0u32;
    for [a, b, c, d] in quads {
        h = h.wrapping_add(word(*a, *b));
        h = (h << 16) ^ (word(*c, *d) << 11) ^ h;
        h = h.wrapping_add(h >> 11);
    }
    match tail {
        [a, b, c] => {
            h = h.wrapping_add(word(*a, *b));
            h ^= h << 16;
            h ^= signed(*c) << 18;
            h = h.wrapping_add(h >> 11);
        }
        [a, b] => {
            h = h.wrapping_add(word(*a, *b));
            h ^= h << 11;
            h = h.wrapping_add(h >> 17);
        }
        [a] => {
            h = h.wrapping_add(u32::from(*a));
            h ^= h << 10;
            h = h.wrapping_add(h >> 1);
        }
        _ => {}
    }
    h ^= h << 3;
    h = h.wrapping_add(h >> 5);
    h ^= h << 4;
    h = h.wrapping_add(h >> 17);
    h ^= h << 25;
    h.wrapping_add(h >> 6)
}

/// MurmurHash2 for 32 bits, seeded with the length times 0xdeadbeef.
pub(crate) fn murmur(bytes: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let len = bytes.len() as u32;
    let mut h = len.wrapping_mul(0xdead_beef) ^ len;
    let (quads, tail) = bytes.as_chunks::<4>();
    for quad in quads {
        let mut k = u32::from_le_bytes(*quad).wrapping_mul(M);
        k ^= k >> 24;
        h = h.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !tail.is_empty() {
        h = (h ^ padded(tail)).wrapping_mul(M);
    }
    h ^= h >> 13;
    h = h.wrapping_mul(M);
    h ^ (h >> 15)
}

/// Up to four bytes as a little-endian number.
fn padded(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |n, b| (n << 8) | u32::from(*b))
}

/// Jenkins' lookup3 with the initial value 13.
pub(crate) fn jenkins(bytes: &[u8]) -> u32 {
    let start = 0xdead_beef_u32.wrapping_add(bytes.len() as u32).wrapping_add(13);
    let (mut a, mut b, mut c) = (start, start, start);
    let mut rest = bytes;
    while rest.len() > 12
        && let Some((block, behind)) = rest.split_first_chunk::<12>()
    {
        (a, b, c) = add_block(a, b, c, block);
        // One line of the mix: x -= z, x ^= rot(z), z += y, in a rotation of the three.
        for (turns_1, turns_2, turns_3) in [(4, 6, 8), (16, 19, 4)] {
            a = a.wrapping_sub(c) ^ c.rotate_left(turns_1);
            c = c.wrapping_add(b);
            b = b.wrapping_sub(a) ^ a.rotate_left(turns_2);
            a = a.wrapping_add(c);
            c = c.wrapping_sub(b) ^ b.rotate_left(turns_3);
            b = b.wrapping_add(a);
        }
        rest = behind;
    }
    if rest.is_empty() {
        return c;
    }
    let mut last = [0; 12];
    for (to, from) in last.iter_mut().zip(rest) {
        *to = *from;
    }
    (a, b, c) = add_block(a, b, c, &last);
    c = (c ^ b).wrapping_sub(b.rotate_left(14));
    a = (a ^ c).wrapping_sub(c.rotate_left(11));
    b = (b ^ a).wrapping_sub(a.rotate_left(25));
    c = (c ^ b).wrapping_sub(b.rotate_left(16));
    a = (a ^ c).wrapping_sub(c.rotate_left(4));
    b = (b ^ a).wrapping_sub(a.rotate_left(14));
    (c ^ b).wrapping_sub(b.rotate_left(24))
}

fn add_block(a: u32, b: u32, c: u32, block: &[u8; 12]) -> (u32, u32, u32) {
    let [a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3] = *block;
    (
        a.wrapping_add(u32::from_le_bytes([a0, a1, a2, a3])),
        b.wrapping_add(u32::from_le_bytes([b0, b1, b2, b3])),
        c.wrapping_add(u32::from_le_bytes([c0, c1, c2, c3])),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_has_its_published_values() {
        assert_eq!(one_at_a_time(b"a"), 0xca2e_9442);
        assert_eq!(one_at_a_time(b"The quick brown fox jumps over the lazy dog"), 0x519e_91f5);
    }

    #[test]
    fn the_finaliser_is_murmurs() {
        assert_eq!([0, 1].map(spread), [0, 0xb456_bcfc_34c2_cb2c]);
    }

    #[test]
    fn spread_moves_half_of_the_bits() {
        for n in 0..1000u64 {
            let moved = (spread(n) ^ spread(n + 1)).count_ones();
            assert!((10..=54).contains(&moved), "{n}: {moved}");
        }
    }
}
