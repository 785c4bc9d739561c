//! Attempts that ended in silence, in part, or out of turn: what the channel has is not believed on their word.

use chrono::{DateTime, Utc};
use domain::call::CallPurpose;
use domain::channel::Section;
use domain::listing::{ListingCommand, ListingError, SyncReport};
use domain::outcome::OutcomeClass;

use crate::fixture::{NEWEST, OF_ORDINAL, Story, accepted, at, change, failed, report, sections};

fn nights() -> [Section; 2] {
    [Section::Availability, Section::Rates]
}

fn create(began_at: DateTime<Utc>, at: DateTime<Utc>) -> ListingCommand {
    ListingCommand::StartCreation { sync_id: OF_ORDINAL, ordinal: NEWEST, at, began_at, replaces: None }
}

/// A dispatcher that died had sent `b` perhaps, and the unit is back at `a`, which the channel took before.
#[test]
fn after_a_silent_attempt_nothing_is_believed_until_it_is_accepted_again() {
    let mut story = Story::synced();
    story.must(change(2, "b"));
    story.must(change(3, "a"));
    assert!(story.listing.needs().is_empty(), "as far as the journal knows");
    let throttled = report(3, Some(OutcomeClass::Throttled));
    story.must(ListingCommand::RecordOutcome(SyncReport { takes_over: true, ..throttled }));
    assert_eq!(story.listing.needs(), Section::ALL, "the next attempt sends all of it");
    story.must(ListingCommand::RecordOutcome(SyncReport { takes_over: true, ..accepted(3, "a") }));
    assert_eq!(story.listing.accepted().sections, sections("a"));
}

/// Of more intervals than one call takes the first were taken, the next refused: the channel has some of both.
#[test]
fn a_section_that_was_refused_half_way_is_not_what_it_was() {
    let mut story = Story::synced();
    story.must(change(2, "b"));
    let mut told = accepted(2, "b");
    told.class = Some(OutcomeClass::AcceptedWithRejections);
    told.progress.sections.retain(|section, _| !nights().contains(section));
    let mut refused = told.calls[0].clone();
    (refused.purpose, refused.class) = (CallPurpose::Calendar, OutcomeClass::Rejected);
    told.calls.push(refused);
    story.must(ListingCommand::RecordOutcome(told));
    story.must(change(3, "a"));
    assert_eq!(story.listing.needs(), Section::ALL, "the nights are sent again although the channel once had them");
}

/// Its lease ran out, the next one got something through, and only then was it told.
#[test]
fn what_an_older_attempt_got_done_is_no_news() {
    let mut story = Story::synced();
    story.must(change(2, "b"));
    let slow = accepted(2, "b");
    story.must(change(3, "c"));
    let mut quick = report(3, Some(OutcomeClass::Transient));
    quick.progress.sections = sections("c");
    story.must(ListingCommand::RecordOutcome(quick));
    story.must(ListingCommand::RecordOutcome(slow));
    story.must(change(4, "b"));
    assert!(!story.listing.needs().is_empty(), "the channel has c, whatever the slow one says");
}

/// The answer to a creation settles the intent that led to it, not one of somebody else's that is younger.
#[test]
fn an_older_creation_that_was_refused_says_nothing_of_a_younger_one() {
    let mut story = Story::linked();
    story.must(change(1, "a"));
    story.must(create(at(0), at(0)));
    let mut slow = report(1, Some(OutcomeClass::Throttled));
    (slow.calls[0].purpose, slow.calls[0].started_at) = (CallPurpose::Create, at(0));
    story.must(create(at(40), at(41)));
    story.must(ListingCommand::RecordOutcome(slow));
    assert!(story.listing.creation().is_some(), "the younger call may still arrive");
    let refusal = story.refused(create(at(45), at(46)));
    assert!(matches!(refusal, ListingError::CreationUnderWay { .. }), "{refusal:?}");
}

/// An unknown end is verified by an attempt that comes after it.
#[test]
fn an_older_success_verifies_nothing() {
    let mut story = Story::synced();
    story.must(change(2, "b"));
    let slow = accepted(2, "b");
    story.must(change(3, "c"));
    story.must(failed(3, OutcomeClass::Unknown));
    story.must(ListingCommand::RecordOutcome(slow));
    assert!(story.listing.must_verify());
}
