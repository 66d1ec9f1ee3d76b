//! What is wrong with a file, and how it is shown to whoever wrote it.
//!
//! Knows text and positions; not what a configuration is.

use std::fmt::{self, Write as _};

/// A place in the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Span {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// How many characters of the line it covers; at least 1 when shown.
    pub width: usize,
}

impl Span {
    /// A place.
    pub const fn new(line: usize, column: usize, width: usize) -> Self {
        Self { line, column, width }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Problem {
    /// Where.
    pub span: Span,
    /// What is wrong, in one line.
    pub message: String,
    /// What would be right, in one line; empty if the message says it.
    pub cure: String,
}

impl Problem {
    /// A problem.
    pub fn new(span: Span, message: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { span, message: message.into(), cure: cure.into() }
    }
}

/// Everything that is wrong with one file, in the order of its lines; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problems {
    /// The file's name, as the caller gave it.
    pub file: String,
    /// All problems.
    pub list: Vec<Problem>,
    /// The lines that the problems point to, in the order of `list`.
    lines: Vec<String>,
}

impl std::error::Error for Problems {}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

/// Longest part of a line that is shown.
const SHOWN: usize = 120;

impl Problems {
    /// Sorts the problems, drops what is said twice and keeps the lines that are needed.
    pub(crate) fn new(file: &str, text: &str, mut list: Vec<Problem>) -> Self {
        list.sort();
        list.dedup();
        let mut lines = Vec::with_capacity(list.len());
        let mut source = text.split('\n').enumerate().peekable();
        let mut current = "";
        let mut reached = 0;
        for problem in &list {
            while reached < problem.span.line {
                let Some((number, line)) = source.next() else {
                    current = "";
                    break;
                };
                reached = number + 1;
                current = line;
            }
            lines.push(current.trim_end_matches('\r').to_owned());
        }
        Self { file: file.to_owned(), list, lines }
    }

    /// The problems of a file of the caller's own, of which this is the text.
    pub fn of(file: &str, text: &str, list: Vec<Problem>) -> Self {
        Self::new(file, text, list)
    }

    /// For humans: each problem with file, line, column, the line itself, a caret and the cure; and
    /// a count at the end.
    pub fn render(&self, colours: bool) -> String {
        let [red, blue, green, bold, plain] = match colours {
            true => ["\x1b[1;31m", "\x1b[34m", "\x1b[32m", "\x1b[1m", "\x1b[0m"],
            false => [""; 5],
        };
        let mut out = String::new();
        let file = clean(&self.file);
        for (problem, line) in self.list.iter().zip(&self.lines) {
            let Span { line: n, column, .. } = problem.span;
            let (shown, before, width) = window(line, problem.span);
            let gutter = " ".repeat(n.to_string().len());
            let message = clean(&problem.message);
            // Writing to a string cannot fail.
            let _ = writeln!(
                out,
                "{bold}{file}:{n}:{column}:{plain} {red}{message}{plain}\n \
                 {blue}{n} |{plain} {shown}\n \
                 {blue}{gutter} |{plain} {}{red}{}{plain}",
                " ".repeat(before),
                "^".repeat(width),
            );
            if !problem.cure.is_empty() {
                let cure = clean(&problem.cure);
                let _ = writeln!(out, " {blue}{gutter} ={plain} {green}{cure}{plain}");
            }
            out.push('\n');
        }
        let count = self.list.len();
        let s = if count == 1 { "" } else { "s" };
        let _ = writeln!(out, "{bold}{count} problem{s} in {file}{plain}");
        out
    }
}

/// Text that cannot move the cursor or change colours, whatever the file contains.
fn clean(text: &str) -> String {
    text.chars().map(visible).collect()
}

/// One character for one, so that carets stay under what they point to.
fn visible(c: char) -> char {
    match c {
        '\t' => ' ',
        // Controls, and marks that turn the direction of writing.
        c if c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') => {
            '\u{fffd}'
        }
        c => c,
    }
}

/// The part of the line around the span, how many characters stand before the span in it, and how
/// many of it can be underlined.
fn window(line: &str, span: Span) -> (String, usize, usize) {
    let chars: Vec<char> = line.chars().map(visible).collect();
    let at = span.column.saturating_sub(1).min(chars.len());
    let width = span.width.min(chars.len() - at);
    let from = if chars.len() <= SHOWN || at < SHOWN / 2 { 0 } else { at - SHOWN / 2 };
    let to = chars.len().min(from + SHOWN);
    let mut shown = String::new();
    let mut before = at - from;
    if from > 0 {
        shown.push('…');
        before += 1;
    }
    shown.extend(chars.get(from..to).unwrap_or_default());
    if to < chars.len() {
        shown.push('…');
    }
    (shown, before, width.min(to.saturating_sub(at)).max(1))
}
