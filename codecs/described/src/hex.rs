//! Bytes in hexadecimal digits, as people write them.

/// The bytes that pairs of digits stand for; blanks do not matter. `None` if it is something else.
pub(crate) fn bytes(digits: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut half = None;
    for c in digits.chars().filter(|c| !c.is_whitespace()) {
        let digit = u8::try_from(c.to_digit(16)?).ok()?;
        match half.take() {
            None => half = Some(digit),
            Some(high) => bytes.push(high << 4 | digit),
        }
    }
    half.is_none().then_some(bytes)
}
