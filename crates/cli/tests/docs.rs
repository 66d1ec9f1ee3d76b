//! Every configuration in the README and in `docs/` is one that `heptad check` accepts, and every filter has a page.

mod common;

use std::{fs, path::Path};

use common::{output, text};

/// The blocks of YAML in a page, each with its first line's number.
fn blocks(page: &str) -> Vec<(usize, String)> {
    let mut all = Vec::new();
    let mut block: Option<(usize, String)> = None;
    for (number, line) in page.lines().enumerate() {
        match &mut block {
            None if line.trim_end() == "```yaml" => block = Some((number + 2, String::new())),
            None => {}
            Some(_) if line.starts_with("```") => all.extend(block.take()),
            Some((_, text)) => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    assert!(block.is_none(), "a block has no end");
    all
}

#[test]
fn configurations_in_the_documentation_are_right() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let docs = fs::read_dir(root.join("docs")).expect("there is documentation");
    let docs = docs.map(|entry| entry.expect("it can be listed").path());
    let folder = tempfile::tempdir().expect("a folder");
    let mut pages = Vec::new();
    for path in docs.chain([root.join("README.md")]) {
        if path.extension().is_none_or(|extension| extension != "md") {
            continue;
        }
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let page = fs::read_to_string(&path).expect("it can be read");
        let blocks = blocks(&page);
        for (line, yaml) in &blocks {
            let file = folder.path().join(format!("{name}-{line}.yaml"));
            fs::write(&file, yaml).expect("it can be written");
            let done = output(&["check", "-c", file.to_str().expect("a plain path")]);
            let said = text(&done.stderr);
            assert!(done.status.success(), "docs/{name}.md, line {line}:\n{said}");
        }
        pages.push((name, blocks));
    }
    let schema: serde_json::Value =
        serde_json::from_slice(&output(&["schema"]).stdout).expect("a schema");
    let filters: Vec<_> = schema["$defs"]
        .as_object()
        .expect("definitions")
        .keys()
        .filter_map(|key| key.strip_prefix("filter."))
        .filter(|name| !name.contains('.'))
        .map(str::to_owned)
        .collect();
    assert!(filters.iter().any(|name| name == "authorize"), "{filters:?}");
    for filter in filters {
        let page = pages.iter().find(|(name, _)| *name == filter);
        let (_, blocks) = page.unwrap_or_else(|| panic!("docs/{filter}.md is missing"));
        let used = blocks.iter().any(|(_, yaml)| yaml.contains(&filter));
        assert!(used, "docs/{filter}.md has no configuration with {filter}");
    }
}

/// The commands of a page's console blocks, each with its line's number and what it says.
fn examples(page: &str) -> Vec<(usize, String, String)> {
    let mut all: Vec<(usize, String, String)> = Vec::new();
    let mut inside = false;
    for (number, line) in page.lines().enumerate() {
        match line.strip_prefix("$ ") {
            _ if line == "```console" => inside = true,
            _ if line.starts_with("```") => inside = false,
            Some(command) if inside => all.push((number + 1, command.to_owned(), String::new())),
            _ if inside => {
                let (_, _, said) = all.last_mut().expect("a block begins with a command");
                said.push_str(line);
                said.push('\n');
            }
            _ => {}
        }
    }
    all
}

#[test]
fn examples_in_the_documentation_say_what_is_written() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let binary = Path::new(env!("CARGO_BIN_EXE_heptad")).parent().expect("a folder");
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{path}", binary.display());
    for name in ["inspect", "described-codecs"] {
        let page = fs::read_to_string(docs.join(format!("{name}.md"))).expect("a page");
        let folder = tempfile::tempdir().expect("a folder");
        let examples = examples(&page);
        assert!(!examples.is_empty(), "docs/{name}.md has no examples");
        for (line, command, said) in examples {
            let done = std::process::Command::new("sh")
                .args(["-c", &command])
                .current_dir(folder.path())
                .env("PATH", &path)
                .output()
                .expect("there is a shell");
            let got = text(&done.stdout);
            assert_eq!(got, said, "docs/{name}.md, line {line}: {command}\n{}", text(&done.stderr));
        }
    }
}
