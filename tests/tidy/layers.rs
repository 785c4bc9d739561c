//! Who may import whom: services → projections, adapters → domain. The domain is pure, and subjects have one home.

use std::collections::{BTreeMap, BTreeSet};

use crate::tree::{code, none, paths, read, texts, words};

struct Layer {
    folder: &'static str,
    /// Its name in other packages' sources.
    name: &'static str,
    /// Our own crates that it may use, in its tests too.
    own: &'static [&'static str],
    /// Crates of others that it must never use.
    never: &'static [&'static str],
}

const LAYERS: [Layer; 10] = [
    Layer {
        folder: "domain",
        name: "domain",
        own: &[],
        never: &[
            "tokio",
            "tokio-util",
            "sqlx",
            "async-nats",
            "reqwest",
            "axum",
            "hyper",
            "postgres-es",
            "clap",
            "rand",
            "tracing",
            "futures",
            "anyhow",
        ],
    },
    Layer {
        folder: "projections",
        name: "projections",
        own: &["domain"],
        never: &["async-nats", "reqwest", "axum", "hyper", "cqrs-es", "postgres-es", "clap", "rand", "anyhow"],
    },
    Layer { folder: "adapters", name: "adapters", own: &["domain"], never: &["axum", "hyper", "clap", "anyhow"] },
    Layer {
        folder: "services",
        name: "services",
        own: &["domain", "projections", "adapters"],
        never: &["reqwest", "postgres-es"],
    },
    Layer {
        folder: "tests",
        name: "end_to_end",
        own: &["domain", "projections", "adapters", "services"],
        never: &["hyper"],
    },
    Layer {
        folder: "tests/sandbox",
        name: "hostaway_sandbox",
        own: &[],
        never: &["sqlx", "async-nats", "cqrs-es", "postgres-es"],
    },
    Layer {
        folder: "bench",
        name: "bench",
        own: &["domain", "projections", "adapters", "services", "end-to-end", "end_to_end"],
        never: &["axum", "postgres-es"],
    },
    Layer {
        folder: "torture",
        name: "torture",
        own: &["domain", "projections", "adapters", "services", "end-to-end", "end_to_end", "demo"],
        never: &["axum", "hyper", "cqrs-es", "postgres-es"],
    },
    // Outside of the workspace: it is built in another way.
    Layer { folder: "fuzz", name: "fuzz", own: &["domain", "adapters", "services"], never: &[] },
    Layer { folder: "tests/demo", name: "demo", own: &["domain"], never: &["axum", "hyper", "cqrs-es", "postgres-es"] },
];

fn layer_of(path: &str) -> Option<&'static Layer> {
    // The longest folder: tests/demo is not tests.
    let holds = |layer: &&Layer| path.strip_prefix(layer.folder).is_some_and(|rest| rest.starts_with('/'));
    LAYERS.iter().filter(holds).max_by_key(|layer| layer.folder.len())
}

/// The names of a manifest's dependencies, dev and build ones too.
fn dependencies(manifest: &toml::Table) -> BTreeSet<String> {
    let kinds = ["dependencies", "dev-dependencies", "build-dependencies"];
    let tables = kinds.iter().filter_map(|kind| manifest.get(*kind)?.as_table());
    tables.flat_map(|table| table.keys().cloned()).collect()
}

fn manifest(path: &str) -> toml::Table {
    read(path).parse().unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn every_package_of_the_workspace_has_a_layer() {
    let workspace = manifest("Cargo.toml");
    let members = workspace["workspace"]["members"].as_array().expect("the workspace has members");
    let members: BTreeSet<&str> = members.iter().filter_map(toml::Value::as_str).chain(["fuzz"]).collect();
    assert_eq!(members, LAYERS.iter().map(|layer| layer.folder).collect());
}

#[test]
fn manifests_keep_to_the_layers() {
    let workspace = manifest("Cargo.toml");
    let all = workspace["workspace"]["dependencies"].as_table().expect("the workspace has dependencies");
    let own: BTreeSet<&String> =
        all.iter().filter(|(_, how)| how.get("path").is_some()).map(|(name, _)| name).collect();
    let mut found = Vec::new();
    for layer in &LAYERS {
        for name in dependencies(&manifest(&format!("{}/Cargo.toml", layer.folder))) {
            let foreign = own.contains(&name) && !layer.own.contains(&name.as_str());
            if foreign || layer.never.contains(&name.as_str()) {
                found.push(format!("{}/Cargo.toml depends on {name}", layer.folder));
            }
        }
    }
    none("a dependency against the layers", &found);
}

/// Whether the line uses this crate: its name at the start of a path.
fn uses(line: &str, name: &str) -> bool {
    line.match_indices(name).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let starts = before.is_none_or(|c| !c.is_ascii_alphanumeric() && c != '_' && c != ':' && c != '"');
        starts && line[at + name.len()..].starts_with("::")
    })
}

#[test]
fn sources_keep_to_the_layers() {
    let mut found = Vec::new();
    for (path, text) in texts(".rs") {
        let layer = layer_of(&path).unwrap_or_else(|| panic!("{path} is in no layer"));
        for (number, line) in code(&text) {
            for other in LAYERS.iter().filter(|other| other.name != layer.name && !layer.own.contains(&other.name)) {
                // A module of that name: `mod demo;` in another package.
                if uses(line, other.name) && !text.contains(&format!("mod {};", other.name)) {
                    found.push(format!("{path}:{number} uses {}", other.name));
                }
            }
        }
    }
    none("an import against the layers", &found);
}

/// The modules at the top of a package, each with those that it uses.
fn imports(sources: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (path, text) in texts(".rs") {
        let Some(inside) = path.strip_prefix(sources) else { continue };
        let module = inside.split('/').next().unwrap_or_default().trim_end_matches(".rs").to_owned();
        for (number, line) in code(&text) {
            assert!(!line.contains("crate::{"), "{path}:{number}: name each module with a path of its own");
            let named = line.split("crate::").skip(1).filter_map(|rest| words(rest).next());
            uses.entry(module.clone()).or_default().extend(named.filter(|named| *named != module).map(str::to_owned));
        }
    }
    // What is named and has no file there is a folder of the fuzzer's, for tests.
    let modules: BTreeSet<String> = uses.keys().cloned().collect();
    uses.values_mut().for_each(|used| used.retain(|named| modules.contains(named)));
    uses
}

/// A circle would be one module under several names. So the API knows nothing of the dashboard that works through it, and
/// the fleet of a torture nothing of its plan.
#[test]
fn the_modules_of_a_package_import_each_other_one_way() {
    let known = [
        ("services/src/", [("dashboard", "api"), ("http", "dashboard")]),
        ("torture/src/", [("fleet", "far"), ("chaos", "plan")]),
    ];
    for (sources, known) in known {
        let mut uses = imports(sources);
        assert!(known.iter().all(|(module, used)| uses[*module].contains(*used)), "imports of {sources} are found");
        // Whoever uses nothing that is left is in no circle.
        while let Some(free) = uses.iter().find(|(_, used)| used.is_empty()).map(|(module, _)| module.clone()) {
            uses.remove(&free);
            uses.values_mut().for_each(|used| _ = used.remove(&free));
        }
        let circle: Vec<String> =
            uses.iter().map(|(module, used)| format!("{sources}{module} uses {used:?}")).collect();
        none("modules that import each other in a circle, or follow from one", &circle);
    }
}

/// Time, randomness, ids and the environment come in as arguments, or a replay would not give what was.
#[test]
fn the_domain_and_the_read_models_are_deterministic() {
    let impure = [
        "Utc::now(",
        "Local::now(",
        "SystemTime::now(",
        "Instant::now(",
        "Uuid::new_v4(",
        "Uuid::now_v7(",
        "rand::",
        "std::env::",
        "std::fs::",
        "std::net::",
        "std::thread::",
        "thread::sleep(",
    ];
    let mut found = Vec::new();
    for (path, text) in texts(".rs") {
        if !path.starts_with("domain/src/") && !path.starts_with("projections/src/") {
            continue;
        }
        for (number, line) in code(&text) {
            found.extend(
                impure.iter().filter(|call| line.contains(**call)).map(|call| format!("{path}:{number} {call}")),
            );
        }
    }
    none("an effect where there must be none", &found);
}

/// CloudEvents types look like subjects, and are constants of the contract.
const EVENT_TYPES: [&str; 2] = ["channels.audit.v1", "supply.unit.changed.v1"];

#[test]
fn subjects_are_built_in_one_place() {
    let mut found = Vec::new();
    for (path, text) in texts(".rs") {
        if path == "adapters/src/nats/subject.rs" || path.starts_with("tests/") || path.contains("/tests/") {
            continue;
        }
        for (number, line) in code(&text) {
            for start in ["\"channels.", "\"supply."] {
                let literals = line.match_indices(start).map(|(at, _)| &line[at + 1..]);
                let built =
                    literals.filter_map(|rest| rest.split('"').next()).filter(|text| !EVENT_TYPES.contains(text));
                found.extend(built.map(|text| format!("{path}:{number} {text:?}")));
            }
        }
    }
    none("a subject outside of adapters/src/nats/subject.rs", &found);
}

/// Another channel is added beside Hostaway, not around it.
#[test]
fn few_places_know_hostaway() {
    let may = |path: &str| {
        path.starts_with("adapters/src/hostaway")
            || path.starts_with("domain/src/mapping")
            || path == "services/src/serve.rs"
    };
    let mut found = Vec::new();
    for (path, text) in texts(".rs") {
        if !path.contains("/src/") || path.starts_with("tests/") || may(&path) {
            continue;
        }
        found.extend(
            code(&text).filter(|(_, line)| line.contains("hostaway::")).map(|(number, _)| format!("{path}:{number}")),
        );
    }
    none("code that knows Hostaway", &found);
}

#[test]
fn folders_are_named_for_what_they_hold() {
    let vague = ["utils", "util", "common", "helpers", "helper", "misc", "shared"];
    let is_vague = |path: &String| path.split('/').any(|part| vague.contains(&part.trim_end_matches(".rs")));
    let found: Vec<String> = paths().into_iter().filter(is_vague).collect();
    none("a name that says nothing", &found);
}
