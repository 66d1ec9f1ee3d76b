//! The small languages of single values: durations, sizes, addresses, ranges of slots.
//!
//! Each parser says yes or no; what would be right is said once per kind, in the table of keys.

use std::{net::SocketAddr, str::FromStr, time::Duration};

use crate::model::Address;

/// `2s`, `150ms`, `1m30s`: whole numbers with `ms`, `s`, `m`, `h`, `d`, larger units first.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    const UNITS: [(&str, u64); 5] =
        [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];
    let mut rest = text;
    let mut units = UNITS.as_slice();
    let mut millis: u64 = 0;
    if text.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let (number, after) = leading_number(rest)?;
        let end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, next) = after.split_at_checked(end)?;
        let place = units.iter().position(|(name, _)| *name == unit)?;
        let (_, factor) = units.get(place)?;
        millis = millis.checked_add(number.checked_mul(*factor)?)?;
        units = units.get(place + 1..)?;
        rest = next;
    }
    Some(Duration::from_millis(millis))
}

/// `64KiB`, `16MiB`, `1GiB`, `10kB`, `5MB`, `512B`.
pub(crate) fn size(text: &str) -> Option<u64> {
    let (number, unit) = leading_number(text)?;
    let factor: u64 = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "kB" => 1000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return None,
    };
    number.checked_mul(factor)
}

fn leading_number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at_checked(end)?;
    Some((digits.parse().ok()?, rest))
}

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
    fn durations() {
        for (text, millis) in [
            ("2s", Some(2000)),
            ("150ms", Some(150)),
            ("1m30s", Some(90_000)),
            ("1h", Some(3_600_000)),
            ("0s", Some(0)),
            ("1d2h3m4s5ms", Some(93_784_005)),
            ("", None),
            ("2", None),
            ("s", None),
            ("2 s", None),
            ("1.5s", None),
            ("30s1m", None),
            ("1s1s", None),
            ("-1s", None),
            ("99999999999999999999s", None),
            ("18446744073709551615h", None),
            ("2µs", None),
        ] {
            assert_eq!(duration(text), millis.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("64KiB", Some(65_536)),
            ("16MiB", Some(16 << 20)),
            ("10kB", Some(10_000)),
            ("7B", Some(7)),
            ("7", None),
            ("64K", None),
            ("KiB", None),
            ("1.5MiB", None),
            ("99999999999999GiB", None),
        ] {
            assert_eq!(size(text), bytes, "{text}");
        }
    }

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
