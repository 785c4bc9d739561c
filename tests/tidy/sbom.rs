//! The bill of materials has what is in the binary and no crate: the browser's libraries, by package, version, licence and hash.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::tree::{none, paths, read, root};

const ASSETS: &str = "services/assets/";
const SCRIPT: &str = "dev/sbom-vendored";

/// What `dev/sbom` does with a bill of crates, in this checkout or in a copy of it.
fn add_to(bill: &Path, checkout: &Path) -> Output {
    let crates = json!({
        "bomFormat": "CycloneDX", "specVersion": "1.5",
        "metadata": { "component": { "bom-ref": "services" } },
        "components": [{ "bom-ref": "sqlx", "name": "sqlx" }],
        "dependencies": [{ "ref": "services", "dependsOn": ["sqlx"] }],
    });
    std::fs::write(bill, crates.to_string()).expect("a folder of our own");
    Command::new("python3")
        .arg(checkout.join(SCRIPT))
        .arg(bill)
        .output()
        .expect("Python is there, as README.md asks for it")
}

fn assets() -> Vec<String> {
    paths().iter().filter_map(|path| path.strip_prefix(ASSETS)).map(str::to_owned).collect()
}

/// The line of the folder's README that tells of a file.
fn told_of(name: &str) -> String {
    let readme = read("services/assets/README.md");
    let line = readme.lines().find(|line| line.contains(&format!("`{name}`")));
    line.unwrap_or_else(|| panic!("services/assets/README.md does not name {name}")).to_owned()
}

#[test]
fn every_vendored_file_is_in_the_bill_of_materials() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("bill.cdx.json");
    let done = add_to(&file, &root());
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let bill: Value = serde_json::from_slice(&std::fs::read(&file).expect("it is there")).expect("it is JSON");
    let parts = bill["components"].as_array().expect("components");
    assert_eq!(parts[0]["name"], "sqlx", "what was there stays");
    let needed = bill["dependencies"][0]["dependsOn"].as_array().expect("dependencies");
    assert!(needed.contains(&json!("sqlx")), "{needed:?}");
    let mut files = BTreeSet::new();
    for library in &parts[1..] {
        let version = library["version"].as_str().expect("a library has a version");
        assert!(library["purl"].is_string() && library["licenses"][0]["license"]["id"].is_string(), "{library:#}");
        assert!(needed.contains(&library["bom-ref"]), "{needed:?}");
        for file in library["components"].as_array().into_iter().flatten() {
            let name = file["name"].as_str().expect("a file has a name");
            assert_eq!(file["hashes"][0]["content"].as_str().map(str::len), Some(64), "{file:#}");
            let told = told_of(name);
            assert!(
                told.contains(&format!(" {version}")),
                "{name} is not of {version}, or another one is told of: {told}"
            );
            files.insert(name.to_owned());
        }
        // In the binary by way of a crate that builds another one, so that no bill of crates has it.
        for property in library["properties"].as_array().into_iter().flatten() {
            if let Some((name, version)) = property["value"].as_str().and_then(|value| value.split_once(' ')) {
                let locked = format!("name = \"{name}\"\nversion = \"{version}\"\n");
                assert!(
                    read("Cargo.lock").contains(&locked),
                    "look at vendored.cdx.json: another {name} than {version}"
                );
            }
        }
    }
    assert!(parts.iter().any(|part| part["name"] == "swagger-ui"), "{parts:#?}");
    let is_ours = |name: &str| ["README.md", "vendored.cdx.json"].contains(&name) || told_of(name).contains("our own");
    let lacking: Vec<String> = assets().into_iter().filter(|name| !files.contains(name) && !is_ours(name)).collect();
    none("a file that services/assets/vendored.cdx.json lacks", &lacking);
}

#[test]
fn a_vendored_file_that_was_changed_gives_no_bill_of_materials() {
    let copy = tempfile::tempdir().expect("a folder");
    let place = |path: &str| copy.path().join(path);
    std::fs::create_dir_all(place(ASSETS)).expect("a folder of our own");
    std::fs::create_dir_all(place("dev")).expect("a folder of our own");
    std::fs::copy(root().join(SCRIPT), place(SCRIPT)).expect("a copy");
    for name in assets() {
        let path = format!("{ASSETS}{name}");
        std::fs::copy(root().join(&path), place(&path)).expect("a copy");
    }
    let bill = place("bill.cdx.json");
    assert!(add_to(&bill, copy.path()).status.success(), "the copy is whole");
    let changed = place("services/assets/htmx.min.js");
    std::fs::write(&changed, [std::fs::read(&changed).expect("it is there"), b"\n".to_vec()].concat()).expect("ours");
    let refused = add_to(&bill, copy.path());
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("htmx.min.js is not the one of pkg:npm/htmx.org@"), "{said}");
}
