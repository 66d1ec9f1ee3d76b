//! `heptad codec new`: a crate that is a codec already, to be made into another one. What is in it
//! stands in `template`; here it is filled in and written. Nothing is ever overwritten.

use std::{fs, io, path::Path, process::ExitCode};

use heptad::Registry;

use super::New;
use crate::{WRONG, failed, style::Style};

/// Writes the crate of a codec into a folder of its name.
pub(crate) fn new(registry: &Registry, new: &New) -> ExitCode {
    if let Err(why) = usable(registry, &new.name) {
        return wrong(&why);
    }
    let folder = new.into.join(&new.name);
    if folder.exists() {
        return wrong(&format!("{} is there already", folder.display()));
    }
    let checkout = match new.path.as_ref().map(fs::canonicalize) {
        None => None,
        Some(Ok(path)) if path.join("crates/core/Cargo.toml").is_file() => Some(path),
        Some(_) => return wrong("--path: that is not a checkout of Heptad"),
    };
    match write(&folder, &new.name, checkout.as_deref()) {
        Ok(files) => {
            let style = Style::of(&io::stdout());
            let there = folder.display();
            println!("{} {there}: {files} files; its README.md says what to do", style.good("ok"));
            ExitCode::SUCCESS
        }
        Err(error) => failed(format!("cannot write {}: {error}", folder.display())),
    }
}

pub(super) fn wrong(why: &str) -> ExitCode {
    eprintln!("{} {why}", Style::of(&io::stderr()).bad("heptad:"));
    ExitCode::from(WRONG)
}

/// Whether a codec and a crate may have this name.
fn usable(registry: &Registry, name: &str) -> Result<(), String> {
    /// Words of the language, and crates that every crate knows.
    const TAKEN: &[&str] = &[
        "abstract", "alloc", "as", "async", "await", "become", "box", "break", "const", "continue",
        "core", "crate", "do", "dyn", "else", "enum", "extern", "false", "final", "fn", "for",
        "gen", "heptad", "if", "impl", "in", "let", "loop", "macro", "match", "mod", "move", "mut",
        "override", "priv", "pub", "ref", "return", "router", "self", "static", "std", "struct",
        "super", "test", "trait", "true", "try", "type", "typeof", "unsafe", "unsized", "use",
        "virtual", "where", "while", "yield",
    ];
    let mut letters = name.chars();
    let first = letters.next().is_some_and(|c| c.is_ascii_lowercase());
    if !first || !letters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()) {
        return Err(format!("'{name}' is not a name of lower-case letters and digits"));
    }
    if TAKEN.contains(&name) {
        return Err(format!("'{name}' means something else to Rust"));
    }
    if registry.codecs().any(|known| known == name) {
        return Err(format!("there is a codec '{name}' already"));
    }
    Ok(())
}

/// Every file of a new crate, and its template.
const FILES: &[(&str, &str)] = &[
    ("Cargo.toml", include_str!("template/Cargo.toml.in")),
    ("README.md", include_str!("template/README.md.in")),
    ("heptad.yaml", include_str!("template/heptad.yaml.in")),
    ("src/lib.rs", include_str!("template/lib.rs.in")),
    ("tests/conformance.rs", include_str!("template/conformance.rs.in")),
    ("benches/decode.rs", include_str!("template/bench.rs.in")),
    ("router/Cargo.toml", include_str!("template/router.toml.in")),
    ("router/src/main.rs", include_str!("template/router.rs.in")),
    ("fuzz/Cargo.toml", include_str!("template/fuzz.toml.in")),
    ("fuzz/fuzz_targets/decode.rs", include_str!("template/target.rs.in")),
    ("fuzz/fuzz_targets/chunks.rs", include_str!("template/target.rs.in")),
    ("fuzz/fuzz_targets/rewrite.rs", include_str!("template/target.rs.in")),
    (".gitignore", "target\n/fuzz/artifacts\n/fuzz/coverage\n"),
    // Inputs begin with how they are to be read; see `heptad_testkit::fuzz`.
    ("fuzz/corpus/request", "\0\u{1}\0\0\0\u{14}\0\0\0\u{7}\u{4}listpage 1"),
    ("fuzz/corpus/reply", "\u{1}\0\0\u{2}\0\0\0\u{13}\0\0\0\u{7}five stars"),
];

/// Crates of Heptad that templates name, and where they are in a checkout.
const CRATES: [(&str, &str); 4] = [
    ("heptad-core", "crates/core"),
    ("heptad-testkit", "crates/testkit"),
    ("heptad-cli", "crates/cli"),
    ("heptad", "crates/heptad"),
];

fn write(folder: &Path, name: &str, checkout: Option<&Path>) -> io::Result<usize> {
    for (path, template) in FILES {
        let mut text = template.replace("@NAME@", name).replace("@TYPE@", &type_name(name));
        for (package, place) in CRATES {
            let dependency = match checkout {
                Some(checkout) => format!("{{ path = {:?} }}", checkout.join(place)),
                None => format!("{:?}", env!("CARGO_PKG_VERSION")),
            };
            text = text.replace(&format!("@{package}@"), &dependency);
        }
        let target = Path::new(path).file_stem().unwrap_or_default().to_string_lossy();
        text = text.replace("@TARGET@", &target);
        let path = folder.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(path, text)?;
    }
    Ok(FILES.len())
}

/// The name of the codec's type: `telegraph` is a `Telegraph`.
fn type_name(name: &str) -> String {
    let (first, rest) = name.split_at(1);
    first.to_uppercase() + rest
}
