//! An attempt is told with the sections that the dispatcher had to send: all of them where somebody had asked for it, also
//! after another sync took that place, and where an attempt before it had ended without a word. Of a section that was refused it is
//! told what the channel has, where that is certain; and a sync ends with its target.

use chrono::{DateTime, Utc};
use domain::call::{CallPurpose, CallRecord};
use domain::channel::{RejectedPart, Section, SectionHashes};
use domain::hash::{PayloadHash, SnapshotHash};
use domain::ids::{ExternalId, ListingId, OrgId, TargetId, UnitId};
use domain::listing::{Cause, LinkListing, ListingCommand, Origin, Pending, Progress, RequestSync, SyncReport};
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
        detail: None,
        answer: None,
    };
    let sections = pending.sections.into_iter().filter(|(section, _)| took.contains(section)).collect();
    let refused = |section: &Section| RejectedPart {
        section: *section,
        part: "listing".to_owned(),
        value: String::new(),
        reason: "in words".to_owned(),
    };
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
            rejected: named.iter().map(refused).collect(),
            calls: calls.iter().map(call).collect(),
            hopeless: false,
            retry_at: started_at,
            max_attempts: 5,
        }),
    );
}

/// The sync that waits is sent and taken.
fn send(history: &mut History, takes_over: bool) {
    let ending = Ending { takes_over, took: &Section::ALL, ..Ending::of(OutcomeClass::Accepted, &[], &[]) };
    attempt(history, &ending);
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

/// Why it is not certain that the channel has of a section what it took last: the status of a refusal, with a question mark where
/// some of it may have gone in, or that nobody knows.
fn doubt(history: &History, section: Section) -> String {
    match history.known[&section].doubt {
        None => "none".to_owned(),
        Some(Doubt::Unknown) => "unknown".to_owned(),
        Some(Doubt::Refused(refusal)) => format!("{}{}", refusal.status, if refusal.certain { "" } else { "?" }),
    }
}

#[test]
fn what_was_refused_as_a_whole_leaves_what_was_there_and_what_may_have_gone_in_does_not() {
    use OutcomeClass::{AcceptedWithRejections, Rejected, Throttled, Transient};
    use Section::{Availability, Rates};
    let (nothing, nights, rates, both): (&[Section], &[Section], &[Section], &[Section]) =
        (&[], &[Availability], &[Rates], &[Availability, Rates]);
    for (class, took, named, calls, told) in [
        // A call of both sections, and then one of each.
        (Rejected, nothing, both, vec![REFUSED, REFUSED, REFUSED], "422"),
        (AcceptedWithRejections, nights, rates, vec![REFUSED, TAKEN, REFUSED], "422"),
        // The push ended before the rates had a call of their own: they were in the first one.
        (Throttled, nothing, nothing, vec![REFUSED], "422"),
        (Transient, nothing, nothing, vec![REFUSED, FAILED], "422"),
        // Each in its own call; one that was throttled carried nothing in.
        (Rejected, nothing, both, vec![THROTTLED, REFUSED, REFUSED], "422"),
        // The push ended before there was a call of the rates.
        (Throttled, nothing, nights, vec![REFUSED], "none"),
        (Throttled, nothing, nights, vec![MANY_REFUSED], "none"),
        // The first of two calls may have carried a part of them.
        (AcceptedWithRejections, nights, rates, vec![TAKEN, REFUSED], "unknown"),
        (Throttled, nothing, nights, vec![REFUSED, TAKEN], "unknown"),
        (Transient, nothing, nights, vec![REFUSED, FAILED], "unknown"),
        // Nobody knows whether the good ones of several intervals are written.
        (Throttled, nothing, nothing, vec![MANY_REFUSED], "422?"),
        (Rejected, nothing, both, vec![MANY_REFUSED, REFUSED, REFUSED], "422?"),
        (AcceptedWithRejections, nights, rates, vec![REFUSED, TAKEN, MANY_REFUSED], "422?"),
        // There was no listing of which any could have been written, and who knows whether the rates were in that call.
        (Rejected, nothing, nothing, vec![refused("calendarIntervals", 404)], "none"),
    ] {
        let case = format!("{class} {took:?} {named:?} {calls:?}");
        let mut history = synced();
        ask(&mut history, wish(), 2, "second");
        attempt(&mut history, &Ending { took, ..Ending::of(class, named, &calls) });
        assert_eq!(doubt(&history, Rates), told, "{case}");
        assert!(!history.listing.accepted().sections.contains_key(&Rates), "it is sent again in any case");
        assert_eq!(history.known[&Rates].snapshot, SnapshotHash::of_bytes(b"first"), "{case}");
        ask(&mut history, Cause::UnitChanged, 3, "third");
        assert_eq!(doubt(&history, Rates), told, "to ask for more tells nothing");
        send(&mut history, false);
        assert_eq!(doubt(&history, Rates), "none", "what is taken is certain");
    }
}

/// The aggregate doubts whatever a call of that kind may write; people are told of the sections that were in it.
#[test]
fn a_section_is_told_as_refused_where_it_was_in_a_call_and_by_the_answer_to_its_own() {
    use CallPurpose::{Content, Images};
    use OutcomeClass::Rejected;
    let of_listing = |purpose: CallPurpose, status: u16| (purpose, "40001?includeResources=1", Rejected, Some(status));
    let all = [
        REFUSED,
        refused("calendar", 400),
        refused("calendar", 409),
        of_listing(Content, 422),
        of_listing(Content, 400),
        of_listing(Images, 409),
    ];
    for (cause, named, calls, told) in [
        // Only the rates differ.
        (Cause::UnitChanged, &[Section::Rates][..], &all[..1], ["none", "422", "none", "none"]),
        (wish(), &Section::ALL[..], &all[..], ["400", "409", "400", "409"]),
    ] {
        let mut history = synced();
        ask(&mut history, cause, 2, "second");
        let sent = history.listing.pending().expect("a sync that waits").clone();
        // It is superseded while it is under way, so that no section is what was wanted last.
        ask(&mut history, Cause::UnitChanged, 3, "third");
        attempt_at(&mut history, sent, at(1), &Ending::of(Rejected, named, calls));
        assert_eq!(Section::ALL.map(|section| doubt(&history, section)), told);
        let doubted = |section: &&Section| !history.listing.accepted().sections.contains_key(*section);
        assert_eq!(Section::ALL.iter().filter(doubted).count(), if calls.len() == 1 { 2 } else { 4 });
    }
}

/// What an attempt had to send is worked out from what is known when it is told.
#[test]
fn an_attempt_that_is_told_late_may_have_sent_anything() {
    let mut history = synced();
    ask(&mut history, Cause::UnitChanged, 2, "second");
    let sent = history.listing.pending().expect("a sync that waits").clone();
    send(&mut history, true);
    attempt_at(&mut history, sent, at(0), &Ending::of(OutcomeClass::Unknown, &[], &[LOST]));
    assert_eq!(doubt(&history, Section::Rates), "unknown", "it may have been written after what was taken");
}

#[test]
fn a_refusal_makes_nothing_certain_that_was_unknown() {
    let told = |history: &History| doubt(history, Section::Rates);
    let rates = &[Section::Rates];
    let refuse = |history: &mut History, call: Call| {
        attempt(history, &Ending::of(OutcomeClass::Rejected, rates, &[call]));
    };
    let lose = |history: &mut History| attempt(history, &Ending::of(OutcomeClass::Unknown, &[], &[LOST]));
    let mut history = synced();
    ask(&mut history, Cause::UnitChanged, 2, "second");
    lose(&mut history);
    refuse(&mut history, REFUSED);
    assert_eq!(told(&history), "unknown", "what was lost before may have gone in");

    let mut history = synced();
    ask(&mut history, Cause::UnitChanged, 2, "second");
    refuse(&mut history, MANY_REFUSED);
    ask(&mut history, Cause::UnitChanged, 3, "third");
    refuse(&mut history, REFUSED);
    assert_eq!(told(&history), "422?", "some of what was refused before may have gone in");

    let mut history = synced();
    ask(&mut history, Cause::UnitChanged, 2, "second");
    refuse(&mut history, REFUSED);
    assert_eq!(told(&history), "422");
    ask(&mut history, Cause::UnitChanged, 3, "third");
    attempt(&mut history, &Ending::of(OutcomeClass::Throttled, &[], &[THROTTLED]));
    assert_eq!(told(&history), "422", "nothing was sent");
    let mut other = history.clone();
    lose(&mut history);
    assert_eq!(told(&history), "unknown", "what was lost since may have gone in");
    let taking_over = Ending { takes_over: true, ..Ending::of(OutcomeClass::Rejected, rates, &[REFUSED]) };
    attempt(&mut other, &taking_over);
    assert_eq!(told(&other), "unknown", "and so may what nobody told of");
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
