//! The arguments of a whole request, in either form, as an iterator.
//!
//! Only for frames that the scanner has passed: on anything else it ends early.

use std::borrow::Cow;

use heptad_core::Span;

use crate::scan::{Line, inline_line, number_line};

/// One argument.
#[derive(Clone, Debug)]
pub(crate) struct Arg<'a> {
    /// What the server will read.
    pub(crate) text: Cow<'a, [u8]>,
    /// Where it stands, if it stands there as it is read (no escapes, no quotes inside).
    pub(crate) span: Option<Span>,
}

/// Iterates over the arguments, the command's name first.
#[derive(Clone, Debug)]
pub(crate) struct Args<'a> {
    frame: &'a [u8],
    at: usize,
    inline: bool,
}

impl<'a> Args<'a> {
    /// The arguments of `frame`.
    pub(crate) fn of(frame: &'a [u8]) -> Self {
        let inline = frame.first() != Some(&b'*');
        let at = match number_line(frame.get(1..).unwrap_or_default()) {
            Line::Number(len, _) if !inline => len + 1,
            _ => 0,
        };
        Self { frame, at, inline }
    }
}

impl<'a> Iterator for Args<'a> {
    type Item = Arg<'a>;

    fn next(&mut self) -> Option<Arg<'a>> {
        if self.inline {
            let line = inline_line(self.frame);
            let mut tokens = Tokens { line, at: self.at };
            let token = tokens.next()?.ok()?;
            self.at = tokens.at;
            return Some(token);
        }
        let rest = self.frame.get(self.at..)?;
        let Line::Number(line, len) = number_line(rest.get(1..)?) else {
            return None;
        };
        let start = self.at + 1 + line;
        let len = usize::try_from(len).ok()?;
        let text = self.frame.get(start..start + len)?;
        self.at = start + len + 2;
        Some(Arg { text: Cow::Borrowed(text), span: Some(Span::new(start, len)) })
    }
}

/// A quote that is not closed, or not followed by a space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unbalanced;

/// The words of an inline line, by redis-server's rules.
pub(crate) fn tokens(line: &[u8]) -> Tokens<'_> {
    Tokens { line, at: 0 }
}

/// Iterates over the words of an inline line.
#[derive(Clone, Debug)]
pub(crate) struct Tokens<'a> {
    line: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Result<Arg<'a>, Unbalanced>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.line.get(self.at).is_some_and(|b| is_space(*b)) {
            self.at += 1;
        }
        let from = self.at;
        // The server reads the line as a C string.
        if matches!(self.line.get(from), None | Some(0)) {
            self.at = self.line.len();
            return None;
        }
        let result = self.word(from);
        if result.is_err() {
            self.at = self.line.len();
        }
        Some(result)
    }
}

impl<'a> Tokens<'a> {
    fn word(&mut self, from: usize) -> Result<Arg<'a>, Unbalanced> {
        // The common case: a word without quotes.
        let rest = self.line.get(from..).unwrap_or_default();
        let len = rest
            .iter()
            .position(|b| is_space(*b) || matches!(b, b'"' | b'\'' | 0))
            .unwrap_or(rest.len());
        if !matches!(rest.get(len), Some(b'"' | b'\'')) {
            self.at = from + len;
            return Ok(Arg {
                text: Cow::Borrowed(rest.get(..len).unwrap_or_default()),
                span: Some(Span::new(from, len)).filter(|s| s.is_present()),
            });
        }
        let mut text = Vec::new();
        let mut escapes = len > 0;
        let mut at = from;
        loop {
            match self.line.get(at) {
                None | Some(0) => break,
                Some(b) if is_space(*b) => break,
                Some(&quote @ (b'"' | b'\'')) => {
                    at = self.quoted(at + 1, quote, &mut text, &mut escapes)?;
                    // A closing quote ends the word.
                    break;
                }
                Some(b) => {
                    text.push(*b);
                    at += 1;
                }
            }
        }
        self.at = at;
        let span = Span::new(from + 1, at.saturating_sub(from + 2));
        Ok(Arg { text: Cow::Owned(text), span: (!escapes).then_some(span) })
    }

    /// Reads up to behind the closing quote.
    fn quoted(
        &self,
        mut at: usize,
        quote: u8,
        text: &mut Vec<u8>,
        escapes: &mut bool,
    ) -> Result<usize, Unbalanced> {
        loop {
            let rest = self.line.get(at..).unwrap_or_default();
            match rest {
                [] | [0, ..] => return Err(Unbalanced),
                [b'\\', b'x', a, b, ..]
                    if quote == b'"' && a.is_ascii_hexdigit() && b.is_ascii_hexdigit() =>
                {
                    text.push(hex(*a) << 4 | hex(*b));
                    *escapes = true;
                    at += 4;
                }
                [b'\\', c, ..] if quote == b'"' && *c != 0 => {
                    text.push(match c {
                        b'n' => b'\n',
                        b'r' => b'\r',
                        b't' => b'\t',
                        b'b' => 8,
                        b'a' => 7,
                        c => *c,
                    });
                    *escapes = true;
                    at += 2;
                }
                [b'\\', b'\'', ..] if quote == b'\'' => {
                    text.push(b'\'');
                    *escapes = true;
                    at += 2;
                }
                [c, after @ ..] if *c == quote => {
                    return match after.first() {
                        Some(b) if !is_space(*b) && *b != 0 => Err(Unbalanced),
                        _ => Ok(at + 1),
                    };
                }
                [c, ..] => {
                    text.push(*c);
                    at += 1;
                }
            }
        }
    }
}

fn is_space(b: u8) -> bool {
    matches!(b, b' ' | b'\t'..=b'\r')
}

fn hex(digit: u8) -> u8 {
    char::from(digit).to_digit(16).map_or(0, |d| d as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &[u8], expect: Option<&[&[u8]]>) {
        let all: Result<Vec<_>, _> = tokens(line).collect();
        let texts =
            all.as_ref().ok().map(|a| a.iter().map(|a| a.text.to_vec()).collect::<Vec<_>>());
        let expect = expect.map(|e| e.iter().map(|t| t.to_vec()).collect::<Vec<_>>());
        assert_eq!(texts, expect, "{}", line.escape_ascii());
        for arg in all.into_iter().flatten() {
            if let Some(span) = arg.span {
                assert_eq!(line.get(span.range()), Some(&*arg.text));
            }
        }
    }

    #[test]
    fn words_are_split_as_redis_splits_them() {
        check(b"get  a\t", Some(&[b"get", b"a"]));
        check(br#"set a "x y""#, Some(&[b"set", b"a", b"x y"]));
        check(br#"set a "\x41\n\"\q\xzz""#, Some(&[b"set", b"a", b"A\n\"qxzz"]));
        check(br"set a 'it\'s \n'", Some(&[b"set", b"a", br"it's \n"]));
        check(br#"a"b c""#, Some(&[b"ab c"]));
        check(br#""""#, Some(&[b""]));
        check(br#""a"b"#, None);
        check(br#"a "b"#, None);
        check(br#"a "b\"#, None);
        check(b"a 'b", None);
        check(b"a\0b", Some(&[b"a"]));
        check(b" ", Some(&[]));
    }

    #[test]
    fn arguments_know_where_they_stand() {
        let frame = b"*2\r\n$3\r\nGET\r\n$0\r\n\r\n";
        let all: Vec<_> = Args::of(frame).collect();
        assert_eq!(all.len(), 2);
        assert_eq!(&*all[0].text, b"GET");
        assert_eq!(all[1].span, Some(Span::new(17, 0)));
        let all: Vec<_> = Args::of(b"get \"k\"\r\n").collect();
        assert_eq!(all[1].span, Some(Span::new(5, 1)));
    }
}
