//! The corpus of redis-cli lines: reading its files. Their form is described in its `README.md`.

use std::path::Path;

/// How the reply to a line is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Exact,
    Unordered,
    Volatile,
}

/// One command.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) number: usize,
    pub(super) mark: Mark,
    pub(super) command: String,
    /// With three servers, what the output begins with, if it must differ.
    pub(super) three: Option<String>,
    /// Through Heptad, what the output begins with, if it must differ.
    pub(super) heptad: Option<String>,
}

impl Line {
    /// What is expected instead of the server's own reply, behind Heptad with so many servers.
    pub(super) fn own(&self, shards: usize) -> Option<&str> {
        let several = self.three.as_deref().filter(|_| shards > 1);
        several.or(self.heptad.as_deref())
    }
}

/// All files of a folder, by name.
pub(super) fn read(dir: &Path) -> Result<Vec<(String, Vec<Line>)>, String> {
    let fail = |e: std::io::Error| format!("{}: {e}", dir.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        if path.extension().is_some_and(|e| e == "txt") {
            let text = std::fs::read_to_string(&path).map_err(fail)?;
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            files.push((name.into_owned(), parse(&text)?));
        }
    }
    files.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(files)
}

fn parse(text: &str) -> Result<Vec<Line>, String> {
    let mut lines: Vec<Line> = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let (mark, command) = match line.split_at_checked(1) {
            None | Some(("#", _)) => continue,
            Some(("=", rest)) => {
                let last = lines.last_mut().ok_or("an expectation without a line above")?;
                let (who, expected) = rest.split_once(' ').unwrap_or((rest, ""));
                match who {
                    "3" => last.three = Some(expected.to_owned()),
                    "h" => last.heptad = Some(expected.to_owned()),
                    _ => return Err(format!("line {}: `={who}` is not known", at + 1)),
                }
                continue;
            }
            Some(("~", rest)) => (Mark::Volatile, rest),
            Some(("%", rest)) => (Mark::Unordered, rest),
            _ => (Mark::Exact, line),
        };
        let command = command.to_owned();
        lines.push(Line { number: at + 1, mark, command, three: None, heptad: None });
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_and_expectations_are_read() {
        let lines = parse("# c\n\nGET a\n=h x\n~TIME\n=3 (error)\n%KEYS *\n").unwrap();
        let marks: Vec<_> = lines.iter().map(|l| (l.number, l.mark)).collect();
        assert_eq!(marks, [(3, Mark::Exact), (5, Mark::Volatile), (7, Mark::Unordered)]);
        assert_eq!((lines[1].own(3), lines[1].own(1)), (Some("(error)"), None));
        assert_eq!((lines[0].own(3), lines[0].own(1)), (Some("x"), Some("x")));
        assert!(parse("GET a\n=7 x\n").is_err());
        assert_eq!(lines[1].command, "TIME");
    }
}
