//! What the binary says of itself, and the commands of the documents, each of which it has to know.

use std::collections::BTreeMap;
use std::process::Command;

use end_to_end::process::binary;

use crate::tree::{none, read};

/// The help of a command, and whether there is such a command.
pub fn help(command: &[&str]) -> (bool, String) {
    let program = binary("distribution").expect("the programs are built first");
    let output = Command::new(program).args(command).arg("--help").output().expect("it can be run");
    (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Commands after `distribution ` in what is quoted or fenced: the words up to the first that is no name of a command, and
/// the flags.
fn commands(text: &str) -> Vec<(usize, Vec<&str>, Vec<&str>)> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            continue;
        }
        let parts: Vec<&str> = if fenced { vec![line] } else { line.split('`').skip(1).step_by(2).collect() };
        for part in parts {
            let Some(rest) = part.trim_start().strip_prefix("distribution ") else { continue };
            let rest = rest.split(" #").next().unwrap_or_default();
            let is_word =
                |word: &&str| word.chars().all(|c| c.is_ascii_lowercase() || c == '-') && !word.starts_with('-');
            let words: Vec<&str> = rest.split_whitespace().take_while(is_word).take(2).collect();
            let flags = rest.split_whitespace().filter(|word| word.starts_with("--")).collect();
            found.push((number, words, flags));
        }
    }
    found
}

#[test]
fn commands_in_the_documents_exist() {
    let mut helps: BTreeMap<Vec<&str>, (bool, String)> = BTreeMap::new();
    let documents = ["ON_CALL.md", "README.md", "deploy/README.md"].map(|document| (document, read(document)));
    let mut found = Vec::new();
    let mut count = 0;
    for (document, text) in &documents {
        for (number, words, flags) in commands(text) {
            count += 1;
            let (exists, help) = helps.entry(words.clone()).or_insert_with(|| help(&words));
            if !*exists {
                found.push(format!("{document}:{number} distribution {}", words.join(" ")));
            }
            let unknown =
                flags.iter().filter(|flag| !help.contains(&format!("{flag} ")) && !help.contains(&format!("{flag}\n")));
            found.extend(unknown.map(|flag| format!("{document}:{number} {} {flag}", words.join(" "))));
        }
    }
    assert!(count > 40, "the documents have commands: {count}");
    none("a command that does not exist", &found);
}
