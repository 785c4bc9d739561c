//! Subjects, streams and queries: what one file promises, another one has.

use std::collections::BTreeSet;

use adapters::event_store::StoredEvent;
use adapters::nats::Prefix;
use domain::audit::audit_events;
use domain::hash::PayloadHash;
use serde_json::Value;

use crate::events::{recorded, samples, stored};
use crate::tree::{code, none, paths, read, texts};

/// The subjects of every stream file.
fn stream_subjects() -> Vec<String> {
    let files = texts(".json").into_iter().filter(|(path, _)| path.starts_with("nats/streams/"));
    let subjects = |(path, text): (String, String)| {
        let stream: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
        let list = stream["subjects"].as_array().unwrap_or_else(|| panic!("{path} has no subjects")).clone();
        list.into_iter().filter_map(|subject| subject.as_str().map(str::to_owned))
    };
    files.flat_map(subjects).collect()
}

/// NATS wildcards: `*` is one token, `>` is one or more at the end.
fn matches(pattern: &str, subject: &str) -> bool {
    let (mut pattern, mut subject) = (pattern.split('.'), subject.split('.'));
    loop {
        match (pattern.next(), subject.next()) {
            (Some(">"), Some(_)) | (None, None) => return true,
            (Some("*"), Some(_)) => {}
            (Some(wanted), Some(token)) if wanted == token => {}
            _ => return false,
        }
    }
}

/// What the builders make, for every event there is.
fn built() -> (Vec<String>, Vec<String>) {
    let prefix = Prefix::default();
    let org = "sunstay".parse().expect("a name");
    let mut stored_in_streams = vec![prefix.unit_changed(&org, &"villa-0042".parse().expect("a name"))];
    stored_in_streams.extend([prefix.dead_letter_unit(None), prefix.dead_letter_unit(Some(&org))]);
    for event in samples() {
        stored_in_streams.push(prefix.event(&stored(&event)));
        stored_in_streams.extend(audit_events(&recorded(&event)).iter().map(|audit| prefix.audit(audit)));
    }
    (stored_in_streams, vec![prefix.nudge_queue(), prefix.kept_traces()])
}

#[test]
fn every_subject_is_in_one_stream_and_nudges_in_none() {
    let patterns = stream_subjects();
    let streams_of = |subject: &str| patterns.iter().filter(|pattern| matches(pattern, subject)).count();
    let (kept, hints) = built();
    let lost: Vec<String> = kept.into_iter().filter(|subject| streams_of(subject) != 1).collect();
    none("a subject that is not in exactly one stream", &lost);
    let stored: Vec<String> = hints.into_iter().filter(|subject| streams_of(subject) != 0).collect();
    none("a hint that a stream would keep", &stored);
}

/// A builder that this file does not know would escape the test above.
#[test]
fn every_builder_of_a_subject_is_checked() {
    let text = read("adapters/src/nats/subject.rs");
    let functions: BTreeSet<&str> =
        code(&text).filter_map(|(_, line)| line.trim().strip_prefix("pub fn ")?.split('(').next()).collect();
    let known = [
        // They build names from given ones.
        "subject",
        "stream",
        "strip<'a>",
        "parse_unit_changed",
        "unit_changed",
        "event",
        "audit",
        "dead_letter_unit",
        // A pattern to read by.
        "dead_letters",
        "nudge_queue",
        "kept_traces",
    ];
    assert_eq!(functions, known.into_iter().collect(), "tell `built` above about it");
}

#[test]
fn a_prefix_is_put_before_every_subject_and_taken_off_again() {
    let prefix: Prefix = "blue-2".parse().expect("a prefix");
    for subject in built().0 {
        let under = prefix.subject(&subject);
        assert_eq!(under, format!("blue-2.{subject}"));
        assert_eq!(prefix.strip(&under), subject);
    }
}

/// The files of streams and of the consumer, with their texts.
fn definitions() -> impl Iterator<Item = (String, String)> {
    let folders = ["nats/streams/", "nats/consumers/"];
    texts(".json").into_iter().filter(move |(path, _)| folders.iter().any(|folder| path.starts_with(folder)))
}

#[test]
fn every_stream_and_consumer_file_is_in_the_binary() {
    let included = ["topology", "intake"].map(|module| read(&format!("adapters/src/nats/{module}.rs"))).concat();
    let paths = definitions().map(|(path, _)| path);
    let forgotten: Vec<String> = paths.filter(|path| !included.contains(&format!("/{path}\""))).collect();
    none("a file that adapters/src/nats/topology.rs and adapters/src/nats/intake.rs do not include", &forgotten);
}

/// Builds that run beside each other go by the number. One that stayed would have each of them bring back its own definition.
#[test]
fn a_definition_that_is_changed_has_the_next_number() {
    let known: BTreeSet<String> = read("tests/golden/definitions.sha256").lines().map(str::to_owned).collect();
    let have = definitions().map(|(path, text)| {
        let definition: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
        let number = definition["metadata"]["distribution.definition"].as_str().unwrap_or_default();
        assert!(number.parse::<u64>().is_ok(), "{path} has no number");
        format!("{}  {path} {number}", PayloadHash::of_bytes(text.as_bytes()))
    });
    let changed: Vec<String> = have.filter(|line| !known.contains(line)).collect();
    none(
        "a definition that was changed: raise its number in the file, unless no release has that, and put its line \
         into tests/golden/definitions.sha256 (nats/README.md, To change a definition)",
        &changed,
    );
}

#[test]
fn a_message_of_the_stream_is_read_back_as_it_was_written() {
    for event in samples() {
        let written = stored(&event);
        let body = serde_json::to_vec(&written).expect("a stored event is JSON");
        let read: StoredEvent = serde_json::from_slice(&body).expect("a body is a stored event");
        let as_json = |event: &StoredEvent| serde_json::to_value(event).expect("it is JSON");
        assert_eq!(as_json(&read), as_json(&written));
        assert_eq!(read.recorded().expect("it is read").event, event);
    }
}

/// The macros check each query against the schema when it is compiled; without a database they need its description.
#[test]
fn the_descriptions_of_checked_queries_are_committed() {
    let macros = ["query!(", "query_as!(", "query_scalar!("];
    let mut queries = 0;
    for (path, text) in texts(".rs") {
        if !path.starts_with("tests/") {
            queries +=
                code(&text).flat_map(|(_, line)| macros.iter().map(|name| line.matches(name).count())).sum::<usize>();
        }
    }
    let described = paths().iter().filter(|path| path.starts_with(".sqlx/query-")).count();
    assert_eq!(described, queries, "run `./justw sqlx` and commit .sqlx/");
}

/// Their numbers are dense, and each file is named once.
#[test]
fn migrations_are_numbered_without_a_gap() {
    let names: Vec<String> =
        paths().into_iter().filter(|path| path.starts_with("migrations/") && path.ends_with(".sql")).collect();
    for (number, name) in (1..).zip(&names) {
        assert!(name.starts_with(&format!("migrations/{number:04}_")), "{name} is not the migration {number:04}");
    }
}

/// sqlx compares checksums: a database that has an edited one would neither start nor be restored.
#[test]
fn migrations_are_frozen() {
    let frozen: BTreeSet<String> = read("tests/golden/migrations.sha256").lines().map(str::to_owned).collect();
    let have: BTreeSet<String> = texts(".sql")
        .into_iter()
        .filter_map(|(path, text)| {
            let name = path.strip_prefix("migrations/")?;
            Some(format!("{}  {name}", PayloadHash::of_bytes(text.as_bytes())))
        })
        .collect();
    let changed: Vec<&String> = frozen.difference(&have).collect();
    assert!(
        changed.is_empty(),
        "a migration that databases may have is never edited, mend it by the next one: {changed:#?}"
    );
    let new: Vec<&String> = have.difference(&frozen).collect();
    assert!(new.is_empty(), "a new migration: add its line to tests/golden/migrations.sha256: {new:#?}");
}

/// Whoever applies them says how long each waits: one that waited for as long as it takes would hold up everybody behind it.
#[test]
fn no_migration_says_how_long_it_waits_for_a_lock() {
    let files = texts(".sql").into_iter().filter(|(path, _)| path.starts_with("migrations/"));
    let found: Vec<String> = files.filter(|(_, text)| text.contains("lock_timeout")).map(|(path, _)| path).collect();
    none("a migration that sets lock_timeout", &found);
}
