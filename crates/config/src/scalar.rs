//! The small languages of single values: addresses, ranges of slots, hash tags.
//!
//! Durations and sizes are in [`heptad_core::units`], because plugins use them, too.
//! Each parser says yes or no; what would be right is said once per kind, in the table of keys.

use std::{net::SocketAddr, str::FromStr};

use crate::model::Address;

/// `0-5460`, or one slot.
pub(crate) fn slots(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let number = |s: &str| {
        let plain = !s.is_empty() && s.chars().all(|c| c.is_ascii_digit());
        plain.then(|| s.parse::<u16>().ok()).flatten()
    };
    let (first, last) = (number(first)?, number(last)?);
    (first <= last && last < heptad_cluster::SLOTS).then_some((first, last))
}

/// `{}`: where a hash tag begins and ends.
pub(crate) fn tag(text: &str) -> Option<(u8, u8)> {
    match text.as_bytes() {
        [begin, end] if begin.is_ascii_graphic() && end.is_ascii_graphic() => Some((*begin, *end)),
        _ => None,
    }
}

/// Whether it can be a name of DNS, or an address written as one.
fn host(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    let all_digits = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    text.len() <= 253 && !all_digits && text.strip_suffix('.').unwrap_or(text).split('.').all(label)
}

/// The text is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParseAddressError;

impl std::fmt::Display for ParseAddressError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("expected ip:port, host:port or unix:/path")
    }
}

impl std::error::Error for ParseAddressError {}

impl FromStr for Address {
    type Err = ParseAddressError;

    fn from_str(text: &str) -> Result<Self, ParseAddressError> {
        if let Some(path) = text.strip_prefix("unix:") {
            // The longest that fits the operating system's structure.
            let fits = path.starts_with('/') && path.len() <= 107 && !path.contains('\0');
            return match fits {
                true => Ok(Self::Unix(path.into())),
                false => Err(ParseAddressError),
            };
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Self::Socket(address));
        }
        let (name, port) = text.rsplit_once(':').ok_or(ParseAddressError)?;
        let plain = port.bytes().all(|b| b.is_ascii_digit());
        match port.parse() {
            Ok(port) if plain && host(name) => Ok(Self::Host { host: name.to_owned(), port }),
            _ => Err(ParseAddressError),
        }
    }
}

impl Address {
    /// The port; 0 for a Unix socket.
    pub fn port(&self) -> u16 {
        match self {
            Self::Socket(address) => address.port(),
            Self::Host { port, .. } => *port,
            Self::Unix(_) => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for text in ["127.0.0.1:80", "[::1]:80", "redis:6379", "a.b-c.d_e:1", "unix:/run/x.sock"] {
            let address: Address = text.parse().expect(text);
            assert_eq!(address.to_string(), text);
        }
        for text in [
            "",
            ":80",
            "redis",
            "redis:",
            "redis:x",
            "redis:+1",
            "redis:65536",
            "1.2.3:80",
            "256.1.1.1:80",
            "::1:80",
            "a b:80",
            "unix:",
            "unix:relative",
            "http://x:80",
            "a..b:1",
        ] {
            assert_eq!(text.parse::<Address>(), Err(ParseAddressError), "{text}");
        }
    }

    #[test]
    fn ranges_of_slots_and_tags() {
        assert_eq!(slots("0-5460"), Some((0, 5460)));
        assert_eq!(slots("16383"), Some((16_383, 16_383)));
        for bad in ["", "-", "5-4", "0-16384", "1-2-3", "+1", "a"] {
            assert_eq!(slots(bad), None, "{bad}");
        }
        assert_eq!(tag("{}"), Some((b'{', b'}')));
        assert_eq!(tag("$$"), Some((b'$', b'$')));
        for bad in ["", "{", "{}}", "é", "  "] {
            assert_eq!(tag(bad), None, "{bad}");
        }
    }
}
