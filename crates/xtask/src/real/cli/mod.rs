//! redis-cli, fed line by line in one session, over a corpus with a line for each command.
//!
//! The form of the corpus is described beside it. redis-cli answers its own word `clear` with two
//! escape sequences and without asking the server; sent after each line, that ends its output.

mod corpus;
mod special;

use std::{
    collections::BTreeSet,
    io::Write as _,
    process::{Command, Stdio},
    time::Duration,
};

use corpus::{Line, Mark};
pub(super) use special::run as special;

use super::transcript::normalise;
use crate::{
    paths,
    rig::{Middle, Rig, run_bounded},
    tally::Tally,
};

/// What redis-cli prints for `clear`.
const END: &str = "\u{1b}[H\u{1b}[2J";

/// How long one session may take.
const LIMIT: Duration = Duration::from_secs(30);

/// All files of the corpus in both versions of the protocol.
pub(super) fn run(middle: Middle, shards: usize) -> Result<Tally, String> {
    let files = corpus::read(&paths::real().join("redis-cli"))?;
    let mut all = Tally::default();
    let mut steps = 0;
    for resp in ["2", "3"] {
        let direct_rig = Rig::start(Middle::Direct, 1)?;
        let through_rig = Rig::start(middle, shards)?;
        if resp == "2" {
            all.add(coverage(&direct_rig, &files)?);
        }
        for (name, lines) in &files {
            let direct = session(direct_rig.port, resp, lines)?;
            let through =
                session(through_rig.port, resp, lines).map_err(|e| format!("{name}: {e}"))?;
            steps += lines.len();
            for ((line, a), b) in lines.iter().zip(&direct).zip(&through) {
                let merged = line.own(shards).filter(|_| middle == Middle::Heptad);
                let holds = match merged {
                    Some(expected) => b.trim_start().starts_with(expected),
                    None => told(line.mark, a) == told(line.mark, b),
                };
                all.check(holds, || {
                    format!(
                        "RESP{resp} {name}:{} {}\n  {}: {}\n  through: {}",
                        line.number,
                        line.command,
                        merged.map_or("direct", |_| "expected"),
                        merged.unwrap_or(a).trim_end(),
                        b.trim_end()
                    )
                });
            }
        }
    }
    all.note(format!("{steps} lines of {} files", files.len()));
    Ok(all)
}

/// Sends every line of the corpus, and does not look at what comes.
pub(super) fn every_line(port: u16, resp: &str) -> Result<(), String> {
    for (name, lines) in corpus::read(&paths::real().join("redis-cli"))? {
        session(port, resp, &lines).map_err(|e| format!("{name}: {e}"))?;
    }
    Ok(())
}

/// What redis-cli printed after each line.
fn session(port: u16, resp: &str, lines: &[Line]) -> Result<Vec<String>, String> {
    let mut input = String::new();
    for line in lines {
        input.push_str(&line.command);
        input.push_str("\nclear\n");
    }
    let mut file = tempfile::NamedTempFile::new().map_err(|e| e.to_string())?;
    file.write_all(input.as_bytes()).map_err(|e| e.to_string())?;
    // A shell joins both outputs, so that errors stand where they happened.
    let flag = if resp == "3" { "-3" } else { "-2" };
    let script = format!(
        "exec redis-cli -h 127.0.0.1 -p {port} {flag} --no-raw <'{}' 2>&1",
        file.path().display()
    );
    let out = run_bounded(Command::new("sh").args(["-c", &script]).stdin(Stdio::null()), LIMIT)?;
    // Replies are not always text, and the same bytes give the same replacement.
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let mut parts: Vec<String> = text.split(END).map(str::to_owned).collect();
    parts.pop();
    if parts.len() != lines.len() {
        return Err(format!(
            "{} of {} lines answered; the last output is {:?}",
            parts.len(),
            lines.len(),
            text.split(END).last()
        ));
    }
    Ok(parts)
}

/// The part of an output that must be equal.
fn told(mark: Mark, output: &str) -> String {
    // redis-cli adds how long slow commands took.
    let timing = |l: &&str| !(l.starts_with('(') && l.ends_with("s)") && l.contains('.'));
    let lines: Vec<&str> = output.lines().filter(timing).collect();
    match mark {
        Mark::Exact => normalise(&lines.join("\n")),
        Mark::Unordered => {
            let mut lines: Vec<&str> = lines.iter().map(|l| element(l)).collect();
            lines.sort_unstable();
            normalise(&lines.join("\n"))
        }
        Mark::Volatile => kind(lines.first().copied().unwrap_or_default()).to_owned(),
    }
}

/// A line of an array without its number.
fn element(line: &str) -> &str {
    let rest = line.trim_start().trim_start_matches(|c: char| c.is_ascii_digit());
    rest.strip_prefix(") ").or_else(|| rest.strip_prefix("~ ")).unwrap_or(line)
}

/// The type of a reply by its first line: of an error the code too.
fn kind(line: &str) -> &str {
    let words = |n: usize| {
        let end = line.match_indices(' ').nth(n - 1).map_or(line.len(), |(at, _)| at);
        line.get(..end).unwrap_or(line)
    };
    match line.chars().next() {
        Some('(') if line.starts_with("(error)") => words(2),
        Some('(') => words(1),
        Some('"') => "string",
        Some('0'..='9' | ' ') => line
            .trim_start()
            .trim_start_matches(|c: char| c.is_ascii_digit())
            .get(..1)
            .unwrap_or("array"),
        Some('O') if line == "OK" => "OK",
        // What redis-cli prints as it is: status replies and, under RESP3, verbatim text.
        _ => "text",
    }
}

/// Every command and subcommand that the server knows must stand in the corpus or in the table of
/// special ones.
fn coverage(rig: &Rig, files: &[(String, Vec<Line>)]) -> Result<Tally, String> {
    let mut said: BTreeSet<String> = special::NAMES.iter().map(|n| (*n).to_owned()).collect();
    for line in files.iter().flat_map(|(_, lines)| lines) {
        let mut words = line.command.split(' ').map(str::to_ascii_lowercase);
        let first = words.next().unwrap_or_default();
        if let Some(second) = words.next() {
            said.insert(format!("{first}|{second}"));
        }
        said.insert(first);
    }
    let server = rig.servers.first().ok_or("no server")?;
    let commands = server.client()?.call(&["COMMAND"]).map_err(|e| e.to_string())?;
    let mut tally = Tally::default();
    for command in commands.list() {
        let name = command.list().first().map(|v| v.text()).unwrap_or_default();
        let container = command.list().get(9).map(|v| v.list()).unwrap_or_default();
        tally.check(said.contains(&name), || format!("no line for {name}"));
        for sub in container {
            let name = sub.list().first().map(|v| v.text()).unwrap_or_default();
            tally.check(said.contains(&name), || format!("no line for {name}"));
        }
    }
    tally.note(format!("{} commands of the server covered", tally.passed));
    Ok(tally)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_type_of_volatile_replies_is_told() {
        assert_eq!(told(Mark::Volatile, "(integer) 17\n"), "(integer)");
        assert_eq!(told(Mark::Volatile, "(error) ERR x y\n"), "(error) ERR");
        assert_eq!(told(Mark::Volatile, "1) \"a\"\n2) \"b\"\n"), ")");
        assert_eq!(told(Mark::Volatile, "\"x\"\n"), "string");
    }

    #[test]
    fn unordered_replies_are_sorted_and_timings_dropped() {
        let a = told(Mark::Unordered, "1) \"a\"\n2) \"b\"\n(1.20s)\n");
        assert_eq!(a, told(Mark::Unordered, "1) \"b\"\n2) \"a\"\n"));
    }
}
