//! `docs/write-a-codec.md`, as somebody would follow it: its blocks in their order, in an empty
//! folder that is no part of this workspace. A page that cannot be followed is a failure.
//!
//! Blocks of `sh` are run, those with `file=` are appended to that file (the first one begins it
//! anew), and a block of `text` behind a run one says what must have been printed.

use std::{
    collections::BTreeSet,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use tempfile::TempDir;

use crate::{paths, rig::Middle, rig::run_bounded, tally::Tally};

/// How long a block may take: everything is built by one of them.
const LIMIT: Duration = Duration::from_secs(1200);

/// A block of the page.
#[derive(Debug, PartialEq, Eq)]
enum Block<'a> {
    Run(&'a str),
    File(&'a str, &'a str),
    Printed(&'a str),
}

/// The blocks, each with the number of its first line.
fn blocks(page: &str) -> Vec<(usize, Block<'_>)> {
    let mut all = Vec::new();
    let mut open: Option<(&str, usize, usize)> = None;
    let mut at = 0;
    for (number, line) in page.split_inclusive('\n').enumerate() {
        let next = at + line.len();
        if let Some(info) = line.trim_end().strip_prefix("```") {
            match open.take() {
                None => open = Some((info, number + 2, next)),
                Some((info, first, start)) => {
                    let body = page.get(start..at).unwrap_or_default();
                    let block = match info.split_once(",file=") {
                        Some((_, path)) => Some(Block::File(path, body)),
                        None if info == "sh" => Some(Block::Run(body)),
                        None if info == "text" => Some(Block::Printed(body)),
                        None => None,
                    };
                    all.extend(block.map(|block| (first, block)));
                }
            }
        }
        at = next;
    }
    all
}

/// Follows the page.
pub(super) fn run(_: Middle) -> Result<Tally, String> {
    crate::setup::fuzzer()?;
    let path = paths::root().join("docs/write-a-codec.md");
    let page = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let folder = TempDir::with_prefix("heptad-tutorial-").map_err(|e| e.to_string())?;
    let mut here = folder.path().to_owned();
    let mut begun = BTreeSet::new();
    let mut printed = String::new();
    let mut tally = Tally::default();
    let mut counts = [0; 3];
    for (line, block) in blocks(&page) {
        match block {
            Block::File(name, text) => {
                let path = here.join(name);
                let fresh = begun.insert(path.clone());
                let file = fs::OpenOptions::new()
                    .append(!fresh)
                    .write(true)
                    .truncate(fresh)
                    .create(true)
                    .open(&path);
                let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
                written.map_err(|e| format!("{}: {e}", path.display()))?;
                counts[0] += 1;
            }
            Block::Run(script) => {
                let (said, next) = shell(script, &here)?;
                lend_locks(&next.clone().unwrap_or_else(|| here.clone()))?;
                tally.check(next.is_some(), || format!("line {line} failed:\n{said}"));
                let Some(next) = next else { return Ok(tally) };
                here = next;
                printed = said;
                counts[1] += 1;
            }
            Block::Printed(expected) => {
                for wanted in expected.lines() {
                    let found = printed.lines().any(|line| line.trim_start().starts_with(wanted));
                    tally.check(found, || {
                        format!("line {line}: `{wanted}` was not printed, but\n{printed}")
                    });
                }
                counts[2] += 1;
            }
        }
    }
    let [files, runs, outputs] = counts;
    tally.check(runs > 5 && files > 3 && outputs > 3, || "the page has too few blocks".to_owned());
    tally.note(format!("{files} blocks written, {runs} run, {outputs} compared"));
    Ok(tally)
}

/// Runs a script; what it printed, and the folder that it ended in if all went well.
fn shell(script: &str, here: &Path) -> Result<(String, Option<PathBuf>), String> {
    let end = tempfile::NamedTempFile::new().map_err(|e| e.to_string())?;
    let bin = paths::heptad();
    let bin = bin.parent().ok_or("the router is in no folder")?;
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new("bash");
    command
        .args(["-eu", "-o", "pipefail", "-c"])
        .arg(format!("exec 2>&1\n{script}\npwd >\"$THE_END\""))
        .current_dir(here)
        .env("PATH", path)
        .env("HEPTAD", paths::root())
        .env("THE_END", end.path())
        .env("RUST_BACKTRACE", "0")
        // What was built last time is of use this time.
        .env("CARGO_TARGET_DIR", paths::target().join("tutorial"));
    let out = run_bounded(&mut command, LIMIT)?;
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    let at = fs::read_to_string(end.path()).map_err(|e| e.to_string())?;
    let next = (out.status.success() && !at.is_empty()).then(|| PathBuf::from(at.trim_end()));
    Ok((said, next))
}

/// The versions that this workspace was tested with: a page must not fail for those of tomorrow.
fn lend_locks(folder: &Path) -> Result<(), String> {
    for (manifest, lock) in [("Cargo.toml", "Cargo.lock"), ("fuzz/Cargo.toml", "fuzz/Cargo.lock")] {
        if folder.join(manifest).is_file() && !folder.join(lock).exists() {
            let from = paths::root().join(lock);
            fs::copy(&from, folder.join(lock)).map_err(|e| format!("{}: {e}", from.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_told_by_their_first_line() {
        let page = "a\n```\nhex\n```\n```sh\nls\n```\n```rust,file=a.rs\nfn a() {}\n```\n```text\nx\n```\n";
        assert_eq!(
            blocks(page),
            [
                (6, Block::Run("ls\n")),
                (9, Block::File("a.rs", "fn a() {}\n")),
                (12, Block::Printed("x\n"))
            ]
        );
    }
}
