//! Regular expressions as automata that are complete before the first request: a search costs one
//! step per byte, cannot allocate, cannot lock and cannot be made slow by its input.

use std::{fmt, sync::Arc};

use regex_automata::{
    Anchored, MatchKind,
    dfa::{Automaton, StartKind, dense},
    nfa::thompson,
    util::{primitives::StateID, start, syntax},
};

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
    source: Arc<str>,
    automaton: Arc<Full>,
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
        let automaton = Full::new(&[source], MAX_AUTOMATON).map_err(InvalidText::new)?;
        Ok(Self {
            source: source.into(),
            automaton: Arc::new(automaton),
        })
    }

    /// The text it was compiled from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether all of `value` matches.
    pub fn matches(&self, value: &[u8]) -> bool {
        self.automaton.run(value).is_some()
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pattern").field(&self.source).finish()
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
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
    /// `limit` bounds the bytes of the automaton; the message is for the author of the patterns.
    pub(crate) fn new(sources: &[&str], limit: usize) -> Result<Self, String> {
        let dfa = dense::Builder::new()
            .syntax(
                syntax::Config::new()
                    .unicode(false)
                    .utf8(false)
                    .dot_matches_new_line(true)
                    .nest_limit(64),
            )
            .thompson(
                thompson::Config::new()
                    .utf8(false)
                    .nfa_size_limit(Some(limit))
                    .which_captures(thompson::WhichCaptures::None),
            )
            .configure(
                dense::Config::new()
                    .start_kind(StartKind::Anchored)
                    .match_kind(MatchKind::All)
                    .dfa_size_limit(Some(limit))
                    .determinize_size_limit(Some(limit.saturating_mul(2))),
            )
            .build_many(sources)
            .map_err(|err| explain(&err, limit))?;
        let start = dfa
            .start_state(&start::Config::new().anchored(Anchored::Yes))
            .map_err(|err| err.to_string())?;
        Ok(Self { dfa, start })
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

/// The cause behind a build error in one line, without the words of the library's internals.
fn explain(err: &dense::BuildError, limit: usize) -> String {
    if err.is_size_limit_exceeded() {
        return format!(
            "the regular expression is too complex: its automaton would need more than {limit} bytes"
        );
    }
    let mut deepest: &dyn std::error::Error = err;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    let text = deepest.to_string();
    // A syntax error is drawn over several lines; its last one says what is wrong.
    let line = text.lines().last().unwrap_or_default();
    let line = line.strip_prefix("error: ").unwrap_or(line);
    format!("not a regular expression: {line}")
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
