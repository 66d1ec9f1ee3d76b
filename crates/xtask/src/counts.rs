//! `cargo xtask counts`: what single steps cost in instructions, which do not depend on what else
//! the machine does, against a committed list.

use std::{
    collections::BTreeMap,
    fmt, fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use crate::paths;

/// Repetitions of each step.
const TIMES: u64 = 200;
/// By how many percent a count may grow, and fall before the list should be renewed.
const PERCENT: u64 = 5;

/// Instructions of one repetition, by case.
type Counts = BTreeMap<String, u64>;

/// How a count differs from the list.
#[derive(Debug, PartialEq, Eq)]
enum Finding {
    Grew(String, u64, u64),
    Fell(String, u64, u64),
    /// Counted, but not in the list.
    New(String, u64),
    /// In the list, but not counted.
    Gone(String),
}

impl Finding {
    /// A count that fell is good news; everything else must not go unnoticed.
    fn fails(&self) -> bool {
        !matches!(self, Self::Fell(..))
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let change = |was: u64, is: u64| (is as f64 / was.max(1) as f64 - 1.0) * 100.0;
        match self {
            Self::Grew(name, was, is) => {
                write!(f, "{name} grew from {was} to {is} ({:+.1} %)", change(*was, *is))
            }
            Self::Fell(name, was, is) => write!(
                f,
                "{name} fell from {was} to {is} ({:+.1} %): renew the list with `cargo xtask \
                 counts --bless`",
                change(*was, *is)
            ),
            Self::New(name, is) => write!(f, "{name} ({is}) is not in the list"),
            Self::Gone(name) => write!(f, "{name} is in the list and was not counted"),
        }
    }
}

/// Counts everything and compares, or writes the list anew; `Ok(false)` if something grew.
pub(crate) fn run(args: &[String]) -> Result<bool, String> {
    let bless = match args {
        [] => false,
        [one] if one == "--bless" => true,
        _ => return Err("usage: cargo xtask counts [--bless]".into()),
    };
    let now = count()?;
    let list = paths::root().join("benches/counts.txt");
    let old = fs::read_to_string(&list).unwrap_or_default();
    let old = parse(&old).ok_or_else(|| format!("{} cannot be read", list.display()))?;
    for (name, is) in &now {
        let was = old.get(name).map_or_else(String::new, u64::to_string);
        println!("{name:<28} {is:>8}   was {was:>8}");
    }
    if bless {
        fs::write(&list, render(&now)).map_err(|e| format!("{}: {e}", list.display()))?;
        return Ok(true);
    }
    let findings = compare(&old, &now);
    for finding in &findings {
        println!("{finding}");
    }
    Ok(!findings.iter().any(Finding::fails))
}

fn compare(old: &Counts, now: &Counts) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, &is) in now {
        let name = name.clone();
        match old.get(&name) {
            None => findings.push(Finding::New(name, is)),
            Some(&was) if is * 100 > was * (100 + PERCENT) => {
                findings.push(Finding::Grew(name, was, is));
            }
            Some(&was) if is * 100 < was * (100 - PERCENT) => {
                findings.push(Finding::Fell(name, was, is));
            }
            Some(_) => {}
        }
    }
    let gone = old.keys().filter(|name| !now.contains_key(*name));
    findings.extend(gone.cloned().map(Finding::Gone));
    findings
}

fn render(counts: &Counts) -> String {
    let head = "# Instructions of one repetition; written by `cargo xtask counts --bless`.\n";
    counts.iter().fold(head.to_owned(), |all, (name, n)| all + &format!("{name} {n}\n"))
}

fn parse(text: &str) -> Option<Counts> {
    let lines = text.lines().filter(|l| !l.starts_with('#') && !l.is_empty());
    lines
        .map(|l| {
            let (name, n) = l.split_once(' ')?;
            Some((name.to_owned(), n.parse().ok()?))
        })
        .collect()
}

/// Runs every case under callgrind, which writes a file after each.
fn count() -> Result<Counts, String> {
    build()?;
    let dir = tempfile::tempdir().map_err(|e| e.to_string())?;
    let out = dir.path().join("counts");
    let run = Command::new("valgrind")
        .args(["--tool=callgrind", "--toggle-collect=counts::counted"])
        .arg("--dump-after=counts::counted")
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(paths::target().join("release/counts"))
        .arg(TIMES.to_string())
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("valgrind must be installed (`cargo xtask setup`): {e}"))?;
    if !run.status.success() {
        return Err(format!("counts: {}", String::from_utf8_lossy(&run.stderr)));
    }
    let names = String::from_utf8_lossy(&run.stdout);
    let mut counts = Counts::new();
    for (at, name) in names.lines().enumerate() {
        let file = PathBuf::from(format!("{}.{}", out.display(), at + 1));
        let dump = fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
        let total = dump.lines().find_map(|l| l.strip_prefix("totals: "));
        let total: u64 = total
            .and_then(|t| t.trim().parse().ok())
            .ok_or_else(|| format!("{name}: nothing was counted"))?;
        counts.insert(name.to_owned(), total / TIMES);
    }
    if counts.is_empty() { Err("no case was counted".into()) } else { Ok(counts) }
}

fn build() -> Result<(), String> {
    let status = Command::new("cargo")
        .args(["build", "--quiet", "--release", "--package", "heptad-benches", "--bin", "counts"])
        .current_dir(paths::root())
        .status()
        .map_err(|e| format!("cargo: {e}"))?;
    if status.success() { Ok(()) } else { Err("the counted program does not build".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(all: &[(&str, u64)]) -> Counts {
        all.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect()
    }

    #[test]
    fn more_than_five_percent_up_fails_and_down_only_speaks() {
        let old = counts(&[("a", 1000), ("b", 1000), ("c", 1000), ("d", 1000), ("e", 1000)]);
        let now = counts(&[("a", 1050), ("b", 1051), ("c", 950), ("d", 949), ("f", 7)]);
        let found = compare(&old, &now);
        let name = |name: &str| name.to_owned();
        assert_eq!(
            found,
            [
                Finding::Grew(name("b"), 1000, 1051),
                Finding::Fell(name("d"), 1000, 949),
                Finding::New(name("f"), 7),
                Finding::Gone(name("e")),
            ]
        );
        let fails: Vec<bool> = found.iter().map(Finding::fails).collect();
        assert_eq!(fails, [true, false, true, true]);
        assert_eq!(found[0].to_string(), "b grew from 1000 to 1051 (+5.1 %)");
        assert!(found[1].to_string().contains("--bless"));
    }

    #[test]
    fn the_list_is_read_as_it_is_written() {
        let all = counts(&[("decode/redis", 300), ("route/10", 90)]);
        assert_eq!(parse(&render(&all)), Some(all));
        assert_eq!(parse("a b\n"), None);
    }
}
