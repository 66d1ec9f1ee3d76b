//! Every file of the corpora through its targets, as the fuzzer would: what was found once stays
//! found, and no fuzzer is needed to see it.

use std::path::{Path, PathBuf};

use heptad_fuzzing::TARGETS;
use heptad_testkit::fuzz::files;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus")
}

/// Runs the targets whose name begins so.
fn replay(prefix: &str) {
    let mut targets = 0;
    for target in TARGETS.iter().filter(|target| target.name.starts_with(prefix)) {
        let files = files(&corpus().join(target.corpus));
        assert!(files.len() >= 10, "{}: {} files", target.corpus, files.len());
        for (name, bytes) in files {
            println!("{} {name}", target.name);
            (target.run)(&bytes);
        }
        targets += 1;
    }
    assert!(targets > 0, "no target begins with {prefix}");
}

#[test]
fn redis() {
    replay("redis");
}

#[test]
fn thrift() {
    replay("thrift");
}

#[test]
fn dubbo() {
    replay("dubbo");
}

#[test]
fn awesomerpc() {
    replay("awesomerpc");
}

#[test]
fn described() {
    replay("described");
}

#[test]
fn engine_ops() {
    replay("engine_ops");
}

#[test]
fn config() {
    replay("config");
}

#[test]
fn every_target_has_its_binary_and_the_corpora_are_small() {
    let bins = corpus().join("../fuzz_targets");
    let mut found: Vec<String> = files(&bins).into_iter().map(|(name, _)| name).collect();
    found.sort();
    let mut named: Vec<String> = TARGETS
        .iter()
        .map(|t| bins.join(t.name).with_extension("rs").display().to_string())
        .collect();
    named.sort();
    assert_eq!(found, named);
    let folders: std::collections::BTreeSet<_> = TARGETS.iter().map(|t| t.corpus).collect();
    let size: usize =
        folders.iter().flat_map(|f| files(&corpus().join(f))).map(|(_, bytes)| bytes.len()).sum();
    assert!(size < 2 << 20, "{size} bytes");
}
