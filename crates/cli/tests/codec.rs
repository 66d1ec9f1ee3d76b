//! `heptad codec new`: what it writes is built, tested and run as its new owner would, in a folder
//! that is no part of this workspace; only the lock file and the target folder are lent, to be quick
//! and to need no network.

mod common;

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

use common::{Router, output, text};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The target folder of this workspace: what both need of other people's crates is built there.
fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is below the target").to_owned()
}

fn cargo(folder: &Path, args: &[&str]) -> String {
    let done = Command::new(env!("CARGO"))
        .args(args)
        .arg("--offline")
        .current_dir(folder)
        .env("CARGO_TARGET_DIR", target())
        .stdin(Stdio::null())
        .output()
        .expect("cargo can be started");
    let said = format!("{}{}", text(&done.stdout), text(&done.stderr));
    assert!(done.status.success(), "cargo {args:?}:\n{said}");
    said
}

fn new(args: &[&str]) -> (Option<i32>, String) {
    let done = output(&[&["codec", "new"], args].concat());
    (done.status.code(), text(&done.stderr))
}

fn frame(kind: u8, id: u32, content: &[u8]) -> Vec<u8> {
    let len = 9 + content.len() as u32;
    [&[kind][..], &len.to_be_bytes(), &id.to_be_bytes(), content].concat()
}

#[test]
fn a_new_codec_passes_its_own_tests_and_routes() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = root();
    let path = root.to_str().expect("a plain path");
    let into = folder.path().to_str().expect("a plain path");
    let (code, said) = new(&["telegraph", "--path", path, "--into", into]);
    assert_eq!(code, Some(0), "{said}");
    let crate_ = folder.path().join("telegraph");
    // Built as this workspace is, or everything would be built once more.
    let manifest = crate_.join("Cargo.toml");
    let mut text = fs::read_to_string(&manifest).expect("a manifest");
    text += "\n[profile.dev]\ndebug = \"line-tables-only\"\n";
    text += "\n[profile.dev.package.\"*\"]\nopt-level = 1\n";
    fs::write(&manifest, text).expect("it can be written");
    fs::copy(root.join("Cargo.lock"), crate_.join("Cargo.lock")).expect("a lock file");

    let main = fs::read_to_string(crate_.join("router/src/main.rs")).expect("a program");
    assert_eq!(main.lines().count(), 5, "{main}");
    for target in ["decode", "chunks", "rewrite"] {
        let file = crate_.join("fuzz/fuzz_targets").join(target).with_extension("rs");
        let source = fs::read_to_string(file).expect("a fuzz target");
        assert!(source.contains(&format!("fuzz_target!({target}, ")), "{source}");
    }
    let said = cargo(&crate_, &["test", "--package", "telegraph", "--all-targets"]);
    assert!(said.contains("6 passed"), "{said}");
    assert!(said.contains("decode: ") && said.contains("rewrite: "), "no bench: {said}");

    // An endpoint that sends requests back as replies, and the router in front of it.
    let endpoint = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = endpoint.local_addr().expect("an address").port();
    let config = fs::read_to_string(crate_.join("heptad.yaml")).expect("a configuration");
    let config = config.replace("127.0.0.1:4701", &format!("127.0.0.1:{port}"));
    let config = config.replace("127.0.0.1:4700", "127.0.0.1:0");
    fs::write(crate_.join("heptad.yaml"), config).expect("it can be written");
    thread::spawn(move || {
        while let Ok((mut link, _)) = endpoint.accept() {
            let mut buf = [0; 512];
            while let Ok(n @ 1..) = link.read(&mut buf) {
                buf[0] = 2;
                link.write_all(&buf[..n]).expect("the router reads");
            }
        }
    });
    cargo(&crate_, &["build", "--package", "telegraph-router"]);
    let mut command = Command::new(target().join("debug/telegraph-router"));
    command.args(["run", "-c", "heptad.yaml"]).current_dir(&crate_).stdin(Stdio::null());
    let router = Router::of(command);
    let mut client = TcpStream::connect(router.address("telegraph")).expect("it listens");
    client.write_all(&frame(1, 7, b"\x04listpage 1")).expect("it reads");
    let mut came = frame(2, 7, b"\x04listpage 1");
    let expected = came.clone();
    came.fill(0);
    client.read_exact(&mut came).expect("it answers");
    assert_eq!(came, expected);
    client.write_all(&frame(1, 8, b"\x06health")).expect("it reads");
    let mut well = [0; 13];
    client.read_exact(&mut well).expect("it answers");
    assert_eq!(well[..], frame(2, 8, b"well"));
}

#[test]
fn names_and_folders_that_will_not_do_are_refused_with_the_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    let into = folder.path().to_str().expect("a plain path");
    fs::create_dir(folder.path().join("there")).expect("a folder");
    for (args, why) in [
        (&["Telegraph"][..], "not a name of lower-case letters"),
        (&["1st"], "not a name of lower-case letters"),
        (&["a-b"], "not a name of lower-case letters"),
        (&["match"], "means something else to Rust"),
        (&["redis"], "there is a codec 'redis' already"),
        (&["there"], "is there already"),
        (&["telegraph", "--path", "/"], "not a checkout of Heptad"),
    ] {
        let (code, said) = new(&[args, &["--into", into]].concat());
        assert_eq!(code, Some(1), "{args:?}: {said}");
        assert!(said.contains(why), "{args:?}: {said}");
    }
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1, "nothing was written");
    // Without a checkout the published crates are named, of this version.
    let (code, said) = new(&["telegraph", "--into", into]);
    assert_eq!(code, Some(0), "{said}");
    let manifest = folder.path().join("telegraph/Cargo.toml");
    let manifest = fs::read_to_string(manifest).expect("a manifest");
    let line = format!("heptad-core = \"{}\"", env!("CARGO_PKG_VERSION"));
    assert!(manifest.contains(&line), "{manifest}");
}
