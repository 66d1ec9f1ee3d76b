//! Writing texts and small integers, as Java does it.

/// Most units of UTF-16 in one chunk.
const CHUNK: usize = 0x8000;

/// Appends an integer in its shortest form.
pub(crate) fn put_int(out: &mut Vec<u8>, n: i32) {
    let [_, b2, b1, b0] = n.to_be_bytes();
    match n {
        -0x10..=0x2f => out.push((0x90 + n) as u8),
        -0x800..=0x7ff => out.extend_from_slice(&[(0xc8 + (n >> 8)) as u8, b0]),
        -0x4_0000..=0x3_ffff => out.extend_from_slice(&[(0xd4 + (n >> 16)) as u8, b1, b0]),
        _ => {
            out.push(b'I');
            out.extend_from_slice(&[n.to_be_bytes()[0], b2, b1, b0]);
        }
    }
}

/// Appends a text.
pub(crate) fn put_text(out: &mut Vec<u8>, text: &str) {
    pieces(text, |piece| out.extend_from_slice(piece));
}

/// How many bytes [`put_text`] appends.
pub(crate) fn text_len(text: &str) -> usize {
    let mut len = 0;
    pieces(text, |piece| len += piece.len());
    len
}

/// Calls `each` with the bytes of a text, in order. Surrogates are written one by one, which is
/// what every version of Java's reader takes.
pub(crate) fn pieces(text: &str, mut each: impl FnMut(&[u8])) {
    let mut left = text.encode_utf16().count();
    let mut units = text.encode_utf16();
    let mut ascii = text.is_ascii().then_some(text.as_bytes());
    loop {
        let len = left.min(CHUNK);
        left -= len;
        let [high, low] = (len as u16).to_be_bytes(); // At most `CHUNK`.
        match (left, len) {
            (1.., _) => each(&[b'R', high, low]),
            (0, 0..=0x1f) => each(&[low]),
            (0, 0x20..=0x3ff) => each(&[0x30 + high, low]),
            (0, _) => each(&[b'S', high, low]),
        }
        if let Some((run, rest)) = ascii.and_then(|bytes| bytes.split_at_checked(len)) {
            each(run);
            ascii = Some(rest);
        } else {
            for unit in units.by_ref().take(len) {
                let low = |shift: u32| (0x80 | (unit >> shift) & 0x3f) as u8;
                match unit {
                    0..=0x7f => each(&[unit as u8]),
                    0x80..=0x7ff => each(&[(0xc0 | unit >> 6) as u8, low(0)]),
                    _ => each(&[(0xe0 | unit >> 12) as u8, low(6), low(0)]),
                }
            }
        }
        if left == 0 {
            return;
        }
    }
}
