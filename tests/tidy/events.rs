//! An instance or more of every event of both aggregates, and the row and the record that each would be.
//!
//! Must stay true: the matches at the end name every variant, so that a new one does not compile without being thought
//! of here.

use std::collections::{BTreeMap, BTreeSet};

use adapters::event_store::StoredEvent;
use chrono::{DateTime, TimeDelta, Utc};
use domain::call::{CallPurpose, CallRecord};
use domain::channel::{ChannelKind, RejectedPart, Section};
use domain::hash::{IdempotencyKey, PayloadHash, SnapshotHash};
use domain::ids::{ExternalId, ListingId, SyncId, TargetId, UnitId};
use domain::listing::{Cause, ListingEvent, Origin, Progress, Silent, SyncAttempt, SyncRequest};
use domain::metadata::{Actor, Metadata};
use domain::outcome::OutcomeClass;
use domain::recorded::{ChannelEvent, Recorded};
use domain::target::{Health, TargetEvent};
use serde_json::Value;
use uuid::Uuid;

use crate::tree::{code, none, texts};

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 123_456_000).expect("a time") + TimeDelta::seconds(second)
}

fn id(number: u128) -> Uuid {
    Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + number)
}

fn target_id() -> TargetId {
    TargetId(id(1))
}

fn unit_id() -> UnitId {
    "villa-0042".parse().expect("a name")
}

fn targets() -> Vec<TargetEvent> {
    let created = |account_rate_limit: Option<&str>, credential: &str| TargetEvent::TargetCreated {
        target_id: target_id(),
        org_id: "sunstay".parse().expect("a name"),
        account_id: "bali".parse().expect("a name"),
        name: "Hostaway Bali".to_owned(),
        channel: ChannelKind::Hostaway,
        base_url: "https://api.hostaway.com/v1".to_owned(),
        channel_account: "10450".to_owned(),
        credential: credential.parse().expect("a reference"),
        rate_limit: "12/10s".parse().expect("a limit"),
        account_rate_limit: account_rate_limit.map(|text| text.parse().expect("a limit")),
    };
    let reason = || "works at the channel".to_owned();
    let configured = |account_rate_limit: Option<&str>| TargetEvent::TargetConfigured {
        name: "Bali".to_owned(),
        base_url: "https://api.hostaway.com/v1".to_owned(),
        account_rate_limit: account_rate_limit.map(|text| text.parse().expect("a limit")),
    };
    vec![
        created(None, "file:hostaway-10450"),
        created(Some("20/10s"), "env:HOSTAWAY_10450"),
        configured(None),
        configured(Some("20/10s")),
        TargetEvent::RateLimitChanged { rate_limit: "30/10s".parse().expect("a limit") },
        TargetEvent::CredentialRotated { credential: "file:hostaway-10450-2".parse().expect("a reference") },
        TargetEvent::TargetPaused { reason: reason() },
        TargetEvent::TargetResumed {},
        TargetEvent::TargetDeleted { reason: reason() },
        TargetEvent::HealthChanged { from: Health::Unknown, to: Health::Healthy, reason: "it answers".to_owned() },
        TargetEvent::HealthChanged { from: Health::Degraded, to: Health::Unreachable, reason: "timed out".to_owned() },
        TargetEvent::HealthChanged { from: Health::Healthy, to: Health::Unauthorised, reason: "HTTP 401".to_owned() },
    ]
}

fn request(number: u64, cause: Cause, needs: &[Section]) -> SyncRequest {
    let hash = |section: Section| (section, PayloadHash::of_parts(&[section.as_str(), &number.to_string()]));
    SyncRequest {
        sync_id: SyncId(id(100 + u128::from(number))),
        ordinal: number,
        idempotency_key: IdempotencyKey::of_bytes(&number.to_be_bytes()),
        cause,
        snapshot: SnapshotHash::of_bytes(&number.to_be_bytes()),
        revision: 7 + number,
        sections: Section::ALL.into_iter().map(hash).collect(),
        needs: needs.to_vec(),
        rejected: Vec::new(),
        origin: Origin { correlation_id: id(300), requested_by: "service:intake".to_owned(), traceparent: None },
    }
}

fn rejected() -> Vec<RejectedPart> {
    vec![RejectedPart {
        section: Section::Content,
        part: "unit.amenities[4]".to_owned(),
        value: "teleporter".to_owned(),
        reason: "Hostaway knows no such amenity; it was left out".to_owned(),
    }]
}

fn requests() -> Vec<ListingEvent> {
    let wished = |reason: &str| (reason.to_owned(), id(301));
    let (reason, request_id) = wished("a guest saw the old price");
    let manual = Cause::Manual { reason, request_id };
    let (reason, request_id) = wished("the last change was a mistake");
    let replayed = Cause::Replayed { reason, request_id };
    let mut told = request(2, Cause::UnitChanged, &[Section::Rates, Section::Content]);
    told.rejected = rejected();
    told.origin.traceparent = Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned());
    let superseding = |request: SyncRequest| ListingEvent::SyncRequested { request, supersedes: Some(SyncId(id(101))) };
    vec![
        ListingEvent::SyncRequested { request: request(1, Cause::Linked, &Section::ALL), supersedes: None },
        superseding(told),
        superseding(request(3, manual, &Section::ALL)),
        superseding(request(4, replayed, &Section::ALL)),
        ListingEvent::SyncSkipped { request: request(5, Cause::UnitChanged, &[]) },
    ]
}

fn call(purpose: CallPurpose, status: Option<u16>, class: OutcomeClass) -> CallRecord {
    CallRecord {
        request_id: id(400),
        purpose,
        method: if purpose == CallPurpose::Create { "POST" } else { "PUT" }.to_owned(),
        path: "/v1/listings/40001".to_owned(),
        started_at: at(1),
        duration_ms: 84,
        status,
        class,
        detail: (!class.succeeded()).then(|| "HTTP 503 without a reason".to_owned()),
        answer: None,
    }
}

/// One that failed, with the beginning of its answer.
fn answered(call: CallRecord) -> CallRecord {
    CallRecord { answer: Some("{\"status\":\"fail\",\"result\":\"try later\"}".to_owned()), ..call }
}

fn attempt(number: u64, calls: Vec<CallRecord>) -> SyncAttempt {
    SyncAttempt {
        sync_id: SyncId(id(100 + u128::from(number))),
        ordinal: number,
        attempt: 1,
        takes_over: false,
        silent: None,
        started_at: at(1),
        finished_at: at(2),
        progress: Progress::default(),
        rejected: Vec::new(),
        calls,
        detail: None,
        stopped: false,
    }
}

fn ends() -> Vec<ListingEvent> {
    use OutcomeClass::{Accepted, Rejected, Throttled, Transient, Unauthorised, Unknown};
    let done = attempt(
        1,
        vec![call(CallPurpose::Create, Some(200), Accepted), call(CallPurpose::Calendar, Some(200), Accepted)],
    );
    let hashes = request(1, Cause::Linked, &[]).sections;
    let learned = || Some(ExternalId("40001".to_owned()));
    let progress = Progress { external_id: learned(), sections: hashes, ..Progress::default() };
    let accepted = SyncAttempt { progress, ..done };
    let takes_over = SyncAttempt { takes_over: true, ..accepted.clone() };
    let silent = Silent { ordinal: 1, last_ordinal: 2, since: Some(at(-40)), until: Some(at(0)) };
    let heir = SyncAttempt { silent: Some(silent), ..takes_over.clone() };
    let refused_parts = SyncAttempt { rejected: rejected(), ..accepted.clone() };
    let failed = |class: OutcomeClass, status: Option<u16>| SyncAttempt {
        detail: Some("HTTP 503 without a reason".to_owned()),
        ..attempt(2, vec![call(CallPurpose::Content, status, class)])
    };
    let told = |class: OutcomeClass, status: Option<u16>| SyncAttempt {
        calls: vec![answered(call(CallPurpose::Content, status, class))],
        ..failed(class, status)
    };
    let stopped = SyncAttempt {
        stopped: true,
        detail: Some("no further calls are made: the target was paused".to_owned()),
        ..attempt(2, vec![call(CallPurpose::Calendar, Some(200), Accepted)])
    };
    let late = |class: Option<OutcomeClass>| ListingEvent::LateAttemptRecorded {
        attempt: attempt(1, vec![call(CallPurpose::Create, None, Unknown)]),
        class,
    };
    let ended = |class, status| ListingEvent::SyncFailed { attempt: failed(class, status), class };
    let progress = Progress { unproved: learned(), ..Progress::default() };
    let unproved = SyncAttempt { progress, ..failed(Rejected, Some(400)) };
    vec![
        ListingEvent::SyncAccepted { attempt: accepted },
        ListingEvent::SyncAccepted { attempt: refused_parts },
        ListingEvent::SyncAccepted { attempt: takes_over },
        ListingEvent::SyncAccepted { attempt: heir },
        ListingEvent::SyncFoundUnchanged { attempt: attempt(3, Vec::new()) },
        ListingEvent::SyncDeferred { attempt: failed(Transient, Some(503)), class: Transient, due_at: at(9) },
        ListingEvent::SyncDeferred { attempt: failed(Throttled, Some(429)), class: Throttled, due_at: at(12) },
        ListingEvent::SyncDeferred { attempt: told(Transient, Some(503)), class: Transient, due_at: at(9) },
        ListingEvent::SyncDeferred { attempt: stopped, class: Throttled, due_at: at(2) },
        ended(Rejected, Some(400)),
        ended(Unauthorised, Some(403)),
        ended(Unknown, None),
        ListingEvent::SyncFailed { attempt: unproved, class: Rejected },
        ListingEvent::SupersededSyncFailed { attempt: failed(Transient, Some(503)), class: Transient },
        late(Some(Unknown)),
        late(None),
    ]
}

fn listings() -> Vec<ListingEvent> {
    let linked = |external_id: Option<&str>, generation: u32, from: Option<&str>| ListingEvent::ListingLinked {
        listing_id: ListingId::of(target_id(), &unit_id()),
        org_id: "sunstay".parse().expect("a name"),
        account_id: "bali".parse().expect("a name"),
        unit_id: unit_id(),
        target_id: target_id(),
        external_id: external_id.map(|id| ExternalId(id.to_owned())),
        generation,
        from_account_id: from.map(|account| account.parse().expect("a name")),
    };
    let unlinked = |cancels: Option<SyncId>| ListingEvent::ListingUnlinked { reason: "sold".to_owned(), cancels };
    let mut events = vec![
        linked(None, 1, None),
        linked(Some("40001"), 2, None),
        linked(Some("40001"), 3, Some("lombok")),
        ListingEvent::CreationStarted { sync_id: SyncId(id(101)), at: at(1) },
        ListingEvent::ListingPaused { reason: "works".to_owned() },
        ListingEvent::ListingResumed {},
        unlinked(None),
        unlinked(Some(SyncId(id(101)))),
    ];
    events.extend(requests());
    events.extend(ends());
    events
}

/// One or more instances of every event.
pub fn samples() -> Vec<ChannelEvent> {
    let targets = targets().into_iter().map(ChannelEvent::Target);
    targets.chain(listings().into_iter().map(|event| ChannelEvent::Listing(Box::new(event)))).collect()
}

/// The payload as it is stored.
pub fn payload(event: &ChannelEvent) -> Value {
    match event {
        ChannelEvent::Target(event) => serde_json::to_value(event),
        ChannelEvent::Listing(event) => serde_json::to_value(event),
    }
    .expect("an event is JSON")
}

pub fn aggregate_type(event: &ChannelEvent) -> &'static str {
    match event {
        ChannelEvent::Target(_) => "ChannelTarget",
        ChannelEvent::Listing(_) => "ChannelListing",
    }
}

/// A row of the journal with this payload.
pub fn envelope(aggregate_type: &str, event_type: &str, payload: &Value) -> StoredEvent {
    let listing = aggregate_type == "ChannelListing";
    let metadata = Metadata {
        org_id: "sunstay".parse().expect("a name"),
        account_id: "bali".parse().expect("a name"),
        target_id: target_id(),
        unit_id: listing.then(unit_id),
        actor: Actor::service("dispatcher"),
        correlation_id: id(300),
        on_behalf_of: None,
        source: listing.then(|| "urn:sunstay:bookings".to_owned()),
        causation_id: listing.then(|| id(101)),
        traceparent: listing.then(|| "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned()),
    };
    let aggregate_id = if listing { ListingId::of(target_id(), &unit_id()).0 } else { target_id().0 };
    StoredEvent {
        position: 4711,
        event_id: id(500),
        org_id: "sunstay".to_owned(),
        account_id: "bali".to_owned(),
        aggregate_type: aggregate_type.to_owned(),
        aggregate_id: aggregate_id.to_string(),
        sequence: 3,
        event_type: event_type.to_owned(),
        event_version: "1.0".to_owned(),
        payload: serde_json::value::to_raw_value(payload).expect("it is JSON"),
        metadata: serde_json::value::to_raw_value(&metadata.to_map()).expect("it is JSON"),
        recorded_at: at(2),
    }
}

/// The row of an event.
pub fn stored(event: &ChannelEvent) -> StoredEvent {
    envelope(aggregate_type(event), event.type_name(), &payload(event))
}

/// The record of an event.
pub fn recorded(event: &ChannelEvent) -> Recorded {
    stored(event).recorded().expect("a row that was just made can be read")
}

/// How many variants each aggregate has, by a match that a new one breaks: add a sample above and a golden file.
fn variant(event: &ChannelEvent) -> (bool, u32) {
    let number = match event {
        ChannelEvent::Target(event) => match event {
            TargetEvent::TargetCreated { .. } => 0,
            TargetEvent::TargetConfigured { .. } => 1,
            TargetEvent::RateLimitChanged { .. } => 2,
            TargetEvent::CredentialRotated { .. } => 3,
            TargetEvent::TargetPaused { .. } => 4,
            TargetEvent::TargetResumed {} => 5,
            TargetEvent::TargetDeleted { .. } => 6,
            TargetEvent::HealthChanged { .. } => 7,
        },
        ChannelEvent::Listing(event) => match event.as_ref() {
            ListingEvent::ListingLinked { .. } => 0,
            ListingEvent::SyncRequested { .. } => 1,
            ListingEvent::SyncSkipped { .. } => 2,
            ListingEvent::CreationStarted { .. } => 3,
            ListingEvent::SyncAccepted { .. } => 4,
            ListingEvent::SyncFoundUnchanged { .. } => 5,
            ListingEvent::SyncDeferred { .. } => 6,
            ListingEvent::SyncFailed { .. } => 7,
            ListingEvent::SupersededSyncFailed { .. } => 8,
            ListingEvent::LateAttemptRecorded { .. } => 9,
            ListingEvent::ListingPaused { .. } => 10,
            ListingEvent::ListingResumed {} => 11,
            ListingEvent::ListingUnlinked { .. } => 12,
        },
    };
    (matches!(event, ChannelEvent::Listing(_)), number)
}

#[test]
fn every_event_has_a_sample() {
    let mut seen: BTreeMap<bool, BTreeSet<u32>> = BTreeMap::new();
    for event in samples() {
        let (listing, number) = variant(&event);
        seen.entry(listing).or_default().insert(number);
    }
    assert_eq!(seen[&false], (0..8).collect(), "of a target");
    assert_eq!(seen[&true], (0..13).collect(), "of a listing");
}

/// A match that names every variant does not compile with a new one: whoever adds it has to think of the rows that it needs.
#[test]
fn what_folds_events_names_each_that_it_passes_over() {
    let passes_over = |line: &str| {
        let line = line.trim();
        line.starts_with("_ =>") || line.starts_with("_ if ") || line.ends_with("matches!(")
    };
    let mut found = Vec::new();
    for (path, text) in texts(".rs") {
        if path.starts_with("projections/src/") || path == "services/src/views/holds.rs" {
            let lines = code(&text).filter(|(_, line)| passes_over(line));
            found.extend(lines.map(|(number, _)| format!("{path}:{number}")));
        }
    }
    none("a match that passes over events without their names", &found);
}
