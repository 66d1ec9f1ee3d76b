//! As much of JSON as headers need: the members of an object by range, and strings with escapes.
//! Values inside of members are skipped, not judged: whoever reads the whole object does that.

use heptad_core::{Found, Unknown};

use crate::section::Pair;

/// Calls `each` with every member of the object that `text` is, blanks around it aside, until it
/// says `false`. Names are without quotes, values with theirs. `None`: it is no object.
pub(crate) fn members(text: &[u8], mut each: impl FnMut(Pair) -> bool) -> Option<()> {
    let mut at = blanks(text, 0);
    at = expect(text, at, b'{')?;
    at = blanks(text, at);
    if text.get(at) == Some(&b'}') {
        return (blanks(text, at + 1) == text.len()).then_some(());
    }
    loop {
        at = blanks(text, at);
        let start = at;
        let end = string(text, at)?;
        let name = start + 1..end - 1;
        at = expect(text, blanks(text, end), b':')?;
        at = blanks(text, at);
        let value = at..skip(text, at)?;
        at = value.end;
        if !each(Pair { all: start..value.end, name, value }) {
            return Some(());
        }
        at = blanks(text, at);
        match text.get(at)? {
            b',' => at += 1,
            b'}' => return (blanks(text, at + 1) == text.len()).then_some(()),
            _ => return None,
        }
    }
}

fn blanks(text: &[u8], mut at: usize) -> usize {
    while matches!(text.get(at), Some(b' ' | b'\t' | b'\r' | b'\n')) {
        at += 1;
    }
    at
}

fn expect(text: &[u8], at: usize, byte: u8) -> Option<usize> {
    (text.get(at) == Some(&byte)).then_some(at + 1)
}

/// Behind the string that begins here.
fn string(text: &[u8], at: usize) -> Option<usize> {
    let mut at = expect(text, at, b'"')?;
    loop {
        match text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            0..=0x1f => return None,
            _ => at += 1,
        }
    }
}

/// Behind the value that begins here.
fn skip(text: &[u8], mut at: usize) -> Option<usize> {
    let mut depth = 0_usize;
    loop {
        match text.get(at)? {
            b'"' => at = string(text, at)?,
            b'{' | b'[' => {
                depth += 1;
                at += 1;
                continue;
            }
            b'}' | b']' if depth > 0 => {
                depth -= 1;
                at += 1;
            }
            b',' | b':' | b' ' | b'\t' | b'\r' | b'\n' if depth > 0 => {
                at += 1;
                continue;
            }
            b'-' | b'+' | b'.' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => {
                while matches!(
                    text.get(at),
                    Some(b'-' | b'+' | b'.' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z')
                ) {
                    at += 1;
                }
            }
            _ => return None,
        }
        if depth == 0 {
            return Some(at);
        }
    }
}

/// A value as rules see it: a string without quotes and escapes, a number or truth as it stands.
pub(crate) fn show<'a>(value: &'a [u8], scratch: &'a mut Vec<u8>) -> Found<'a> {
    match value {
        b"null" => Ok(None),
        [b'{' | b'[', ..] => Err(Unknown),
        [b'"', inner @ .., b'"'] if inner.contains(&b'\\') => {
            scratch.clear();
            let whole = unescape(inner, |bytes| scratch.extend_from_slice(bytes));
            whole.ok_or(Unknown)?;
            Ok(Some(scratch))
        }
        [b'"', inner @ .., b'"'] => Ok(Some(inner)),
        plain => Ok(Some(plain)),
    }
}

/// Whether a string with escapes says this.
pub(crate) fn text_is(inner: &[u8], text: &[u8]) -> bool {
    let mut rest = Some(text);
    let whole = unescape(inner, |bytes| rest = rest.and_then(|rest| rest.strip_prefix(bytes)));
    whole.is_some() && rest.is_some_and(<[u8]>::is_empty)
}

/// Calls `put` with what a string says, piece by piece; `None` if an escape makes no sense.
pub(crate) fn unescape(inner: &[u8], mut put: impl FnMut(&[u8])) -> Option<()> {
    let mut rest = inner;
    while let [byte, after @ ..] = rest {
        if *byte != b'\\' {
            let len = memchr::memchr(b'\\', rest).unwrap_or(rest.len());
            let (plain, next) = rest.split_at_checked(len)?;
            put(plain);
            rest = next;
            continue;
        }
        let (escape, next) = after.split_first()?;
        rest = next;
        let c = match escape {
            b'n' => '\n',
            b't' => '\t',
            b'r' => '\r',
            b'b' => '\x08',
            b'f' => '\x0c',
            b'"' | b'\\' | b'/' => char::from(*escape),
            b'u' => {
                let high = hex(&mut rest)?;
                let code = match high {
                    0xd800..=0xdbff => {
                        rest = rest.strip_prefix(b"\\u")?;
                        let low = hex(&mut rest)?.checked_sub(0xdc00).filter(|n| *n < 0x400)?;
                        0x10000 + ((high - 0xd800) << 10) + low
                    }
                    _ => high,
                };
                char::from_u32(code)?
            }
            _ => return None,
        };
        put(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
    Some(())
}

fn hex(rest: &mut &[u8]) -> Option<u32> {
    let (digits, next) = rest.split_at_checked(4)?;
    *rest = next;
    digits.iter().try_fold(0, |n, digit| Some(n << 4 | char::from(*digit).to_digit(16)?))
}

/// Calls `put` with a text as a string, with its quotes.
pub(crate) fn quote(text: &str, mut put: impl FnMut(&[u8])) {
    put(b"\"");
    for c in text.chars() {
        match c {
            '"' => put(b"\\\""),
            '\\' => put(b"\\\\"),
            '\0'..='\x1f' => {
                let digit = |n: u8| *b"0123456789abcdef".get(usize::from(n & 15)).unwrap_or(&b'0');
                put(&[b'\\', b'u', b'0', b'0', digit(c as u8 >> 4), digit(c as u8)]);
            }
            _ => put(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    put(b"\"");
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::*;

    fn all(text: &str) -> Option<Vec<(String, String)>> {
        let mut found = Vec::new();
        let part = |range: Range<usize>| text[range].to_owned();
        members(text.as_bytes(), |pair| {
            found.push((part(pair.name), part(pair.value)));
            true
        })?;
        Some(found)
    }

    #[test]
    fn members_are_found_and_other_texts_refused() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let text = r#" {"a":1 , "b" : {"x":[1,"}"]}, "c\"":"d\\", "e":null} "#;
        let expected = vec![
            pair("a", "1"),
            pair("b", r#"{"x":[1,"}"]}"#),
            pair("c\\\"", r#""d\\""#),
            pair("e", "null"),
        ];
        assert_eq!(all(text), Some(expected));
        assert_eq!(all("{}"), Some(Vec::new()));
        for text in ["", "[]", "{", r#"{"a"}"#, r#"{"a":}"#, r#"{"a":1,}"#, r#"{"a":1} x"#, "{\"a"]
        {
            assert_eq!(all(text), None, "{text}");
        }
    }

    #[test]
    fn strings_say_the_same_after_a_round_trip() {
        for text in ["", "plain", "q\"b\\n\n\u{1}é😀"] {
            let mut quoted = Vec::new();
            quote(text, |bytes| quoted.extend_from_slice(bytes));
            let mut scratch = Vec::new();
            assert_eq!(show(&quoted, &mut scratch), Ok(Some(text.as_bytes())));
            assert!(text_is(&quoted[1..quoted.len() - 1], text.as_bytes()));
        }
        let mut scratch = Vec::new();
        assert_eq!(show(br#""\ud83d\ude00""#, &mut scratch), Ok(Some("😀".as_bytes())));
        assert_eq!(show(br#""\ud83d""#, &mut Vec::new()), Err(Unknown));
    }
}
