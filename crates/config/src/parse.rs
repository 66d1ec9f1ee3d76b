//! From YAML text to a [`Node`] tree, within limits that no text can pass.
//!
//! Knows YAML and nothing of what keys mean. Of YAML's freedoms, those that configuration never
//! needs and that hide mistakes are refused: several documents, tags, keys that are not text, keys
//! given twice, merge keys.

use std::{borrow::Cow, collections::HashMap};

use saphyr_parser::{Event, Parser, ScalarStyle, Span as Marks, Tag};

use crate::{
    MAX_BYTES, MAX_DEPTH, MAX_NODES, Problem, Span,
    node::{Key, Node, Value},
};

/// The tree, and what is wrong with the text although a tree could be made of it. An error is what
/// keeps it from being a tree at all.
pub(crate) fn parse(text: &str) -> Result<(Node, Vec<Problem>), Problem> {
    if text.len() > MAX_BYTES {
        return Err(Problem::new(
            Span::new(1, 1, 0),
            format!("the file has {} bytes", text.len()),
            format!("a file has at most {MAX_BYTES} bytes"),
        ));
    }
    let mut tree = Tree::default();
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let (event, marks) = event.map_err(|error| {
            let mark = error.marker();
            // The parser looks ahead, and has a limit of its own that is wider than ours.
            if error.info().contains("recursion limit") {
                return too_deep(Span::new(mark.line().max(1), mark.col() + 1, 1));
            }
            Problem::new(
                Span::new(mark.line().max(1), mark.col() + 1, 1),
                format!("not YAML: {}", error.info()),
                "look for indentation, colons, brackets and quotes here or just above",
            )
        })?;
        tree.event(event, marks)?;
    }
    let root = tree.root.unwrap_or(Node { span: Span::new(1, 1, 0), value: Value::Null });
    Ok((root, tree.problems))
}

/// An open list or mapping.
enum Open {
    List {
        span: Span,
        anchor: usize,
        items: Vec<Node>,
    },
    Map {
        span: Option<Span>,
        start: Span,
        anchor: usize,
        entries: Vec<(Key, Node)>,
        /// Every key with its line.
        seen: HashMap<String, usize>,
        /// The key whose value comes next; `Some(None)` if the key is refused.
        key: Option<Option<Key>>,
    },
}

#[derive(Default)]
struct Tree {
    root: Option<Node>,
    open: Vec<Open>,
    anchors: HashMap<usize, (Node, Weight)>,
    problems: Vec<Problem>,
    documents: usize,
    weight: Weight,
}

/// How much a tree holds.
#[derive(Clone, Copy, Default)]
struct Weight {
    nodes: usize,
    bytes: usize,
    depth: usize,
}

impl Tree {
    fn event(&mut self, event: Event<'_>, marks: Marks) -> Result<(), Problem> {
        let span = span(marks);
        match event {
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(Problem::new(
                        span,
                        "a second document begins here",
                        "one file holds one document; remove this line and what follows",
                    ));
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.weigh(1, text.len(), span)?;
                let value = self.scalar(text, style, tag, span);
                self.add(Node { span, value }, anchor)?;
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_tag(tag.as_deref(), span);
                // The bracket or the dash, without blanks behind it.
                let span = Span::new(span.line, span.column, 1);
                self.opened(Open::List { span, anchor, items: Vec::new() }, span)?;
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_tag(tag.as_deref(), span);
                self.opened(
                    Open::Map {
                        span: None,
                        start: span,
                        anchor,
                        entries: Vec::new(),
                        seen: HashMap::new(),
                        key: None,
                    },
                    span,
                )?;
            }
            Event::SequenceEnd => {
                if let Some(Open::List { span, anchor, items }) = self.open.pop() {
                    let value = Value::List(items);
                    self.add(Node { span, value }, anchor)?;
                }
            }
            Event::MappingEnd => {
                if let Some(Open::Map { span, start, anchor, entries, .. }) = self.open.pop() {
                    let span = span.unwrap_or(start);
                    let value = Value::Map(entries);
                    self.add(Node { span, value }, anchor)?;
                }
            }
            Event::Alias(anchor) => {
                let found = self.anchors.get(&anchor);
                let Some((node, weight)) = found else {
                    return Err(Problem::new(
                        span,
                        "this alias stands inside what it stands for",
                        "write the value out",
                    ));
                };
                let (node, weight) = (node.clone(), *weight);
                self.weigh(weight.nodes, weight.bytes, span)?;
                if self.open.len() + weight.depth > MAX_DEPTH {
                    return Err(too_deep(span));
                }
                self.add(node, 0)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn weigh(&mut self, nodes: usize, bytes: usize, span: Span) -> Result<(), Problem> {
        self.weight.nodes = self.weight.nodes.saturating_add(nodes);
        self.weight.bytes = self.weight.bytes.saturating_add(bytes);
        if self.weight.nodes > MAX_NODES || self.weight.bytes > 2 * MAX_BYTES {
            return Err(Problem::new(
                span,
                "the file holds too much, counting what aliases (`*name`) stand for",
                format!("a file holds at most {MAX_NODES} values"),
            ));
        }
        Ok(())
    }

    fn opened(&mut self, open: Open, span: Span) -> Result<(), Problem> {
        self.weigh(1, 0, span)?;
        if self.open.len() >= MAX_DEPTH {
            return Err(too_deep(span));
        }
        self.open.push(open);
        Ok(())
    }

    /// A complete value: it belongs to what is open.
    fn add(&mut self, node: Node, anchor: usize) -> Result<(), Problem> {
        if anchor > 0 {
            let weight = weight(&node);
            // What is kept for aliases counts as if it were used.
            self.weigh(weight.nodes, weight.bytes, node.span)?;
            self.anchors.insert(anchor, (node.clone(), weight));
        }
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map { span, entries, seen, key, .. }) => match key.take() {
                None => {
                    span.get_or_insert(node.span);
                    let new = key_of(&node).and_then(|new| {
                        match seen.insert(new.text.clone(), new.span.line) {
                            None => Ok(new),
                            Some(line) => Err(Problem::new(
                                new.span,
                                format!("the key `{}` is given twice", new.text),
                                format!("remove one; another is in line {line}"),
                            )),
                        }
                    });
                    *key = Some(new.map_err(|problem| self.problems.push(problem)).ok());
                }
                Some(None) => {}
                Some(Some(key)) => {
                    // Nothing behind a key has no place of its own.
                    let node = match node.value {
                        Value::Null if node.span.width == 0 => Node { span: key.span, ..node },
                        _ => node,
                    };
                    entries.push((key, node));
                }
            },
        }
        Ok(())
    }

    fn refuse_tag(&mut self, tag: Option<&Tag>, span: Span) {
        if let Some(tag) = tag {
            self.problems.push(Problem::new(
                span,
                format!("the tag `{}{}` means nothing here", tag.handle, tag.suffix),
                "remove it; text is told from numbers by quotes",
            ));
        }
    }

    fn scalar(
        &mut self,
        text: Cow<'_, str>,
        style: ScalarStyle,
        tag: Option<Cow<'_, Tag>>,
        span: Span,
    ) -> Value {
        let is_text =
            tag.as_deref().is_some_and(|tag| tag.is_yaml_core_schema() && tag.suffix == "str");
        if !is_text {
            self.refuse_tag(tag.as_deref(), span);
        }
        if is_text || style != ScalarStyle::Plain {
            return Value::Text(text.into_owned());
        }
        plain(text)
    }
}

/// YAML 1.2's core schema, but for numbers that look like something else: octal, hexadecimal, a
/// leading `+` or zeros. They stay text, and are refused wherever a number is needed.
fn plain(text: Cow<'_, str>) -> Value {
    match text.as_ref() {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    let digits = text.strip_prefix('-').unwrap_or(&text);
    let numeric = digits.starts_with(|c: char| c.is_ascii_digit())
        && digits.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-'));
    let padded = digits.len() > 1
        && digits.starts_with('0')
        && !digits.starts_with("0.")
        && !digits.starts_with(['e', 'E']);
    if numeric && !padded {
        if let Ok(n) = text.parse::<i64>() {
            return Value::Int(n);
        }
        if let Ok(n) = text.parse::<f64>()
            && n.is_finite()
        {
            return Value::Float(n, text.into_owned());
        }
    }
    Value::Text(text.into_owned())
}

fn key_of(node: &Node) -> Result<Key, Problem> {
    let span = node.span;
    let text = match &node.value {
        Value::Text(text) if text == "<<" => {
            return Err(Problem::new(
                span,
                "merge keys (`<<`) are not supported",
                "write the keys out; an alias may stand for a whole value",
            ));
        }
        Value::Text(text) => text.clone(),
        Value::Int(n) => n.to_string(),
        Value::Float(_, text) => text.clone(),
        Value::Bool(b) => b.to_string(),
        Value::Null | Value::List(_) | Value::Map(_) => {
            return Err(Problem::new(
                span,
                format!("a key must be text, got {}", node.describe()),
                "if text in braces is meant, put it in quotes",
            ));
        }
    };
    Ok(Key { span, text })
}

fn too_deep(span: Span) -> Problem {
    Problem::new(
        span,
        format!("nested deeper than {MAX_DEPTH} levels"),
        "nothing in a configuration needs that depth",
    )
}

/// The tree's depth is limited, so this may recurse.
fn weight(node: &Node) -> Weight {
    let mut sum = Weight { nodes: 1, bytes: 0, depth: 0 };
    let add = |sum: &mut Weight, node: &Node| {
        let weight = weight(node);
        sum.nodes += weight.nodes;
        sum.bytes += weight.bytes;
        sum.depth = sum.depth.max(weight.depth);
    };
    match &node.value {
        Value::Text(text) | Value::Float(_, text) => sum.bytes = text.len(),
        Value::List(items) => {
            items.iter().for_each(|item| add(&mut sum, item));
            sum.depth += 1;
        }
        Value::Map(entries) => {
            for (key, node) in entries {
                add(&mut sum, node);
                // A key is a value too.
                sum.nodes += 1;
                sum.bytes += key.text.len();
            }
            sum.depth += 1;
        }
        _ => {}
    }
    sum
}

/// The marks as a place in one line. The parser counts columns from 0.
fn span(marks: Marks) -> Span {
    let (start, end) = (marks.start, marks.end);
    let width = if end.line() == start.line() {
        end.col().saturating_sub(start.col())
    } else if end.line() > start.line() {
        // To the end of the line, wherever that is.
        usize::MAX / 2
    } else {
        0
    };
    Span::new(start.line().max(1), start.col() + 1, width)
}
