//! Writing RESP: the few shapes that Heptad itself says.

use std::io::Write as _;

/// A line: `kind`, the text without line ends, CR LF.
pub(crate) fn line(out: &mut Vec<u8>, kind: u8, text: &str) {
    out.push(kind);
    let one = text.bytes().map(|b| if b < b' ' { b' ' } else { b });
    out.extend(one);
    out.extend_from_slice(b"\r\n");
}

/// A number.
pub(crate) fn number(out: &mut Vec<u8>, n: i64) {
    // Writing to a `Vec` cannot fail.
    let _ = write!(out, ":{n}\r\n");
}

/// The head of an aggregate or a bulk.
pub(crate) fn head(out: &mut Vec<u8>, kind: u8, n: u64) {
    out.push(kind);
    let _ = write!(out, "{n}\r\n");
}

/// A bulk.
pub(crate) fn bulk(out: &mut Vec<u8>, text: &[u8]) {
    head(out, b'$', text.len() as u64);
    out.extend_from_slice(text);
    out.extend_from_slice(b"\r\n");
}

/// A command.
pub(crate) fn command(out: &mut Vec<u8>, words: &[&[u8]]) {
    head(out, b'*', words.len() as u64);
    for word in words {
        bulk(out, word);
    }
}

/// A decimal number on the stack.
pub(crate) struct Digits {
    bytes: [u8; 20],
    from: usize,
}

impl Digits {
    /// The digits of `n`.
    pub(crate) fn of(mut n: u64) -> Self {
        let mut digits = Self { bytes: [b'0'; 20], from: 20 };
        loop {
            digits.from -= 1;
            if let Some(b) = digits.bytes.get_mut(digits.from) {
                *b = b'0' + (n % 10) as u8;
            }
            n /= 10;
            if n == 0 {
                return digits;
            }
        }
    }

    /// As text.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get(self.from..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes() {
        let mut out = Vec::new();
        line(&mut out, b'-', "ERR a\r\nb");
        number(&mut out, -5);
        command(&mut out, &[b"GET", b""]);
        assert_eq!(out, b"-ERR a  b\r\n:-5\r\n*2\r\n$3\r\nGET\r\n$0\r\n\r\n");
        assert_eq!(Digits::of(0).bytes(), b"0");
        assert_eq!(Digits::of(u64::MAX).bytes(), b"18446744073709551615");
    }
}
