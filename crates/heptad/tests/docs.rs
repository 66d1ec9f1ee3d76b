//! The configurations in `docs/` are good ones.

use std::{fs, path::Path};

use heptad::Registry;

/// The blocks of YAML in a page.
fn blocks(page: &str) -> impl Iterator<Item = &str> {
    page.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap_or_default())
}

#[test]
fn every_page_has_a_configuration_that_loads() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let registry = Registry::standard();
    let mut pages = 0;
    for entry in fs::read_dir(&docs).expect("docs") {
        let path = entry.expect("an entry").path();
        let page = fs::read_to_string(&path).expect("a page");
        let name = path.display().to_string();
        // Parts of files are shown too; a whole one begins with what it needs.
        let whole = |block: &&str| block.contains("listeners:");
        for block in blocks(&page).filter(whole) {
            pages += 1;
            if let Err(problems) = registry.load(&name, block) {
                panic!("{problems}");
            }
        }
    }
    assert!(pages >= 3, "{pages}");
}
