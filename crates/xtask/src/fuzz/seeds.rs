//! What the corpora begin with: conversations of real clients and servers, taken apart and written
//! as inputs of the targets; then only those are kept that reach something the others do not. Files
//! named `by-hand` are what no client library sends, and `found` what a fuzzer did: they stay.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use super::{Target, committed, files, make, run_target, scratch};
use crate::{
    paths,
    real::record::{self, Conversation},
};

/// Longest input that is kept.
const LONGEST: usize = 3 << 10;
/// How much of a conversation is put into one input.
const TOGETHER: usize = 2 << 10;
/// Most files of a corpus.
const MOST: usize = 160;
/// The first byte of an input, see `testkit::fuzz`.
const SERVER: u8 = 1;
const WANT: u8 = 2;

/// Has real clients speak to real servers, and writes down what they say.
pub(super) fn record() -> Result<(), String> {
    let mut programs = BTreeSet::new();
    let conversations = [
        ("redis", 0_u8, record::redis()?),
        ("thrift", 1, record::thrift()?),
        ("dubbo", 2, record::dubbo()?),
    ];
    for (name, codec, all) in &conversations {
        println!("fuzz: {} conversations in {name}", all.len());
        let mut inputs = BTreeSet::new();
        for conversation in all {
            inputs.extend(inputs_of(conversation));
            programs.insert(program(*codec, conversation));
        }
        write(name, &inputs)?;
    }
    let ours = std::process::Command::new("cargo")
        .args(["run", "--quiet", "--package", "heptad-fuzzing", "--example", "seeds", "--"])
        .arg(scratch("recorded"))
        .current_dir(paths::root())
        .status();
    if !ours.is_ok_and(|status| status.success()) {
        return Err("the inputs for AwesomeRPC and described codecs cannot be written".into());
    }
    programs.retain(|program| program.len() <= LONGEST);
    write("engine_ops", &programs)?;
    let mut texts = BTreeSet::new();
    for folder in ["tests/real", "crates/config/tests", "docs"] {
        yaml(&paths::root().join(folder), &mut texts)?;
    }
    write("config", &texts)
}

/// What each side said, for the targets that read one side: as many bursts in an input as fit, so
/// that few inputs say much.
fn inputs_of(conversation: &Conversation) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    let (mut asked, mut said) = (Vec::new(), Vec::new());
    let mut flush = |asked: &mut Vec<u8>, said: &mut Vec<u8>| {
        let want = if all.len() % 4 < 2 { 0 } else { WANT };
        // The rest of the first byte varies what the targets do.
        let vary = (all.len() as u8) << 3;
        if !asked.is_empty() {
            all.push([&[want | vary][..], asked].concat());
        }
        if let (Ok(len), false) = (u16::try_from(asked.len()), said.is_empty()) {
            let head = [&[SERVER | want | vary][..], &len.to_be_bytes(), asked].concat();
            all.push([&head[..], said].concat());
        }
        asked.clear();
        said.clear();
    };
    for burst in conversation {
        let so_far = asked.len() + said.len();
        if !burst.by_server && so_far > 0 && so_far + burst.bytes.len() > TOGETHER {
            flush(&mut asked, &mut said);
        }
        (if burst.by_server { &mut said } else { &mut asked }).extend_from_slice(&burst.bytes);
    }
    flush(&mut asked, &mut said);
    all.retain(|input| input.len() <= LONGEST);
    all
}

/// A client that says the same to a router, as a program of `engine_ops`.
fn program(codec: u8, conversation: &Conversation) -> Vec<u8> {
    let sum = conversation.len() as u8;
    let mut out = vec![codec, sum, sum.rotate_left(3), sum.rotate_left(5), sum, 0, sum];
    for said in conversation.iter().filter(|said| !said.by_server) {
        let next = said.bytes.get(..0x0fff).unwrap_or(&said.bytes);
        if out.len() + next.len() > LONGEST {
            break;
        }
        out.extend_from_slice(&[1, 0]);
        out.extend_from_slice(&(next.len() as u16).to_be_bytes());
        out.extend_from_slice(next);
        out.extend_from_slice(&[15, 0, 0x45]);
    }
    out
}

/// YAML files, and blocks of YAML in pages.
fn yaml(folder: &Path, texts: &mut BTreeSet<Vec<u8>>) -> Result<(), String> {
    let fail = |e: std::io::Error| format!("{}: {e}", folder.display());
    for entry in fs::read_dir(folder).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && name != "node_modules" {
            yaml(&path, texts)?;
        } else if name.ends_with(".yaml") {
            texts.insert(fs::read(&path).map_err(fail)?);
        } else if name.ends_with(".md") {
            let page = fs::read_to_string(&path).map_err(fail)?;
            for block in page.split("```yaml\n").skip(1) {
                let text = block.split("```").next().unwrap_or_default();
                texts.insert(text.as_bytes().to_vec());
            }
        }
    }
    texts.retain(|text| text.len() <= 4 * LONGEST);
    Ok(())
}

fn write(name: &str, inputs: &BTreeSet<Vec<u8>>) -> Result<(), String> {
    let folder = scratch("recorded").join(name);
    let _ = fs::remove_dir_all(&folder);
    make(&folder)?;
    println!("fuzz: {} inputs for {name}", inputs.len());
    for (number, input) in inputs.iter().enumerate() {
        let path = folder.join(format!("real-{number:05}"));
        fs::write(&path, input).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    Ok(())
}

/// Adds to each corpus what reaches something new in one of its targets, of what was recorded and
/// of what was found by running.
pub(super) fn merge(targets: &[Target], bins: &Path) -> Result<(), String> {
    let mut corpora: BTreeMap<&str, Vec<&Target>> = BTreeMap::new();
    for target in targets {
        corpora.entry(&target.corpus).or_default().push(target);
    }
    for (corpus, targets) in corpora {
        let kept = committed(corpus);
        make(&kept)?;
        let recorded = scratch("recorded").join(corpus);
        make(&recorded)?;
        for target in targets {
            // What was recorded first, then what was grown, as far as there is room.
            for from in [recorded.clone(), scratch("corpus").join(&target.name)] {
                make(&from)?;
                if files(&kept)?.len() >= MOST {
                    continue;
                }
                let chosen = scratch("merged").join(&target.name);
                let _ = fs::remove_dir_all(&chosen);
                make(&chosen)?;
                let seen = kept.display().to_string();
                for file in files(&kept)? {
                    let name = file.file_name().unwrap_or_default();
                    fs::copy(&file, chosen.join(name)).map_err(|e| format!("{seen}: {e}"))?;
                }
                let before = files(&chosen)?;
                let findings = scratch("findings").join(&target.name);
                make(&findings)?;
                let prefix = format!("-artifact_prefix={}/", findings.display());
                // What is reached counts, not how often: that takes few files.
                let counts = "-use_counters=0".to_owned();
                let args = ["-merge=1".into(), "-max_len=12288".into(), counts, prefix];
                let folders = [&chosen, &from].map(|folder| folder.display().to_string());
                let out = run_target(&bins.join(&target.name), &[&args[..], &folders].concat())?;
                if !out.status.success() {
                    let log = String::from_utf8_lossy(&out.stderr).into_owned();
                    return Err(format!("{}: {log}", target.name));
                }
                let mut new = files(&chosen)?;
                new.retain(|file| !before.contains(file));
                // Large ones reach most.
                new.sort_by_key(|file| {
                    std::cmp::Reverse(fs::metadata(file).map_or(0, |data| data.len()))
                });
                let room = MOST.saturating_sub(files(&kept)?.len());
                for file in new.into_iter().take(room) {
                    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
                    let short = name.get(..12).unwrap_or(&name);
                    fs::copy(&file, kept.join(short)).map_err(|e| format!("{seen}: {e}"))?;
                }
            }
        }
        println!("fuzz: corpus {corpus} has {} files", files(&kept)?.len());
    }
    Ok(())
}
