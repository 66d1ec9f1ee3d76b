//! The words in which configurations write an [`Expr`] down.
//!
//! Knows `serde`'s data model and no file format: a format that knows places of lines may judge the
//! form first and say more than the errors here do; it recognizes a match by [`Match::NAME`].

use std::{borrow::Cow, fmt};

use heptad_core::Attr;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{
    self, Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Unexpected, Visitor,
};

use crate::{Expr, MAX_DEPTH, Text};

/// A condition on a request as operators write it, for options of filters: a mapping from
/// attributes to what their values must be, and `not`, `any` and `all`; every key must hold.
/// Without keys it matches every request, which is also the default.
///
/// Reading one fails if it is nested deeper than [`MAX_DEPTH`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "an expression that can be read, and nothing else")]
pub struct Match(pub Expr);

impl Match {
    /// The name of the newtype that [`Match`] asks a deserializer for.
    pub const NAME: &'static str = "heptad_route::Match";

    /// The name of the newtype that a bare value asks for: one that is compared as it was written,
    /// so that a deserializer who knows how a number was written (`1.50`) gives it as text.
    pub const WRITTEN: &'static str = "heptad_route::Match written";
}

impl Default for Match {
    fn default() -> Self {
        Self(Expr::All(Vec::new()))
    }
}

impl From<Match> for Expr {
    fn from(Match(expr): Match) -> Self {
        expr
    }
}

impl JsonSchema for Match {
    fn schema_name() -> Cow<'static, str> {
        "Match".into()
    }

    fn schema_id() -> Cow<'static, str> {
        Self::NAME.into()
    }

    /// Only what a match is at first sight; whoever writes a whole schema puts the vocabulary in
    /// place of what bears this comment.
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "$comment": Self::NAME, "type": "object" })
    }
}

impl<'de> Deserialize<'de> for Match {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Whole;

        impl<'de> Visitor<'de> for Whole {
            type Value = Expr;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a match")
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(self, d: D) -> Result<Expr, D::Error> {
                Conditions.deserialize(d)
            }
        }

        let expr = deserializer.deserialize_newtype_struct(Self::NAME, Whole)?;
        if expr.depth() > MAX_DEPTH {
            return Err(de::Error::custom(format_args!(
                "the match is nested deeper than {MAX_DEPTH} levels"
            )));
        }
        Ok(Self(expr))
    }
}

/// A mapping of conditions.
#[derive(Clone, Copy)]
struct Conditions;

impl<'de> DeserializeSeed<'de> for Conditions {
    type Value = Expr;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Expr, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Conditions {
    type Value = Expr;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping from attributes to what they must be")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Expr, A::Error> {
        let mut all = Vec::new();
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            all.push(match &*key {
                "not" => Expr::Not(Box::new(map.next_value_seed(self)?)),
                "any" => Expr::Any(map.next_value_seed(Each(self))?),
                "all" => Expr::All(map.next_value_seed(Each(self))?),
                name => {
                    let attr: Attr = name.parse().map_err(|error| {
                        de::Error::custom(format_args!("unknown key `{name}`: {error}"))
                    })?;
                    let text = map.next_value_seed(Words(&attr))?;
                    Expr::Attr(attr, text)
                }
            });
        }
        Ok(single(all).unwrap_or_else(Expr::All))
    }
}

/// What one attribute is compared with: a bare value, or words that must all hold.
#[derive(Clone, Copy)]
struct Words<'a>(&'a Attr);

impl<'de> DeserializeSeed<'de> for Words<'_> {
    type Value = Text;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Text, D::Error> {
        deserializer.deserialize_newtype_struct(Match::WRITTEN, self)
    }
}

impl Words<'_> {
    fn exact<E: de::Error>(self, written: &str) -> Result<Text, E> {
        Text::exact_for(self.0, written).map_err(E::custom)
    }
}

impl<'de> Visitor<'de> for Words<'_> {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value, or a mapping like `{ prefix: … }`")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Text, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Text, E> {
        self.exact(text)
    }

    fn visit_i64<E: de::Error>(self, n: i64) -> Result<Text, E> {
        self.exact(&n.to_string())
    }

    fn visit_u64<E: de::Error>(self, n: u64) -> Result<Text, E> {
        self.exact(&n.to_string())
    }

    fn visit_f64<E: de::Error>(self, n: f64) -> Result<Text, E> {
        self.exact(&n.to_string())
    }

    fn visit_bool<E: de::Error>(self, b: bool) -> Result<Text, E> {
        self.exact(if b { "true" } else { "false" })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Text, A::Error> {
        let mut all = Vec::new();
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            all.push(match &*key {
                "prefix" => Text::Prefix(map.next_value()?),
                "suffix" => Text::Suffix(map.next_value()?),
                "contains" => Text::Contains(map.next_value()?),
                "regex" => {
                    let source: Cow<'de, str> = map.next_value()?;
                    Text::regex(&source).map_err(de::Error::custom)?
                }
                "range" => {
                    let [from, to]: [i64; 2] = map.next_value()?;
                    if from > to {
                        let expected = &"`[from, to]`, the first not above the second";
                        return Err(de::Error::invalid_value(Unexpected::Signed(from), expected));
                    }
                    Text::Range { from, to }
                }
                "present" => Text::Present(map.next_value()?),
                "not" => Text::Not(Box::new(map.next_value_seed(self)?)),
                "any" => Text::Any(map.next_value_seed(Each(self))?),
                "all" => Text::All(map.next_value_seed(Each(self))?),
                word => {
                    return Err(de::Error::unknown_field(
                        word,
                        &[
                            "prefix", "suffix", "contains", "regex", "range", "present", "not",
                            "any", "all",
                        ],
                    ));
                }
            });
        }
        if all.is_empty() {
            return Err(de::Error::invalid_length(0, &"at least one word"));
        }
        Ok(single(all).unwrap_or_else(Text::All))
    }
}

/// A list of these, with at least one item: `any` of nothing would never match, and `all` of
/// nothing always.
struct Each<S>(S);

impl<'de, S: DeserializeSeed<'de> + Copy> DeserializeSeed<'de> for Each<S> {
    type Value = Vec<S::Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, S: DeserializeSeed<'de> + Copy> Visitor<'de> for Each<S> {
    type Value = Vec<S::Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list with at least one item")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut all = Vec::new();
        while let Some(one) = seq.next_element_seed(self.0)? {
            all.push(one);
        }
        if all.is_empty() {
            return Err(de::Error::invalid_length(0, &self));
        }
        Ok(all)
    }
}

/// The only one, if there is only one.
fn single<T>(mut all: Vec<T>) -> Result<T, Vec<T>> {
    match (all.pop(), all.is_empty()) {
        (Some(one), true) => Ok(one),
        (Some(last), false) => {
            all.push(last);
            Err(all)
        }
        (None, _) => Err(all),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Expr, String> {
        serde_json::from_str::<Match>(json).map(Expr::from).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_written_is_what_is_matched() {
        let text = |s: &str| Text::Exact(s.into());
        let method = |t| Expr::Attr(Attr::Method, t);
        for (json, expect) in [
            ("{}", Expr::All(vec![])),
            (r#"{"method": "GET"}"#, method(text("GET"))),
            (r#"{"method": 5}"#, method(text("5"))),
            (r#"{"method": -5}"#, method(text("-5"))),
            (r#"{"method": true}"#, method(text("true"))),
            (r#"{"method": 1.5}"#, method(text("1.5"))),
            (r#"{"not": {"method": "GET"}}"#, Expr::Not(Box::new(method(text("GET"))))),
            (
                r#"{"route": "r", "cluster": {"present": true}}"#,
                Expr::All(vec![
                    Expr::Attr(Attr::Route, text("r")),
                    Expr::Attr(Attr::Cluster, Text::Present(true)),
                ]),
            ),
            (
                r#"{"any": [{"header.a": {"prefix": "b"}}, {"arg.3": {"range": [1, 2]}}]}"#,
                Expr::Any(vec![
                    Expr::Attr(Attr::Header("a".into()), Text::Prefix("b".into())),
                    Expr::Attr(Attr::Arg(3), Text::Range { from: 1, to: 2 }),
                ]),
            ),
            (
                r#"{"source.ip": {"not": "10.0.0.0/8"}}"#,
                Expr::Attr(
                    Attr::SourceIp,
                    Text::Not(Box::new(Text::Cidr("10.0.0.0/8".parse().unwrap()))),
                ),
            ),
        ] {
            assert_eq!(read(json).as_ref(), Ok(&expect), "{json}");
        }
    }

    #[test]
    fn what_means_nothing_is_refused() {
        for (json, says) in [
            (r#"{"methods": "GET"}"#, "unknown key `methods`"),
            (r#"{"arg.01": "x"}"#, "unknown key"),
            (r#"{"method": {}}"#, "at least one word"),
            (r#"{"method": {"prefx": "a"}}"#, "unknown field `prefx`"),
            (r#"{"method": {"range": [2, 1]}}"#, "the first not above"),
            (r#"{"method": {"regex": "("}}"#, "not a regular expression"),
            (r#"{"method": null}"#, "a value, or a mapping"),
            (r#"{"any": []}"#, "at least one item"),
            (r#"{"source.ip": "host"}"#, "expected an address"),
            (r#"{"destination.port": 65536}"#, "expected a port"),
            ("[]", "a mapping from attributes"),
            ("\"GET\"", "a mapping from attributes"),
        ] {
            let error = read(json).expect_err(json);
            assert!(error.contains(says), "{json}: {error}");
        }
        let deep = format!("{}{{}}{}", "{\"not\":".repeat(70), "}".repeat(70));
        assert!(read(&deep).expect_err("deep").contains("nested deeper than 64"));
    }
}
