//! An attempt is told with the sections that the dispatcher had to send, whatever came before it; and a sync ends with its target.

mod doubts;
mod gone;
mod not_taken;

use std::ops::RangeInclusive;

use chrono::{DateTime, Utc};
use domain::call::{CallPurpose, CallRecord, NO_CONNECTION};
use domain::channel::{RejectedPart, Section, SectionHashes};
use domain::hash::{PayloadHash, SnapshotHash};
use domain::ids::{ExternalId, ListingId, OrgId, TargetId, UnitId};
use domain::listing::{Cause, LinkListing, ListingCommand, Origin, Pending, Progress, RequestSync, Silent, SyncReport};
use domain::metadata::{Actor, Metadata};
use domain::outcome::{OutcomeClass, SyncOutcome};
use domain::recorded::{ChannelEvent, Position, Recorded};
use domain::target::TargetEvent;
use uuid::Uuid;

use super::{CancelledBecause, End, History, OtherAttempt, SyncStory};
use crate::views::explain::held::{Held, while_it_waited};
use crate::views::explain::waits::for_attempts;
use crate::views::holds::Holder;

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
    run_at(history, 1, command);
}

fn run_at(history: &mut History, position: i64, command: ListingCommand) {
    for event in history.listing.decide(command).expect("nothing is refused") {
        history.take(&recorded(position, ChannelEvent::Listing(Box::new(event))));
    }
}

fn request(cause: Cause, revision: u64, rates: &str) -> ListingCommand {
    ListingCommand::RequestSync(RequestSync {
        cause,
        snapshot_org: org(),
        snapshot_account: "bali".parse().expect("a name"),
        snapshot_unit: unit(),
        snapshot: SnapshotHash::of_bytes(rates.as_bytes()),
        revision,
        sections: sections(rates),
        rejected: Vec::new(),
        origin: Origin { correlation_id: Uuid::from_u128(9), requested_by: "ops".to_owned(), traceparent: None },
    })
}

fn ask(history: &mut History, cause: Cause, revision: u64, rates: &str) {
    run(history, request(cause, revision, rates));
}

/// Somebody asks, so that every section is sent.
fn wish() -> Cause {
    Cause::Manual { reason: "edited by hand".to_owned(), request_id: Uuid::from_u128(1) }
}

/// A call: what it was for, the end of its path, how it ended, and its status.
type Call = (CallPurpose, &'static str, OutcomeClass, Option<u16>);

const REFUSED: Call = refused("calendar", 422);
const TAKEN: Call = (CallPurpose::Calendar, "calendar", OutcomeClass::Accepted, Some(200));
const FAILED: Call = (CallPurpose::Calendar, "calendar", OutcomeClass::Transient, Some(503));
const LOST: Call = (CallPurpose::Calendar, "calendar", OutcomeClass::Unknown, None);
const THROTTLED: Call = (CallPurpose::Calendar, "calendar", OutcomeClass::Throttled, Some(429));
/// A call for which there was no connection.
const UNREACHED: Call = (CallPurpose::Calendar, "calendar", OutcomeClass::Transient, None);
/// A call of several intervals that was refused.
const MANY_REFUSED: Call = refused("calendarIntervals", 422);

const fn refused(route: &'static str, status: u16) -> Call {
    (CallPurpose::Calendar, route, OutcomeClass::Rejected, Some(status))
}

/// How an attempt ended.
struct Ending<'a> {
    class: OutcomeClass,
    takes_over: bool,
    /// The sections that the channel took.
    took: &'a [Section],
    /// The sections that are named as refused.
    named: &'a [Section],
    calls: &'a [Call],
}

impl<'a> Ending<'a> {
    /// Of one whose sections the channel did not take.
    fn of(class: OutcomeClass, named: &'a [Section], calls: &'a [Call]) -> Self {
        Self { class, takes_over: false, took: &[], named, calls }
    }
}

/// An attempt at the sync that waits ends so.
fn attempt(history: &mut History, ending: &Ending<'_>) {
    let pending = history.listing.pending().expect("a sync that waits").clone();
    // No two attempts begin at once.
    let told: usize = history.syncs.iter().map(|story| story.attempts.len()).sum();
    attempt_at(history, pending, at(i64::try_from(told).expect("a number")), ending);
}

fn attempt_at(history: &mut History, pending: Pending, started_at: DateTime<Utc>, ending: &Ending<'_>) {
    run(history, ended(pending, started_at, ending));
}

fn ended(pending: Pending, started_at: DateTime<Utc>, ending: &Ending<'_>) -> ListingCommand {
    let Ending { class, takes_over, took, named, calls } = *ending;
    let call = |(purpose, route, class, status): &Call| CallRecord {
        request_id: Uuid::nil(),
        purpose: *purpose,
        method: "PUT".to_owned(),
        path: format!("/v1/listings/40001/{route}"),
        started_at,
        duration_ms: 1,
        status: *status,
        class: *class,
        detail: (*class == OutcomeClass::Transient && status.is_none()).then(|| format!("{NO_CONNECTION}refused")),
        answer: None,
    };
    let sections = pending.sections.clone().into_iter().filter(|(section, _)| took.contains(section)).collect();
    let refused = |section: &Section| RejectedPart::all_of(*section, "in words".to_owned());
    let report = SyncReport {
        takes_over,
        class: Some(class),
        progress: Progress { sections, ..Progress::default() },
        rejected: named.iter().map(refused).collect(),
        calls: calls.iter().map(call).collect(),
        ..report(pending, started_at)
    };
    ListingCommand::RecordOutcome(report)
}

/// That all of a sync was taken.
fn report(pending: Pending, started_at: DateTime<Utc>) -> SyncReport {
    SyncReport {
        sync_id: pending.sync_id,
        ordinal: pending.ordinal,
        takes_over: false,
        silent: None,
        started_at,
        finished_at: started_at,
        class: Some(OutcomeClass::Accepted),
        detail: None,
        progress: Progress { sections: pending.sections, ..Progress::default() },
        rejected: Vec::new(),
        calls: Vec::new(),
        hopeless: false,
        retry_at: started_at,
        max_attempts: 5,
    }
}

/// The sync that waits is sent and taken.
fn send(history: &mut History, takes_over: bool) {
    let ending = Ending { takes_over, took: &Section::ALL, ..Ending::of(OutcomeClass::Accepted, &[], &[]) };
    attempt(history, &ending);
}

fn link() -> ListingCommand {
    ListingCommand::Link(LinkListing {
        org_id: org(),
        account_id: "bali".parse().expect("a name"),
        unit_id: unit(),
        target_id: TARGET,
        unit_account_id: None,
        external_id: Some(ExternalId("40001".to_owned())),
        afresh: false,
    })
}

/// A listing that the channel has as it is at revision 1.
fn synced() -> History {
    let mut history = History::default();
    run(&mut history, link());
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
    ask(&mut history, wish(), 1, "first");
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

/// An earlier snapshot may be of an account that only an earlier link took from, so that nothing can be compared with it.
#[test]
fn what_is_sent_once_more_is_known_by_the_snapshot_that_was_sent_last() {
    let known = |history: &History| Section::ALL.map(|section| history.known[&section].snapshot);
    let [first, second, third] = ["first", "second", "third"].map(|rates| SnapshotHash::of_bytes(rates.as_bytes()));
    let mut history = synced();
    ask(&mut history, Cause::UnitChanged, 2, "second");
    attempt(&mut history, &Ending { took: &[Section::Rates], ..Ending::of(OutcomeClass::Accepted, &[], &[]) });
    assert_eq!(known(&history), [first, second, first, first], "the others were not sent");
    ask(&mut history, wish(), 2, "second");
    send(&mut history, false);
    assert_eq!(known(&history), [second; 4]);
    run(&mut history, ListingCommand::Unlink { reason: "for a while".to_owned() });
    run(&mut history, link());
    ask(&mut history, Cause::Linked, 3, "third");
    send(&mut history, false);
    assert_eq!(known(&history), [third; 4]);
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

/// Of an attempt that ended without a word older builds told nothing else: whose it was, nobody knows.
#[test]
fn what_had_begun_and_is_not_told_may_have_been_sent_until_the_next_attempt_says_whose_it_was() {
    let mut history = synced();
    run_at(&mut history, 10, request(Cause::UnitChanged, 2, "second"));
    run_at(&mut history, 20, request(Cause::UnitChanged, 3, "third"));
    let may = |history: &History, untold: Option<RangeInclusive<u64>>| -> Vec<bool> {
        history.syncs.iter().map(|story| story.may_have_been_sent(untold.as_ref())).collect()
    };
    assert_eq!(may(&history, None), [false; 3], "nobody had taken it up");
    assert_eq!(may(&history, Some(2..=2)), [false, true, false]);
    let silent = |ordinal: u64, since: i64| {
        Some(Silent { ordinal, last_ordinal: ordinal, since: Some(at(since)), until: Some(at(50)) })
    };
    for (told, takes_over, sent, began) in [
        (None, false, false, 60),
        (None, true, true, 60),
        (silent(2, 15), true, true, 60),
        (silent(3, 25), true, false, 25),
    ] {
        let mut history = history.clone();
        let pending = history.listing.pending().expect("a sync that waits").clone();
        let report = SyncReport { silent: told, takes_over, ..report(pending, at(60)) };
        run_at(&mut history, 61, ListingCommand::RecordOutcome(report));
        assert_eq!(may(&history, Some(2..=2)), [false, sent, false], "{told:?}");
        let heir = newest(&history);
        assert_eq!(heir.began(), Some(at(began)), "{told:?}");
        let (behind, is_other) = (heir.behind(), told.is_some_and(|silent| silent.ordinal == 2));
        assert_eq!((behind.until, behind.silent.is_some()), (at(if is_other { 50 } else { 20 }), is_other), "{told:?}");
    }
}

/// Only so many syncs are kept, and that one may be none of them.
#[test]
fn an_attempt_without_a_word_of_a_sync_that_is_not_kept_is_not_taken_for_one_of_its_heir() {
    let mut history = synced();
    for revision in 2..40 {
        run_at(&mut history, 20, request(Cause::UnitChanged, revision, &revision.to_string()));
    }
    let pending = history.listing.pending().expect("a sync that waits").clone();
    let silent = Some(Silent { ordinal: 2, last_ordinal: 2, since: Some(at(15)), until: Some(at(50)) });
    let report = SyncReport { silent, takes_over: true, ..report(pending, at(60)) };
    run_at(&mut history, 61, ListingCommand::RecordOutcome(report));
    let heir = newest(&history);
    assert_eq!(heir.attempts[0].silent.and_then(|silent| silent.sync_id), None);
    assert_eq!(heir.began(), Some(at(60)));
}

/// It would be told as what held it beside a wait of which nothing held any part.
#[test]
fn what_held_it_while_an_attempt_of_another_sync_was_under_way_is_told_from_its_end_on() {
    let mut history = synced();
    run_at(&mut history, 10, request(Cause::UnitChanged, 2, "second"));
    run_at(&mut history, 20, request(Cause::UnitChanged, 3, "third"));
    let mut story = newest(&history).clone();
    let sync_id = story.supersedes.expect("the one before it");
    story.others.push(OtherAttempt { sync_id, started_at: at(15), finished_at: at(30) });
    let waits = for_attempts(&story, at(40));
    assert_eq!(waits, [(at(30), at(40))]);
    let held = |from, until| {
        let (holder, from, until) = (Holder::CircuitOpen, at(from), Some(at(until)));
        Held { holder, from, until, ms: 0, by: None, reason: None }
    };
    let told = while_it_waited(vec![held(25, 33), held(22, 28)], &waits);
    assert_eq!(told, [Held { ms: 3_000, ..held(25, 33) }]);
}

fn deletion(position: i64) -> Recorded {
    recorded(position, ChannelEvent::Target(TargetEvent::TargetDeleted { reason: "moved".to_owned() }))
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
        attempt(&mut history, &Ending::of(OutcomeClass::Rejected, &[Section::Rates], &[REFUSED]));
        history.end_with_target(&deletion(deleted_at));
        let ends: Vec<&End> = history.syncs.iter().filter_map(|story| story.end.as_ref()).collect();
        assert_eq!(ends[0].outcome, SyncOutcome::Accepted, "deleted at {deleted_at}");
        assert_eq!((ends[1].outcome, ends[1].reason.as_deref()), (outcome, reason), "deleted at {deleted_at}");
        let because = ends[1].cancelled.as_ref().map(|cancelled| cancelled.because);
        let wanted = (outcome == SyncOutcome::Cancelled).then_some(CancelledBecause::TargetDeleted);
        assert_eq!(because, wanted, "deleted at {deleted_at}");
        assert_eq!(ends[1].at, at(1), "deleted at {deleted_at}");
    }
}

/// Who had seen the target before it was deleted may ask for a sync after that.
#[test]
fn what_ended_with_its_target_had_its_place_taken_by_nothing_after_that() {
    let mut history = synced();
    ask(&mut history, Cause::UnitChanged, 2, "second");
    run_at(&mut history, 3, request(Cause::UnitChanged, 3, "third"));
    let told = |history: &History| -> Vec<(Option<SyncOutcome>, bool, bool)> {
        let story = |story: &SyncStory| {
            let outcome = story.end.as_ref().map(|end| end.outcome);
            (outcome, story.superseded_by.is_some(), story.supersedes.is_some())
        };
        history.syncs.iter().skip(1).map(story).collect()
    };
    assert_eq!(told(&history), [(Some(SyncOutcome::Superseded), true, false), (None, false, true)]);
    history.end_with_target(&deletion(2));
    assert_eq!(told(&history), [(Some(SyncOutcome::Cancelled), false, false); 2]);

    // Of those that had ended before, it did.
    let mut history = synced();
    ask(&mut history, Cause::UnitChanged, 2, "second");
    ask(&mut history, Cause::UnitChanged, 3, "third");
    history.end_with_target(&deletion(2));
    let superseded = (Some(SyncOutcome::Superseded), true, false);
    assert_eq!(told(&history), [superseded, (Some(SyncOutcome::Cancelled), false, true)]);
}
