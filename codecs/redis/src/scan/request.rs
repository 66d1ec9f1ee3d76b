//! The end of a request: an array of bulks, or an inline line.
//!
//! Byte by byte arrival is linear: what was scanned is remembered as an offset, and nothing before
//! it is looked at again until the whole frame is there.

use heptad_core::{Fault, Reason, Span};

use super::{Line, crlf, number_line};
use crate::args::tokens;

/// Where to resume; all zero at a frame's first byte.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RequestScan {
    /// Bytes scanned.
    at: usize,
    /// Bulks still to come.
    left: u32,
    /// All bulks of the frame.
    argc: u32,
}

/// What is allowed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Longest frame.
    pub(crate) frame: usize,
    /// Most arguments.
    pub(crate) parts: u32,
    /// The client has not logged in: redis-server's own small limits hold.
    pub(crate) stranger: bool,
}

/// A whole request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Bytes of the frame.
    pub(crate) len: usize,
    /// Arguments with the command's name.
    pub(crate) argc: u32,
    /// A line and not an array.
    pub(crate) inline: bool,
    /// The name and the first argument, if they were met in this one pass over an array.
    pub(crate) seen: [Span; 2],
}

/// What the scanner says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scanned {
    Need(usize),
    Skip(usize),
    Frame(Shape),
}

/// Longest inline line without its end, as in redis-server.
const INLINE_MAX: usize = 64 << 10;
/// Largest bulk, as redis-server's `proto-max-bulk-len`.
const BULK_MAX: usize = 512 << 20;
/// What redis-server takes from a client that has not logged in.
const STRANGER_PARTS: u32 = 10;
const STRANGER_BULK_MAX: usize = 16384;

impl RequestScan {
    /// The usual request, if all of it is at the front of `buf`; what [`RequestScan::scan`] finds,
    /// which is to look if this finds nothing.
    #[inline]
    pub(crate) fn usual(&self, buf: &[u8], limits: Limits) -> Option<Shape> {
        if self.at == 0 { quick(buf, limits) } else { None }
    }

    /// Looks for the end of the frame that begins at the first byte of `buf`. What it needs is
    /// within the limits.
    pub(crate) fn scan(&mut self, buf: &[u8], limits: Limits) -> Result<Scanned, Fault> {
        if buf.first() != Some(&b'*') {
            return self.inline(buf, limits);
        }
        match self.array(buf, limits)? {
            Scanned::Need(n) if n > limits.frame => {
                let text = if self.at == 0 { MULTIBULK } else { BULK };
                Err(Fault::too_large(Reason::FrameSize, text))
            }
            found => Ok(found),
        }
    }

    fn array(&mut self, buf: &[u8], limits: Limits) -> Result<Scanned, Fault> {
        let mut seen = [Span::NONE; 2];
        let mut number = 2;
        let Self { mut at, mut left, mut argc } = *self;
        if at == 0 {
            let (line, n) = match number_line(buf.get(1..).unwrap_or_default()) {
                Line::Number(line, n) => (line + 1, n),
                Line::Short => return Ok(Scanned::Need(buf.len() + 1)),
                Line::Bad => return Err(Fault::malformed(MULTIBULK)),
                Line::Long => return Err(Fault::malformed(MULTIBULK_LONG)),
            };
            if n <= 0 {
                return Ok(Scanned::Skip(line));
            }
            argc = u32::try_from(n)
                .ok()
                .filter(|n| *n <= limits.parts)
                .ok_or(Fault::too_large(Reason::Parts, MULTIBULK))?;
            if limits.stranger && argc > STRANGER_PARTS {
                return Err(Fault::too_large(Reason::Parts, STRANGER_MULTIBULK));
            }
            (at, left) = (line, argc);
            number = 0;
        }
        while left > 0 {
            let mut wait = |need| {
                *self = Self { at, left, argc };
                Ok(Scanned::Need(need))
            };
            let rest = match buf.get(at..).and_then(<[u8]>::split_first) {
                Some((b'$', rest)) => rest,
                Some((other, _)) => return Err(Fault::malformed(expected_bulk(*other))),
                None => return wait(at + 1),
            };
            let (line, len) = match number_line(rest) {
                Line::Number(line, n) => (line + 1, n),
                Line::Short => return wait(buf.len() + 1),
                Line::Bad => return Err(Fault::malformed(BULK)),
                Line::Long => return Err(Fault::malformed(BULK_LONG)),
            };
            let len = usize::try_from(len)
                .ok()
                .filter(|n| *n <= BULK_MAX)
                .ok_or(Fault::malformed(BULK))?;
            if limits.stranger && len > STRANGER_BULK_MAX {
                return Err(Fault::too_large(Reason::FrameSize, STRANGER_BULK));
            }
            let end = at + line + len;
            if end + 2 > limits.frame {
                return Err(Fault::too_large(Reason::FrameSize, BULK));
            }
            match crlf(buf, end, BULK) {
                Some(result) => result?,
                // The header line is read once more when the body has come: nothing is saved.
                None => return wait(end + 2),
            }
            if let Some(span) = seen.get_mut(number) {
                *span = Span::new(at + line, len);
            }
            number += 1;
            at = end + 2;
            left -= 1;
        }
        let shape = Shape { len: at, argc, inline: false, seen };
        *self = Self::default();
        Ok(Scanned::Frame(shape))
    }

    fn inline(&mut self, buf: &[u8], limits: Limits) -> Result<Scanned, Fault> {
        let max = limits.frame.min(INLINE_MAX + 1);
        let fresh = buf.get(self.at..).unwrap_or_default();
        let Some(end) = fresh.iter().position(|b| *b == b'\n') else {
            if buf.len() >= max {
                return Err(Fault::too_large(Reason::FrameSize, INLINE));
            }
            self.at = buf.len();
            return Ok(Scanned::Need(buf.len() + 1));
        };
        let len = self.at + end + 1;
        *self = Self::default();
        if len > max {
            return Err(Fault::too_large(Reason::FrameSize, INLINE));
        }
        let mut argc = 0;
        for token in tokens(inline_line(buf.get(..len).unwrap_or_default())) {
            let Ok(token) = token else {
                return Err(Fault::malformed(UNBALANCED));
            };
            // A line goes on as an array, which a stranger's server holds to these limits.
            if limits.stranger && token.text.len() > STRANGER_BULK_MAX {
                return Err(Fault::too_large(Reason::FrameSize, STRANGER_BULK));
            }
            argc += 1;
        }
        if argc > limits.parts {
            return Err(Fault::too_large(Reason::Parts, MULTIBULK));
        }
        if limits.stranger && argc > STRANGER_PARTS {
            return Err(Fault::too_large(Reason::Parts, STRANGER_MULTIBULK));
        }
        if argc == 0 {
            return Ok(Scanned::Skip(len));
        }
        Ok(Scanned::Frame(Shape { len, argc, inline: true, seen: [Span::NONE; 2] }))
    }
}

/// The usual request: all of it is there, of less than ten arguments of less than a hundred bytes.
/// What is not plainly that is left to the general way, which comes to the same.
#[inline]
fn quick(buf: &[u8], limits: Limits) -> Option<Shape> {
    let &[b'*', count @ b'1'..=b'9', b'\r', b'\n', ..] = buf else {
        return None;
    };
    let argc = u32::from(count - b'0');
    if argc > limits.parts || limits.stranger {
        return None;
    }
    let mut seen = [Span::NONE; 2];
    let mut at = 4;
    for number in 0..argc as usize {
        let (start, len) = match *buf.get(at..)?.first_chunk::<5>()? {
            [b'$', a @ b'0'..=b'9', b'\r', b'\n', _] => (at + 4, a - b'0'),
            [b'$', a @ b'1'..=b'9', b @ b'0'..=b'9', b'\r', b'\n'] => {
                (at + 5, (a - b'0') * 10 + (b - b'0'))
            }
            _ => return None,
        };
        let end = start + usize::from(len);
        if *buf.get(end..)?.first_chunk::<2>()? != *b"\r\n" {
            return None;
        }
        if let Some(span) = seen.get_mut(number) {
            *span = Span::new(start, len.into());
        }
        at = end + 2;
    }
    (at <= limits.frame).then_some(Shape { len: at, argc, inline: false, seen })
}

/// An inline frame without its line end.
pub(crate) fn inline_line(frame: &[u8]) -> &[u8] {
    let line = frame.strip_suffix(b"\n").unwrap_or(frame);
    line.strip_suffix(b"\r").unwrap_or(line)
}

const MULTIBULK: &str = "Protocol error: invalid multibulk length";
const MULTIBULK_LONG: &str = "Protocol error: too big mbulk count string";
const BULK: &str = "Protocol error: invalid bulk length";
const BULK_LONG: &str = "Protocol error: too big bulk count string";
const STRANGER_MULTIBULK: &str = "Protocol error: unauthenticated multibulk length";
const STRANGER_BULK: &str = "Protocol error: unauthenticated bulk length";
const INLINE: &str = "Protocol error: too big inline request";
const UNBALANCED: &str = "Protocol error: unbalanced quotes in request";

/// `Protocol error: expected '$', got 'x'` for every x, because a fault carries no text of its own.
fn expected_bulk(got: u8) -> &'static str {
    static TEXTS: [[u8; 37]; 256] = {
        let mut texts = [*b"Protocol error: expected '$', got ' '"; 256];
        let mut c = 0;
        while c < 256 {
            if c > 32 && c < 127 {
                texts[c][35] = c as u8;
            }
            c += 1;
        }
        texts
    };
    TEXTS.get(usize::from(got)).and_then(|t| std::str::from_utf8(t).ok()).unwrap_or(BULK)
}

#[cfg(test)]
mod tests {
    use heptad_core::Outcome;

    use super::*;

    const OPEN: Limits = Limits { frame: 1 << 20, parts: 1024, stranger: false };

    fn check(bytes: &[u8], expect: Result<Scanned, &str>) {
        let whole = RequestScan::default().scan(bytes, OPEN);
        assert_eq!(whole.map_err(|f| f.text), expect, "{}", bytes.escape_ascii());
    }

    fn frame(len: usize, argc: u32, inline: bool) -> Result<Scanned, &'static str> {
        Ok(Scanned::Frame(Shape { len, argc, inline, seen: [Span::NONE; 2] }))
    }

    #[test]
    fn frames_end_where_redis_ends_them_and_are_stricter_about_line_ends() {
        let Ok(Scanned::Frame(get)) =
            RequestScan::default().scan(b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n+", OPEN)
        else {
            panic!("no frame")
        };
        assert_eq!((get.len, get.argc), (20, 2));
        assert_eq!(get.seen, [Span::new(8, 3), Span::new(17, 1)]);
        check(b"*0\r\n*1", Ok(Scanned::Skip(4)));
        check(b"*-1\r\n", Ok(Scanned::Skip(5)));
        check(b"\r\n", Ok(Scanned::Skip(2)));
        check(b" \t\n", Ok(Scanned::Skip(3)));
        check(b"PING\r\nX", frame(6, 1, true));
        check(b"set a \"b c\"\n", frame(12, 3, true));
        check(b"\"\"\r\n", frame(4, 1, true));
        check(b"a 'b", Ok(Scanned::Need(5)));
        for bad in [&b"*1\rX"[..], b"*+1\r\n", b"*01\r\n", b"*x\r\n", b"*\r\n", b"*-0\r\n"] {
            check(bad, Err(MULTIBULK));
        }
        check(b"*2147483648\r\n", Err(MULTIBULK));
        check(b"*1025\r\n", Err(MULTIBULK));
        for bad in [
            &b"*1\r\n$4\r\nPINGXX"[..],
            b"*1\r\n$4\rX",
            b"*1\r\n$-1\r\n",
            b"*1\r\n$+4\r\n",
            b"*1\r\n$04\r\n",
            b"*1\r\n$999999999999\r\n",
            b"*1\r\n$99999999999999999999999\r\n",
            b"*1\r\n$2000000\r\n",
        ] {
            check(bad, Err(BULK));
        }
        check(b"*1\r\nPING\r\n", Err("Protocol error: expected '$', got 'P'"));
        check(b"*1\r\n:4\r\n", Err("Protocol error: expected '$', got ':'"));
        check(b"set a \"b\r\n", Err(UNBALANCED));
        check(b"set a 'b'c\r\n", Err(UNBALANCED));
        check(&[b'a'; INLINE_MAX + 1], Err(INLINE));
        check(b"*111111111111111111111111", Err(MULTIBULK));
    }

    #[test]
    fn limits_hold_at_the_same_byte_however_a_frame_is_cut() {
        let line = |len: usize| [&b"a".repeat(len)[..], b"\r\n"].concat();
        let array = b"*2\r\n$3\r\nGET\r\n$4\r\nlong\r\n".to_vec();
        for (bytes, frame, text) in [
            (line(INLINE_MAX - 1), 1 << 20, None),
            (line(INLINE_MAX), 1 << 20, Some(INLINE)),
            (line(98), 100, None),
            (line(99), 100, Some(INLINE)),
            (array.clone(), array.len(), None),
            (array.clone(), array.len() - 1, Some(BULK)),
            (array, 15, Some(BULK)),
        ] {
            let limits = Limits { frame, ..OPEN };
            let whole = RequestScan::default().scan(&bytes, limits);
            let (mut cut, mut scan) = (None, RequestScan::default());
            for have in 1..=bytes.len() {
                match scan.scan(&bytes[..have], limits) {
                    Ok(Scanned::Need(n)) => assert!(n > have && n <= frame),
                    found => {
                        cut = Some(found);
                        break;
                    }
                }
            }
            assert_eq!(whole.err().map(|f| f.text), text, "{} bytes, limit {frame}", bytes.len());
            let cut = cut.and_then(Result::err);
            assert_eq!(cut.map(|f| (f.outcome, f.text)), text.map(|t| (Outcome::TooLarge, t)));
        }
    }

    #[test]
    fn the_quick_way_comes_to_what_the_general_way_comes_to() {
        let long = format!("*2\r\n$3\r\nGET\r\n$99\r\n{}\r\n", "k".repeat(99));
        let good = [
            "*1\r\n$4\r\nPING\r\n",
            "*3\r\n$3\r\nSET\r\n$0\r\n\r\n$12\r\nabc\r\ndefghij\r\n*1\r\n",
            "*9\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n\
             $10\r\n0123456789\r\n",
            &long,
        ];
        let mut met = 0;
        for bytes in good.map(str::as_bytes) {
            // Each byte another one, and each end.
            let mut all: Vec<Vec<u8>> = (0..=bytes.len()).map(|n| bytes[..n].to_vec()).collect();
            for at in 0..bytes.len() {
                for byte in *b"\r\n$*0199:x" {
                    let mut other = bytes.to_vec();
                    other[at] = byte;
                    all.push(other);
                }
            }
            for (bytes, frame, parts) in all.iter().flat_map(|bytes| {
                [(1 << 20, 1024), (20, 1024), (bytes.len(), 2)].map(|(f, p)| (bytes, f, p))
            }) {
                let limits = Limits { frame, parts, stranger: false };
                if let Some(shape) = quick(bytes, limits) {
                    let slow = RequestScan::default().array(bytes, limits);
                    assert_eq!(slow, Ok(Scanned::Frame(shape)), "{}", bytes.escape_ascii());
                    met += 1;
                }
            }
        }
        assert!(met > 100, "{met}");
    }

    #[test]
    fn a_stranger_has_small_limits() {
        let limits = Limits { stranger: true, ..OPEN };
        let text = |bytes: &[u8]| RequestScan::default().scan(bytes, limits).map_err(|f| f.text);
        assert_eq!(text(b"*11\r\n"), Err(STRANGER_MULTIBULK));
        assert_eq!(text(b"*1\r\n$16385\r\n"), Err(STRANGER_BULK));
        assert!(text(b"*10\r\n").is_ok());
        assert!(text(b"*1\r\n$16384\r\n").is_ok());
        assert_eq!(text(b"QUIT b c d e f g h i j k\r\n"), Err(STRANGER_MULTIBULK));
        assert!(text(b"QUIT b c d e f g h i j\r\n").is_ok());
        let long = |len: usize| [b"QUIT ".to_vec(), b"a".repeat(len), b"\r\n".to_vec()].concat();
        assert_eq!(text(&long(16385)), Err(STRANGER_BULK));
        assert!(text(&long(16384)).is_ok());
        let few = Limits { parts: 2, ..OPEN };
        let text = |bytes: &[u8]| RequestScan::default().scan(bytes, few).map_err(|f| f.text);
        assert_eq!(text(b"GET a b\r\n"), Err(MULTIBULK));
        assert!(text(b"GET a\r\n").is_ok());
    }

    #[test]
    fn what_is_needed_is_never_less_than_there_is_nor_more_than_the_frame() {
        let frame = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nhello\r\n";
        let mut scan = RequestScan::default();
        let mut need = 1;
        for have in 1..frame.len() {
            if have < need {
                continue;
            }
            let Ok(Scanned::Need(n)) = scan.scan(&frame[..have], OPEN) else { panic!("at {have}") };
            assert!(n > have && n <= frame.len(), "{n} at {have}");
            need = n;
        }
        assert!(matches!(scan.scan(frame, OPEN), Ok(Scanned::Frame(s)) if s.len == frame.len()));
    }
}
