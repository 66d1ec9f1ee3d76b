//! Options of plugins: a `serde` deserializer over [`Node`] whose errors know their place, and a
//! check that finds every problem of a subtree although `serde` stops at the first.
//!
//! Knows no plugin.

use std::fmt;

use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};

use heptad_route::Match;

use crate::{
    Problem, Span, check,
    node::{Key, Node, Value},
    shape::Shape,
    suggest, table,
};

/// Most problems that are looked for in one subtree.
const MOST: usize = 50;

impl Node {
    /// The value as a `T`; the problem is the first that `serde` meets, at its place.
    pub fn deserialize<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        T::deserialize(Tree(self)).map_err(|error| {
            let mut all = error.into_problems(self).into_iter();
            // An error is about something.
            all.next().unwrap_or_else(|| self.problem("this cannot be read", ""))
        })
    }

    /// As [`Node::deserialize`], but with every problem that can be told apart: what was found
    /// wrong is taken out, and the rest is looked at again.
    pub fn deserialize_all<T: DeserializeOwned>(&self) -> Result<T, Vec<Problem>> {
        let mut tree = self.clone();
        let mut problems = Vec::new();
        // Keys that were taken out of mappings, so that nobody is told that they are missing.
        let mut removed: Vec<(Span, String)> = Vec::new();
        loop {
            let error = match T::deserialize(Tree(&tree)) {
                Ok(value) if problems.is_empty() => return Ok(value),
                Ok(_) => return Err(problems),
                Err(error) => error,
            };
            let path = error.path();
            let parent =
                |tree: &Self, path: &[Step]| follow(tree, path).map_or(tree.span, |n| n.span);
            let ours = error
                .missing
                .is_some_and(|key| removed.contains(&(parent(&tree, &path), key.to_owned())));
            if let (Some(Step::Key(key)), Some((_, above))) = (path.last(), path.split_last()) {
                let above = parent(&tree, above);
                removed.push((above, key.clone()));
                removed.extend(error.meant.map(|key| (above, key.to_owned())));
            }
            if !ours {
                problems.extend(error.into_problems(&tree));
            }
            if problems.len() >= MOST || !remove(&mut tree, &path) {
                return Err(problems);
            }
        }
    }
}

/// What the path leads to.
fn follow<'n>(node: &'n Node, path: &[Step]) -> Option<&'n Node> {
    path.iter().try_fold(node, |node, step| match step {
        Step::Key(key) => node.get(key),
        Step::Item(i) => node.items().get(*i),
    })
}

/// Takes out what the path leads to; `false` if it leads nowhere.
fn remove(node: &mut Node, path: &[Step]) -> bool {
    match (path, &mut node.value) {
        ([Step::Key(key)], Value::Map(entries)) => {
            let before = entries.len();
            entries.retain(|(k, _)| k.text != *key);
            entries.len() < before
        }
        ([Step::Item(i)], Value::List(items)) if *i < items.len() => {
            items.remove(*i);
            true
        }
        ([Step::Key(key), rest @ ..], Value::Map(entries)) => entries
            .iter_mut()
            .find(|(k, _)| k.text == *key)
            .is_some_and(|(_, node)| remove(node, rest)),
        ([Step::Item(i), rest @ ..], Value::List(items)) => {
            items.get_mut(*i).is_some_and(|node| remove(node, rest))
        }
        _ => false,
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Item(usize),
}

/// What `serde` found wrong.
#[derive(Debug)]
struct Error {
    message: String,
    cure: String,
    /// From the inside out.
    steps: Vec<Step>,
    /// It is about the last key of the path, not about its value.
    at_key: bool,
    missing: Option<&'static str>,
    /// The key that was probably meant by an unknown one.
    meant: Option<&'static str>,
    /// It is about everything that keeps the value from having this form.
    form: Option<&'static Shape>,
}

impl Error {
    fn new(message: String, cure: String) -> Self {
        Self {
            message,
            cure,
            steps: Vec::new(),
            at_key: false,
            missing: None,
            meant: None,
            form: None,
        }
    }

    fn below(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    fn path(&self) -> Vec<Step> {
        self.steps.iter().rev().cloned().collect()
    }

    fn into_problems(self, root: &Node) -> Vec<Problem> {
        if let Some(shape) = self.form {
            let path = self.path();
            let name = match path.as_slice() {
                [.., Step::Key(key)] => format!("`{key}`"),
                [.., Step::Key(key), Step::Item(_)] => format!("an item of `{key}`"),
                _ => "the value".to_owned(),
            };
            if let Some(node) = follow(root, &path) {
                return check::form(node, shape, &name);
            }
        }
        vec![self.into_problem(root)]
    }

    fn into_problem(self, root: &Node) -> Problem {
        let mut span = root.span;
        let mut node = root;
        for (i, step) in self.steps.iter().enumerate().rev() {
            let next = match step {
                Step::Item(i) => node.items().get(*i),
                Step::Key(key) => {
                    let found = node.entries().iter().find(|(k, _)| k.text == *key);
                    if let (Some((key, _)), 0, true) = (found, i, self.at_key) {
                        span = key.span;
                        break;
                    }
                    found.map(|(_, node)| node)
                }
            };
            let Some(next) = next else { break };
            node = next;
            span = node.span;
        }
        Problem::new(span, self.message, self.cure)
    }
}

impl std::error::Error for Error {}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message.to_string(), String::new())
    }

    fn invalid_type(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        let cure = match found {
            de::Unexpected::Signed(_) | de::Unexpected::Float(_) | de::Unexpected::Bool(_)
                if expected.to_string().contains("string") =>
            {
                "if text is meant, put it in quotes".into()
            }
            _ => String::new(),
        };
        let found = match found {
            de::Unexpected::Unit => "nothing".to_owned(),
            de::Unexpected::Signed(n) => format!("the number {n}"),
            de::Unexpected::Float(n) => format!("the number {n}"),
            de::Unexpected::Bool(b) => format!("`{b}`"),
            de::Unexpected::Str(text) => format!("the text {}", crate::node::quoted(text)),
            de::Unexpected::Seq => "a list".into(),
            de::Unexpected::Map => "a mapping".into(),
            other => other.to_string(),
        };
        Self::new(format!("expected {}, got {found}", plain(expected)), cure)
    }

    fn invalid_value(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        let found = match found {
            de::Unexpected::Signed(n) => n.to_string(),
            de::Unexpected::Unsigned(n) => n.to_string(),
            de::Unexpected::Str(text) => crate::node::quoted(text),
            other => other.to_string(),
        };
        Self::new(
            format!("{found} is out of range or not allowed here"),
            format!("write {}", plain(expected)),
        )
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let mut error = Self::new(
            format!("unknown key `{field}`"),
            suggest::cure(field, expected.iter().copied()),
        );
        error.meant = suggest::nearest(field, expected);
        error
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::new(
            format!("unknown word `{variant}`"),
            suggest::cure(variant, expected.iter().copied()),
        )
    }

    fn missing_field(field: &'static str) -> Self {
        let mut error =
            Self::new(format!("the key `{field}` is missing"), format!("add `{field}:` here"));
        error.missing = Some(field);
        error
    }
}

/// What `serde` expects, in words for people who do not write Rust.
fn plain(expected: &dyn de::Expected) -> String {
    let whole = |least: i128, most: u128| format!("a whole number from {least} to {most}");
    match expected.to_string().as_str() {
        "u8" => whole(0, u8::MAX.into()),
        "u16" => whole(0, u16::MAX.into()),
        "u32" => whole(0, u32::MAX.into()),
        "u64" | "usize" => "a whole number from 0".into(),
        "i8" => whole(i8::MIN.into(), i8::MAX as u128),
        "i16" => whole(i16::MIN.into(), i16::MAX as u128),
        "i32" => whole(i32::MIN.into(), i32::MAX as u128),
        "i64" | "isize" => "a whole number".into(),
        "f32" | "f64" => "a number".into(),
        "a boolean" => "`true` or `false`".into(),
        "a string" | "a borrowed string" => "text".into(),
        "a sequence" => "a list".into(),
        "a map" => "a mapping".into(),
        text if text.starts_with("struct ") => "a mapping".into(),
        text => text.to_owned(),
    }
}

/// A node as `serde` sees it.
#[derive(Clone, Copy)]
struct Tree<'de>(&'de Node);

impl<'de> Deserializer<'de> for Tree<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.0.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(b) => visitor.visit_bool(*b),
            Value::Int(n) => visitor.visit_i64(*n),
            Value::Float(n, _) => visitor.visit_f64(*n),
            Value::Text(text) => visitor.visit_borrowed_str(text),
            Value::List(items) => visitor.visit_seq(Items { items: items.iter().enumerate() }),
            Value::Map(entries) => {
                visitor.visit_map(Entries { entries: entries.iter(), value: None })
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        match (name, &self.0.value) {
            // The table of keys says more, and all of it, about a wrong match.
            (Match::NAME, _) if !check::form(self.0, &table::FILTER_MATCH, "").is_empty() => {
                let mut error = Error::new("this is no match".into(), String::new());
                error.form = Some(&table::FILTER_MATCH);
                Err(error)
            }
            // Only of its depth can it be wrong as a whole.
            (Match::NAME, _) => visitor.visit_newtype_struct(self).map_err(|mut error: Error| {
                error.cure = "join nested `any` and `all`".into();
                error
            }),
            (Match::WRITTEN, Value::Float(_, written)) => visitor.visit_borrowed_str(written),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    /// A key with nothing behind it is a mapping without keys.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.0.value {
            Value::Null => visitor.visit_map(Entries { entries: [].iter(), value: None }),
            // Without names a struct could be built from a list.
            Value::List(_) => Err(de::Error::invalid_type(de::Unexpected::Seq, &"a mapping")),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match &self.0.value {
            Value::Text(text) => visitor.visit_enum(Variant { name: text, node: None }),
            Value::Map(entries) if entries.len() == 1 => match entries.first() {
                Some((key, node)) => {
                    visitor.visit_enum(Variant { name: &key.text, node: Some(node) })
                }
                None => visitor.visit_unit(),
            },
            _ => Err(Error::new(
                format!("expected a word or one key, got {}", self.0.describe()),
                String::new(),
            )),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map identifier
    }
}

struct Items<'de> {
    items: std::iter::Enumerate<std::slice::Iter<'de, Node>>,
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Error> {
        let Some((i, item)) = self.items.next() else {
            return Ok(None);
        };
        seed.deserialize(Tree(item)).map(Some).map_err(|e| e.below(Step::Item(i)))
    }
}

struct Entries<'de> {
    entries: std::slice::Iter<'de, (Key, Node)>,
    value: Option<&'de (Key, Node)>,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Error> {
        let Some(entry) = self.entries.next() else {
            return Ok(None);
        };
        self.value = Some(entry);
        let key = de::value::BorrowedStrDeserializer::new(&entry.0.text);
        seed.deserialize(key).map(Some).map_err(|mut e: Error| {
            e.at_key = true;
            e.below(Step::Key(entry.0.text.clone()))
        })
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        match self.value.take() {
            Some((key, node)) => {
                seed.deserialize(Tree(node)).map_err(|e| e.below(Step::Key(key.text.clone())))
            }
            None => Err(de::Error::custom("a value was asked for before its key")),
        }
    }
}

struct Variant<'de> {
    name: &'de str,
    node: Option<&'de Node>,
}

impl Variant<'_> {
    fn inside(&self, error: Error) -> Error {
        match self.node {
            Some(_) => error.below(Step::Key(self.name.to_owned())),
            None => error,
        }
    }

    fn needs_value(&self) -> Error {
        Error::new(format!("`{}` needs a value", self.name), format!("write `{}: …`", self.name))
    }
}

impl<'de> EnumAccess<'de> for Variant<'de> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Error> {
        let name = de::value::BorrowedStrDeserializer::new(self.name);
        match seed.deserialize(name) {
            Ok(value) => Ok((value, self)),
            Err(mut error) => {
                error = self.inside(error);
                error.at_key = self.node.is_some();
                Err(error)
            }
        }
    }
}

impl<'de> VariantAccess<'de> for Variant<'de> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        match self.node.map(|node| &node.value) {
            None | Some(Value::Null) => Ok(()),
            Some(_) => Err(self.inside(Error::new(
                format!("`{}` takes no value", self.name),
                format!("write `{}` alone", self.name),
            ))),
        }
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Error> {
        match self.node {
            Some(node) => seed.deserialize(Tree(node)).map_err(|e| self.inside(e)),
            None => Err(self.needs_value()),
        }
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, Error> {
        match self.node {
            Some(node) => Tree(node).deserialize_any(visitor).map_err(|e| self.inside(e)),
            None => Err(self.needs_value()),
        }
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.node {
            Some(node) => {
                Tree(node).deserialize_struct("", fields, visitor).map_err(|e| self.inside(e))
            }
            None => Err(self.needs_value()),
        }
    }
}
