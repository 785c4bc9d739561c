//! An attempt is told with the sections that the dispatcher had to send: all of them where somebody had asked for it, also
//! after another sync took that place, and where an attempt before it had ended without a word. Of a section that was refused it is
//! told what the channel has, where that is certain; and a sync ends with its target.

use chrono::{DateTime, Utc};
use domain::call::{CallPurpose, CallRecord};
use domain::channel::{Section, SectionHashes};
use domain::hash::{PayloadHash, SnapshotHash};
use domain::ids::{ExternalId, ListingId, OrgId, TargetId, UnitId};
use domain::listing::{Cause, LinkListing, ListingCommand, Origin, Progress, RequestSync, SyncReport};
use domain::metadata::{Actor, Metadata};
use domain::outcome::{OutcomeClass, SyncOutcome};
use domain::recorded::{ChannelEvent, Position, Recorded};
use domain::target::TargetEvent;
use uuid::Uuid;

use super::{CancelledBecause, Doubt, End, History, SyncStory};

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

/// An event as it is recorded.
fn recorded(position: i64, event: ChannelEvent) -> Recorded {
    Recorded {
        position: Position(position),
        event_id: Uuid::nil(),
        recorded_at: at(position),
        aggregate_id: ListingId::of(TARGET, &unit()).0,
        sequence: 1,
        metadata: metadata(),
        event,
    }
}

/// Runs a command of the aggregate, and folds what it gives: at position 1 of the journal.
fn run(history: &mut History, command: ListingCommand) {
    for event in history.listing.decide(command).expect("nothing is refused") {
        history.take(&recorded(1, ChannelEvent::Listing(Box::new(event))));
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

/// A call: what it was for, how it ended, and its status.
type Call = (CallPurpose, OutcomeClass, Option<u16>);

const REFUSED: Call = (CallPurpose::Calendar, OutcomeClass::Rejected, Some(422));
const TAKEN: Call = (CallPurpose::Calendar, OutcomeClass::Accepted, Some(200));
const FAILED: Call = (CallPurpose::Calendar, OutcomeClass::Transient, Some(503));
const LOST: Call = (CallPurpose::Calendar, OutcomeClass::Unknown, None);
const THROTTLED: Call = (CallPurpose::Calendar, OutcomeClass::Throttled, Some(429));

/// An attempt at the sync that waits ends so, after these calls, of which the channel took these sections.
fn attempt(history: &mut History, class: OutcomeClass, takes_over: bool, took: &[Section], calls: &[Call]) {
    let pending = history.listing.pending().expect("a sync that waits").clone();
    // No two attempts begin at once.
    let told: usize = history.syncs.iter().map(|story| story.attempts.len()).sum();
    let started_at = at(i64::try_from(told).expect("a number"));
    let call = |(purpose, class, status): &Call| CallRecord {
        request_id: Uuid::nil(),
        purpose: *purpose,
        method: "PUT".to_owned(),
        path: "/v1/listings/40001/calendarIntervals".to_owned(),
        started_at,
        duration_ms: 1,
        status: *status,
        class: *class,
        detail: None,
        answer: None,
    };
    let sections = pending.sections.into_iter().filter(|(section, _)| took.contains(section)).collect();
    run(
        history,
        ListingCommand::RecordOutcome(SyncReport {
            sync_id: pending.sync_id,
            ordinal: pending.ordinal,
            takes_over,
            started_at,
            finished_at: started_at,
            class: Some(class),
            detail: None,
            progress: Progress { external_id: None, sections },
            rejected: Vec::new(),
            calls: calls.iter().map(call).collect(),
            hopeless: false,
            retry_at: started_at,
            max_attempts: 5,
        }),
    );
}

/// The sync that waits is sent and taken.
fn send(history: &mut History, takes_over: bool) {
    attempt(history, OutcomeClass::Accepted, takes_over, &Section::ALL, &[]);
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

/// Why it is not certain that the channel has the rates that it took last: the status of a refusal, or 0 where nobody knows.
fn doubt(history: &History) -> Option<u16> {
    let known = history.known[&Section::Rates];
    known.doubt.map(|doubt| match doubt {
        Doubt::Refused(refusal) => refusal.status,
        Doubt::Unknown => 0,
    })
}

#[test]
fn what_was_refused_as_a_whole_leaves_what_was_there_and_what_may_have_gone_in_does_not() {
    use OutcomeClass::{AcceptedWithRejections, Rejected, Transient};
    let (nothing, nights): (&[Section], &[Section]) = (&[], &[Section::Availability]);
    for (class, took, calls, told) in [
        (Rejected, nothing, vec![REFUSED], 422),
        // Of both sections at first, and then apart.
        (Rejected, nothing, vec![REFUSED, REFUSED, REFUSED], 422),
        (AcceptedWithRejections, nights, vec![REFUSED, TAKEN, REFUSED], 422),
        // One that was throttled carried nothing in.
        (Rejected, nothing, vec![THROTTLED, REFUSED], 422),
        // The first of two calls may have carried a part of them.
        (Rejected, nothing, vec![TAKEN, REFUSED], 0),
        (AcceptedWithRejections, nights, vec![TAKEN, REFUSED], 0),
        (Rejected, nothing, vec![REFUSED, TAKEN, REFUSED], 0),
        (Transient, nothing, vec![REFUSED, FAILED], 0),
    ] {
        let mut history = synced();
        ask(&mut history, Cause::UnitChanged, 2, "second");
        attempt(&mut history, class, false, took, &calls);
        assert_eq!(doubt(&history), Some(told), "{class} {took:?} {calls:?}");
        assert!(!history.listing.accepted().sections.contains_key(&Section::Rates), "it is sent again in any case");
        let has = history.known[&Section::Rates].snapshot;
        assert_eq!(has, SnapshotHash::of_bytes(b"first"), "{class} {took:?} {calls:?}");
        ask(&mut history, Cause::UnitChanged, 3, "third");
        assert_eq!(doubt(&history), Some(told), "to ask for more tells nothing");
        if class != Transient {
            send(&mut history, false);
            assert_eq!(doubt(&history), None, "what is taken is certain");
        }
    }
}

#[test]
fn a_refusal_makes_nothing_certain_that_was_unknown() {
    let refuse = |history: &mut History| attempt(history, OutcomeClass::Rejected, false, &[], &[REFUSED]);
    let lose = |history: &mut History| attempt(history, OutcomeClass::Unknown, false, &[], &[LOST]);
    let mut history = synced();
    ask(&mut history, Cause::UnitChanged, 2, "second");
    lose(&mut history);
    refuse(&mut history);
    assert_eq!(doubt(&history), Some(0), "what was lost before may have gone in");

    let mut history = synced();
    ask(&mut history, Cause::UnitChanged, 2, "second");
    refuse(&mut history);
    assert_eq!(doubt(&history), Some(422));
    ask(&mut history, Cause::UnitChanged, 3, "third");
    attempt(&mut history, OutcomeClass::Throttled, false, &[], &[THROTTLED]);
    assert_eq!(doubt(&history), Some(422), "nothing was sent");
    let mut other = history.clone();
    lose(&mut history);
    assert_eq!(doubt(&history), Some(0), "what was lost since may have gone in");
    attempt(&mut other, OutcomeClass::Rejected, true, &[], &[REFUSED]);
    assert_eq!(doubt(&other), Some(0), "and so may what nobody told of");
}

#[test]
fn what_the_channel_had_not_taken_ended_with_its_target() {
    // The attempt is told at position 1, after or before the deletion.
    for (deleted_at, outcome, reason) in [
        (0, SyncOutcome::Cancelled, Some("the target had been deleted")),
        (1, SyncOutcome::Cancelled, Some("moved")),
        (2, SyncOutcome::Rejected, None),
    ] {
        let mut history = synced();
        ask(&mut history, Cause::UnitChanged, 2, "second");
        attempt(&mut history, OutcomeClass::Rejected, false, &[], &[REFUSED]);
        let deletion = TargetEvent::TargetDeleted { reason: "moved".to_owned() };
        history.end_with_target(&recorded(deleted_at, ChannelEvent::Target(deletion)));
        let ends: Vec<&End> = history.syncs.iter().filter_map(|story| story.end.as_ref()).collect();
        assert_eq!(ends[0].outcome, SyncOutcome::Accepted, "deleted at {deleted_at}");
        assert_eq!((ends[1].outcome, ends[1].reason.as_deref()), (outcome, reason), "deleted at {deleted_at}");
        let because = ends[1].cancelled.as_ref().map(|cancelled| cancelled.because);
        let wanted = (outcome == SyncOutcome::Cancelled).then_some(CancelledBecause::TargetDeleted);
        assert_eq!(because, wanted, "deleted at {deleted_at}");
        assert_eq!(ends[1].at, at(1), "deleted at {deleted_at}");
    }
}
