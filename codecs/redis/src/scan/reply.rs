//! The end of a reply: any RESP2 or RESP3 value, without recursion and with bounded depth.
//!
//! A large reply that arrives in pieces is scanned once: the offset and the open aggregates are
//! remembered. The number of elements is bounded by the frame's length alone, because a `LRANGE`
//! may rightly return millions. Streamed types are not read; redis-server does not send them.

use heptad_core::{Ctx, Fault, Reason};

use super::{Line, crlf, number_line};

/// Where to resume; at a frame's first byte nothing is open.
#[derive(Debug, Default)]
pub(crate) struct ReplyScan {
    /// Bytes scanned; always at the first byte of a value, or of a line that is not whole.
    at: usize,
    /// Bytes of an unfinished line already searched.
    searched: usize,
    /// Values left in each open aggregate, the innermost last.
    open: Vec<u64>,
}

/// How a value at the top level ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Top {
    /// Not yet: as many bytes are needed.
    Need(usize),
    /// At this offset.
    End(usize),
}

/// The end of the usual reply, if all of it is there: `+OK`, a number of one digit, no bulk, or one of
/// less than a hundred bytes.
#[inline]
fn quick(buf: &[u8]) -> Option<usize> {
    if let [b':', b'0'..=b'9', b'\r', b'\n', ..] = buf {
        return Some(4);
    }
    let (start, len) = match *buf.first_chunk::<5>()? {
        [b'+', b'O', b'K', b'\r', b'\n'] | [b'$', b'-', b'1', b'\r', b'\n'] => return Some(5),
        [b'$', a @ b'0'..=b'9', b'\r', b'\n', _] => (4, a - b'0'),
        [b'$', a @ b'1'..=b'9', b @ b'0'..=b'9', b'\r', b'\n'] => (5, (a - b'0') * 10 + (b - b'0')),
        _ => return None,
    };
    let end = start + usize::from(len);
    (*buf.get(end..)?.first_chunk::<2>()? == *b"\r\n").then_some(end + 2)
}

impl ReplyScan {
    /// The end of the usual reply that begins a frame, if all of it is there: what
    /// [`ReplyScan::value`] finds, which need not be asked then.
    #[inline]
    pub(crate) fn usual(&self, buf: &[u8], cx: &Ctx) -> Option<usize> {
        if self.at > 0 || self.searched > 0 || !self.open.is_empty() {
            return None;
        }
        quick(buf).filter(|end| *end <= cx.max_frame as usize)
    }

    /// Scans one value from where the last call ended. What it needs is within the limit.
    pub(crate) fn value(&mut self, buf: &[u8], cx: &Ctx) -> Result<Top, Fault> {
        if let Some(end) = self.usual(buf, cx) {
            self.at = end;
            return Ok(Top::End(end));
        }
        let top = self.walk(buf, cx)?;
        let (Top::Need(n) | Top::End(n)) = top;
        if n > cx.max_frame as usize {
            return Err(Fault::too_large(Reason::FrameSize, SIZE));
        }
        Ok(top)
    }

    fn walk(&mut self, buf: &[u8], cx: &Ctx) -> Result<Top, Fault> {
        loop {
            let rest = buf.get(self.at..).unwrap_or_default();
            let Some((&kind, body)) = rest.split_first() else {
                return Ok(Top::Need(self.at + 1));
            };
            // Whether a value ended here, so that its aggregate has one less to come.
            let whole = match kind {
                b'+' | b'-' | b':' | b'_' | b'#' | b',' | b'(' => {
                    let fresh = body.get(self.searched..).unwrap_or_default();
                    let Some(cr) = fresh.iter().position(|b| matches!(b, b'\r' | b'\n')) else {
                        self.searched = body.len();
                        return Ok(Top::Need(buf.len() + 1));
                    };
                    let end = self.at + 1 + self.searched + cr;
                    match crlf(buf, end, LINE) {
                        Some(result) => result?,
                        None => return Ok(Top::Need(end + 2)),
                    }
                    self.searched = 0;
                    self.at = end + 2;
                    true
                }
                b'$' | b'!' | b'=' => match number_line(body) {
                    Line::Number(line, -1) if kind == b'$' => {
                        self.at += 1 + line;
                        true
                    }
                    Line::Number(line, n) => {
                        let len = usize::try_from(n).map_err(|_| Fault::malformed(LENGTH))?;
                        let end = (self.at + 1 + line).saturating_add(len);
                        match crlf(buf, end, BULK) {
                            Some(result) => result?,
                            None => return Ok(Top::Need(end.saturating_add(2))),
                        }
                        self.at = end + 2;
                        true
                    }
                    Line::Short => return Ok(Top::Need(buf.len() + 1)),
                    Line::Bad | Line::Long => return Err(Fault::malformed(LENGTH)),
                },
                b'*' | b'~' | b'>' | b'%' | b'|' => match number_line(body) {
                    Line::Number(line, -1) if kind == b'*' => {
                        self.at += 1 + line;
                        true
                    }
                    Line::Number(line, n) => {
                        let n = u64::try_from(n).map_err(|_| Fault::malformed(LENGTH))?;
                        let values = if matches!(kind, b'%' | b'|') { n * 2 } else { n };
                        self.at += 1 + line;
                        // An attribute stands in front of its value and is not one itself; with
                        // one value more to come it ends when that value does.
                        let values = values + u64::from(kind == b'|');
                        if values > 0 {
                            if self.open.len() >= cx.max_depth as usize {
                                return Err(Fault::too_large(Reason::Depth, DEPTH));
                            }
                            self.open.push(values);
                        }
                        values == 0
                    }
                    Line::Short => return Ok(Top::Need(buf.len() + 1)),
                    Line::Bad | Line::Long => return Err(Fault::malformed(LENGTH)),
                },
                _ => return Err(Fault::malformed(TYPE)),
            };
            if whole && self.close() {
                return Ok(Top::End(self.at));
            }
        }
    }

    /// Where the value in hand begins to be unknown; also the end of the last whole one.
    pub(crate) fn reset(&mut self) {
        self.at = 0;
        self.searched = 0;
        self.open.clear();
    }

    /// Counts a value as done; `true` if it was one of the top level.
    fn close(&mut self) -> bool {
        while let Some(left) = self.open.last_mut() {
            *left -= 1;
            if *left > 0 {
                return false;
            }
            self.open.pop();
        }
        true
    }
}

/// The values directly inside of an aggregate.
#[derive(Debug)]
pub(crate) struct Elements<'a> {
    rest: &'a [u8],
    left: u64,
}

impl<'a> Elements<'a> {
    /// Of a whole value; `None` if it is not an aggregate, or null. A map's are its keys and values
    /// in turn.
    pub(crate) fn of(value: &'a [u8]) -> Option<Self> {
        let (kind, body) = value.split_first()?;
        if !matches!(kind, b'*' | b'~' | b'>' | b'%') {
            return None;
        }
        let Line::Number(line, n) = number_line(body) else {
            return None;
        };
        let n = u64::try_from(n).ok()?;
        Some(Self { rest: body.get(line..)?, left: if *kind == b'%' { n * 2 } else { n } })
    }

    /// How many are left.
    pub(crate) fn left(&self) -> u64 {
        self.left
    }

    /// All that are left, as they stand.
    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.left = self.left.checked_sub(1)?;
        let cx = Ctx::default().max_frame(u32::MAX).max_depth(u32::MAX);
        let Ok(Top::End(end)) = ReplyScan::default().value(self.rest, &cx) else {
            self.left = 0;
            return None;
        };
        let (value, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest;
        Some(value)
    }
}

/// The text of a whole bulk or simple string.
pub(crate) fn text(value: &[u8]) -> Option<&[u8]> {
    let (kind, body) = value.split_first()?;
    let body = match kind {
        b'+' => body,
        b'$' => match number_line(body) {
            Line::Number(line, 0..) => body.get(line..)?,
            _ => return None,
        },
        _ => return None,
    };
    body.strip_suffix(b"\r\n")
}

/// The text of the first value inside of an array or push whose first bytes these are.
pub(crate) fn first_bulk(value: &[u8]) -> Option<&[u8]> {
    let (b'*' | b'>', body) = value.split_first()? else {
        return None;
    };
    let Line::Number(line, 1..) = number_line(body) else {
        return None;
    };
    let (b'$', body) = body.get(line..)?.split_first()? else {
        return None;
    };
    let Line::Number(line, len @ 0..) = number_line(body) else {
        return None;
    };
    body.get(line..)?.get(..usize::try_from(len).ok()?)
}

const LINE: &str = "line is not ended by CR LF";
const BULK: &str = "bulk is not ended by CR LF";
const LENGTH: &str = "invalid length";
const TYPE: &str = "unknown type of reply";
const DEPTH: &str = "reply is nested too deeply";
const SIZE: &str = "reply is too large";

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], expect: Result<Top, &str>) {
        let cx = Ctx::default().max_frame(1 << 16).max_depth(8);
        let whole = ReplyScan::default().value(bytes, &cx);
        assert_eq!(whole.map_err(|f| f.text), expect, "{}", bytes.escape_ascii());
        // Byte by byte the same end is found, and none before.
        let Ok(Top::End(end)) = whole else { return };
        let mut scan = ReplyScan::default();
        let mut need = 1;
        for have in 1..end {
            if have < need {
                continue;
            }
            let Ok(Top::Need(n)) = scan.value(&bytes[..have], &cx) else {
                panic!("{} ends at {have}", bytes.escape_ascii())
            };
            assert!(n > have && n <= end, "{n} at {have} of {}", bytes.escape_ascii());
            need = n;
        }
        assert_eq!(scan.value(&bytes[..end], &cx), Ok(Top::End(end)));
    }

    #[test]
    fn the_quick_way_comes_to_what_the_general_way_comes_to() {
        let cx = Ctx::default();
        let mut met = 0;
        for good in [
            ":1\r\n",
            "$-1\r\n",
            "+OK\r\n",
            "$0\r\n\r\n+OK\r\n",
            "$3\r\nabc\r\n",
            "$10\r\n0123456\r\n9\r\n",
        ] {
            let good = good.as_bytes();
            let mut all: Vec<Vec<u8>> = (0..=good.len()).map(|n| good[..n].to_vec()).collect();
            for at in 0..good.len() {
                for byte in *b"\r\n$*+-0139x" {
                    let mut other = good.to_vec();
                    other[at] = byte;
                    all.push(other);
                }
            }
            for bytes in all {
                if let Some(end) = quick(&bytes) {
                    let slow = ReplyScan::default().walk(&bytes, &cx);
                    assert_eq!(slow, Ok(Top::End(end)), "{}", bytes.escape_ascii());
                    met += 1;
                }
            }
        }
        assert!(met > 20, "{met}");
    }

    #[test]
    fn every_type_ends_where_it_should() {
        for whole in [
            &b"+OK\r\n"[..],
            b"+\r\n",
            b"-ERR no\r\n",
            b":-12\r\n",
            b"$5\r\nhello\r\n",
            b"$0\r\n\r\n",
            b"$-1\r\n",
            b"*-1\r\n",
            b"*0\r\n",
            b"*2\r\n$1\r\na\r\n*1\r\n:1\r\n",
            b"_\r\n",
            b"#t\r\n",
            b",3.25\r\n",
            b"(12345678901234567890\r\n",
            b"!5\r\nERR x\r\n",
            b"=7\r\ntxt:abc\r\n",
            b"%1\r\n+a\r\n*0\r\n",
            b"%0\r\n",
            b"~2\r\n:1\r\n:2\r\n",
            b">2\r\n+a\r\n+b\r\n",
            b"|1\r\n+ttl\r\n:3\r\n$1\r\nx\r\n",
            b"*2\r\n|1\r\n+a\r\n+b\r\n:1\r\n:2\r\n",
            b"|0\r\n+x\r\n",
        ] {
            check(whole, Ok(Top::End(whole.len())));
            let more = [whole, b"+next"].concat();
            check(&more, Ok(Top::End(whole.len())));
        }
        check(b"*1\r\n$", Ok(Top::Need(6)));
        check(b"$5\r\nhel", Ok(Top::Need(11)));
        check(b"$5\r\nhelloXX", Err(BULK));
        check(b"+a\nb\r\n", Err(LINE));
        check(b"+a\rb\r\n", Err(LINE));
        check(b"?\r\n", Err(TYPE));
        check(b"$-2\r\n", Err(LENGTH));
        check(b"%-1\r\n", Err(LENGTH));
        check(b"*x\r\n", Err(LENGTH));
        check(b"$70000\r\n", Err(SIZE));
        check(&b"*1\r\n".repeat(9), Err(DEPTH));
        check(&b"|1\r\n".repeat(9), Err(DEPTH));
        check(&b"*1\r\n".repeat(8), Ok(Top::Need(33)));
        check(b"*9223372036854775807\r\n", Ok(Top::Need(23)));
        check(b"%9223372036854775807\r\n", Ok(Top::Need(23)));
    }

    #[test]
    fn elements_are_the_direct_ones() {
        let all: Vec<_> =
            Elements::of(b"*3\r\n:1\r\n*1\r\n+a\r\n$1\r\nx\r\n").into_iter().flatten().collect();
        assert_eq!(all, [&b":1\r\n"[..], b"*1\r\n+a\r\n", b"$1\r\nx\r\n"]);
        assert!(Elements::of(b"*-1\r\n").is_none());
        assert!(Elements::of(b"+OK\r\n").is_none());
        assert_eq!(first_bulk(b"*3\r\n$7\r\nmessage\r\n$1"), Some(&b"message"[..]));
        assert_eq!(first_bulk(b"*3\r\n$7\r\nmess"), None);
        assert_eq!(text(b"$1\r\nx\r\n"), Some(&b"x"[..]));
        assert_eq!(text(b"$-1\r\n"), None);
    }
}
