//! Values from strangers as parts of a line: nothing in them may end the line or the field, or hide
//! from whoever reads it.

use std::{io::Write as _, net::IpAddr};

use super::{MAX_VALUE, Seen, put_number};

/// Marks a value that was cut off.
const MORE: &str = "…";

/// Characters that end lines, move a terminal's cursor, or change how what follows is shown.
const fn hidden(c: char) -> bool {
    matches!(c,
        '\0'..='\x1f' | '\x7f'..='\u{9f}'
        | '\u{ad}' | '\u{61c}' | '\u{180e}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// Bytes that stand for themselves wherever they are: printable ASCII but for space, quote and
/// backslash. Nearly every value has nothing else.
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0x21;
    while byte < 0x7f {
        plain[byte] = byte != b'"' as usize && byte != b'\\' as usize;
        byte += 1;
    }
    plain
};

/// Whether eight bytes are plain, all at once: a byte is below another where the difference
/// borrows, and equal to it where they differ by nothing.
const fn plain_word(word: [u8; 8]) -> bool {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    const fn zero(word: u64) -> u64 {
        word.wrapping_sub(ONES) & !word
    }
    let word = u64::from_le_bytes(word);
    let low = word.wrapping_sub(ONES * 0x21) & !word;
    let quote = zero(word ^ (ONES * b'"' as u64));
    let backslash = zero(word ^ (ONES * b'\\' as u64));
    let delete = zero(word ^ (ONES * 0x7f));
    (word | low | quote | backslash | delete) & HIGH == 0
}

/// Whether a value may stand between quotes, whole and as it is.
pub(crate) fn is_plain(bytes: &[u8]) -> bool {
    bytes.len() <= MAX_VALUE && all_plain(bytes)
}

#[inline]
fn all_plain(bytes: &[u8]) -> bool {
    match bytes.last_chunk::<8>() {
        // The last eight may have been seen already, which is cheaper than one by one.
        Some(last) => plain_word(*last) && bytes.as_chunks().0.iter().all(|w| plain_word(*w)),
        None => bytes.iter().all(|byte| PLAIN[usize::from(*byte)]),
    }
}

/// Appends the plain bytes at the front at once; what is left.
fn put_plain<'a>(out: &mut Vec<u8>, bytes: &'a [u8]) -> &'a [u8] {
    if all_plain(bytes) {
        out.extend_from_slice(bytes);
        return &[];
    }
    let plain = bytes.iter().take_while(|byte| PLAIN[usize::from(**byte)]).count();
    let (plain, rest) = bytes.split_at(plain);
    out.extend_from_slice(plain);
    rest
}

/// Appends an address.
fn put_ip(out: &mut Vec<u8>, ip: IpAddr) {
    match ip {
        IpAddr::V4(ip) => {
            for (at, byte) in ip.octets().into_iter().enumerate() {
                if at > 0 {
                    out.push(b'.');
                }
                put_number(out, byte.into());
            }
        }
        IpAddr::V6(ip) => {
            let _ = write!(out, "{ip}");
        }
    }
}

/// Appends a value as JSON. Whoever calls has left out what is absent; unknown is `null`.
pub(crate) fn json_value(out: &mut Vec<u8>, value: Seen<'_>) {
    match value {
        Seen::Absent | Seen::Unknown => out.extend_from_slice(b"null"),
        Seen::Number(number) => put_number(out, number),
        Seen::Ip(ip) => {
            out.push(b'"');
            put_ip(out, ip);
            out.push(b'"');
        }
        Seen::Bytes(bytes, cut) => {
            out.push(b'"');
            json_text(out, bytes);
            out.extend_from_slice(if cut { MORE.as_bytes() } else { b"" });
            out.push(b'"');
        }
    }
}

/// Appends text as it stands in a JSON string. Bytes that are no text become U+FFFD.
pub(crate) fn json_text(out: &mut Vec<u8>, bytes: &[u8]) {
    let rest = put_plain(out, bytes);
    if !rest.is_empty() {
        json_rest(out, rest);
    }
}

fn json_rest(out: &mut Vec<u8>, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' => out.extend_from_slice(b"\\\""),
                '\\' => out.extend_from_slice(b"\\\\"),
                '\n' => out.extend_from_slice(b"\\n"),
                '\r' => out.extend_from_slice(b"\\r"),
                '\t' => out.extend_from_slice(b"\\t"),
                c if hidden(c) => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        let _ = write!(out, "\\u{unit:04x}");
                    }
                }
                c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

/// Appends a value to a line of text: `-` if it is absent, `?` if it is unknown, else a value that
/// is neither. `quoted`: between quotes, where spaces may stand.
pub(crate) fn text_value(out: &mut Vec<u8>, value: Seen<'_>, quoted: bool) {
    match value {
        Seen::Absent => out.push(b'-'),
        Seen::Unknown => out.push(b'?'),
        Seen::Number(number) => put_number(out, number),
        Seen::Ip(ip) => put_ip(out, ip),
        Seen::Bytes(b"", _) if !quoted => out.extend_from_slice(b"\"\""),
        Seen::Bytes(&[byte @ (b'-' | b'?')], _) => {
            let _ = write!(out, "\\x{byte:02x}");
        }
        Seen::Bytes(bytes, cut) => {
            text(out, bytes, quoted);
            out.extend_from_slice(if cut { MORE.as_bytes() } else { b"" });
        }
    }
}

fn text(out: &mut Vec<u8>, bytes: &[u8], quoted: bool) {
    let rest = put_plain(out, bytes);
    for chunk in rest.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' => out.extend_from_slice(b"\\\""),
                '\\' => out.extend_from_slice(b"\\\\"),
                '\n' => out.extend_from_slice(b"\\n"),
                '\r' => out.extend_from_slice(b"\\r"),
                '\t' => out.extend_from_slice(b"\\t"),
                ' ' if !quoted => out.extend_from_slice(b"\\x20"),
                c if hidden(c) || (c.is_whitespace() && c != ' ') => {
                    let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
                }
                c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(write: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("text, whatever went in")
    }

    #[test]
    fn plain_by_eight_is_plain_one_by_one() {
        for at in 0..8 {
            for byte in 0..=u8::MAX {
                for around in [b'a', b'!', b'~', b'#', b'[', b']'] {
                    let mut word = [around; 8];
                    word[at] = byte;
                    assert_eq!(plain_word(word), PLAIN[usize::from(byte)], "{word:?}");
                    for len in 8..24 {
                        let mut long = vec![around; len];
                        long[len - 1 - at] = byte;
                        assert_eq!(all_plain(&long), PLAIN[usize::from(byte)], "{long:?}");
                    }
                }
            }
        }
    }

    const NASTY: &[&[u8]] = &[
        b"plain",
        b"two words",
        b"a\nb\r\tc",
        b"\"quoted\" \\ {x}",
        b"\x1b[2J\x00\x7f",
        b"\xff\xfe half \xe2\x82",
        "\u{9b}31m \u{2028} \u{202e}evil \u{e0041}".as_bytes(),
        "é…€😀".as_bytes(),
    ];

    #[test]
    fn json_is_json_and_gives_the_text_back() {
        for bytes in NASTY {
            let json = shown(|out| json_value(out, Seen::Bytes(bytes, false)));
            let back: String = serde_json::from_str(&json).expect(&json);
            assert_eq!(back.as_bytes(), String::from_utf8_lossy(bytes).as_bytes(), "{json}");
            assert!(!json.chars().any(hidden), "{json:?}");
        }
        for (value, json) in [
            (Seen::Unknown, "null"),
            (Seen::Number(7), "7"),
            (Seen::Ip([1, 2, 3, 4].into()), "\"1.2.3.4\""),
            (Seen::Bytes(b"a", true), "\"a…\""),
        ] {
            assert_eq!(shown(|out| json_value(out, value)), json);
        }
    }

    #[test]
    fn a_value_of_a_line_is_one_word_that_nothing_else_gives() {
        let mut seen = std::collections::BTreeSet::new();
        let absent = [Seen::Absent, Seen::Unknown, Seen::Bytes(b"", false)];
        let faked = [&b"-"[..], b"?", b"\"\"", b"\\xff", b"\xff", b"\\x2d", b"\\n", b"\n"];
        let all = NASTY.iter().copied().chain(faked).map(|bytes| Seen::Bytes(bytes, false));
        for value in absent.into_iter().chain(all) {
            let word = shown(|out| text_value(out, value, false));
            assert!(!word.is_empty() && !word.chars().any(|c| hidden(c) || c.is_whitespace()));
            assert!(seen.insert(word.clone()), "{word} twice");
        }
    }

    #[test]
    fn between_quotes_spaces_stand_and_quotes_do_not_end_it() {
        let quoted = |bytes| shown(|out| text_value(out, Seen::Bytes(bytes, false), true));
        assert_eq!(quoted(b"two words"), "two words");
        assert_eq!(quoted(b"a\" b"), "a\\\" b");
        assert_eq!(quoted(b"a\\"), "a\\\\");
        assert_eq!(quoted(b""), "");
        assert_eq!(quoted(b"-"), "\\x2d");
        assert_eq!(quoted(b"a\nb"), "a\\nb");
    }
}
