//! Bytes from files, stdin and hexadecimal digits.

use std::{io::Read as _, path::Path};

/// All of a file, or of stdin for `-`.
pub(crate) fn read(file: &Path) -> std::io::Result<Vec<u8>> {
    if file != Path::new("-") {
        return std::fs::read(file);
    }
    let mut bytes = Vec::new();
    std::io::stdin().read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Bytes from pairs of hexadecimal digits.
pub(crate) fn digits(text: &[u8]) -> Result<Vec<u8>, String> {
    let mut half = None;
    let mut bytes = Vec::new();
    for c in text.iter().filter(|c| !c.is_ascii_whitespace()) {
        let digit = char::from(*c).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let digit =
            digit.ok_or_else(|| format!("'{}' is not a hexadecimal digit", c.escape_ascii()))?;
        match half.take() {
            None => half = Some(digit),
            Some(high) => bytes.push(high << 4 | digit),
        }
    }
    match half {
        None => Ok(bytes),
        Some(_) => Err("an odd number of hexadecimal digits".to_owned()),
    }
}
