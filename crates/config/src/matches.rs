//! The match vocabulary: from nodes to the expressions of the routing crate.
//!
//! Forms were checked before; `None` means that they were not right.

use heptad_core::Attr;
use heptad_route::{Expr, Text};

use crate::{
    check,
    node::{Node, Value},
    shape::Exact,
};

/// A match: all of its keys must hold.
pub(crate) fn expr(node: &Node) -> Option<Expr> {
    let mut all = Vec::new();
    for (key, value) in node.entries() {
        all.push(match key.text.as_str() {
            "not" => Expr::Not(Box::new(expr(value)?)),
            "any" => Expr::Any(value.items().iter().map(expr).collect::<Option<_>>()?),
            "all" => Expr::All(value.items().iter().map(expr).collect::<Option<_>>()?),
            name => {
                let attr: Attr = name.parse().ok()?;
                let exact = match attr {
                    Attr::SourceIp => Exact::Ip,
                    Attr::SourcePort | Attr::DestinationPort => Exact::Port,
                    _ => Exact::Text,
                };
                Expr::Attr(attr, text(value, exact)?)
            }
        });
    }
    Some(single(all).unwrap_or_else(Expr::All))
}

/// What one attribute is compared with: all of the words must hold.
fn text(node: &Node, exact: Exact) -> Option<Text> {
    let Value::Map(entries) = &node.value else {
        return check::exact_of(exact, node).ok();
    };
    let mut all = Vec::new();
    for (key, value) in entries {
        let each = |value: &Node| text(value, exact);
        let owned = || value.text().map(str::to_owned);
        all.push(match key.text.as_str() {
            "prefix" => Text::Prefix(owned()?),
            "suffix" => Text::Suffix(owned()?),
            "contains" => Text::Contains(owned()?),
            "regex" => Text::regex(value.text()?).ok()?,
            "range" => {
                let (from, to) = check::range_of(value)?;
                Text::Range { from, to }
            }
            "present" => match value.value {
                Value::Bool(wanted) => Text::Present(wanted),
                _ => return None,
            },
            "not" => Text::Not(Box::new(each(value)?)),
            "any" => Text::Any(value.items().iter().map(each).collect::<Option<_>>()?),
            "all" => Text::All(value.items().iter().map(each).collect::<Option<_>>()?),
            _ => return None,
        });
    }
    Some(single(all).unwrap_or_else(Text::All))
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
