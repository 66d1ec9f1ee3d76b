//! `heptad codec new NAME --described`: writes a description to begin with. The starter is a whole
//! protocol that passes its own test, so that every change to it can be tried at once.

use std::{
    fs::OpenOptions,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use super::coded::wrong;
use crate::failed;

/// The starter; `@NAME@` stands for the protocol's name.
const STARTER: &str = include_str!("starter.yaml");

/// Writes `NAME.yaml` into the folder, unless it is there already.
pub(crate) fn new(name: &str, folder: &Path) -> ExitCode {
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    if name.is_empty() || !name.chars().all(word) {
        return wrong(&format!("'{name}' is not one word in lower case"));
    }
    let file = format!("{name}.yaml");
    // People write the folder they are in as nothing.
    let path = if folder == Path::new(".") { PathBuf::from(file) } else { folder.join(file) };
    let file = OpenOptions::new().write(true).create_new(true).open(&path);
    let text = STARTER.replace("@NAME@", name);
    match file.and_then(|mut file| file.write_all(text.as_bytes())) {
        Ok(()) => {
            let path = path.display();
            println!("{path} describes a protocol; change it into yours, and then\n");
            println!("  heptad codec test {path}");
            ExitCode::SUCCESS
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            wrong(&format!("{} is there already", path.display()))
        }
        Err(error) => failed(format!("cannot write {}: {error}", path.display())),
    }
}
