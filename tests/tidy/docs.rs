//! Every name between backticks in the documents is one that the code has, where a document says that it is: one that has fallen behind
//! fails. What stands in comments alone counts for nothing.

use std::collections::{BTreeMap, BTreeSet};

use crate::tree::{none, paths, read, texts, words};

const DOCUMENTS: [&str; 27] = [
    "README.md",
    "ARCHITECTURE.md",
    "BAD_INPUT.md",
    "CRASHES.md",
    "INVARIANTS.md",
    "CHANGELOG.md",
    "ON_CALL.md",
    "adapters/src/dispatch/README.md",
    "adapters/src/event_store/README.md",
    "adapters/src/identity/README.md",
    "bench/README.md",
    "deploy/README.md",
    "fuzz/README.md",
    "migrations/README.md",
    "nats/README.md",
    "services/API.md",
    "services/DASHBOARD.md",
    "services/assets/README.md",
    "services/src/api/README.md",
    "services/src/dashboard/README.md",
    "services/src/dispatcher/README.md",
    "services/src/relay/README.md",
    "services/src/views/README.md",
    "telemetry/README.md",
    "tests/sandbox/README.md",
    "tests/upgrade/README.md",
    "torture/README.md",
];

/// What runs of torture leave behind, tools of Postgres, and what a standard has and we do not send: named in the documents, and not
/// ours to have.
const ELSEWHERE: [&str; 5] = ["arrivals.json", "database.sql", "id_token_hint", "pg_stat_statements", "pg_test_fsync"];

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

/// The files that a document may mean by a path: from the root, from its own folder, or by an end that one file alone has.
fn meant<'a>(document: &str, name: &str, paths: &'a [String]) -> Vec<&'a String> {
    let beside = document.rsplit_once('/').map_or(name.to_owned(), |(folder, _)| format!("{folder}/{name}"));
    if name.ends_with('/') {
        return paths.iter().filter(|path| path.starts_with(name) || path.starts_with(&beside)).collect();
    }
    let exact: Vec<&String> = paths.iter().filter(|path| **path == name || **path == beside).collect();
    if exact.is_empty() {
        return paths.iter().filter(|path| path.ends_with(&format!("/{name}"))).collect();
    }
    exact
}

#[test]
fn paths_in_the_documents_lead_to_one_file() {
    let paths = paths();
    let leads = |document: &str, name: &str| {
        let found = meant(document, name, &paths);
        // What is made on the machine is not in the checkout. What each folder below a document has, that tells of once.
        let folder = document.rsplit_once('/').map(|(folder, _)| format!("{folder}/"));
        let are_below = folder.is_some_and(|folder| found.iter().all(|path| path.starts_with(&folder)));
        let is_clear = found.len() == 1 || name.ends_with('/') || are_below;
        name.starts_with(".dev/") || !found.is_empty() && is_clear
    };
    let mut found = Vec::new();
    for document in DOCUMENTS {
        let text = read(document);
        let missing = quoted(&text).into_iter().filter(|(_, name)| is_path(name) && !leads(document, name));
        found.extend(missing.map(|(number, name)| format!("{document}:{number} {name}")));
    }
    none("a path that does not exist, or that several files end with", &found);
}

/// Lines of code of a source; of other files, what is no comment.
fn product(path: &str, text: &str) -> String {
    let comment = match path.rsplit('.').next() {
        Some("rs" | "js") => "//",
        Some("sql") => "--",
        Some("toml" | "sh" | "yml") => "#",
        _ => return text.to_owned(),
    };
    text.lines().filter(|line| !line.trim().starts_with(comment)).map(|line| format!("{line}\n")).collect()
}

/// What stands before a name where it is defined.
const KINDS: [&str; 9] = ["fn", "struct", "enum", "const", "static", "trait", "mod", "type", "macro_rules"];

/// The names that Rust code defines: items, and the variants and fields that begin a line.
fn defined(code: &str) -> BTreeSet<&str> {
    let mut found = BTreeSet::new();
    for line in code.lines() {
        let named: Vec<&str> = words(line).collect();
        found.extend(named.windows(2).filter(|pair| KINDS.contains(&pair[0])).map(|pair| pair[1]));
        let line = line.trim();
        let shown = ["pub ", "pub(crate) ", "pub(super) "].iter().find_map(|open| line.strip_prefix(open));
        let line = shown.unwrap_or(line);
        let Some(first) = words(line).next() else { continue };
        let Some(after) = line.strip_prefix(first).map(str::trim_start) else { continue };
        let is_variant = first.starts_with(|c: char| c.is_ascii_uppercase()) && after.starts_with([',', '(', '{', '=']);
        if is_variant || after.starts_with(": ") {
            found.insert(first);
        }
    }
    found
}

/// Whether a file has what belongs to a type, a module or a package: it defines it, implements something of it, or is a part of it.
fn belongs_to(owner: &str, path: &str, code: &str, defined: &BTreeSet<&str>) -> bool {
    let is_within = path.ends_with(&format!("/{owner}.rs")) || format!("/{path}").contains(&format!("/{owner}/"));
    let implements = |line: &str| line.trim_start().starts_with("impl") && words(line).any(|word| word == owner);
    is_within || defined.contains(owner) || code.lines().any(implements)
}

/// The names that a document says to be in a file, with the file: `` `NAME` in `PATH` ``. Where the name stands before the file in
/// brackets, it may be defined elsewhere and used there.
fn placed(text: &str) -> Vec<(&str, &str, bool)> {
    let mut found = Vec::new();
    let outside = text.split("```").step_by(2);
    for paragraph in outside.flat_map(|part| part.split("\n\n")) {
        let parts: Vec<&str> = paragraph.split('`').collect();
        for at in (1..parts.len().saturating_sub(2)).step_by(2) {
            let (name, path) = (parts[at], parts[at + 2]);
            let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':');
            let is_placed = plain && !name.is_empty() && is_path(path) && !path.ends_with('/');
            match parts[at + 1].trim() {
                "in" if is_placed => {
                    found.push((name, path, true));
                    // Two of them together.
                    if at > 2 && parts[at - 1].trim() == "and" && is_name(parts[at - 2]) {
                        found.push((parts[at - 2], path, true));
                    }
                }
                "(" if is_placed && is_name(name) => found.push((name, path, false)),
                _ => {}
            }
        }
    }
    found
}

/// The code of every file that the documents may name things of.
fn sources() -> BTreeMap<String, String> {
    let endings = [".rs", ".sql", ".json", ".toml", ".sh", ".yml", ".js"];
    let all = endings.into_iter().flat_map(texts);
    all.map(|(path, text)| (path.clone(), product(&path, &text))).collect()
}

#[test]
fn names_in_the_documents_exist() {
    let sources = sources();
    let known: BTreeSet<&str> = sources.values().flat_map(|code| words(code)).collect();
    let rust = sources.iter().filter(|(path, _)| path.ends_with(".rs"));
    let defining: Vec<(&str, &str, BTreeSet<&str>)> =
        rust.map(|(path, code)| (path.as_str(), code.as_str(), defined(code))).collect();
    let has = |owner: &str, name: &str| {
        let mut files = defining.iter();
        files.any(|(path, code, defined)| defined.contains(name) && belongs_to(owner, path, code, defined))
    };
    let mut found = Vec::new();
    for document in DOCUMENTS {
        let text = read(document);
        for (number, name) in quoted(&text).into_iter().filter(|(_, name)| is_name(name)) {
            let parts: Vec<&str> = name.split("::").collect();
            let missing: Vec<&str> = parts.iter().copied().filter(|part| !known.contains(part)).collect();
            if !missing.is_empty() {
                found.push(format!("{document}:{number} {name}: no code has {}", missing.join(", ")));
            } else if let [.., owner, last] = parts[..]
                && !has(owner, last)
            {
                found.push(format!("{document}:{number} {name}: {owner} has none"));
            }
        }
    }
    none("a name that does not exist", &found);
}

#[test]
fn names_are_in_the_files_that_the_documents_name_for_them() {
    let (paths, sources) = (paths(), sources());
    let mut looked_at = 0;
    let mut found = Vec::new();
    for document in DOCUMENTS {
        let text = read(document);
        for (name, path, is_defined) in placed(&text) {
            looked_at += 1;
            let last = name.rsplit("::").next().unwrap_or(name);
            let is_there = |file: &&String| {
                let Some(code) = sources.get(*file) else { return false };
                let defines = is_defined && file.ends_with(".rs");
                if defines { defined(code).contains(last) } else { words(code).any(|word| word == last) }
            };
            if !meant(document, path, &paths).iter().any(is_there) {
                found.push(format!("{document}: {name} is not in {path}"));
            }
        }
    }
    assert!(looked_at > 60, "the documents say where things are: {looked_at}");
    none("a name that is not where a document says", &found);
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

/// What a link to a heading is called, as GitHub has it.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// The headings of a text, as links name them. What is fenced has none.
fn anchors(text: &str) -> BTreeSet<String> {
    let lines = text.split("```").step_by(2).flat_map(str::lines);
    lines.filter(|line| line.starts_with('#')).map(|line| anchor(line.trim_start_matches('#').trim())).collect()
}

#[test]
fn links_in_the_documents_lead_somewhere() {
    let mut found = Vec::new();
    for document in DOCUMENTS {
        let text = read(document);
        let folder = document.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
        for part in text.split("](").skip(1) {
            let link = part.split([')', ' ']).next().unwrap_or_default();
            let (target, section) = link.split_once('#').unwrap_or((link, ""));
            if target.contains("://") {
                continue;
            }
            let file = if target.is_empty() { document.to_owned() } else { format!("{folder}{target}") };
            let there = crate::tree::root().join(file);
            let leads = std::fs::read_to_string(&there).map_or(there.exists(), |text| {
                section.is_empty() || !link.contains(".md") && !target.is_empty() || anchors(&text).contains(section)
            });
            if !leads {
                found.push(format!("{document}: {link}"));
            }
        }
    }
    none("a link to nowhere", &found);
}

/// What a newcomer reads first is a map: it fits into an hour, and its lines onto a screen. What is too long for a row of a table is a list.
#[test]
fn what_is_read_first_is_short() {
    let words = read("ARCHITECTURE.md").split_whitespace().count();
    assert!(words < 10_000, "the cases of a part stand beside its code: ARCHITECTURE.md has {words} words");
    let mut found = Vec::new();
    for document in ["README.md", "ARCHITECTURE.md", "BAD_INPUT.md", "CRASHES.md", "INVARIANTS.md", "ON_CALL.md"] {
        let text = read(document);
        let long = (1..).zip(text.lines()).filter(|(_, line)| line.chars().count() > 200);
        found.extend(long.map(|(number, _)| format!("{document}:{number}")));
    }
    none("a line of more than 200 characters", &found);
}

/// The invariants of a text, each as one line: what goes on below the first one is indented.
fn invariants(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut is_within = false;
    for line in text.lines() {
        let begins = line.starts_with("- Invariant:");
        is_within = begins || is_within && line.starts_with("  ");
        if begins {
            found.push(line.to_owned());
        } else if is_within && let Some(last) = found.last_mut() {
            last.push(' ');
            last.push_str(line.trim());
        }
    }
    found
}

/// Each invariant names the test that would fail without it.
#[test]
fn every_invariant_names_where_it_is_kept_and_its_test() {
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
    let told: Vec<String> = DOCUMENTS.iter().flat_map(|document| invariants(&read(document))).collect();
    assert!(told.len() >= 100, "the documents mark their invariants: {}", told.len());
    let lacking = |line: &&String| {
        let names: Vec<&str> = line.split('`').skip(1).step_by(2).collect();
        let placed = names.iter().any(|name| is_path(name));
        let tested = names.iter().any(|name| tests.contains(name.rsplit("::").next().unwrap_or(name)));
        !(placed && tested)
    };
    let found: Vec<String> = told.iter().filter(lacking).cloned().collect();
    none("an invariant without a path and a test", &found);
}
