//! Whether a tree has the form that the table of keys asks for: unknown and missing keys, kinds of
//! values, ranges, spellings, and the options of plugins.
//!
//! Knows single values only; what must hold between them is in [`cross`](crate::cross).

use std::time::Duration;

use heptad_core::{
    Attr,
    units::{Period, Size},
};
use heptad_route::Text;

use crate::{
    Address, Node, Plugins, Problem,
    node::{Key, Value},
    plugins::OptionsRule,
    scalar,
    shape::{Also, Exact, Need, Record, Shape},
    suggest,
};

/// Every problem of a file's form.
pub(crate) fn check(root: &Node, record: &'static Record, plugins: &Plugins) -> Vec<Problem> {
    let mut check = Check { plugins, problems: Vec::new() };
    check.record(root, record, None);
    check.problems
}

/// Every problem of the form of one value, which no plugin has a part in. `name` says whose value
/// it is, for messages.
pub(crate) fn form(node: &Node, shape: &'static Shape, name: &str) -> Vec<Problem> {
    let mut check = Check { plugins: &Plugins::new(), problems: Vec::new() };
    check.shape(node, shape, name);
    check.problems
}

struct Check<'a> {
    plugins: &'a Plugins,
    problems: Vec<Problem>,
}

impl Check<'_> {
    fn report(&mut self, node: &Node, message: impl Into<String>, cure: impl Into<String>) {
        self.problems.push(node.problem(message, cure));
    }

    /// `name` says whose value it is, for messages.
    fn shape(&mut self, node: &Node, shape: &'static Shape, name: &str) {
        match shape {
            Shape::List(item, least) => match &node.value {
                Value::List(items) => {
                    if items.len() < *least {
                        let message = format!("{name} is empty");
                        self.report(node, message, "give at least one item");
                    }
                    let name = match name.starts_with('`') {
                        true => format!("an item of {name}"),
                        false => name.to_owned(),
                    };
                    for each in items {
                        self.shape(each, item, &name);
                    }
                }
                _ => self.wrong(node, name, "a list", list_cure(node)),
            },
            Shape::Record(record) => self.record(node, record, Some(name)),
            Shape::Table(what, value) => self.table(node, what, value, name),
            Shape::Either(shapes, expected) => {
                match shapes.iter().find(|shape| takes(shape, node)) {
                    Some(shape) => self.shape(node, shape, name),
                    None => self.wrong(node, name, expected, String::new()),
                }
            }
            Shape::Codec => self.codec(node),
            Shape::Filter => self.filter(node),
            _ => {
                if let Err((expected, cure)) = leaf(node, shape) {
                    self.wrong(node, name, &expected, cure);
                }
            }
        }
    }

    fn wrong(&mut self, node: &Node, name: &str, expected: &str, cure: String) {
        let message = format!("{name} must be {expected}, got {}", node.describe());
        self.report(node, message, cure);
    }

    fn record(&mut self, node: &Node, record: &'static Record, name: Option<&str>) {
        let what = record.what;
        let entries = match (&node.value, name) {
            (Value::Map(entries), _) => entries.as_slice(),
            // An empty file is one whose keys are missing.
            (Value::Null, None) => &[],
            (_, Some(name)) => return self.wrong(node, name, "a mapping", mapping_cure(record)),
            (_, None) => {
                let message = format!("expected a mapping, got {}", node.describe());
                return self.report(node, message, mapping_cure(record));
            }
        };
        // What unknown keys were probably meant to be is not missing, too.
        let known: Vec<_> = record.keys.iter().map(|rule| rule.key).collect();
        let mut meant = Vec::new();
        for (key, value) in entries {
            match record.find(&key.text) {
                Some(rule) => self.shape(value, rule.shape, &format!("`{}`", key.text)),
                None => {
                    meant.extend(suggest::nearest(&key.text, &known));
                    self.other_key(key, value, record);
                }
            }
        }
        for rule in record.keys {
            if meant.contains(&rule.key) {
                continue;
            }
            if rule.need == Need::Required && node.get(rule.key).is_none() {
                let message = format!("{what} needs the key `{}`", rule.key);
                let doc = rule.doc.trim_end_matches('.');
                self.report(node, message, format!("add `{}:` ({doc})", rule.key));
            }
        }
        self.together(node, record, &meant);
    }

    /// What must hold for the keys of a mapping together.
    fn together(&mut self, node: &Node, record: &'static Record, meant: &[&str]) {
        let what = record.what;
        match record.also {
            Also::Nothing | Also::Upstreams => {}
            Also::Some => {
                if node.entries().is_empty() {
                    let known: Vec<_> = record.keys.iter().map(|rule| rule.key).collect();
                    let cure = format!("give one of {}", suggest::list(&known));
                    self.report(node, format!("{what} is empty"), cure);
                }
            }
            Also::OneOf(keys, with) => {
                let given = |(key, _): &&(Key, Node)| keys.contains(&key.text.as_str());
                let given: Vec<_> = node.entries().iter().filter(given).collect();
                let all = suggest::list(keys);
                match given.as_slice() {
                    [] if keys.iter().any(|key| meant.contains(key)) => {}
                    [] => self.report(
                        node,
                        format!("{what} needs one of {all}"),
                        "add one of these keys",
                    ),
                    [_] => {}
                    [(first, _), rest @ ..] => {
                        for (key, _) in rest {
                            self.problems.push(Problem::new(
                                key.span,
                                format!("{what} has `{}` and `{}`", first.text, key.text),
                                format!("keep one of {all}"),
                            ));
                        }
                    }
                }
                if let Some([key, needs]) = with
                    && let Some((key, _)) = node.entries().iter().find(|(k, _)| k.text == key)
                    && node.get(needs).is_none()
                {
                    self.problems.push(Problem::new(
                        key.span,
                        format!("`{}` means nothing without `{needs}`", key.text),
                        format!("remove it, or add `{needs}:`"),
                    ));
                }
            }
        }
    }

    /// A key that is not in the table.
    fn other_key(&mut self, key: &Key, value: &Node, record: &'static Record) {
        let known = record.keys.iter().map(|rule| rule.key);
        let plugins = self.plugins;
        let upstreams = record.also == Also::Upstreams;
        if upstreams && let Some(codec) = plugins.find_codec(&key.text) {
            return self.options(value, &codec.upstream);
        }
        let codecs = plugins.codec_names().filter(|_| upstreams);
        self.problems.push(Problem::new(
            key.span,
            format!("unknown key `{}` in {}", key.text, record.what),
            suggest::cure(&key.text, known.chain(codecs)),
        ));
    }

    fn table(&mut self, node: &Node, what: &str, value: &'static Shape, name: &str) {
        let Value::Map(entries) = &node.value else {
            let cure = format!("write `{{ {what}: … }}`");
            return self.wrong(node, name, "a mapping", cure);
        };
        for (key, each) in entries {
            if key.text.is_empty() || key.text.chars().any(char::is_control) {
                self.problems.push(Problem::new(
                    key.span,
                    format!("this is no name of a {what}"),
                    "write text without control characters",
                ));
            }
            self.shape(each, value, &format!("`{}`", key.text));
        }
    }

    fn codec(&mut self, node: &Node) {
        let plugins = self.plugins;
        let expected = "the name of a codec, or a mapping from it to its options";
        let names: Vec<&str> = plugins.codec_names().collect();
        let find = |name: &str| plugins.find_codec(name).map(|codec| &codec.listener);
        let Value::List(items) = &node.value else {
            return self.plugin(node, "codec", expected, &names, find);
        };
        let mut seen: Vec<&str> = Vec::new();
        for item in items {
            self.plugin(item, "codec", expected, &names, find);
            let name = match &item.value {
                Value::Text(name) => name,
                Value::Map(entries) => match entries.as_slice() {
                    [(key, _)] => &key.text,
                    _ => continue,
                },
                _ => continue,
            };
            let several = find(name).is_some_and(|rule| rule.several);
            if seen.contains(&name.as_str()) && !several {
                let message = format!("codec `{name}` is named twice");
                self.report(item, message, "name each protocol once".to_owned());
            }
            seen.push(name);
        }
        if items.is_empty() || items.len() > MOST_CODECS {
            let message = format!("a listener speaks 1 to {MOST_CODECS} protocols");
            self.report(node, message, format!("known here: {}", suggest::list(&names)));
        }
    }

    fn filter(&mut self, node: &Node) {
        let plugins = self.plugins;
        let expected = "the name of a filter, or a mapping from it to its options";
        let names: Vec<&str> = plugins.filter_names().collect();
        self.plugin(node, "filter", expected, &names, |name| {
            plugins.find_filter(name).map(|filter| &filter.options)
        });
    }

    fn plugin<'p>(
        &mut self,
        node: &Node,
        kind: &str,
        expected: &str,
        names: &[&str],
        find: impl Fn(&str) -> Option<&'p OptionsRule>,
    ) {
        let (name, span, options) = match &node.value {
            Value::Text(name) => (name, node.span, None),
            Value::Map(entries) => match entries.as_slice() {
                [(key, options)] => (&key.text, key.span, Some(options)),
                _ => {
                    let message = format!("a {kind} has one name, got {}", entries.len());
                    let cure = format!("write `NAME: {{ … }}`, options below the {kind}'s name");
                    return self.report(node, message, cure);
                }
            },
            _ => {
                let known = format!("known here: {}", suggest::list(names));
                let cure = if names.is_empty() { String::new() } else { known };
                return self.wrong(node, &format!("`{kind}`"), expected, cure);
            }
        };
        let none = Node { span, value: Value::Null };
        match find(name) {
            // Options that must be there are missed by the check.
            Some(rule) => self.options(options.unwrap_or(&none), rule),
            None => self.problems.push(Problem::new(
                span,
                format!("unknown {kind} `{name}`"),
                suggest::cure(name, names.iter().copied()),
            )),
        }
    }

    fn options(&mut self, node: &Node, rule: &OptionsRule) {
        self.problems.extend((rule.check)(node));
    }
}

/// Whether the value has the kind that the shape is written in.
pub(crate) fn takes(shape: &Shape, node: &Node) -> bool {
    match (shape, &node.value) {
        (Shape::List(..) | Shape::Range, Value::List(_)) => true,
        (Shape::Record(_) | Shape::Table(..), Value::Map(_)) => true,
        (Shape::List(..) | Shape::Range | Shape::Record(_) | Shape::Table(..), _) => false,
        (_, Value::Null | Value::List(_) | Value::Map(_)) => false,
        _ => true,
    }
}

fn list_cure(node: &Node) -> String {
    match &node.value {
        Value::Text(_) | Value::Int(_) => "put it in brackets: `[ … ]`".into(),
        Value::Map(_) => "begin each item with `- `".into(),
        _ => "write `[ … ]`, or one item per line after `- `".into(),
    }
}

fn mapping_cure(record: &Record) -> String {
    let keys: Vec<_> = record.keys.iter().map(|rule| rule.key).collect();
    format!("write keys below it: {}", suggest::list(&keys))
}

/// Whether a value without parts is right; if not, what it must be and how to write it.
fn leaf(node: &Node, shape: &Shape) -> Result<(), (String, String)> {
    let no = |expected: &str, cure: &str| Err((expected.to_owned(), cure.to_owned()));
    let text = node.text();
    match shape {
        Shape::Text => match text {
            Some(_) => Ok(()),
            None => no("text", &quote_cure(node)),
        },
        Shape::Line(least, most) => match text {
            Some(text)
                if (*least..=*most).contains(&text.len())
                    && !text.chars().any(char::is_control) =>
            {
                Ok(())
            }
            Some(_) => {
                no(&format!("one line of {least} to {most} bytes without control characters"), "")
            }
            None => no("text", &quote_cure(node)),
        },
        Shape::Name => match text {
            Some(text) if is_name(text) => Ok(()),
            Some(_) => no(
                "a name",
                "use at most 128 letters, digits, `_`, `-` and `.`, beginning with a letter or digit",
            ),
            None => no("a name", &quote_cure(node)),
        },
        Shape::Bool => match node.value {
            Value::Bool(_) => Ok(()),
            _ => no("`true` or `false`", "write `true` or `false`, without quotes"),
        },
        Shape::Whole(from, to) => {
            let expected = format!("a whole number from {from} to {to}");
            match node.value {
                Value::Int(n) if (*from..=*to).contains(&n) => Ok(()),
                Value::Int(n) if n < *from => no(&expected, &format!("the least is {from}")),
                Value::Int(_) => no(&expected, &format!("the most is {to}")),
                Value::Text(_) => no(&expected, "write digits only, without quotes"),
                _ => no(&expected, ""),
            }
        }
        Shape::Size(from, to) => {
            let cure = "write bytes, like `65536`, `64KiB` or `16MiB`";
            match size_of(node) {
                Some(n) if n < *from => no("a size", &format!("the least is {from} bytes")),
                Some(n) if n > *to => no("a size", &format!("the most is {to} bytes")),
                Some(_) => Ok(()),
                None => no("a size", cure),
            }
        }
        Shape::Duration { off } => {
            let or = if *off { ", or `off`" } else { "" };
            let cure = format!("write it like `2s`, `150ms` or `1m30s`{or}");
            match text.and_then(|text| (!*off || text != "off").then(|| duration(text))) {
                Some(Some(time)) if time.is_zero() => no(&format!("a duration above 0{or}"), &cure),
                Some(Some(_)) => Ok(()),
                None if text.is_some() => Ok(()),
                _ => no(&format!("a duration{or}"), &cure),
            }
        }
        Shape::Address { listen } => address(node, *listen),
        Shape::Word(words) => {
            let words = words();
            match text {
                Some(text) if words.contains(&text) => Ok(()),
                Some(text) => no("a known word", &suggest::cure(text, words)),
                None => no("a word", &suggest::cure("", words)),
            }
        }
        Shape::Attribute => match text.map(str::parse::<Attr>) {
            Some(Ok(_)) => Ok(()),
            Some(Err(error)) => no("the name of an attribute", &error.to_string()),
            None => no("the name of an attribute", ""),
        },
        Shape::Slots => match slots_of(node) {
            Some(_) => Ok(()),
            None => no(
                "a range of slots",
                "write two numbers from 0 to 16383, the first not above the second: `0-5460`",
            ),
        },
        Shape::Tag => match text.and_then(scalar::tag) {
            Some(_) => Ok(()),
            None => no("two characters", "write them in quotes, like `\"{}\"`"),
        },
        Shape::Regex => match text.map(Text::regex) {
            Some(Ok(_)) => Ok(()),
            Some(Err(error)) => no("a regular expression", &one_line(&error.message)),
            None => no("a regular expression", &quote_cure(node)),
        },
        Shape::Exact(exact) => match exact_of(*exact, node) {
            Ok(_) => Ok(()),
            Err(cure) => no(
                match exact {
                    Exact::Text => "a value",
                    Exact::Port => "a port",
                    Exact::Ip => "an address or a network",
                },
                &cure,
            ),
        },
        Shape::Range => match range_of(node) {
            Some(_) => Ok(()),
            None => no("two whole numbers", "write `[from, to]`, the first not above the second"),
        },
        // Not without parts.
        Shape::List(..)
        | Shape::Record(_)
        | Shape::Table(..)
        | Shape::Either(..)
        | Shape::Codec
        | Shape::Filter => Ok(()),
    }
}

/// Protocols of one listener.
const MOST_CODECS: usize = 15;

fn quote_cure(node: &Node) -> String {
    match &node.value {
        Value::Int(n) => format!("put it in quotes: `\"{n}\"`"),
        Value::Float(_, written) => format!("put it in quotes: `\"{written}\"`"),
        Value::Bool(b) => format!("put it in quotes: `\"{b}\"`"),
        Value::Null => "write a value, or remove the key".into(),
        _ => String::new(),
    }
}

/// Messages of the regular expression engine have a drawing in them.
fn one_line(message: &str) -> String {
    message
        .split_whitespace()
        .filter(|word| !word.chars().all(|c| c == '^'))
        .collect::<Vec<_>>()
        .join(" ")
}

fn is_name(text: &str) -> bool {
    text.len() <= 128
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
}

fn address(node: &Node, listen: bool) -> Result<(), (String, String)> {
    let (expected, cure) = match listen {
        true => (
            "an address",
            "write ip:port or unix:/path; `0.0.0.0:PORT` or `[::]:PORT` for all addresses",
        ),
        false => ("an address", "write ip:port, host:port or unix:/path"),
    };
    let no = |cure: &str| Err((expected.to_owned(), cure.to_owned()));
    match node.text().map(str::parse::<Address>) {
        Some(Ok(Address::Host { .. })) if listen => no(cure),
        Some(Ok(address)) if !listen && address.port() == 0 => match address {
            Address::Unix(_) => Ok(()),
            _ => no("give the port on which it listens"),
        },
        Some(Ok(_)) => Ok(()),
        _ => no(cure),
    }
}

/// The duration that a text says.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    text.parse().ok().map(|Period(time)| time)
}

/// The bytes that a size says.
pub(crate) fn size_of(node: &Node) -> Option<u64> {
    match &node.value {
        Value::Int(n) => u64::try_from(*n).ok(),
        Value::Text(text) => text.parse().ok().map(|Size(bytes)| bytes),
        _ => None,
    }
}

/// The slots that a range says.
pub(crate) fn slots_of(node: &Node) -> Option<(u16, u16)> {
    match &node.value {
        Value::Int(n) => scalar::slots(&n.to_string()),
        Value::Text(text) => scalar::slots(text),
        _ => None,
    }
}

/// The bounds that a range says.
pub(crate) fn range_of(node: &Node) -> Option<(i64, i64)> {
    match node.items() {
        [from, to] => match (&from.value, &to.value) {
            (Value::Int(from), Value::Int(to)) if from <= to => Some((*from, *to)),
            _ => None,
        },
        _ => None,
    }
}

/// The match that a bare value says.
pub(crate) fn exact_of(exact: Exact, node: &Node) -> Result<Text, String> {
    let written = match &node.value {
        Value::Text(text) => text.clone(),
        Value::Int(n) => n.to_string(),
        Value::Float(_, text) => text.clone(),
        Value::Bool(b) => b.to_string(),
        _ => return Err(quote_cure(node)),
    };
    let attr = match exact {
        Exact::Text => Attr::Method,
        Exact::Port => Attr::SourcePort,
        Exact::Ip => Attr::SourceIp,
    };
    Text::exact_for(&attr, &written).map_err(|error| match exact {
        Exact::Text => error.message,
        Exact::Port => "write a number from 0 to 65535".into(),
        Exact::Ip => "write it like `10.1.2.3` or `10.0.0.0/8`".into(),
    })
}
