//! The tree written out again, as JSON or YAML, without secrets.
//!
//! Knows which names of keys promise a secret, and nothing else of what keys mean.

use std::fmt::Write as _;

use crate::node::{Key, Node, Value};

/// What stands in place of a secret.
const REDACTED: &str = "<redacted>";

/// A key is secret if one of its words is one of these.
const SECRET: &[&str] = &[
    "password",
    "passwords",
    "passwd",
    "passphrase",
    "pass",
    "secret",
    "secrets",
    "token",
    "tokens",
    "credential",
    "credentials",
    "authorization",
    "cookie",
];

/// A key is secret if it ends like this.
const SECRET_END: &[&str] = &["key_file", "private_key", "api_key", "apikey"];

impl Node {
    /// The same tree with [`<redacted>`](Node::to_yaml) in place of every value whose key promises
    /// a secret: `password`, `secret`, `token`, `credentials`, `authorization` and `cookie` as a
    /// word of the key; `key_file`, `private_key` and `api_key` at its end; and the values in a
    /// mapping from `users` to texts.
    #[must_use]
    pub fn redacted(&self) -> Self {
        self.redacted_below("")
    }

    fn redacted_below(&self, parent: &str) -> Self {
        let redact = |(key, node): &(Key, Self)| {
            let plain = !matches!(node.value, Value::Map(_) | Value::List(_) | Value::Null);
            let secret = is_secret(&key.text) || (parent == "users" && plain);
            let node = match secret && node.value != Value::Null {
                true => Self { span: node.span, value: Value::Text(REDACTED.into()) },
                false => node.redacted_below(&key.text),
            };
            (key.clone(), node)
        };
        let value = match &self.value {
            Value::Map(entries) => Value::Map(entries.iter().map(redact).collect()),
            Value::List(items) => {
                Value::List(items.iter().map(|node| node.redacted_below("")).collect())
            }
            other => other.clone(),
        };
        Self { span: self.span, value }
    }

    /// The tree as JSON.
    pub fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(b) => (*b).into(),
            Value::Int(n) => (*n).into(),
            Value::Float(n, _) => (*n).into(),
            Value::Text(text) => text.as_str().into(),
            Value::List(items) => items.iter().map(Self::to_json).collect(),
            Value::Map(entries) => entries
                .iter()
                .map(|(key, node)| (key.text.clone(), node.to_json()))
                .collect::<serde_json::Map<_, _>>()
                .into(),
        }
    }

    /// The tree as YAML that reads back as the same tree; comments and anchors are gone.
    pub fn to_yaml(&self) -> String {
        let mut out = String::new();
        self.write(0, &mut out);
        if !out.ends_with('\n') {
            out.push('\n');
        }
        out
    }

    /// Writes the value behind `key:` or `-`, or at the start.
    fn write(&self, indent: usize, out: &mut String) {
        // Writing to a string cannot fail.
        let _ = match &self.value {
            Value::Null => write!(out, "null"),
            Value::Bool(b) => write!(out, "{b}"),
            Value::Int(n) => write!(out, "{n}"),
            Value::Float(_, written) => write!(out, "{written}"),
            Value::Text(text) => write!(out, "{}", written(text)),
            Value::List(items) if items.is_empty() => write!(out, "[]"),
            Value::Map(entries) if entries.is_empty() => write!(out, "{{}}"),
            Value::List(items) => {
                for (i, item) in items.iter().enumerate() {
                    start_line(i, indent, out);
                    out.push_str("- ");
                    item.write(indent + 2, out);
                }
                Ok(())
            }
            Value::Map(entries) => {
                for (i, (key, node)) in entries.iter().enumerate() {
                    start_line(i, indent, out);
                    out.push_str(&written(&key.text));
                    out.push(':');
                    let block = match &node.value {
                        Value::List(items) => !items.is_empty(),
                        Value::Map(entries) => !entries.is_empty(),
                        _ => false,
                    };
                    if block {
                        let _ = write!(out, "\n{:width$}", "", width = indent + 2);
                    } else {
                        out.push(' ');
                    }
                    node.write(indent + 2, out);
                }
                Ok(())
            }
        };
    }
}

/// The first entry stands where the writer is; others begin a line.
fn start_line(place: usize, indent: usize, out: &mut String) {
    if place > 0 {
        let _ = write!(out, "\n{:indent$}", "");
    }
}

/// Text without quotes if nobody can take it for anything else; else as JSON, which YAML includes.
fn written(text: &str) -> String {
    let first = text.chars().next().unwrap_or(' ');
    // An address or a duration; other texts that begin with a digit are numbers to some reader.
    let numeric = first.is_ascii_digit()
        && !text.starts_with('0')
        && (text.matches('.').count() > 1 || text.ends_with(['s', 'm', 'h', 'd', 'B']));
    let harmless = (first.is_ascii_alphabetic() || numeric)
        && !text.ends_with(':')
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_-./:".contains(c))
        // What some reader of YAML takes for a truth value or for nothing.
        && !["true", "false", "null", "yes", "no", "on", "y", "n"]
            .contains(&text.to_ascii_lowercase().as_str());
    if harmless {
        return text.to_owned();
    }
    let mut out = String::from('"');
    for c in text.chars() {
        let _ = match c {
            '"' | '\\' => write!(out, "\\{c}"),
            '\n' => write!(out, "\\n"),
            // Controls, and what YAML takes for line ends or cannot hold.
            c if c.is_control()
                || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}') =>
            {
                write!(out, "\\u{:04x}", u32::from(c))
            }
            c => write!(out, "{c}"),
        };
    }
    out.push('"');
    out
}

fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase().replace('-', "_");
    SECRET_END.iter().any(|end| key.ends_with(end))
        || key.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| SECRET.contains(&word))
}
