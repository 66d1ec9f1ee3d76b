//! The table of keys as a JSON schema (draft 2020-12), for editors.
//!
//! It says what [`check`](crate::check) says of single values. What must hold between values (names
//! that point somewhere, sums, duplicates) no JSON schema can say.

use std::collections::BTreeMap;

use heptad_core::{
    Attr,
    units::{Period, Size},
};
use heptad_route::Match;
use serde_json::{Map, Value, json};

use crate::{
    Plugins,
    plugins::OptionsRule,
    shape::{Also, Exact, KeyRule, Need, Record, Shape},
    table,
};

/// A number of 16 bits in its one decimal form, as a regular expression.
const NUMBER: &str = "0|[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|\
                      655[0-2][0-9]|6553[0-5]";

/// The JSON schema of a file that may name these plugins.
pub fn schema(plugins: &Plugins) -> Value {
    let mut writer = Writer { plugins, defs: BTreeMap::new() };
    let mut root = writer.record(&table::ROOT);
    if let Value::Object(root) = &mut root {
        root.insert("$schema".into(), "https://json-schema.org/draft/2020-12/schema".into());
        root.insert("title".into(), "Heptad configuration".into());
        let defs: Map<_, _> =
            writer.defs.into_iter().map(|(name, def)| (name, def.unwrap_or_default())).collect();
        root.insert("$defs".into(), defs.into());
    }
    root
}

struct Writer<'a> {
    plugins: &'a Plugins,
    /// `None` while it is being written, because forms contain themselves.
    defs: BTreeMap<String, Option<Value>>,
}

impl Writer<'_> {
    fn shape(&mut self, shape: &'static Shape) -> Value {
        match shape {
            Shape::Text => json!({ "type": "string" }),
            Shape::Line(least, most) => json!({
                "type": "string",
                "minLength": least,
                "maxLength": most,
                "pattern": r"^[^\u0000-\u001f\u007f-\u009f]*$",
            }),
            Shape::Name => json!({
                "type": "string",
                "pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$",
            }),
            Shape::Bool => json!({ "type": "boolean" }),
            Shape::Whole(from, to) => json!({ "type": "integer", "minimum": from, "maximum": to }),
            Shape::Size(from, to) => json!({ "anyOf": [
                { "type": "integer", "minimum": from, "maximum": to },
                { "type": "string", "pattern": Size::PATTERN },
            ]}),
            Shape::Duration { off } => {
                let pattern = Period::pattern(if *off { "off" } else { "" });
                json!({ "type": "string", "minLength": 2, "pattern": pattern })
            }
            Shape::Address { .. } => json!({
                "type": "string",
                "pattern": r"^(?:unix:/.*|[^:]+:[0-9]{1,5}|\[[0-9A-Fa-f:.]+(?:%[0-9]+)?\]:[0-9]{1,5})$",
            }),
            Shape::Word(words) => json!({ "enum": words() }),
            Shape::Attribute => json!({ "type": "string", "pattern": attributes() }),
            Shape::Slots => json!({ "anyOf": [
                { "type": "integer", "minimum": 0, "maximum": 16383 },
                { "type": "string", "pattern": "^[0-9]+(-[0-9]+)?$" },
            ]}),
            Shape::Tag => json!({ "type": "string", "pattern": "^[!-~]{2}$" }),
            Shape::Regex => json!({ "type": "string", "format": "regex" }),
            Shape::Exact(Exact::Text) => json!({ "type": ["string", "number", "boolean"] }),
            Shape::Exact(Exact::Port) => json!({ "anyOf": [
                { "type": "integer", "minimum": 0, "maximum": 65535 },
                { "type": "string", "pattern": "^[0-9]{1,5}$" },
            ]}),
            Shape::Exact(Exact::Ip) => json!({
                "type": "string",
                "pattern": "^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$",
            }),
            Shape::Range => json!({
                "type": "array",
                "items": { "type": "integer" },
                "minItems": 2,
                "maxItems": 2,
            }),
            Shape::List(item, least) => json!({
                "type": "array",
                "items": self.shape(item),
                "minItems": least,
            }),
            Shape::Record(record) => self.reference(record),
            Shape::Table(_, value) => json!({
                "type": "object",
                "additionalProperties": self.shape(value),
                "propertyNames": { "minLength": 1 },
            }),
            Shape::Either(shapes, _) => {
                let each: Vec<_> = shapes.iter().map(|shape| self.shape(shape)).collect();
                json!({ "anyOf": each })
            }
            Shape::Codec => {
                let plugins = self.plugins;
                let each = plugins.codecs.iter().map(|c| (&*c.name, &c.listener));
                let one = self.plugin("codec", each);
                json!({ "anyOf": [one, {
                    "type": "array",
                    "items": one,
                    "minItems": 1,
                    "maxItems": 15,
                    "uniqueItems": true,
                }]})
            }
            Shape::Filter => {
                let plugins = self.plugins;
                let each = plugins.filters.iter().map(|f| (&*f.name, &f.options));
                self.plugin("filter", each)
            }
        }
    }

    /// A record under a name of its own.
    fn reference(&mut self, record: &'static Record) -> Value {
        let name = record
            .what
            .trim_start_matches("the ")
            .trim_start_matches("an ")
            .trim_start_matches("a ")
            .replace(' ', "_");
        if !self.defs.contains_key(&name) {
            self.defs.insert(name.clone(), None);
            let written = self.record(record);
            self.defs.insert(name.clone(), Some(written));
        }
        json!({ "$ref": format!("#/$defs/{name}") })
    }

    fn record(&mut self, record: &'static Record) -> Value {
        let mut out = Map::new();
        out.insert("type".into(), "object".into());
        let mut properties = Map::new();
        let mut patterns = Map::new();
        let mut required = Vec::new();
        for rule in record.keys {
            let value = self.key(rule);
            if let Some(prefix) = rule.key.strip_suffix(".<name>") {
                patterns.insert(format!(r"^{prefix}\..+$"), value);
            } else if let Some(prefix) = rule.key.strip_suffix(".<number>") {
                patterns.insert(format!(r"^{prefix}\.({NUMBER})$"), value);
            } else {
                properties.insert(rule.key.into(), value);
            }
            if rule.need == Need::Required {
                required.push(rule.key);
            }
        }
        match record.also {
            Also::Nothing => {}
            Also::Some => {
                out.insert("minProperties".into(), 1.into());
            }
            Also::OneOf(keys, with) => {
                let each: Vec<_> = keys.iter().map(|key| json!({ "required": [key] })).collect();
                out.insert("oneOf".into(), each.into());
                if let Some([key, needs]) = with {
                    out.insert("dependentRequired".into(), json!({ key: [needs] }));
                }
            }
            Also::Upstreams => {
                let plugins = self.plugins;
                for codec in &plugins.codecs {
                    let name = format!("upstream.{}", codec.name);
                    let value = self.options(&name, &codec.upstream);
                    properties.insert(codec.name.clone(), value);
                }
            }
        }
        out.insert("properties".into(), properties.into());
        if !patterns.is_empty() {
            out.insert("patternProperties".into(), patterns.into());
        }
        if !required.is_empty() {
            out.insert("required".into(), required.into());
        }
        out.insert("additionalProperties".into(), false.into());
        out.into()
    }

    fn key(&mut self, rule: &'static KeyRule) -> Value {
        let mut value = self.shape(rule.shape);
        if let Value::Object(value) = &mut value {
            let doc = match rule.need {
                Need::Required => rule.doc.to_owned(),
                Need::Default(default) => format!("{} Default: {default}.", rule.doc),
                Need::Absent(what) => format!("{} Without it: {what}.", rule.doc),
            };
            value.insert("description".into(), doc.into());
        }
        value
    }

    fn plugin<'p>(
        &mut self,
        kind: &str,
        each: impl Iterator<Item = (&'p str, &'p OptionsRule)>,
    ) -> Value {
        let mut names = Vec::new();
        let mut properties = Map::new();
        for (name, rule) in each {
            names.push(name);
            let value = self.options(&format!("{kind}.{name}"), rule);
            properties.insert(name.into(), value);
        }
        json!({ "anyOf": [
            { "enum": names },
            {
                "type": "object",
                "properties": properties,
                "additionalProperties": false,
                "minProperties": 1,
                "maxProperties": 1,
            },
        ]})
    }

    /// A plugin's own schema; its definitions move up to ours, under its name. Matches are ours.
    fn options(&mut self, name: &str, rule: &OptionsRule) -> Value {
        if !self.defs.contains_key(name) {
            let mut own = rule.schema.clone();
            move_references(&mut own, name);
            if let Value::Object(object) = &mut own {
                object.remove("$schema");
                if let Some(Value::Object(defs)) = object.remove("$defs") {
                    for (key, def) in defs {
                        let def = match is_match(&def) {
                            true => self.shape(&table::FILTER_MATCH),
                            false => def,
                        };
                        self.defs.insert(format!("{name}.{key}"), Some(def));
                    }
                }
            }
            self.defs.insert(name.to_owned(), Some(own));
        }
        // Nothing behind the name is as good as no options.
        json!({ "anyOf": [{ "type": "null" }, { "$ref": format!("#/$defs/{name}") }] })
    }
}

fn is_match(def: &Value) -> bool {
    def.get("$comment").and_then(Value::as_str) == Some(Match::NAME)
}

fn move_references(value: &mut Value, name: &str) {
    match value {
        Value::Object(object) => {
            if let Some(Value::String(to)) = object.get_mut("$ref") {
                if to == "#" {
                    *to = format!("#/$defs/{name}");
                } else if let Some(def) = to.strip_prefix("#/$defs/") {
                    *to = format!("#/$defs/{name}.{def}");
                }
            }
            for each in object.values_mut() {
                move_references(each, name);
            }
        }
        Value::Array(items) => {
            for each in items {
                move_references(each, name);
            }
        }
        _ => {}
    }
}

fn attributes() -> String {
    let words: Vec<_> = [
        Attr::Service,
        Attr::Method,
        Attr::Key,
        Attr::Protocol,
        Attr::Listener,
        Attr::SourceIp,
        Attr::SourcePort,
        Attr::SourcePrincipal,
        Attr::DestinationPort,
    ]
    .iter()
    .map(|attr| attr.to_string().replace('.', r"\."))
    .collect();
    format!(r"^(?:{}|header\..+)$", words.join("|"))
}
