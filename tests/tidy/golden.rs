//! Every event version that was ever written can be read: the golden files hold them as they are stored.

use std::collections::{BTreeMap, BTreeSet};

use cqrs_es::DomainEvent;
use domain::hash::PayloadHash;
use domain::recorded::ChannelEvent;
use serde_json::Value;

use crate::events::{aggregate_type, envelope, payload, samples};
use crate::tree::{read, texts};

const FOLDER: &str = "tests/golden/events/";
const NEVER: &str = "never edit this file: add a version and an upcaster";

fn version(event: &ChannelEvent) -> String {
    match event {
        ChannelEvent::Target(event) => event.event_version(),
        ChannelEvent::Listing(event) => event.event_version(),
    }
}

fn path_of(event: &ChannelEvent) -> String {
    format!("{FOLDER}{}.v{}.json", event.type_name(), version(event))
}

/// The files with their event type and version, and the payloads in each.
fn golden() -> BTreeMap<String, (String, String, Vec<Value>)> {
    let mut files = BTreeMap::new();
    for (path, text) in texts(".json") {
        let Some(name) = path.strip_prefix(FOLDER).and_then(|name| name.strip_suffix(".json")) else { continue };
        let (event_type, version) =
            name.split_once(".v").unwrap_or_else(|| panic!("{path}: name it TYPE.vVERSION.json"));
        let payloads: Vec<Value> = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert!(!payloads.is_empty(), "{path} holds no payload");
        files.insert(path.clone(), (event_type.to_owned(), version.to_owned(), payloads));
    }
    files
}

#[test]
fn every_version_ever_written_is_read_and_the_current_one_is_written_the_same() {
    let current: BTreeMap<&str, (String, &str)> =
        samples().iter().map(|event| (event.type_name(), (version(event), aggregate_type(event)))).collect();
    for (path, (event_type, version, payloads)) in golden() {
        let (current_version, aggregate) = current
            .get(event_type.as_str())
            .unwrap_or_else(|| panic!("{path}: this build has no such event, but journals do; {NEVER}"));
        for stored in payloads {
            let mut row = envelope(aggregate, &event_type, &stored);
            row.event_version.clone_from(&version);
            let event = row.recorded().unwrap_or_else(|error| panic!("{path}: {}; {NEVER}", error.reason)).event;
            assert_eq!(event.type_name(), event_type, "{path}");
            if version == *current_version {
                assert_eq!(payload(&event), stored, "{path} would be written in another shape now; {NEVER}");
            }
        }
    }
}

#[test]
fn every_event_is_in_a_golden_file() {
    let golden = golden();
    for event in samples() {
        let (path, payload) = (path_of(&event), payload(&event));
        let kept = golden.get(&path).is_some_and(|(_, _, payloads)| payloads.contains(&payload));
        assert!(
            kept,
            "{path} lacks this payload. A new event: put it there. An event that journals hold already: \
            {NEVER}\n{payload:#}"
        );
    }
}

/// The files and their hashes change together or not at all, so that an edit is a thing one does on purpose.
#[test]
fn golden_files_are_frozen() {
    let frozen: BTreeSet<String> = read("tests/golden/frozen.sha256").lines().map(str::to_owned).collect();
    let files = texts(".json").into_iter().filter(|(path, _)| path.starts_with(FOLDER));
    let have: BTreeSet<String> = files
        .map(|(path, text)| format!("{}  {}", PayloadHash::of_bytes(text.as_bytes()), path.trim_start_matches(FOLDER)))
        .collect();
    let changed: Vec<&String> = frozen.difference(&have).collect();
    assert!(changed.is_empty(), "{NEVER}: {changed:#?}");
    let new: Vec<&String> = have.difference(&frozen).collect();
    assert!(new.is_empty(), "a new golden file: add its line to tests/golden/frozen.sha256: {new:#?}");
}
