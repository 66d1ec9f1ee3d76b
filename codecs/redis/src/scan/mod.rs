//! Where frames end: the two scanners, and the number lines they share. They know the grammar and
//! no command.

mod reply;
mod request;

pub(crate) use reply::{Elements, ReplyScan, Top, first_bulk, text};
pub(crate) use request::{Limits, RequestScan, Scanned, Shape, inline_line};

use heptad_core::Fault;

/// A number line, read strictly: an optional minus, digits without a leading zero, CR LF.
pub(crate) enum Line {
    /// Bytes of the line with its CR LF, and the number.
    Number(usize, i64),
    /// The line has not come yet.
    Short,
    /// Not a number line.
    Bad,
    /// No CR within any number's length.
    Long,
}

/// Reads the number line that begins at the first byte of `buf` (behind the type byte).
#[inline]
pub(crate) fn number_line(buf: &[u8]) -> Line {
    // Nearly all are one or two digits.
    match *buf {
        [a @ b'0'..=b'9', b'\r', b'\n', ..] => Line::Number(3, i64::from(a - b'0')),
        [a @ b'1'..=b'9', b @ b'0'..=b'9', b'\r', b'\n', ..] => {
            Line::Number(4, i64::from(a - b'0') * 10 + i64::from(b - b'0'))
        }
        _ => any_number_line(buf),
    }
}

fn any_number_line(buf: &[u8]) -> Line {
    let (sign, mut at) = match buf.first() {
        Some(b'-') => (-1, 1),
        _ => (1, 0),
    };
    let first = at;
    let mut n: i64 = 0;
    loop {
        match buf.get(at) {
            Some(&d @ b'0'..=b'9') => {
                let digit = i64::from(d - b'0') * sign;
                let Some(next) = n.checked_mul(10).and_then(|n| n.checked_add(digit)) else {
                    return Line::Bad;
                };
                n = next;
                at += 1;
            }
            Some(b'\r') => break,
            Some(_) => return Line::Bad,
            None if at > 24 => return Line::Long,
            None => return Line::Short,
        }
    }
    if at == first || (at > first + 1 && buf.get(first) == Some(&b'0')) || (n == 0 && sign < 0) {
        return Line::Bad;
    }
    match buf.get(at + 1) {
        Some(b'\n') => Line::Number(at + 2, n),
        Some(_) => Line::Bad,
        None => Line::Short,
    }
}

/// Checks the CR LF at `at`; `None` if it has not come yet, even if its first byte is wrong: however
/// the bytes are cut, the fault is found at the same one.
#[inline]
pub(crate) fn crlf(buf: &[u8], at: usize, text: &'static str) -> Option<Result<(), Fault>> {
    match buf.get(at..at.saturating_add(2)) {
        Some(b"\r\n") => Some(Ok(())),
        Some(_) => Some(Err(Fault::malformed(text))),
        None => None,
    }
}
