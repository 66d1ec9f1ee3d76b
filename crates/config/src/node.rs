//! The tree of a YAML file, each node knowing where it stands.
//!
//! Knows YAML's kinds of values and nothing of what they mean to Heptad.

use std::fmt;

use crate::{Problem, Span};

/// A value of the file with its place. The tree is finite, at most
/// [`MAX_DEPTH`](crate::MAX_DEPTH) deep, and its mappings have no key twice.
#[derive(Clone, PartialEq)]
pub struct Node {
    pub(crate) span: Span,
    pub(crate) value: Value,
}

/// A key of a mapping with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) span: Span,
    pub(crate) text: String,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    /// The number and how it was written.
    Float(f64, String),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

impl fmt::Debug for Node {
    /// The place and the kind, never the value: it may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.value {
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
            _ => "a value",
        };
        write!(f, "{kind} at {}:{}", self.span.line, self.span.column)
    }
}

impl Node {
    /// Where the value stands; for a mapping, its first key.
    pub fn span(&self) -> Span {
        self.span
    }

    /// The value of a key of a mapping.
    pub fn get(&self, key: &str) -> Option<&Self> {
        let found = self.entries().iter().find(|(k, _)| k.text == key)?;
        Some(&found.1)
    }

    /// The value at a dotted path, in which items of lists are numbers from 0 (`users.0.name`), or
    /// the deepest one on the way there that exists.
    pub fn at(&self, path: &str) -> &Self {
        let mut node = self;
        for step in path.split('.').filter(|step| !step.is_empty()) {
            let next = match &node.value {
                Value::List(items) => step.parse().ok().and_then(|i: usize| items.get(i)),
                _ => node.get(step),
            };
            match next {
                Some(next) => node = next,
                None => break,
            }
        }
        node
    }

    /// The text, if it is text.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn empty_map() -> Self {
        Self { span: Span::default(), value: Value::Map(Vec::new()) }
    }

    pub(crate) fn items(&self) -> &[Self] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    pub(crate) fn entries(&self) -> &[(Key, Self)] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// What it is, for messages: `a list`, `the number 5`.
    pub(crate) fn describe(&self) -> String {
        match &self.value {
            Value::Null => "nothing".into(),
            Value::Bool(b) => format!("`{b}`"),
            Value::Int(n) => format!("the number {n}"),
            Value::Float(_, written) => format!("the number {written}"),
            Value::Text(text) => format!("the text {}", quoted(text)),
            Value::List(_) => "a list".into(),
            Value::Map(_) => "a mapping".into(),
        }
    }

    /// A problem at this node.
    pub(crate) fn problem(&self, message: impl Into<String>, cure: impl Into<String>) -> Problem {
        Problem::new(self.span, message, cure)
    }
}

/// Text in quotes, cut if it is long.
pub(crate) fn quoted(text: &str) -> String {
    const MOST: usize = 60;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("\"{}…\"", text.get(..end).unwrap_or_default()),
        None => format!("\"{text}\""),
    }
}
