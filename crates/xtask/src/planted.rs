//! `cargo xtask planted`: known bugs, each planted into a copy of the engine; the simulator must
//! find every one. A simulator that finds nothing says nothing about an engine without bugs.
//!
//! The work tree is not touched: the copy is in the target folder, with its own build.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use crate::{paths, tally::Tally};

/// A bug: in `file` of the engine's sources `find`, which stands there once, becomes `plant`.
struct Bug {
    what: &'static str,
    file: &'static str,
    find: &'static str,
    plant: &'static str,
}

const BUGS: &[Bug] = &[
    Bug {
        what: "a reply on a link in order goes to the youngest request",
        file: "calls.rs",
        find: "Self::InOrder(ring, _) => ring.pop_front(),",
        plant: "Self::InOrder(ring, _) => ring.pop_back(),",
    },
    Bug {
        what: "replies are handed out as they come, whatever order was promised",
        file: "settle.rs",
        find: "let front = !ordered || s.open.front() == Some(key);",
        plant: "let front = !ordered || !s.open.is_empty();",
    },
    Bug {
        what: "a session in order takes a link of its own while it has requests on others",
        file: "dispatch.rs",
        find: "Way::Own(_) => true,",
        plant: "Way::Own(_) => false,",
    },
    Bug {
        what: "what waited for a draining link overtakes what is still on it",
        file: "dispatch.rs",
        find: "if way.is_some_and(|way| self.must_wait(key, pool, endpoint, way)) {\n                // The",
        plant: "if way.is_some() && self.links.iter().next().is_none() {\n                // The",
    },
    Bug {
        what: "a request that waits for a link has no deadline",
        file: "engine.rs",
        find: "Due::Exchange(key) => self.expire(now, key),",
        plant: "Due::Exchange(key) if self.phase(key) == Some(crate::exchange::Phase::Queued) => {}\n                Due::Exchange(key) => self.expire(now, key),",
    },
    Bug {
        what: "a request without a route has no deadline while a filter asks",
        file: "admit.rs",
        find: "                let lasting = self.timers.lasting(Route::TIMEOUT);\n                self.timers.after(now, lasting, key);\n",
        plant: "",
    },
    Bug {
        what: "requests in flight are counted up and never down",
        file: "settle.rs",
        find: "series.in_flight = series.in_flight.saturating_sub(1);",
        plant: "series.in_flight = series.in_flight.saturating_sub(0);",
    },
    Bug {
        what: "a full link takes yet another request",
        file: "choose.rs",
        find: "return if room { Ok(link) } else { Err(NoLink::Full) };",
        plant: "return if room || most > 0 { Ok(link) } else { Err(NoLink::Full) };",
    },
    Bug {
        what: "filters never hear the end of what a client gave up",
        file: "settle.rs",
        find: "if x.memory.is_empty() {",
        plant: "if x.memory.is_empty() || end.0 == Outcome::Cancelled {",
    },
    Bug {
        what: "a request that a filter refused is sent all the same",
        file: "admit.rs",
        find: "self.settle_error(now, key, (outcome, Reason::Filter), &text);\n",
        plant: "self.settle_error(now, key, (outcome, Reason::Filter), &text);\n                return true;\n",
    },
    Bug {
        what: "bytes of given up requests count as buffered for ever",
        file: "settle.rs",
        find: "        self.buffered = self.buffered.saturating_sub(x.rare.frame.len());\n        x.rare.frame",
        plant: "        x.rare.frame",
    },
    Bug {
        what: "a client that says no more loses the replies that it waits for",
        file: "intake.rs",
        find: "let ended = s.eof && s.open.is_empty() && s.stall",
        plant: "let ended = s.eof && s.stall",
    },
];

/// Seeds that a bug may survive.
const SEEDS: &str = "1500";
/// Seeds that must hold without any bug, to show that the copy is a sound one.
const SOUND: &str = "200";

/// Plants the bugs one after the other, or the one whose number is given; `Ok(false)` if the simulator misses one.
pub(crate) fn run(args: &[String]) -> Result<bool, String> {
    let only = match args {
        [] => None,
        [n] => Some(n.parse::<usize>().map_err(|_| "give no number, or a bug's".to_owned())?),
        _ => return Err("give no number, or a bug's".to_owned()),
    };
    let copy = paths::target().join("planted");
    copy_sources(&copy)?;
    let mut all = Tally::default();
    let start = Instant::now();
    let clean = simulate(&copy, SOUND)?;
    all.check(clean.held, || format!("without any bug the simulator fails:\n{}", clean.said));
    println!("planted:none             holds {:>23.1} s", start.elapsed().as_secs_f32());
    for (n, bug) in BUGS.iter().enumerate() {
        if only.is_some_and(|only| only != n + 1) {
            continue;
        }
        let start = Instant::now();
        let file = copy.join("crates/engine/src").join(bug.file);
        let sound = fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
        let times = sound.matches(bug.find).count();
        if times != 1 {
            let (n, what) = (n + 1, bug.what);
            return Err(format!("bug {n} ({what}) fits {times} times in {}", bug.file));
        }
        write(&file, &sound.replacen(bug.find, bug.plant, 1))?;
        let found = simulate(&copy, SEEDS);
        write(&file, &sound)?;
        let found = found?;
        all.check(!found.held, || format!("nobody noticed: {}", bug.what));
        let how = if found.held { "MISSED" } else { "found" };
        let secs = start.elapsed().as_secs_f32();
        println!("planted:{:<2} {how:<6} {secs:>6.1} s  {}\n    {}", n + 1, bug.what, found.said);
    }
    println!("{}", all.total());
    Ok(all.failed == 0)
}

fn write(file: &Path, text: &str) -> Result<(), String> {
    fs::write(file, text).map_err(|e| format!("{}: {e}", file.display()))
}

/// What a simulation came to.
struct Run {
    held: bool,
    /// Its first complaint.
    said: String,
}

fn simulate(copy: &Path, seeds: &str) -> Result<Run, String> {
    let cargo = |rest: &[&str]| {
        Command::new("cargo")
            .args(["test", "--quiet", "--offline", "--profile", "sim"])
            .args(["-p", "heptad-testkit", "--test", "scale"])
            .args(rest)
            .env("CARGO_TARGET_DIR", copy.join("target"))
            .env("RUST_BACKTRACE", "0")
            .current_dir(copy)
            .stdin(Stdio::null())
            .output()
            .map_err(|e| format!("cargo test: {e}"))
    };
    let built = cargo(&["--no-run"])?;
    if !built.status.success() {
        return Err(format!("it does not compile:\n{}", String::from_utf8_lossy(&built.stderr)));
    }
    let out = cargo(&["--", "--seeds", seeds])?;
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    let complaint = text.lines().skip_while(|line| !line.contains("panicked at")).nth(1);
    let said = complaint.unwrap_or("no complaint").chars().take(160).collect();
    Ok(Run { held: out.status.success(), said })
}

/// Copies the sources that the simulator is built of; a file that is the same stays, so that the
/// build of the last time is of use.
fn copy_sources(to: &Path) -> Result<(), String> {
    fs::create_dir_all(to).map_err(|e| format!("{}: {e}", to.display()))?;
    let manifest = paths::root().join("Cargo.toml");
    let text = fs::read_to_string(&manifest).map_err(|e| format!("{}: {e}", manifest.display()))?;
    let files = ["Cargo.toml", "Cargo.lock", "rust-toolchain.toml"];
    for name in files.into_iter().chain(folders(&text)) {
        copy_tree(&paths::root().join(name), &to.join(name))?;
    }
    Ok(())
}

/// The folders of the workspace's members: without one of them no package builds.
fn folders(manifest: &str) -> BTreeSet<&str> {
    let members = manifest.split_once("members = [").map_or("", |(_, rest)| rest);
    let members = members.split(']').next().unwrap_or_default();
    members.split('"').skip(1).step_by(2).filter_map(|member| member.split('/').next()).collect()
}

fn copy_tree(from: &Path, to: &PathBuf) -> Result<(), String> {
    let failed = |e: std::io::Error| format!("{}: {e}", from.display());
    if !from.is_dir() {
        let text = fs::read(from).map_err(failed)?;
        if fs::read(to).ok().as_ref() != Some(&text) {
            fs::write(to, text).map_err(failed)?;
        }
        return Ok(());
    }
    fs::create_dir_all(to).map_err(failed)?;
    for entry in fs::read_dir(from).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        if name != "target" {
            copy_tree(&from.join(&name), &to.join(&name))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bug_fits_in_one_place() {
        for bug in BUGS {
            let file = paths::root().join("crates/engine/src").join(bug.file);
            let text = fs::read_to_string(file).expect("a source of the engine");
            assert_eq!(text.matches(bug.find).count(), 1, "{} in {}", bug.what, bug.file);
            assert_ne!(bug.find, bug.plant);
        }
    }

    #[test]
    fn every_member_is_copied() {
        let manifest = "members = [\n  \"crates/core\",\n  \"crates/net\",\n  \"benches\",\n]\nexclude = [\"fuzz\"]";
        assert_eq!(folders(manifest).into_iter().collect::<Vec<_>>(), ["benches", "crates"]);
    }
}
