//! Outcomes: the class decides, at most five attempts, an unknown end is verified, what comes late is kept.

use domain::channel::{RejectedPart, Section};
use domain::ids::SyncId;
use domain::listing::{ChannelListing, ListingCommand, ListingError, ListingEvent, SyncReport};
use domain::outcome::OutcomeClass;
use uuid::Uuid;

use crate::fixture::{Story, accepted, at, change, failed, report, sections, snapshot, unlink};

fn changed() -> Story {
    let mut story = Story::synced();
    story.must(change(2, "b"));
    story
}

#[test]
fn a_success_ends_the_job_and_is_what_the_channel_has() {
    let mut story = changed();
    assert!(matches!(story.must(ListingCommand::RecordOutcome(accepted(2, "b"))), ListingEvent::SyncAccepted { .. }));
    assert_eq!(story.listing.pending(), None);
    assert_eq!(story.listing.accepted().sections, sections("b"));
    assert_eq!(story.listing.accepted().snapshot, Some(snapshot("b")));
}

#[test]
fn nothing_to_send_ends_the_job_without_a_call() {
    let mut story = changed();
    let unchanged = story.must(ListingCommand::RecordOutcome(report(2, None)));
    assert!(matches!(unchanged, ListingEvent::SyncFoundUnchanged { .. }));
    assert_eq!(story.listing.pending(), None);
}

#[test]
fn four_failures_are_deferred_and_the_fifth_ends_it() {
    let mut story = changed();
    for attempt in 1..=4 {
        let ListingEvent::SyncDeferred { attempt: told, due_at, .. } = story.must(failed(2, OutcomeClass::Transient))
        else {
            panic!("attempt {attempt} is deferred")
        };
        assert_eq!((told.attempt, due_at), (attempt, at(60)));
    }
    let ListingEvent::SyncFailed { attempt, class } = story.must(failed(2, OutcomeClass::Unknown)) else {
        panic!("it ends")
    };
    assert_eq!((attempt.attempt, class), (5, OutcomeClass::Unknown));
    assert_eq!(story.listing.pending(), None);
}

#[test]
fn a_rate_limit_or_refused_credentials_burn_no_attempt() {
    let mut story = changed();
    for class in [OutcomeClass::Throttled, OutcomeClass::Unauthorised].repeat(20) {
        let event = story.must(failed(2, class));
        assert!(matches!(&event, ListingEvent::SyncDeferred { attempt, .. } if attempt.attempt == 0), "{event:?}");
    }
}

/// Builds of before, which know no such class, do the same after a rate limit.
#[test]
fn what_is_stopped_on_our_side_burns_no_attempt_and_is_told_in_a_class_that_older_builds_read() {
    let mut story = changed();
    for class in [OutcomeClass::Stopped, OutcomeClass::Throttled].repeat(4) {
        let ListingEvent::SyncDeferred { attempt, class: named, .. } = story.must(failed(2, class)) else {
            panic!("it is deferred")
        };
        assert_eq!((attempt.attempt, named), (0, OutcomeClass::Throttled));
        assert_eq!((attempt.class(named), attempt.stopped), (class, class == OutcomeClass::Stopped));
    }
    story.must(change(3, "c"));
    let ListingEvent::SupersededSyncFailed { attempt, class } = story.must(failed(2, OutcomeClass::Stopped)) else {
        panic!("another has taken its place")
    };
    assert_eq!((class, attempt.class(class)), (OutcomeClass::Throttled, OutcomeClass::Stopped));
    assert_eq!(attempt.class(OutcomeClass::Unknown), OutcomeClass::Unknown);
}

#[test]
fn what_the_channel_refuses_is_kept_short_and_without_what_cannot_be_stored() {
    let mut story = changed();
    let refused = |number: usize| RejectedPart {
        section: Section::Content,
        part: format!("listing.listingAmenities[{number}]"),
        value: "x".repeat(100_000),
        reason: "no\0thing".to_owned(),
    };
    for _ in 0..3 {
        let mut report = report(2, Some(OutcomeClass::Throttled));
        report.rejected = (0..80).map(refused).collect();
        let ListingEvent::SyncDeferred { attempt, .. } = story.must(ListingCommand::RecordOutcome(report)) else {
            panic!("it is deferred")
        };
        assert_eq!(attempt.rejected.len(), 51);
        assert_eq!(attempt.rejected[0].value.chars().count(), 201);
        assert_eq!(attempt.rejected[0].reason, "nothing");
        assert!(attempt.rejected[50].reason.starts_with("at least "), "{:?}", attempt.rejected[50]);
    }
}

#[test]
fn a_refusal_and_a_hopeless_failure_end_it_at_once() {
    let ends = |report: SyncReport| {
        let mut story = changed();
        matches!(story.must(ListingCommand::RecordOutcome(report)), ListingEvent::SyncFailed { .. })
    };
    assert!(ends(report(2, Some(OutcomeClass::Rejected))));
    assert!(ends(SyncReport { hopeless: true, ..report(2, Some(OutcomeClass::Unauthorised)) }));
    assert!(!ends(report(2, Some(OutcomeClass::Unauthorised))));
}

#[test]
fn an_unknown_end_is_verified_by_this_job_and_by_one_that_takes_its_place() {
    let mut story = changed();
    let verifies = |story: &Story| story.listing.must_verify();
    assert!(!verifies(&story));
    story.must(failed(2, OutcomeClass::Unknown));
    assert!(verifies(&story));
    story.must(change(3, "c"));
    assert!(verifies(&story));
}

#[test]
fn an_unknown_end_of_a_job_whose_place_was_taken_is_verified_too() {
    let mut story = changed();
    story.must(change(3, "c"));
    let event = story.must(failed(2, OutcomeClass::Unknown));
    assert!(matches!(event, ListingEvent::SupersededSyncFailed { .. }));
    assert_eq!(story.listing.pending().map(|pending| pending.ordinal), Some(3), "the newer job goes on");
    assert!(story.listing.must_verify());
}

#[test]
fn an_unknown_end_outlives_a_job_that_has_no_attempt_left() {
    let mut story = changed();
    for _ in 0..5 {
        story.must(failed(2, OutcomeClass::Unknown));
    }
    assert!(story.listing.pending().is_none());
    story.must(change(3, "c"));
    assert!(story.listing.must_verify());
    story.must(ListingCommand::RecordOutcome(accepted(3, "c")));
    assert!(!story.listing.must_verify());
}

#[test]
fn what_got_done_counts_although_the_whole_failed() {
    let mut story = changed();
    let mut told = report(2, Some(OutcomeClass::Transient));
    told.progress.sections.insert(Section::Availability, sections("b")[&Section::Availability]);
    story.must(ListingCommand::RecordOutcome(told));
    assert_eq!(story.listing.needs(), [Section::Rates, Section::Content, Section::Images]);
}

#[test]
fn an_attempt_that_comes_late_is_kept_and_changes_no_outcome() {
    let mut story = changed();
    story.must(ListingCommand::RecordOutcome(accepted(2, "b")));
    let outcome = |story: &Story| {
        let now = &story.listing;
        (now.pending().cloned(), now.accepted().snapshot, now.external_id().cloned(), now.state(), now.creation())
    };
    let before = outcome(&story);
    let late = story.must(failed(2, OutcomeClass::Unknown));
    assert!(matches!(late, ListingEvent::LateAttemptRecorded { class: Some(OutcomeClass::Unknown), .. }));
    assert_eq!(outcome(&story), before);
    assert_eq!(
        story.listing.differing(&sections("b")),
        [Section::Content, Section::Images],
        "it may have written over what was accepted"
    );
    assert_eq!(story.run(ListingCommand::RecordOutcome(report(2, None))), Ok(Vec::new()), "nothing to tell");
}

#[test]
fn an_outcome_of_a_job_that_never_was_is_refused() {
    let mut story = changed();
    for ordinal in [0, 3] {
        assert!(matches!(story.refused(failed(ordinal, OutcomeClass::Transient)), ListingError::NotPending(_)));
    }
}

/// Of a journal that was put back to an earlier state: it gives ordinals a second time.
#[test]
fn an_outcome_of_another_job_of_the_same_ordinal_is_refused() {
    let story = changed();
    let pending = story.listing.pending().expect("a job").clone();
    let told = |sync_id| ListingCommand::RecordOutcome(SyncReport { sync_id, ..accepted(pending.ordinal, "b") });
    let other = SyncId(Uuid::from_u128(7));
    assert_eq!(story.listing.decide(told(other)), Err(ListingError::NotPending(other)));
    assert!(story.listing.decide(told(pending.sync_id)).is_ok());
}

/// The ordinal went to one that is over by now: the unit had gone back to what the channel took last, as far as the journal knows.
#[test]
fn an_outcome_of_a_lost_job_is_refused_when_that_of_its_ordinal_is_over() {
    let lost = SyncId(Uuid::from_u128(7));
    let told = |sync_id| ListingCommand::RecordOutcome(SyncReport { sync_id, ..accepted(2, "b") });
    let mut skipped = Story::synced();
    let ListingEvent::SyncSkipped { request } = skipped.must(change(2, "a")) else { panic!("nothing differs") };
    assert_eq!(request.ordinal, 2);
    let mut ended = changed();
    ended.must(ListingCommand::RecordOutcome(accepted(2, "b")));
    let mut unlinked = changed();
    unlinked.must(unlink());
    for story in [&skipped, &ended, &unlinked] {
        assert_eq!(story.listing.decide(told(lost)), Err(ListingError::NotPending(lost)));
    }
    // A state that an older build kept names none.
    let mut kept = serde_json::to_value(&skipped.listing).expect("a state is JSON");
    kept.as_object_mut().expect("a listing").remove("finished_sync").expect("it is kept");
    let read: ChannelListing = serde_json::from_value(kept).expect("a kept state is read");
    assert!(read.decide(told(lost)).is_ok());
}

/// A dispatcher holds it against a queue that lags.
#[test]
fn a_deferred_job_knows_when_its_next_attempt_is_due_until_another_takes_its_place() {
    let mut story = changed();
    let due = |story: &Story| story.listing.pending().and_then(|pending| pending.due_at);
    assert_eq!(due(&story), None);
    story.must(failed(2, OutcomeClass::Transient));
    assert_eq!(due(&story), Some(at(60)));
    // Kept by an older build.
    let mut kept = serde_json::to_value(&story.listing).expect("a state is JSON");
    kept["pending"].as_object_mut().expect("a job").remove("due_at").expect("it is kept");
    let read: ChannelListing = serde_json::from_value(kept).expect("a kept state is read");
    assert_eq!(read.pending().map(|pending| (pending.ordinal, pending.due_at)), Some((2, None)));
    story.must(change(3, "c"));
    assert_eq!(due(&story), None);
}

#[test]
fn a_superseded_job_that_came_through_leaves_the_newer_one_waiting() {
    let mut story = changed();
    story.must(change(3, "c"));
    assert!(matches!(story.must(ListingCommand::RecordOutcome(accepted(2, "b"))), ListingEvent::SyncAccepted { .. }));
    assert_eq!(story.listing.pending().map(|pending| pending.ordinal), Some(3));
    assert_eq!(story.listing.accepted().snapshot, Some(snapshot("a")), "a superseded one does not count");
    assert_eq!(story.listing.needs().len(), 4);
}

/// The commit came through, its answer did not: the dispatcher tells the same attempt again.
#[test]
fn an_outcome_that_is_told_twice_is_one_attempt() {
    let mut story = Story::linked();
    story.must(change(1, "a"));
    let told = report(1, Some(OutcomeClass::Transient));
    story.must(ListingCommand::RecordOutcome(told.clone()));
    assert_eq!(story.run(ListingCommand::RecordOutcome(told)), Ok(Vec::new()));
    assert_eq!(story.listing.pending().map(|pending| pending.attempts), Some(1));
}

/// Its lease ran out before it was told again: others have deferred the same job, and asked for it once more.
#[test]
fn an_outcome_that_is_told_again_after_others_is_still_one_attempt() {
    let mut story = changed();
    let told = report(2, Some(OutcomeClass::Transient));
    story.must(ListingCommand::RecordOutcome(told.clone()));
    story.must(failed(2, OutcomeClass::Throttled));
    story.must(failed(2, OutcomeClass::Transient));
    let mut kept = serde_json::to_value(&story.listing).expect("a state is JSON");
    assert_eq!(story.run(ListingCommand::RecordOutcome(told.clone())), Ok(Vec::new()));
    assert_eq!(story.listing.pending().map(|pending| pending.attempts), Some(2));
    story.must(ListingCommand::RecordOutcome(accepted(2, "b")));
    let started_at = told.started_at;
    assert_eq!(story.run(ListingCommand::RecordOutcome(told)), Ok(Vec::new()), "nor is it one that came late");
    // Another attempt that had started at the same moment is of another job.
    story.must(change(3, "c"));
    let other = SyncReport { started_at, ..report(3, Some(OutcomeClass::Transient)) };
    assert!(matches!(story.must(ListingCommand::RecordOutcome(other)), ListingEvent::SyncDeferred { .. }));
    story.must(change(4, "d"));
    let next = SyncReport { started_at, ..report(4, Some(OutcomeClass::Transient)) };
    let recorded = story.must(ListingCommand::RecordOutcome(next));
    assert!(matches!(recorded, ListingEvent::SyncDeferred { .. }), "nor where that is the last one");
    // As many as a listing ever had are not kept, and a state that an older build kept has none.
    for _ in 0..40 {
        story.must(failed(4, OutcomeClass::Throttled));
    }
    let now = serde_json::to_value(&story.listing).expect("a state is JSON");
    assert_eq!(now["told_attempts"].as_array().map(Vec::len), Some(8));
    kept.as_object_mut().expect("a listing").remove("told_attempts").expect("they are kept");
    let read: ChannelListing = serde_json::from_value(kept).expect("a kept state is read");
    assert_eq!(read.pending().map(|pending| pending.attempts), Some(2));
}

/// The content went through with a part refused, the nights were throttled: the job's end still names the part.
#[test]
fn refused_parts_of_an_earlier_attempt_belong_to_the_end() {
    use domain::channel::RejectedPart;
    let mut story = changed();
    let part = |section| RejectedPart {
        section,
        part: "unit.amenities[4]".to_owned(),
        value: "teleporter".to_owned(),
        reason: "no such amenity".to_owned(),
    };
    let mut held = report(2, Some(OutcomeClass::Throttled));
    held.progress.sections.insert(Section::Content, sections("b")[&Section::Content]);
    held.rejected = vec![part(Section::Content), part(Section::Rates)];
    story.must(ListingCommand::RecordOutcome(held));
    let ListingEvent::SyncAccepted { attempt } = story.must(ListingCommand::RecordOutcome(accepted(2, "b"))) else {
        panic!("it was accepted");
    };
    assert_eq!(attempt.rejected, [part(Section::Content)], "the rates were sent again and taken");
}

/// Written, but the answer was lost; then the unit changes back. The channel may have the change, so it is sent again.
#[test]
fn a_change_back_after_an_unconfirmed_write_is_sent() {
    let mut story = changed();
    story.must(failed(2, OutcomeClass::Unknown));
    story.must(change(3, "a"));
    assert!(story.listing.needs().contains(&Section::Content), "{:?}", story.listing.needs());
}
