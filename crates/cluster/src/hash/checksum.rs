//! CRC-16 and numbers in text.

/// The remainders of CRC-16/XMODEM (polynomial 0x1021, not reflected, starting at 0).
const TABLE: [u16; 256] = {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let mut crc = (i as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
            bit += 1;
        }
        table[i] = crc;
        i += 1;
    }
    table
};

/// CRC-16/XMODEM in a register of 32 bits that is never cut to 16: the lower half is the checksum,
/// the upper half what was shifted out last.
pub(crate) fn crc16_unmasked(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0u32, |crc, b| {
        let index = ((crc >> 8) as u8) ^ b;
        (crc << 8) ^ u32::from(TABLE[usize::from(index)])
    })
}

/// CRC-16/XMODEM.
pub(crate) fn crc16_xmodem(bytes: &[u8]) -> u16 {
    crc16_unmasked(bytes) as u16
}

/// The number at the start: an optional sign, then digits up to the first other byte. Wraps where
/// it does not fit.
pub(crate) fn atol(bytes: &[u8]) -> i64 {
    let (negative, digits) = match bytes {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let value = digits
        .iter()
        .take_while(|b| b.is_ascii_digit())
        .fold(0i64, |v, b| v.wrapping_mul(10).wrapping_add(i64::from(b - b'0')));
    if negative { value.wrapping_neg() } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xmodem_has_its_check_value() {
        assert_eq!(crc16_xmodem(b"123456789"), 0x31c3);
        assert_eq!(crc16_unmasked(b"123456789") & 0xffff, 0x31c3);
        assert_eq!(crc16_xmodem(b""), 0);
    }

    #[test]
    fn atol_reads_what_is_there() {
        for (text, value) in [
            ("12ab", 12),
            ("-7", -7),
            ("+7", 7),
            ("", 0),
            ("-", 0),
            ("x1", 0),
            ("--1", 0),
            ("18446744073709551617", 1),
        ] {
            assert_eq!(atol(text.as_bytes()), value, "{text}");
        }
    }
}
