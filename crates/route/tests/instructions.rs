//! What a look-up costs does not depend on how many routes there are, and none of it is an
//! allocation: counted in instructions by valgrind, which must be installed.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

const LOOKUPS: u64 = 200;
const ROWS: [&str; 3] = ["first", "last", "miss"];

/// What the calls of `lookups` cost, one per row.
struct Counted {
    instructions: Vec<u64>,
    allocates: bool,
    printed: String,
}

/// The example, built as it would be shipped; once for all tests.
fn example() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        // The folder of the profile that this test was built with is a sibling of the release one,
        // wherever the target folder is.
        let own = env::current_exe().unwrap();
        let target = own.ancestors().nth(3).unwrap();
        let status = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--release", "--example", "route_cost"])
            .args(["--package", env!("CARGO_PKG_NAME"), "--target-dir"])
            .arg(target)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()
            .unwrap();
        assert!(status.success(), "the example does not build");
        target.join("release/examples/route_cost")
    })
}

fn count(shape: &str, routes: u32, more: &[&str]) -> Counted {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let out = dir.join(format!("{shape}-{routes}-{}.callgrind", more.len()));
    let file = |n: usize| PathBuf::from(format!("{}.{n}", out.display()));
    let run = Command::new("valgrind")
        .args(["--tool=callgrind", "--toggle-collect=route_cost::lookups"])
        .arg("--dump-after=route_cost::lookups")
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(example())
        .args([shape, &routes.to_string(), &ROWS.join(",")])
        .arg(LOOKUPS.to_string())
        .args(more)
        .output()
        .expect("valgrind must be installed (apt install valgrind)");
    let log = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{log}");

    let mut counted = Counted {
        instructions: Vec::new(),
        allocates: false,
        printed: String::from_utf8(run.stdout).unwrap(),
    };
    for n in 1..=ROWS.len() {
        let dump = fs::read_to_string(file(n)).unwrap();
        let total = dump.lines().find_map(|l| l.strip_prefix("totals: "));
        let total = total.and_then(|t| t.trim().parse().ok());
        counted.instructions.push(total.unwrap());
        // A function is named in a dump only if it was called.
        counted.allocates |= ["malloc", "calloc", "realloc", "__rust_alloc"]
            .iter()
            .any(|f| dump.lines().any(|l| is_name(l) && l.contains(f)));
        fs::remove_file(file(n)).unwrap();
    }
    let _ = fs::remove_file(&out);
    counted
}

/// Whether a line of a dump names a function.
fn is_name(line: &str) -> bool {
    line.starts_with("fn=") || line.starts_with("cfn=")
}

/// `rule_of_miss` is the rule that matches what no numbered rule does, given their number.
fn check(shape: &str, rule_of_miss: impl Fn(u32) -> Option<u32>) {
    let (few, many) = (10, 100_000);
    let [small, large] = [few, many].map(|routes| {
        let counted = count(shape, routes, &[]);
        let miss = match rule_of_miss(routes) {
            Some(rule) => format!("rule {rule}"),
            None => "none".into(),
        };
        let last = routes - 1;
        let expect = format!("first: rule 0\nlast: rule {last}\nmiss: {miss}\n");
        assert_eq!(counted.printed, expect, "{shape} {routes}");
        assert!(!counted.allocates, "{shape} {routes} allocates");
        counted.instructions
    });
    for ((row, small), large) in ROWS.iter().zip(small).zip(large) {
        let (a, b) = (small / LOOKUPS, large / LOOKUPS);
        println!("{shape} {row}: {a} instructions with {few} routes, {b} with {many}");
        assert!(small >= LOOKUPS * 20, "{shape} {row}: nothing was counted");
        assert!(
            large * 10 <= small * 12,
            "{shape} {row}: {a} instructions with {few} routes, {b} with {many}"
        );
    }
}

#[test]
fn service() {
    check("service", |_| None);
}

#[test]
fn method() {
    check("method", |_| None);
}

#[test]
fn service_and_header() {
    check("header", |_| None);
}

#[test]
fn methods_of_one_service() {
    check("methods", |_| None);
}

#[test]
fn prefix() {
    check("prefix", |_| None);
}

#[test]
fn suffix() {
    check("suffix", |_| None);
}

#[test]
fn networks() {
    check("nets", |_| None);
}

#[test]
fn a_last_rule_for_everything() {
    check("default", Some);
}

/// The counter of allocations sees one where there is one.
#[test]
fn an_allocation_would_be_seen() {
    assert!(count("service", 10, &["alloc"]).allocates);
}
