//! No two modules of a crate import each other, by way of others neither: such a circle is one module under several names.
//! What a module has below it is a part of it, and counts for neither side.

use std::collections::{BTreeMap, BTreeSet};

use crate::tree::{code, none, texts};

const CRATES: [&str; 4] = ["domain/src/", "projections/src/", "adapters/src/", "services/src/"];

type Imports = BTreeMap<String, BTreeSet<String>>;

/// The paths that a text names from `crate` or `super` on, as seen in `module`; each name in braces is a path.
fn named(text: &str, module: &[&str]) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for (start, from) in [("crate::", 0), ("super::", module.len().saturating_sub(1))] {
        for (at, _) in text.match_indices(start) {
            let before = text[..at].chars().next_back();
            if before.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':') {
                continue;
            }
            let mut rest = &text[at + start.len()..];
            let mut base: Vec<String> = module[..from].iter().map(|part| (*part).to_owned()).collect();
            while let Some(further) = rest.strip_prefix("super::") {
                base.pop();
                rest = further;
            }
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':').unwrap_or(rest.len());
            let (path, after) = rest.split_at(end);
            base.extend(path.split("::").filter(|part| !part.is_empty()).map(str::to_owned));
            match after.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
                None => found.push(base),
                Some((inner, _)) => found.extend(inner.split(',').map(|name| {
                    let parts = name.trim().split("::").filter(|part| !part.is_empty() && *part != "self");
                    base.iter().cloned().chain(parts.map(str::to_owned)).collect()
                })),
            }
        }
    }
    found
}

/// What each module of a crate imports of it, but for what is above or below itself.
fn imports(folder: &str, files: &BTreeMap<String, String>) -> Imports {
    let module = |path: &String| path.strip_prefix(folder).map(|inside| inside.trim_end_matches(".rs").to_owned());
    let modules: BTreeSet<String> = files.keys().filter_map(module).collect();
    let mut imports = Imports::new();
    for (path, text) in files {
        let Some(module) = module(path) else { continue };
        // Tests inside of a file may look at what their module serves.
        let product = text.split("#[cfg(test)]").next().unwrap_or_default();
        let product: String = code(product).map(|(_, line)| format!("{line}\n")).collect();
        let parts: Vec<&str> =
            if ["lib", "main"].contains(&module.as_str()) { Vec::new() } else { module.split('/').collect() };
        for named in named(&product, &parts) {
            let known =
                (1..=named.len()).rev().map(|length| named[..length].join("/")).find(|name| modules.contains(name));
            let apart = |other: &String| {
                *other != module
                    && !other.starts_with(&format!("{module}/"))
                    && !module.starts_with(&format!("{other}/"))
            };
            imports.entry(module.clone()).or_default().extend(known.filter(apart));
        }
    }
    imports
}

#[test]
fn no_two_modules_of_a_crate_import_each_other() {
    let files = texts(".rs");
    for folder in CRATES {
        let mut imports = imports(folder, &files);
        let count = imports.values().map(BTreeSet::len).sum::<usize>();
        assert!(count > 20, "{folder}: {count} imports are found");
        // Whoever imports nothing that is left is in no circle.
        loop {
            let left: BTreeSet<String> = imports.keys().cloned().collect();
            imports.values_mut().for_each(|used| used.retain(|other| left.contains(other)));
            let before = imports.len();
            imports.retain(|_, used| !used.is_empty());
            if imports.len() == before {
                break;
            }
        }
        let circle: Vec<String> =
            imports.iter().map(|(module, used)| format!("{folder}{module} imports {used:?}")).collect();
        none("modules that import each other in a circle, or follow from one", &circle);
    }
}

#[test]
fn imports_are_seen_however_they_are_written() {
    let text = "use crate::views::{audit, queue::STATUS};\nuse super::super::api;\nlet x = super::words::all();";
    let seen: BTreeSet<String> =
        named(text, &["views", "explain", "rules"]).iter().map(|path| path.join("/")).collect();
    let wanted = ["views/audit", "views/queue/STATUS", "views/api", "views/explain/words/all"];
    assert_eq!(seen, wanted.map(str::to_owned).into());
}
