//! What a rule asks of a request as a whole, and the three-valued answer.
//!
//! The plain evaluation here is the meaning; the index of a table must give the same.

use heptad_core::{Attr, Attributes};

use crate::Text;

/// Deepest nesting of an [`Expr`] that a table takes, texts included.
pub const MAX_DEPTH: usize = 64;

/// A condition on a request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Expr {
    /// The attribute's value matches.
    Attr(Attr, Text),
    /// The opposite; unknown stays unknown.
    Not(Box<Expr>),
    /// At least one; nothing matches an empty list.
    Any(Vec<Expr>),
    /// Every one; everything matches an empty list.
    All(Vec<Expr>),
}

/// The answer of an [`Expr`]: Kleene's three-valued logic.
///
/// A route and an allow rule apply if the answer is `True`, a deny rule if it is not `False`.
#[allow(clippy::exhaustive_enums, reason = "there is no fourth answer")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tri {
    /// It matches.
    True,
    /// It does not match.
    False,
    /// It cannot be told, because an attribute that decides it is unknown.
    Unknown,
}

impl std::ops::Not for Tri {
    type Output = Self;

    fn not(self) -> Self {
        match self {
            Self::True => Self::False,
            Self::False => Self::True,
            Self::Unknown => Self::Unknown,
        }
    }
}

impl From<bool> for Tri {
    fn from(b: bool) -> Self {
        if b { Self::True } else { Self::False }
    }
}

impl Tri {
    /// `True` if one is true, else `Unknown` if one is unknown. Stops at the first `True`.
    pub(crate) fn any(all: impl Iterator<Item = Self>) -> Self {
        let mut sum = Self::False;
        for one in all {
            match one {
                Self::True => return Self::True,
                Self::Unknown => sum = Self::Unknown,
                Self::False => {}
            }
        }
        sum
    }

    /// `False` if one is false, else `Unknown` if one is unknown. Stops at the first `False`.
    pub(crate) fn all(all: impl Iterator<Item = Self>) -> Self {
        let mut sum = Self::True;
        for one in all {
            match one {
                Self::False => return Self::False,
                Self::Unknown => sum = Self::Unknown,
                Self::True => {}
            }
        }
        sum
    }
}

impl Expr {
    /// Whether the request matches. Asks attributes only as far as they matter, and an attribute
    /// again each time it is mentioned.
    ///
    /// Recurses as deep as the expression is nested; check [`Expr::depth`] against [`MAX_DEPTH`]
    /// for one that comes from outside.
    #[inline]
    pub fn eval(&self, attrs: &mut dyn Attributes) -> Tri {
        match self {
            // By far the most frequent question.
            Self::Attr(attr, text) => match attrs.attr(attr) {
                Ok(value) => text.matches(value).into(),
                Err(_) => Tri::Unknown,
            },
            // What is for all requests, as most filters are.
            Self::All(exprs) if exprs.is_empty() => Tri::True,
            _ => self.eval_several(attrs),
        }
    }

    fn eval_several(&self, attrs: &mut dyn Attributes) -> Tri {
        match self {
            Self::Attr(..) => self.eval(attrs),
            Self::Not(inner) => !inner.eval(attrs),
            Self::Any(exprs) => Tri::any(exprs.iter().map(|e| e.eval(attrs))),
            Self::All(exprs) => Tri::all(exprs.iter().map(|e| e.eval(attrs))),
        }
    }

    /// Calls `each` with every attribute mentioned, as often as it is.
    pub fn attrs<'a>(&'a self, each: &mut dyn FnMut(&'a Attr)) {
        match self {
            Self::Attr(attr, _) => each(attr),
            Self::Not(inner) => inner.attrs(each),
            Self::Any(exprs) | Self::All(exprs) => exprs.iter().for_each(|e| e.attrs(each)),
        }
    }

    /// Levels of nesting, itself and texts included; counts no further than just past
    /// [`MAX_DEPTH`].
    pub fn depth(&self) -> usize {
        self.depth_within(MAX_DEPTH)
    }

    fn depth_within(&self, limit: usize) -> usize {
        if limit == 0 {
            return 1;
        }
        1 + match self {
            Self::Attr(_, text) => text.depth(limit - 1),
            Self::Not(inner) => inner.depth_within(limit - 1),
            Self::Any(exprs) | Self::All(exprs) => {
                let depths = exprs.iter().map(|e| e.depth_within(limit - 1));
                depths.max().unwrap_or(0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use heptad_core::{Unknown, Value};

    use super::*;

    /// `service` is "a", `key` is unknown, everything else is absent.
    struct Fixed;

    impl Attributes for Fixed {
        fn attr(&mut self, attr: &Attr) -> Result<Option<Value<'_>>, Unknown> {
            match attr {
                Attr::Service => Ok(Some(Value::Bytes(b"a"))),
                Attr::Key => Err(Unknown),
                _ => Ok(None),
            }
        }
    }

    fn not(e: &Expr) -> Expr {
        Expr::Not(Box::new(e.clone()))
    }

    #[test]
    fn unknown_follows_kleene() {
        let t = Expr::Attr(Attr::Service, Text::Exact("a".into()));
        let f = Expr::Attr(Attr::Method, Text::Exact("a".into()));
        let u = Expr::Attr(Attr::Key, Text::Exact("a".into()));
        let any = |es: &[&Expr]| Expr::Any(es.iter().map(|e| (*e).clone()).collect());
        let all = |es: &[&Expr]| Expr::All(es.iter().map(|e| (*e).clone()).collect());
        for (expr, expect) in [
            (t.clone(), Tri::True),
            (not(&t), Tri::False),
            (f.clone(), Tri::False),
            (not(&f), Tri::True),
            (u.clone(), Tri::Unknown),
            (not(&u), Tri::Unknown),
            (any(&[&u, &t]), Tri::True),
            (any(&[&f, &u]), Tri::Unknown),
            (any(&[&f, &f]), Tri::False),
            (all(&[&u, &f]), Tri::False),
            (all(&[&u, &t]), Tri::Unknown),
            (all(&[&t, &t]), Tri::True),
            (not(&any(&[&f, &u])), Tri::Unknown),
            (any(&[]), Tri::False),
            (all(&[]), Tri::True),
            (Expr::Attr(Attr::Method, Text::Present(false)), Tri::True),
            (Expr::Attr(Attr::Key, Text::Present(true)), Tri::Unknown),
            (Expr::Attr(Attr::Key, Text::Not(Box::new(Text::Exact("a".into())))), Tri::Unknown),
        ] {
            assert_eq!(expr.eval(&mut Fixed), expect, "{expr:?}");
        }
    }

    #[test]
    fn depth_counts_texts_and_stops_behind_the_limit() {
        let leaf = Expr::Attr(Attr::Service, Text::Present(true));
        assert_eq!(leaf.depth(), 2);
        let mut deep = leaf;
        for _ in 0..1000 {
            deep = not(&deep);
        }
        assert_eq!(deep.depth(), MAX_DEPTH + 1);
    }
}
