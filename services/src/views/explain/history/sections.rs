//! An attempt is told with the sections that the dispatcher had to send: all of them where somebody had asked for it, also
//! after another sync took that place, and where an attempt before it had ended without a word.

use chrono::{DateTime, Utc};
use domain::channel::{Section, SectionHashes};
use domain::hash::{PayloadHash, SnapshotHash};
use domain::ids::{ExternalId, ListingId, OrgId, TargetId, UnitId};
use domain::listing::{Cause, LinkListing, ListingCommand, Origin, Progress, RequestSync, SyncReport};
use domain::metadata::{Actor, Metadata};
use domain::outcome::OutcomeClass;
use domain::recorded::{ChannelEvent, Position, Recorded};
use uuid::Uuid;

use super::{History, SyncStory};

const TARGET: TargetId = TargetId(Uuid::from_u128(7));

fn org() -> OrgId {
    OrgId::new("sunstay").expect("a name")
}

fn unit() -> UnitId {
    UnitId::new("villa-0042").expect("a name")
}

fn metadata() -> Metadata {
    Metadata {
        org_id: org(),
        account_id: "bali".parse().expect("a name"),
        target_id: TARGET,
        unit_id: Some(unit()),
        actor: Actor::service("intake"),
        on_behalf_of: None,
        source: None,
        correlation_id: Uuid::from_u128(9),
        causation_id: None,
        traceparent: None,
    }
}

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + second, 0).expect("a time")
}

/// All sections as they were at first, but for the rates.
fn sections(rates: &str) -> SectionHashes {
    let words = |section: Section| if section == Section::Rates { rates } else { "first" };
    let hash = |section: Section| (section, PayloadHash::of_parts(&[section.as_str(), words(section)]));
    Section::ALL.into_iter().map(hash).collect()
}

/// Runs a command of the aggregate, and folds what it gives.
fn run(history: &mut History, command: ListingCommand) {
    for event in history.listing.decide(command).expect("nothing is refused") {
        let recorded = Recorded {
            position: Position(1),
            event_id: Uuid::nil(),
            recorded_at: at(0),
            aggregate_id: ListingId::of(TARGET, &unit()).0,
            sequence: 1,
            metadata: metadata(),
            event: ChannelEvent::Listing(Box::new(event)),
        };
        history.take(&recorded);
    }
}

fn ask(history: &mut History, cause: Cause, revision: u64, rates: &str) {
    run(
        history,
        ListingCommand::RequestSync(RequestSync {
            cause,
            snapshot_org: org(),
            snapshot_unit: unit(),
            snapshot: SnapshotHash::of_bytes(rates.as_bytes()),
            revision,
            sections: sections(rates),
            rejected: Vec::new(),
            origin: Origin { correlation_id: Uuid::from_u128(9), requested_by: "ops".to_owned(), traceparent: None },
        }),
    );
}

/// The sync that waits is sent and taken.
fn send(history: &mut History, takes_over: bool) {
    let pending = history.listing.pending().expect("a sync that waits").clone();
    let started_at = at(i64::try_from(pending.ordinal).expect("a number"));
    run(
        history,
        ListingCommand::RecordOutcome(SyncReport {
            sync_id: pending.sync_id,
            ordinal: pending.ordinal,
            takes_over,
            started_at,
            finished_at: started_at,
            class: Some(OutcomeClass::Accepted),
            detail: None,
            progress: Progress { external_id: None, sections: pending.sections },
            rejected: Vec::new(),
            calls: Vec::new(),
            hopeless: false,
            retry_at: started_at,
            max_attempts: 5,
        }),
    );
}

/// A listing that the channel has as it is at revision 1.
fn synced() -> History {
    let mut history = History::default();
    let link = LinkListing {
        org_id: org(),
        account_id: "bali".parse().expect("a name"),
        unit_id: unit(),
        target_id: TARGET,
        external_id: Some(ExternalId("40001".to_owned())),
        afresh: false,
    };
    run(&mut history, ListingCommand::Link(link));
    ask(&mut history, Cause::Linked, 1, "first");
    send(&mut history, false);
    history
}

fn newest(history: &History) -> &SyncStory {
    history.syncs.back().expect("a sync")
}

#[test]
fn a_change_that_takes_the_place_of_a_forced_sync_is_told_with_all_that_it_sent() {
    let mut history = synced();
    let wish = Cause::Manual { reason: "edited by hand".to_owned(), request_id: Uuid::from_u128(1) };
    ask(&mut history, wish, 1, "first");
    for (revision, rates) in [(2, "second"), (3, "third")] {
        ask(&mut history, Cause::UnitChanged, revision, rates);
    }
    send(&mut history, false);
    let told = newest(&history);
    assert_eq!((told.forced, told.needs()), (true, Section::ALL.to_vec()));
    assert_eq!(told.attempts[0].needs, Section::ALL, "it was forced as the one before the one before it was");

    ask(&mut history, Cause::UnitChanged, 4, "fourth");
    send(&mut history, false);
    let told = newest(&history);
    assert_eq!((told.forced, &told.attempts[0].needs), (false, &vec![Section::Rates]), "what was sent forces no more");
}

#[test]
fn an_attempt_after_one_without_a_word_is_told_with_all_that_it_sent_and_as_read_first() {
    for takes_over in [false, true] {
        let mut history = synced();
        ask(&mut history, Cause::UnitChanged, 2, "second");
        send(&mut history, takes_over);
        let attempt = &newest(&history).attempts[0];
        let wanted = if takes_over { Section::ALL.to_vec() } else { vec![Section::Rates] };
        assert_eq!((&attempt.needs, attempt.verified), (&wanted, takes_over));
    }
}
