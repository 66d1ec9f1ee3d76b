//! Where things are in the work tree.

use std::path::PathBuf;

/// The top folder of the repository.
pub(crate) fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).map_or(here.clone(), PathBuf::from)
}

/// Cargo's target folder.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Scripts and corpora of the real-input suites.
pub(crate) fn real() -> PathBuf {
    root().join("tests/real")
}

/// The Python of the tests' own environment.
pub(crate) fn python() -> PathBuf {
    root().join("target/venv/bin/python")
}

/// Envoy, from its package for Python, in an environment of the bench's own.
pub(crate) fn envoy() -> Option<PathBuf> {
    let lib = std::fs::read_dir(root().join("target/venv-bench/lib")).ok()?;
    let pythons = lib.flatten().map(|python| python.path());
    pythons.map(|p| p.join("site-packages/envoy/_bin/envoy")).find(|file| file.is_file())
}

/// The release build of the router; `HEPTAD` names another one.
pub(crate) fn heptad() -> PathBuf {
    std::env::var_os("HEPTAD").map_or_else(|| target().join("release/heptad"), PathBuf::from)
}

/// Finds a program on the path, or where Debian puts daemons.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin"), PathBuf::from("/usr/bin")])
        .map(|dir| dir.join(name))
        .find(|file| file.is_file())
}
