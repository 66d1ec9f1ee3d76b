//! What must be known of JSON: where a message ends, and what a field of its outermost struct is.
//! Thrift's JSON has no white space between its parts, and none is taken.

use std::ops::Range;

use heptad_core::{Ctx, Fault, Reason, Unknown};

use crate::cursor::{Bound, Parse, Stop};

/// A walk to the end of a message that goes on where it stopped.
#[derive(Clone, Debug, Default)]
pub(crate) struct JsonWalk {
    at: usize,
    /// What must close, the innermost last.
    open: Vec<u8>,
    text: Text,
    /// How many bytes or runs of text were looked at.
    pub(crate) steps: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Text {
    #[default]
    Outside,
    Inside,
    Escaped,
}

impl JsonWalk {
    /// Starts at this offset, in the array that a message is.
    pub(crate) fn start(&mut self, at: usize) {
        self.at = at;
        self.open.clear();
        self.open.push(b']');
        self.text = Text::Outside;
    }

    /// Goes to the end of the message.
    pub(crate) fn finish(&mut self, buf: &[u8], cx: &Ctx, end: Bound) -> Parse<usize> {
        // A struct in a field is an object in an object, and a list of lists an array in an array.
        let most = (cx.max_depth as usize).saturating_mul(2).saturating_add(2);
        while !self.open.is_empty() {
            self.steps += 1;
            let rest = buf.get(self.at..).unwrap_or_default();
            let Some(&byte) = rest.first() else {
                if self.at >= end.at {
                    return Err(end.fault.into());
                }
                return Err(Stop::Need(self.at + 1));
            };
            if self.at >= end.at {
                return Err(end.fault.into());
            }
            match (self.text, byte) {
                (Text::Escaped, _) => self.text = Text::Inside,
                (Text::Inside, b'"') => self.text = Text::Outside,
                (Text::Inside, b'\\') => self.text = Text::Escaped,
                (Text::Inside, _) => {
                    self.at += memchr::memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
                    continue;
                }
                (Text::Outside, b'"') => self.text = Text::Inside,
                (Text::Outside, b'[' | b'{') => {
                    if self.open.len() >= most {
                        return Err(DEEP.into());
                    }
                    self.open.push(if byte == b'[' { b']' } else { b'}' });
                }
                (Text::Outside, b']' | b'}') => {
                    if self.open.pop() != Some(byte) {
                        return Err(Fault::malformed("JSON with brackets that do not match").into());
                    }
                }
                (Text::Outside, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9') => {}
                (
                    Text::Outside,
                    b',' | b':' | b'+' | b'-' | b'.' | b' ' | b'\t' | b'\r' | b'\n',
                ) => {}
                (Text::Outside, _) => {
                    return Err(Fault::malformed("a byte that JSON does not have there").into());
                }
            }
            self.at += 1;
        }
        Ok(self.at)
    }
}

const DEEP: Fault = Fault::too_large(Reason::Depth, "the Thrift message is nested too deeply");

/// What the first field of a struct is, by the first bytes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum First {
    None,
    Field(i16),
}

/// The first field of the struct at `at`.
pub(crate) fn first_field(buf: &[u8], at: usize) -> Parse<First> {
    let byte = |i: usize| buf.get(at + i).copied().ok_or(Stop::Need(at + i + 1));
    let bad = Fault::malformed("JSON that is not a Thrift struct");
    if byte(0)? != b'{' {
        return Err(bad.into());
    }
    match byte(1)? {
        b'}' => return Ok(First::None),
        b'"' => {}
        _ => return Err(bad.into()),
    }
    let mut end = 2;
    while byte(end)? != b'"' {
        end += 1;
        if end > 8 {
            return Err(bad.into());
        }
    }
    let digits = buf.get(at + 2..at + end).and_then(|text| std::str::from_utf8(text).ok());
    let id = digits.and_then(|text| text.parse().ok()).ok_or(bad)?;
    Ok(First::Field(id))
}

/// A field's type name and where its value is.
pub(crate) type Field<'a> = (&'a [u8], Range<usize>);

/// The field of the struct at `at` that has this id.
pub(crate) fn field<'a>(
    buf: &'a [u8],
    at: usize,
    id: i16,
    cx: &Ctx,
) -> Result<Option<Field<'a>>, Unknown> {
    let mut scan = Scan { buf, at };
    let mut found = None;
    scan.expect(b'{')?;
    if scan.peek()? == b'}' {
        return Ok(None);
    }
    loop {
        let key = scan.text()?;
        let key = std::str::from_utf8(key).ok().and_then(|key| key.parse::<i16>().ok());
        let key = key.ok_or(Unknown)?;
        scan.expect(b':')?;
        scan.expect(b'{')?;
        let ty = scan.text()?;
        scan.expect(b':')?;
        let value = scan.value(cx)?;
        scan.expect(b'}')?;
        // Of several with one id another reader may take any.
        if key == id && found.replace((ty, value)).is_some() {
            return Err(Unknown);
        }
        match scan.next()? {
            b',' => {}
            b'}' => return Ok(found),
            _ => return Err(Unknown),
        }
    }
}

struct Scan<'a> {
    buf: &'a [u8],
    at: usize,
}

impl<'a> Scan<'a> {
    fn peek(&self) -> Result<u8, Unknown> {
        self.buf.get(self.at).copied().ok_or(Unknown)
    }

    fn next(&mut self) -> Result<u8, Unknown> {
        let byte = self.peek()?;
        self.at += 1;
        Ok(byte)
    }

    fn expect(&mut self, byte: u8) -> Result<(), Unknown> {
        if self.next()? == byte { Ok(()) } else { Err(Unknown) }
    }

    /// A text, without its quotes and as it is written.
    fn text(&mut self) -> Result<&'a [u8], Unknown> {
        self.expect(b'"')?;
        let start = self.at;
        loop {
            let rest = self.buf.get(self.at..).unwrap_or_default();
            let n = memchr::memchr2(b'"', b'\\', rest).ok_or(Unknown)?;
            self.at += n + 1;
            if rest.get(n) == Some(&b'"') {
                return self.buf.get(start..self.at - 1).ok_or(Unknown);
            }
            self.at += 1;
        }
    }

    /// Any value.
    fn value(&mut self, cx: &Ctx) -> Result<Range<usize>, Unknown> {
        let start = self.at;
        match self.peek()? {
            b'"' => drop(self.text()?),
            open @ (b'[' | b'{') => {
                let mut walk = JsonWalk { at: self.at + 1, ..JsonWalk::default() };
                walk.open.push(if open == b'[' { b']' } else { b'}' });
                let end = walk.finish(self.buf, cx, Bound::end(self.buf.len()));
                self.at = end.map_err(|_| Unknown)?;
            }
            _ => {
                while matches!(self.peek()?, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E') {
                    self.at += 1;
                }
            }
        }
        if self.at == start { Err(Unknown) } else { Ok(start..self.at) }
    }
}

/// A text as it is meant; `written` is without quotes.
pub(crate) fn unescape<'a>(
    written: &'a [u8],
    scratch: &'a mut Vec<u8>,
) -> Result<&'a [u8], Unknown> {
    if !written.contains(&b'\\') {
        return Ok(written);
    }
    scratch.clear();
    let mut high = None;
    let mut bytes = written.iter().copied();
    while let Some(byte) = bytes.next() {
        let mut char = |c: char| scratch.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        if byte != b'\\' {
            if high.is_some() {
                return Err(Unknown);
            }
            scratch.push(byte);
            continue;
        }
        let escape = bytes.next().ok_or(Unknown)?;
        if high.is_some() && escape != b'u' {
            return Err(Unknown);
        }
        match escape {
            b'"' | b'\\' | b'/' => char(escape.into()),
            b'b' => char('\u{8}'),
            b'f' => char('\u{c}'),
            b'n' => char('\n'),
            b'r' => char('\r'),
            b't' => char('\t'),
            b'u' => {
                let mut unit = 0;
                for _ in 0..4 {
                    let digit = bytes.next().map(char::from).and_then(|c| c.to_digit(16));
                    unit = unit << 4 | digit.ok_or(Unknown)?;
                }
                match (high.take(), unit) {
                    (None, 0xd800..0xdc00) => high = Some(unit),
                    (Some(high), 0xdc00..0xe000) => {
                        let code = 0x1_0000 + ((high & 0x3ff) << 10 | unit & 0x3ff);
                        char(char::from_u32(code).ok_or(Unknown)?);
                    }
                    (None, unit) => char(char::from_u32(unit).ok_or(Unknown)?),
                    _ => return Err(Unknown),
                }
            }
            _ => return Err(Unknown),
        }
    }
    if high.is_some() { Err(Unknown) } else { Ok(scratch) }
}

/// Writes a text with its quotes. Bytes that are not UTF-8 become question marks.
pub(crate) fn escape(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for chunk in text.utf8_chunks() {
        for char in chunk.valid().chars() {
            match char {
                '"' | '\\' => out.extend_from_slice(&[b'\\', char as u8]),
                '\0'..'\x20' => {
                    let hex = b"0123456789abcdef";
                    let digit = |n: u8| hex.get(usize::from(n)).copied().unwrap_or(b'0');
                    let byte = char as u8;
                    let text = [b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 15)];
                    out.extend_from_slice(&text);
                }
                char => out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        if !chunk.invalid().is_empty() {
            out.push(b'?');
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_as_they_are_meant() {
        let table: [(&str, Result<&str, Unknown>); 9] = [
            ("plain", Ok("plain")),
            (r#"a\"b\\c\/d"#, Ok("a\"b\\c/d")),
            (r"\b\f\n\r\t", Ok("\u{8}\u{c}\n\r\t")),
            (r"\u00e9", Ok("é")),
            (r"\ud83d\ude00", Ok("😀")),
            (r"\ud83d", Err(Unknown)),
            (r"\ude00", Err(Unknown)),
            (r"\u12", Err(Unknown)),
            (r"\x", Err(Unknown)),
        ];
        for (written, expected) in table {
            let mut scratch = Vec::new();
            let found = unescape(written.as_bytes(), &mut scratch);
            assert_eq!(found, expected.map(str::as_bytes), "{written}");
        }
        let mut out = Vec::new();
        escape(b"a\"\\\n\x1f\xff\xc3\xa9", &mut out);
        assert_eq!(out, "\"a\\\"\\\\\\u000a\\u001f?é\"".as_bytes());
    }

    #[test]
    fn fields_are_found_by_id() {
        let text = br#"{"1":{"str":"a\"}"},"2":{"i32":-5},"3":{"lst":["i32",2,1,{"x":[]}]},"9":{"tf":1},"4":{"tf":0},"4":{"tf":1}}"#;
        let cx = Ctx::default();
        let of = |id| {
            field(text, 0, id, &cx).map(|f| f.map(|(ty, at)| (ty, text.get(at).unwrap_or(b"?"))))
        };
        assert_eq!(of(1), Ok(Some((&b"str"[..], &br#""a\"}""#[..]))));
        assert_eq!(of(2), Ok(Some((&b"i32"[..], &b"-5"[..]))));
        assert_eq!(of(9), Ok(Some((&b"tf"[..], &b"1"[..]))));
        assert_eq!(of(4), Err(Unknown), "there are two");
        assert_eq!(of(5), Ok(None));
        assert_eq!(field(b"{}", 0, 1, &cx), Ok(None));
        assert_eq!(field(b"{\"1\":5}", 0, 1, &cx), Err(Unknown));
        assert_eq!(first_field(b"{}", 0), Ok(First::None));
        assert_eq!(first_field(b"{\"0\":{", 0), Ok(First::Field(0)));
        assert_eq!(first_field(b"{\"12", 0), Err(Stop::Need(5)));
    }
}
