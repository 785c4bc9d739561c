//! Every name between backticks in the documents is one that the sources have: a document that has fallen behind fails.

use std::collections::{BTreeMap, BTreeSet};

use crate::tree::{none, paths, read, texts, words};

const DOCUMENTS: [&str; 17] = [
    "README.md",
    "ARCHITECTURE.md",
    "INVARIANTS.md",
    "CHANGELOG.md",
    "ON_CALL.md",
    "bench/README.md",
    "deploy/README.md",
    "fuzz/README.md",
    "migrations/README.md",
    "nats/README.md",
    "services/API.md",
    "services/DASHBOARD.md",
    "services/assets/README.md",
    "telemetry/README.md",
    "tests/sandbox/README.md",
    "tests/upgrade/README.md",
    "torture/README.md",
];

/// What runs of torture leave behind, and tools of Postgres: named in the documents, and not ours to have.
const ELSEWHERE: [&str; 4] = ["arrivals.json", "database.sql", "pg_stat_statements", "pg_test_fsync"];

/// What stands between single backticks, with its line. Fenced blocks are examples, not names.
fn quoted(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            found.extend(line.split('`').skip(1).step_by(2).map(|name| (number, name)));
        }
    }
    found
}

fn is_path(name: &str) -> bool {
    let endings = [".rs", ".json", ".sql", ".toml", ".md", ".sh"];
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
    // What begins at the root is an address of the API.
    let ours = !name.starts_with('/') && !ELSEWHERE.contains(&name);
    plain && ours && (endings.iter().any(|ending| name.ends_with(ending)) || name.ends_with('/'))
}

/// A name of code: `a::b`, `snake_case` or `CamelCase`.
fn is_name(name: &str) -> bool {
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':');
    let camel = name.starts_with(|c: char| c.is_ascii_uppercase()) && name.contains(|c: char| c.is_ascii_lowercase());
    let spaced = name.contains("::") || name.trim_matches('_').contains('_');
    plain && !name.ends_with(':') && (camel || spaced) && !ELSEWHERE.contains(&name)
}

#[test]
fn every_document_is_looked_at() {
    let made = |path: &String| ["node_modules/", "target/"].iter().any(|folder| path.contains(folder));
    let documents = paths().into_iter().filter(|path| path.ends_with(".md") && !made(path));
    let missing: Vec<String> = documents.filter(|path| !DOCUMENTS.contains(&path.as_str())).collect();
    none("a document that is not in DOCUMENTS", &missing);
}

#[test]
fn paths_in_the_documents_exist() {
    let paths = paths();
    let exists = |name: &str| {
        let folder = name.ends_with('/');
        let matches = |path: &String| {
            let inside = path == name || path.ends_with(&format!("/{name}"));
            inside || folder && (path.starts_with(name) || path.contains(&format!("/{name}")))
        };
        // What is made on the machine is not in the checkout.
        name.starts_with(".dev/") || paths.iter().any(matches)
    };
    let mut found = Vec::new();
    for document in DOCUMENTS {
        let text = read(document);
        let missing = quoted(&text).into_iter().filter(|(_, name)| is_path(name) && !exists(name));
        found.extend(missing.map(|(number, name)| format!("{document}:{number} {name}")));
    }
    none("a path that does not exist", &found);
}

#[test]
fn names_in_the_documents_exist() {
    let mut sources: BTreeMap<String, String> = BTreeMap::new();
    for ending in [".rs", ".sql", ".json", ".toml", ".sh", ".yml", ".js"] {
        sources.extend(texts(ending));
    }
    let known: BTreeSet<&str> = sources.values().flat_map(|text| words(text)).collect();
    let mut found = Vec::new();
    for document in DOCUMENTS {
        let text = read(document);
        for (number, name) in quoted(&text).into_iter().filter(|(_, name)| is_name(name)) {
            let missing: Vec<&str> = name.split("::").filter(|part| !known.contains(part)).collect();
            if !missing.is_empty() {
                found.push(format!("{document}:{number} {name}: the sources have no {}", missing.join(", ")));
            }
        }
    }
    none("a name that does not exist", &found);
}

/// So it is known from what no upgrade is tried yet.
#[test]
fn migrations_that_no_older_build_has_left_are_named() {
    let all = paths();
    let left = all.iter().filter_map(|path| path.strip_prefix("tests/upgrade/schema-")?.split('/').next());
    let newest = left.max().expect("an older build left something");
    let is_later = |path: &&str| {
        let name = path.strip_prefix("migrations/").and_then(|name| name.split_once('_'));
        name.is_some_and(|(number, _)| number > newest)
    };
    let later: BTreeSet<&str> = all.iter().map(String::as_str).filter(is_later).collect();
    let page = read("tests/upgrade/README.md");
    let quoted = quoted(&page).into_iter().map(|(_, name)| name);
    let named: BTreeSet<&str> = quoted.filter(|name| name.starts_with("migrations/")).collect();
    assert_eq!(named, later, "tests/upgrade/README.md names those that are in no folder yet");
}

#[test]
fn links_in_the_documents_lead_somewhere() {
    let mut found = Vec::new();
    for document in DOCUMENTS {
        let text = read(document);
        let folder = document.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
        for part in text.split("](").skip(1) {
            let target = part.split([')', '#', ' ']).next().unwrap_or_default();
            let there = crate::tree::root().join(format!("{folder}{target}"));
            if !target.is_empty() && !target.contains("://") && !there.exists() {
                found.push(format!("{document}: {target}"));
            }
        }
    }
    none("a link to nowhere", &found);
}

/// Each invariant names the test that would fail without it.
#[test]
fn every_invariant_names_where_it_is_kept_and_its_test() {
    let text = read("INVARIANTS.md") + &read("ARCHITECTURE.md");
    let tests: BTreeSet<String> = texts(".rs")
        .values()
        .flat_map(|text| {
            let lines: Vec<&str> = text.lines().collect();
            lines
                .windows(4)
                .filter(|lines| lines[0].trim().starts_with("#[test]") || lines[0].trim().starts_with("#[tokio::test"))
                .filter_map(|lines| lines.iter().find_map(|line| line.split("fn ").nth(1)?.split('(').next()))
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .collect();
    let invariants: Vec<&str> = text.lines().filter(|line| line.starts_with("- Invariant:")).collect();
    assert!(invariants.len() >= 40, "the documents mark their invariants: {}", invariants.len());
    let lacking = |line: &&&str| {
        let names: Vec<&str> = line.split('`').skip(1).step_by(2).collect();
        let placed = names.iter().any(|name| is_path(name));
        let tested = names.iter().any(|name| tests.contains(name.rsplit("::").next().unwrap_or(name)));
        !(placed && tested)
    };
    let found: Vec<String> = invariants.iter().filter(lacking).map(|line| (*line).to_owned()).collect();
    none("an invariant without a path and a test", &found);
}
