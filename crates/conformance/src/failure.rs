//! What is said when a codec breaks a rule: the rule, where, and the bytes. It runs no codec.

use std::fmt::{self, Write as _};

/// The rules of the codec contract that are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// See [`Rule::says`], as for all of them.
    Sample,
    /// The same frames for every cut.
    Chunking,
    /// Decoding twice.
    Again,
    /// A prefix has no frames of its own.
    Truncated,
    /// Several frames in one read.
    Pipelined,
    /// `Need` asks for more.
    Need,
    /// `Need` stays within the limits.
    NeedLimit,
    /// `Skip` makes progress.
    Skip,
    /// A frame's length.
    Length,
    /// A frame's head.
    Head,
    /// A frame's spans.
    Spans,
    /// Who may send what.
    Kind,
    /// `max_frame`.
    MaxFrame,
    /// `max_head`.
    MaxHead,
    /// Names of codes.
    CodeName,
    /// No panics.
    Panic,
    /// Ids after a rewrite.
    RewriteId,
    /// Everything else after a rewrite.
    RewriteKeeps,
    /// Rewriting back.
    RewriteBack,
    /// Header edits.
    Headers,
    /// Error answers.
    Answer,
    /// Direct answers.
    Direct,
    /// Answers to heartbeats.
    Pong,
    /// Heartbeats.
    Ping,
    /// Cancellation.
    Abandon,
    /// Farewells.
    Drain,
    /// Time in the length of the input.
    Linear,
    /// Limits on parts and depth.
    MaxParts,
    /// Hostile samples.
    Hostile,
    /// The status of error answers.
    Status,
    /// Attributes.
    Lazy,
    /// Refused requests.
    Refused,
    /// Greetings.
    Greet,
    /// Fan-out.
    Parts,
    /// Frames that need not be decoded.
    Template,
}

impl Rule {
    /// All of them.
    pub const ALL: [Self; 35] = [
        Self::Sample,
        Self::Chunking,
        Self::Again,
        Self::Truncated,
        Self::Pipelined,
        Self::Need,
        Self::NeedLimit,
        Self::Skip,
        Self::Length,
        Self::Head,
        Self::Spans,
        Self::Kind,
        Self::MaxFrame,
        Self::MaxHead,
        Self::CodeName,
        Self::Panic,
        Self::RewriteId,
        Self::RewriteKeeps,
        Self::RewriteBack,
        Self::Headers,
        Self::Answer,
        Self::Direct,
        Self::Pong,
        Self::Ping,
        Self::Abandon,
        Self::Drain,
        Self::Linear,
        Self::MaxParts,
        Self::Hostile,
        Self::Status,
        Self::Lazy,
        Self::Refused,
        Self::Greet,
        Self::Parts,
        Self::Template,
    ];

    /// The rule's name.
    pub const fn name(self) -> &'static str {
        self.text().0
    }

    /// What the rule demands.
    pub const fn says(self) -> &'static str {
        self.text().1
    }

    const fn text(self) -> (&'static str, &'static str) {
        match self {
            Self::Sample => ("sample", "a sample has as many whole frames as the test says"),
            Self::Chunking => ("chunking", "the same bytes, cut anywhere, give the same frames"),
            Self::Again => {
                ("again", "a frame can be decoded a second time, with more bytes behind it")
            }
            Self::Truncated => ("truncated", "a prefix gives a prefix of the frames, and no fault"),
            Self::Pipelined => ("pipelined", "bytes behind a frame do not change it"),
            Self::Need => ("need", "`Need(n)` asks for more bytes than were offered"),
            Self::NeedLimit => (
                "need-limit",
                "`Need(n)` asks for at most `max_head` bytes of a request and `max_frame` of a reply",
            ),
            Self::Skip => {
                ("skip", "`Skip(n)` skips at least one byte and no more than were offered")
            }
            Self::Length => ("length", "a frame is 1 to `max_frame` bytes long"),
            Self::Head => ("head", "a frame's head is not longer than the frame"),
            Self::Spans => ("spans", "the spans of a frame are inside of its head"),
            Self::Kind => ("kind", "a client sends no replies and a server no requests"),
            Self::MaxFrame => ("max-frame", "a frame above `max_frame` is a `TooLarge` fault"),
            Self::MaxHead => {
                ("max-head", "a request that must be seen beyond `max_head` is a `TooLarge` fault")
            }
            Self::CodeName => ("code-name", "the name of a code is 1 to 64 bytes long"),
            Self::Panic => ("panic", "no method panics on any input"),
            Self::RewriteId => ("rewrite-id", "a rewritten frame has the new id"),
            Self::RewriteKeeps => (
                "rewrite-keeps",
                "a rewritten frame is one whole frame that says what the old one said",
            ),
            Self::RewriteBack => {
                ("rewrite-back", "with its old id a frame has its old bytes again")
            }
            Self::Headers => ("headers", "header edits, and only they, are seen after a rewrite"),
            Self::Answer => (
                "answer",
                "every error is answered by exactly one reply with the request's id, not `Ok`",
            ),
            Self::Direct => (
                "direct",
                "a direct answer is exactly one reply with the request's id and the outcome `Ok`",
            ),
            Self::Pong => ("pong", "a heartbeat is answered by exactly one frame with its id"),
            Self::Ping => ("ping", "`ping` writes one heartbeat or request with the given id"),
            Self::Abandon => ("abandon", "`abandon` writes whole frames that a server understands"),
            Self::Drain => ("drain", "`drain` writes one `GoAway` that a client understands"),
            Self::Linear => {
                ("linear", "bytes that arrive in small reads are scanned a bounded number of times")
            }
            Self::MaxParts => (
                "max-parts",
                "with a lower `max_parts` or `max_depth` a frame is the same or a `TooLarge` fault",
            ),
            Self::Hostile => ("hostile", "a hostile sample is refused as the test says"),
            Self::Status => (
                "status",
                "an error is read as itself, as its next of kin, or as the protocol's general error",
            ),
            Self::Lazy => (
                "lazy",
                "attributes are the same whenever they are asked, and whatever `want` says",
            ),
            Self::Refused => ("refused", "a request that is refused has changed nothing"),
            Self::Parts => (
                "parts",
                "a part of a request is one request with the chosen keys, and its replies join to one",
            ),
            Self::Template => (
                "template",
                "a frame that a template matches is read, kept and rewritten as it says",
            ),
            Self::Greet => (
                "greet",
                "`greet` writes whole frames that a server understands, and comes to an end",
            ),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A broken rule. Its `Display` is the report for the codec's author.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// The rule.
    pub rule: Rule,
    /// What was done and what came of it.
    pub detail: String,
    /// The bytes that show it.
    pub bytes: Vec<u8>,
    /// Offset of the frame in `bytes`.
    pub at: usize,
    /// What was being checked, innermost first.
    pub context: Vec<String>,
}

/// Most characters of a failure's detail: the bytes are shown anyhow.
const LONGEST: usize = 2000;

impl Failure {
    pub(super) fn new(rule: Rule, bytes: &[u8], at: usize, detail: impl Into<String>) -> Self {
        let mut detail = detail.into();
        if let Some((at, _)) = detail.char_indices().nth(LONGEST) {
            detail.truncate(at);
            detail.push('…');
        }
        Self { rule, detail, bytes: bytes.to_vec(), at, context: Vec::new() }
    }

    pub(super) fn within(mut self, context: impl Into<String>) -> Self {
        self.context.push(context.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "rule `{}` is broken: {}", self.rule.name(), self.rule.says())?;
        writeln!(f, "  {}", self.detail)?;
        for context in &self.context {
            writeln!(f, "  in {context}")?;
        }
        writeln!(f, "  {} bytes, the frame begins at {}:", self.bytes.len(), self.at)?;
        f.write_str(&hex(&self.bytes, self.at))
    }
}

impl std::error::Error for Failure {}

/// Bytes as hex and text; of long ones the beginning and what is around `at`.
fn hex(bytes: &[u8], at: usize) -> String {
    const WIDTH: usize = 16;
    const LINES: usize = 32;
    let mut out = String::new();
    let around = (at / WIDTH).saturating_sub(2);
    let mut left_out = false;
    for (i, line) in bytes.chunks(WIDTH).enumerate() {
        if i >= 4 && !(around..around + LINES).contains(&i) {
            left_out = true;
            continue;
        }
        if std::mem::take(&mut left_out) {
            out.push_str("  …\n");
        }
        let _ = write!(out, "  {:06x} ", i * WIDTH);
        for byte in line {
            let _ = write!(out, " {byte:02x}");
        }
        for _ in line.len()..WIDTH {
            out.push_str("   ");
        }
        out.push_str("  |");
        for &byte in line {
            let printable = byte.is_ascii_graphic() || byte == b' ';
            out.push(if printable { char::from(byte) } else { '.' });
        }
        out.push_str("|\n");
    }
    if left_out {
        out.push_str("  …\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_names_the_rule_and_shows_the_bytes() {
        let failure =
            Failure::new(Rule::Need, b"PING\r\nx", 6, "`Need(1)` of 1").within("cut at 3");
        assert_eq!(
            failure.to_string(),
            "rule `need` is broken: `Need(n)` asks for more bytes than were offered\n  \
             `Need(1)` of 1\n  in cut at 3\n  7 bytes, the frame begins at 6:\n  \
             000000  50 49 4e 47 0d 0a 78                             |PING..x|\n"
        );
    }

    #[test]
    fn all_rules_are_listed_under_names_of_their_own() {
        let names: std::collections::BTreeSet<_> = Rule::ALL.map(Rule::name).into();
        assert_eq!(names.len(), Rule::ALL.len());
        // They are listed in their order, and so the last one tells how many there are.
        let places = Rule::ALL.map(|rule| rule as usize);
        assert!(places.iter().copied().eq(0..Rule::ALL.len()), "{places:?}");
        assert_eq!(Rule::Template as usize + 1, Rule::ALL.len());
    }

    #[test]
    fn long_bytes_are_cut_around_the_frame() {
        let text = hex(&[0; 1 << 16], 40_000);
        assert!(text.lines().count() < 45);
        assert!(text.contains("  009c40 "), "{text}");
        assert!(text.ends_with("…\n"));
    }
}
