//! Whole numbers as people write them in descriptions: in decimal digits or, as documents of
//! protocols do, `0x0930`.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};

/// A number, in decimal or hexadecimal digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(clippy::exhaustive_structs, reason = "a number, and nothing else")]
pub struct Number(pub u64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;

        impl Visitor<'_> for Written {
            type Value = Number;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number from 0, such as `16` or `0x10`")
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Number, E> {
                Ok(Number(number))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Number, E> {
                let wrong = |_| E::invalid_type(de::Unexpected::Signed(number), &self);
                u64::try_from(number).map(Number).map_err(wrong)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Number, E> {
                let digits = text.strip_prefix("0x").filter(|rest| !rest.starts_with('+'));
                let number = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
                let wrong = || E::invalid_type(de::Unexpected::Str(text), &self);
                number.map(Number).ok_or_else(wrong)
            }
        }

        deserializer.deserialize_any(Written)
    }
}

impl JsonSchema for Number {
    fn schema_name() -> Cow<'static, str> {
        "Number".into()
    }

    fn schema_id() -> Cow<'static, str> {
        "heptad_described::Number".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "type": "integer", "minimum": 0 },
            { "type": "string", "pattern": "^0x[0-9a-fA-F]{1,16}$" },
        ]})
    }
}
