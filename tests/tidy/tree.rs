//! The checkout as the tests see it: every file that belongs to the project, by its path from the root.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Folders at the root that are made, not written.
const MADE: [&str; 3] = ["target", ".dev", ".git"];

/// The root of the checkout.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package is in the checkout").to_owned()
}

/// Every file, with `/` between its folders.
pub fn paths() -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder can be read") {
            let entry = entry.expect("an entry can be read");
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_folder = entry.file_type().expect("an entry has a type").is_dir();
            if is_folder && (folder != root() || !MADE.contains(&name.as_str())) {
                folders.push(entry.path());
            } else if !is_folder {
                let path = entry.path();
                let short = path.strip_prefix(root()).expect("it is below the root");
                found.push(short.to_string_lossy().replace('\\', "/"));
            }
        }
    }
    found.sort_unstable();
    found
}

/// The text of a file.
pub fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every file with this ending, with its text.
pub fn texts(ending: &str) -> BTreeMap<String, String> {
    paths().into_iter().filter(|path| path.ends_with(ending)).map(|path| (path.clone(), read(&path))).collect()
}

/// Lines of code, numbered from 1: without those that are comments.
pub fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, line)).filter(|(_, line)| !line.trim().starts_with("//"))
}

/// Words of a text: runs of letters, digits and underscores.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// Fails with the whole list, if there is any.
pub fn none(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n  {}", found.join("\n  "));
}
