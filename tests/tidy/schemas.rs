//! The contracts in nats/schemas: valid JSON Schema, passed by their examples and by everything that this service
//! writes, and no looser than they say.

use std::collections::BTreeSet;

use adapters::event_store::StoredEvent;
use adapters::nats::in_journal::InJournal;
use domain::audit::{AuditEvent, audit_events};
use domain::outcome::SyncOutcome;
use serde_json::Value;

use crate::events::{recorded, samples, stored};
use crate::tree::{read, texts};

fn json(path: &str) -> Value {
    serde_json::from_str(&read(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn schema(name: &str) -> jsonschema::Validator {
    let path = format!("nats/schemas/{name}.json");
    let schema = json(&path);
    assert!(jsonschema::meta::is_valid(&schema), "{path} is no valid JSON Schema");
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema", "{path}");
    jsonschema::validator_for(&schema).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[track_caller]
fn passes(schema: &jsonschema::Validator, what: &str, body: &Value) {
    let errors: Vec<String> =
        schema.iter_errors(body).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{what} breaks its schema:\n  {}\n{body:#}", errors.join("\n  "));
}

/// The files of a folder, by what stands before their `.v1`.
fn contracts(folder: &str) -> BTreeSet<String> {
    let files = texts(".json").into_keys();
    files.filter_map(|path| Some(path.strip_prefix(folder)?.split_once(".v")?.0.to_owned())).collect()
}

#[test]
fn every_schema_has_examples_and_they_pass() {
    let known = contracts("nats/schemas/");
    for (path, text) in texts(".json") {
        let Some(name) = path.strip_prefix("nats/examples/") else { continue };
        // `event.v1.listing-linked.json` is an example of `event.v1`.
        let mut parts = name.split('.');
        let (contract, version) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let example = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
        passes(&schema(&format!("{contract}.{version}")), &path, &example);
    }
    assert_eq!(contracts("nats/examples/"), known);
}

#[test]
fn every_example_is_read_by_this_build() {
    for (path, text) in texts(".json") {
        let Some(name) = path.strip_prefix("nats/examples/") else { continue };
        if name.starts_with("unit-changed.") {
            domain::unit::parse(text.as_bytes()).unwrap_or_else(|invalid| panic!("{path}: {invalid}"));
        } else if name.starts_with("event.") {
            let event: StoredEvent = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
            assert_eq!(serde_json::to_value(&event).expect("it is JSON"), json(&path), "{path}");
            event.recorded().unwrap_or_else(|error| panic!("{path}: {:?}", error.reason));
        } else if name.starts_with("audit.") {
            let event: AuditEvent = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
            assert_eq!(serde_json::to_value(&event).expect("it is JSON"), json(&path), "{path}");
        } else if name.starts_with("in-journal.") {
            let event: InJournal = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
            assert_eq!(serde_json::to_value(&event).expect("it is JSON"), json(&path), "{path}");
        } else {
            panic!("{path} is an example of nothing that this test knows");
        }
    }
}

#[test]
fn every_event_passes_its_schema() {
    let schema = schema("event.v1");
    for event in samples() {
        let name = event.type_name();
        passes(&schema, name, &serde_json::to_value(stored(&event)).expect("it is JSON"));
    }
}

#[test]
fn every_audit_event_passes_its_schema() {
    let schema = schema("audit.v1");
    let mut outcomes = BTreeSet::new();
    for event in samples() {
        let name = event.type_name();
        for audit in audit_events(&recorded(&event)) {
            outcomes.insert(audit.outcome());
            passes(&schema, name, &serde_json::to_value(audit).expect("it is JSON"));
        }
    }
    let every = [
        "attempt",
        "accepted",
        "accepted_with_rejections",
        "skipped_unchanged",
        "superseded",
        "rejected",
        "unauthorised",
        "exhausted",
        "cancelled",
    ];
    assert_eq!(outcomes, every.into_iter().collect(), "the samples show every outcome");
}

/// Each of these fields is required: a message without it would be refused, so none may go missing unseen.
#[test]
fn a_missing_field_breaks_the_schema() {
    let event = samples().into_iter().find(|event| event.type_name() == "SyncAccepted").expect("there is one");
    let audit = audit_events(&recorded(&event)).remove(0);
    let bodies = [
        ("event.v1", serde_json::to_value(stored(&event)).expect("it is JSON"), Vec::new()),
        ("audit.v1", serde_json::to_value(audit).expect("it is JSON"), vec!["unit_id"]),
        ("in-journal.v1", serde_json::to_value(InJournal::from(&stored(&event))).expect("it is JSON"), Vec::new()),
    ];
    for (name, body, optional) in bodies {
        let schema = schema(name);
        for field in body.as_object().expect("an object").keys() {
            let mut lacking = body.clone();
            lacking.as_object_mut().expect("an object").remove(field);
            let free = optional.contains(&field.as_str());
            assert_eq!(schema.is_valid(&lacking), free, "{name} without {field}");
        }
    }
    let mut other = serde_json::to_value(stored(&event)).expect("it is JSON");
    other["event_type"] = "SyncFailed".into();
    assert!(!schema("event.v1").is_valid(&other), "the payload fits the event's type");
}

/// Postgres uses the index only for outcomes that it is of.
#[test]
fn the_index_of_failed_listings_is_of_every_outcome_that_failed() {
    let migration = read("migrations/0042_failed_listings.sql");
    let (_, listed) = migration.split_once("last_outcome IN (").expect("it says of which it is");
    let indexed: BTreeSet<&str> = listed.split('\'').skip(1).step_by(2).collect();
    assert_eq!(indexed, SyncOutcome::failures().into_iter().collect());
}
