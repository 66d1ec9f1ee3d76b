//! Regular expressions as automata that are complete before the first request: a search costs one
//! step per byte, cannot allocate, cannot lock and cannot be made slow by its input.

use std::{fmt, sync::Arc};

use regex_automata::{
    Anchored, MatchKind,
    dfa::{Automaton, StartKind, dense},
    nfa::thompson,
    util::{primitives::StateID, start, syntax},
};
use regex_syntax::hir::{Hir, literal};

use crate::InvalidText;

/// Longest source of a regular expression, bytes.
pub const MAX_PATTERN: usize = 4096;

/// Largest automaton of one regular expression, bytes. What needs more (`.*a.{20}`) is refused when
/// the configuration is read, as the memory would otherwise be paid for while serving.
pub const MAX_AUTOMATON: usize = 1 << 20;

/// A regular expression over bytes that matches whole values.
///
/// The syntax is that of Rust's `regex` crate with Unicode off: `\w`, `\d`, `(?i)` and so on are
/// ASCII. `.` also matches a line feed, since values are not lines. Cheap to clone.
#[derive(Clone)]
pub struct Pattern {
    inner: Arc<Inner>,
}

struct Inner {
    source: Box<str>,
    prefixes: Box<[Vec<u8>]>,
    automaton: Full,
}

impl Pattern {
    /// Compiles `source`; fails if it is not a regular expression or passes a limit.
    pub fn new(source: &str) -> Result<Self, InvalidText> {
        if source.len() > MAX_PATTERN {
            return Err(InvalidText::new(format!(
                "the regular expression has {} bytes; at most {MAX_PATTERN} are allowed",
                source.len()
            )));
        }
        let hir = parse(source).map_err(InvalidText::new)?;
        let prefixes = prefixes(&hir);
        let automaton = Full::new(&[hir], MAX_AUTOMATON).ok_or_else(|| {
            InvalidText::new(format!(
                "the regular expression is too complex: its automaton would need more than \
                 {MAX_AUTOMATON} bytes"
            ))
        })?;
        Ok(Self { inner: Arc::new(Inner { source: source.into(), prefixes, automaton }) })
    }

    /// The text it was compiled from.
    pub fn source(&self) -> &str {
        &self.inner.source
    }

    /// Every value that matches begins with one of these; none is empty. No element: not known.
    pub(crate) fn prefixes(&self) -> &[Vec<u8>] {
        &self.inner.prefixes
    }

    pub(crate) fn hir(&self) -> Option<Hir> {
        parse(self.source()).ok()
    }

    /// Whether all of `value` matches.
    pub fn matches(&self, value: &[u8]) -> bool {
        self.inner.automaton.run(value).is_some()
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pattern").field(&self.source()).finish()
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.source() == other.source()
    }
}

impl Eq for Pattern {}

/// One automaton for several patterns that tells all which match a whole value.
///
/// Anchoring by wrapping the source (`^(?:…)$`) would go wrong for a source that ends in a comment;
/// instead the automaton follows every alternative (`MatchKind::All`) and the only state looked at
/// is the one behind the last byte.
pub(crate) struct Full {
    dfa: dense::DFA<Vec<u32>>,
    start: StateID,
}

impl Full {
    /// `None` if it would need more than `limit` bytes, or words that automata do not have.
    pub(crate) fn new(patterns: &[Hir], limit: usize) -> Option<Self> {
        let nfa = thompson::Compiler::new()
            .configure(
                thompson::Config::new()
                    .utf8(false)
                    .nfa_size_limit(Some(limit))
                    .which_captures(thompson::WhichCaptures::None),
            )
            .build_many_from_hir(patterns)
            .ok()?;
        let dfa = dense::Builder::new()
            .configure(
                dense::Config::new()
                    .start_kind(StartKind::Anchored)
                    .match_kind(MatchKind::All)
                    .dfa_size_limit(Some(limit))
                    .determinize_size_limit(Some(limit.saturating_mul(2))),
            )
            .build_from_nfa(&nfa)
            .ok()?;
        let start = dfa.start_state(&start::Config::new().anchored(Anchored::Yes)).ok()?;
        Some(Self { dfa, start })
    }

    /// The patterns that match, given a state that [`Full::run`] returned.
    pub(crate) fn matched(&self, state: StateID) -> impl Iterator<Item = usize> + '_ {
        (0..self.dfa.match_len(state)).map(move |i| self.dfa.match_pattern(state, i).as_usize())
    }

    /// The state behind the last byte of `value`, if any pattern matches all of it.
    pub(crate) fn run(&self, value: &[u8]) -> Option<StateID> {
        let mut state = self.start;
        for byte in value {
            state = self.dfa.next_state(state, *byte);
            if self.dfa.is_special_state(state)
                && (self.dfa.is_dead_state(state) || self.dfa.is_quit_state(state))
            {
                return None;
            }
        }
        state = self.dfa.next_eoi_state(state);
        self.dfa.is_match_state(state).then_some(state)
    }
}

fn parse(source: &str) -> Result<Hir, String> {
    let config =
        syntax::Config::new().unicode(false).utf8(false).dot_matches_new_line(true).nest_limit(64);
    syntax::parse_with(source, &config).map_err(|err| {
        let text = err.to_string();
        // A syntax error is drawn over several lines; the last one says what is wrong.
        let line = text.lines().last().unwrap_or_default();
        let line = line.strip_prefix("error: ").unwrap_or(line);
        format!("not a regular expression: {line}")
    })
}

/// See [`Pattern::prefixes`].
fn prefixes(hir: &Hir) -> Box<[Vec<u8>]> {
    let seq = literal::Extractor::new().limit_total(32).extract(hir);
    let literals = seq.literals().unwrap_or_default();
    if literals.iter().any(literal::Literal::is_empty) {
        return Box::default();
    }
    literals.iter().map(|l| l.as_bytes().to_vec()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_fit_one_line_and_say_what_is_wrong() {
        for (source, part) in [
            ("a(", "unclosed group"),
            ("[z-a]", "invalid character class range"),
            ("a)(b", "unopened group"),
            (".*a.{20}", "too complex"),
            ("((((a{100}){100}){100}){100})", "too complex"),
            (r"\pL", "Unicode"),
            (r"(?=a)", "look-around"),
        ] {
            let err = Pattern::new(source).unwrap_err();
            assert!(err.message.contains(part), "{source}: {err}");
            assert!(!err.message.contains('\n'), "{source}: {err}");
        }
        let long = "a".repeat(MAX_PATTERN + 1);
        assert!(Pattern::new(&long).unwrap_err().message.contains("4096"));
        assert!(Pattern::new(&long[1..]).is_ok());
    }
}
