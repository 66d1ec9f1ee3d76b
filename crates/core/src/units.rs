//! Quantities as operators write them: durations, sizes and rates, with their units.
//!
//! One parser for each, for the configuration's own keys and for the options of plugins. Knows no
//! file format.

use std::{borrow::Cow, fmt, str::FromStr, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Unexpected, Visitor};

/// A duration: `2s`, `150ms`, `1m30s`; whole numbers with `d`, `h`, `m`, `s`, `ms`, larger units
/// first. May be zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(clippy::exhaustive_structs, reason = "a duration, and nothing else")]
pub struct Period(pub Duration);

/// Bytes: `64KiB`, `16MiB`, `1GiB`, `10kB`, `5MB`, `512B`, or a whole number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(clippy::exhaustive_structs, reason = "a number of bytes, and nothing else")]
pub struct Size(pub u64);

/// So many in so much time: `100/s`, `5/m`, `1/10s`. Neither is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    count: u64,
    per: Duration,
}

/// The text is no such quantity; says what would be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParseUnitError {
    /// What was expected, for the author of the configuration.
    pub expected: &'static str,
}

impl fmt::Display for ParseUnitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}", self.expected)
    }
}

impl std::error::Error for ParseUnitError {}

const PERIOD: ParseUnitError =
    ParseUnitError { expected: "a duration like `2s`, `150ms` or `1m30s`" };
const SIZE: ParseUnitError = ParseUnitError { expected: "a size like `65536`, `64KiB` or `16MiB`" };
const RATE: ParseUnitError = ParseUnitError { expected: "a rate like `100/s`, `5/m` or `1/10s`" };

impl FromStr for Period {
    type Err = ParseUnitError;

    fn from_str(text: &str) -> Result<Self, ParseUnitError> {
        duration(text).map(Self).ok_or(PERIOD)
    }
}

impl FromStr for Size {
    type Err = ParseUnitError;

    /// A bare number is refused: in configurations it is no text.
    fn from_str(text: &str) -> Result<Self, ParseUnitError> {
        size(text).map(Self).ok_or(SIZE)
    }
}

impl Rate {
    /// A rate; `None` if either is zero.
    pub const fn new(count: u64, per: Duration) -> Option<Self> {
        if count == 0 || per.is_zero() { None } else { Some(Self { count, per }) }
    }

    /// How many.
    pub const fn count(self) -> u64 {
        self.count
    }

    /// In how much time.
    pub const fn per(self) -> Duration {
        self.per
    }

    /// The time for one, in nanoseconds: at least 1.
    pub fn nanos_each(self) -> u64 {
        let each = self.per.as_nanos() / u128::from(self.count).max(1);
        u64::try_from(each).unwrap_or(u64::MAX).max(1)
    }
}

impl Default for Rate {
    /// One a second: for options in which a rate must be given, and this is never seen.
    fn default() -> Self {
        Self { count: 1, per: Duration::from_secs(1) }
    }
}

impl FromStr for Rate {
    type Err = ParseUnitError;

    fn from_str(text: &str) -> Result<Self, ParseUnitError> {
        let parse = || {
            let (count, per) = leading_number(text)?;
            let per = per.strip_prefix('/')?;
            let per = match per.starts_with(|c: char| c.is_ascii_digit()) {
                true => duration(per)?,
                false => duration(&format!("1{per}"))?,
            };
            Self::new(count, per)
        };
        parse().ok_or(RATE)
    }
}

fn duration(text: &str) -> Option<Duration> {
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

fn size(text: &str) -> Option<u64> {
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

/// Reads what is written as text, with the parser's own words for what is wrong.
macro_rules! read_text {
    ($unit:ident, $error:ident, $pattern:expr) => {
        impl<'de> Deserialize<'de> for $unit {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;

                impl Visitor<'_> for Text {
                    type Value = $unit;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($error.expected)
                    }

                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$unit, E> {
                        let wrong = |_| E::invalid_type(Unexpected::Str(text), &self);
                        text.parse().map_err(wrong)
                    }
                }

                deserializer.deserialize_str(Text)
            }
        }

        impl JsonSchema for $unit {
            fn schema_name() -> Cow<'static, str> {
                stringify!($unit).into()
            }

            fn schema_id() -> Cow<'static, str> {
                concat!("heptad_core::units::", stringify!($unit)).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "minLength": 2, "pattern": $pattern })
            }
        }
    };
}

/// As a regular expression; that a duration is not empty cannot be said without looking around.
const DURATION: &str = "(?:[0-9]+d)?(?:[0-9]+h)?(?:[0-9]+m)?(?:[0-9]+s)?(?:[0-9]+ms)?";

read_text!(Period, PERIOD, format!("^{DURATION}$"));
read_text!(Rate, RATE, format!("^[0-9]+/(?:d|h|m|s|ms|{DURATION})$"));

impl Size {
    /// The pattern of one that is written with its unit.
    pub const PATTERN: &str = "^[0-9]+([kMG]|[KMG]i)?B$";
}

impl Period {
    /// The pattern of one, or also of a word.
    pub fn pattern(or: &str) -> String {
        let or = if or.is_empty() { String::new() } else { format!("|{or}") };
        format!("^(?:{DURATION}{or})$")
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextOrNumber;

        impl Visitor<'_> for TextOrNumber {
            type Value = Size;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(SIZE.expected)
            }

            fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<Size, E> {
                Ok(Size(bytes))
            }

            fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<Size, E> {
                let wrong = |_| E::invalid_type(Unexpected::Signed(bytes), &self);
                u64::try_from(bytes).map(Size).map_err(wrong)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Size, E> {
                text.parse().map_err(|_| E::invalid_type(Unexpected::Str(text), &self))
            }
        }

        deserializer.deserialize_any(TextOrNumber)
    }
}

impl JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn schema_id() -> Cow<'static, str> {
        "heptad_core::units::Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "type": "integer", "minimum": 0 },
            { "type": "string", "pattern": Self::PATTERN },
        ]})
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
            let period = millis.map(|n| Period(Duration::from_millis(n)));
            assert_eq!(text.parse().ok(), period, "{text}");
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
            assert_eq!(text.parse().ok(), bytes.map(Size), "{text}");
        }
    }

    #[test]
    fn rates() {
        for (text, rate) in [
            ("100/s", Some((100, 1000))),
            ("5/m", Some((5, 60_000))),
            ("1/10s", Some((1, 10_000))),
            ("7/1m30s", Some((7, 90_000))),
            ("1/ms", Some((1, 1))),
            ("0/s", None),
            ("1/0s", None),
            ("/s", None),
            ("1/", None),
            ("1", None),
            ("1s", None),
            ("1/x", None),
            ("1 / s", None),
            ("-1/s", None),
            ("1/s/s", None),
        ] {
            let rate = rate.and_then(|(n, ms)| Rate::new(n, Duration::from_millis(ms)));
            assert_eq!(text.parse().ok(), rate, "{text}");
        }
        let each = |text: &str| text.parse::<Rate>().map(Rate::nanos_each);
        assert_eq!(each("100/s"), Ok(10_000_000));
        assert_eq!(each("3/s"), Ok(333_333_333));
        assert_eq!(each("18446744073709551615/ms"), Ok(1));
    }

    #[test]
    fn options_are_read_from_text_and_say_what_they_expect() {
        fn say<T: serde::de::DeserializeOwned + fmt::Debug>(json: &str) -> String {
            match serde_json::from_str::<T>(json) {
                Ok(value) => format!("{value:?}"),
                Err(error) => error.to_string(),
            }
        }
        assert_eq!(say::<Period>("\"250ms\""), "Period(250ms)");
        assert_eq!(say::<Size>("\"1KiB\""), "Size(1024)");
        assert_eq!(say::<Size>("7"), "Size(7)");
        assert_eq!(say::<Rate>("\"5/m\""), "Rate { count: 5, per: 60s }");
        assert!(say::<Period>("5").contains("expected a duration like `2s`"));
        assert!(say::<Period>("\"5\"").contains("expected a duration like `2s`"));
        assert!(say::<Size>("-1").contains("expected a size like"));
        assert!(say::<Rate>("\"100\"").contains("expected a rate like `100/s`"));
    }
}
