//! What every source file keeps to: it says what it is for, it is short, and nothing in it is unfinished.

use crate::tree::{none, texts};

const LONGEST: usize = 400;
const LONGEST_TEST: usize = 600;

fn is_test(path: &str) -> bool {
    path.starts_with("tests/") || path.contains("/tests/")
}

#[test]
fn every_file_says_what_it_is_for() {
    let silent = |(path, text): (String, String)| {
        let first = text.lines().next().unwrap_or_default();
        (first.len() < 8 || !first.starts_with("//! ")).then_some(path)
    };
    none("a file without a doc at its top", &texts(".rs").into_iter().filter_map(silent).collect::<Vec<_>>());
}

#[test]
fn files_are_short() {
    let long = |(path, text): (String, String)| {
        let (lines, most) = (text.lines().count(), if is_test(&path) { LONGEST_TEST } else { LONGEST });
        (lines > most).then(|| format!("{path} has {lines} lines; {most} are the most"))
    };
    none("a file that does too much", &texts(".rs").into_iter().filter_map(long).collect::<Vec<_>>());
}

#[test]
fn nothing_is_left_for_later() {
    // Put together here, so that this file does not find itself.
    let marks =
        [["TO", "DO"].concat(), ["FIX", "ME"].concat(), ["todo", "!("].concat(), ["unimplemented", "!("].concat()];
    let mut found = Vec::new();
    for (path, text) in [".rs", ".sql", ".sh", ".toml", ".md"].into_iter().flat_map(texts) {
        for (number, line) in (1..).zip(text.lines()) {
            found
                .extend(marks.iter().filter(|mark| line.contains(*mark)).map(|mark| format!("{path}:{number} {mark}")));
        }
    }
    none("something unfinished", &found);
}

#[test]
fn modules_stand_in_files_of_their_name() {
    let named: Vec<String> = texts("/mod.rs").into_keys().collect();
    none("a file named mod", &named);
}
