//! What describing costs over coding, counted in instructions by valgrind, which must be installed:
//! at most twice as many for a call through the engine, and four times for decoding and rewriting.
//! What is described allocates nothing where what is coded does not.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

const TIMES: u64 = 500;

/// The example, built as it would be shipped; once for all tests.
fn example() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        // The folder of the profile that this test was built with is a sibling of the release one.
        let own = env::current_exe().unwrap();
        let target = own.ancestors().nth(3).unwrap();
        let status = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--release", "--example", "described_cost"])
            .args(["--package", env!("CARGO_PKG_NAME"), "--target-dir"])
            .arg(target)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()
            .unwrap();
        assert!(status.success(), "the example does not build");
        target.join("release/examples/described_cost")
    })
}

/// Instructions of one round, and whether any of them allocates.
fn count(codec: &str, what: &str) -> (u64, bool) {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let out = dir.join(format!("{codec}-{what}.callgrind"));
    let run = Command::new("valgrind")
        .args(["--tool=callgrind", "--toggle-collect=described_cost::measured"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(example())
        .args([codec, what, &TIMES.to_string()])
        .output()
        .expect("valgrind must be installed (apt install valgrind)");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let dump = fs::read_to_string(&out).unwrap();
    let total = dump.lines().find_map(|line| line.strip_prefix("totals: "));
    let total: u64 = total.and_then(|total| total.trim().parse().ok()).unwrap();
    // A function is named in a dump only if it was called.
    let is_name = |line: &str| line.starts_with("fn=") || line.starts_with("cfn=");
    let allocates = ["malloc", "calloc", "realloc", "__rust_alloc"]
        .iter()
        .any(|name| dump.lines().any(|line| is_name(line) && line.contains(name)));
    let _ = fs::remove_file(&out);
    (total / TIMES, allocates)
}

fn at_most(times: u64, what: &str) {
    let (coded, engine_allocates) = count("coded", what);
    let (described, allocates) = count("described", what);
    println!("{what}: {coded} instructions coded, {described} described");
    assert!(coded > 100, "nothing was counted");
    // What the engine does for the coded one is not the description's doing.
    assert!(engine_allocates || !allocates, "{what} allocates");
    assert!(what != "decode" || !engine_allocates, "decoding alone does not need memory");
    assert!(described <= coded * times, "{what}: {coded} coded, {described} described");
}

#[test]
fn a_call_through_the_engine() {
    at_most(2, "exchange");
}

#[test]
fn decoding_and_rewriting() {
    at_most(4, "decode");
}
