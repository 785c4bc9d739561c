//! Attempts that ended in silence, in part, or out of turn: what the channel has is not believed on their word.

use chrono::{DateTime, Utc};
use domain::call::CallPurpose;
use domain::channel::Section;
use domain::listing::{ListingCommand, ListingError, SyncReport};
use domain::outcome::OutcomeClass;

use crate::fixture::{NEWEST, OF_ORDINAL, Story, accepted, at, change, failed, manual, report, sections, snapshot};

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

/// The same attempt, begun and ended at these seconds.
fn between(from: i64, to: i64, mut told: SyncReport) -> SyncReport {
    (told.started_at, told.finished_at) = (at(from), at(to));
    told.calls.iter_mut().for_each(|call| call.started_at = at(from));
    told
}

/// It took the listing over.
fn heir(told: SyncReport) -> ListingCommand {
    ListingCommand::RecordOutcome(SyncReport { takes_over: true, ..told })
}

/// `b` was under way from second 100 to 160, and is not told yet; `c` is what is wanted since.
fn frozen() -> (Story, SyncReport) {
    let mut story = Story::synced();
    story.must(change(2, "b"));
    story.must(change(3, "c"));
    (story, between(100, 160, accepted(2, "b")))
}

/// Its call may have arrived after that of its heir, who is at work still and hears nothing of it.
#[test]
fn what_is_told_while_the_heir_is_at_work_is_contested_until_it_is_sent_once_more() {
    // Four seconds after its end may be before that, as two clocks may differ.
    for (from, contested) in [(130, true), (159, true), (164, true), (166, false)] {
        let (mut story, late) = frozen();
        story.must(ListingCommand::RecordOutcome(late));
        assert!(!story.listing.is_contested(), "what waits is sent in any case");
        story.must(heir(between(from, 170, accepted(3, "c"))));
        assert_eq!(story.listing.is_contested(), contested, "{from}");
        let doubted: &[Section] = if contested { &[Section::Content, Section::Images] } else { &[] };
        assert_eq!(story.listing.differing(&sections("c")), doubted, "{from}: nobody else sent nights");
        assert_eq!(story.listing.accepted().snapshot, Some(snapshot("c")), "that is sent once more");
        let of_nights = sections("c").into_iter().filter(|(section, _)| nights().contains(section)).collect();
        assert!(!story.listing.is_contested_in(&of_nights));
        assert_eq!(story.listing.is_contested_in(&sections("c")), contested);
        // What was asked for after both began after both, whatever the clocks say.
        story.must(manual(1, 3, "c"));
        story.must(ListingCommand::RecordOutcome(between(from + 1, 171, accepted(4, "c"))));
        assert!(!story.listing.is_contested());
        assert_eq!(story.listing.accepted().sections, sections("c"));
    }
}

#[test]
fn what_is_told_after_the_heir_is_contested() {
    let (mut story, late) = frozen();
    story.must(heir(between(130, 140, accepted(3, "c"))));
    assert!(!story.listing.is_contested());
    story.must(ListingCommand::RecordOutcome(late));
    assert!(story.listing.is_contested_in(&sections("c")));
}

/// Whoever has the listing after the heir has a newer job, and began before the late one was told.
#[test]
fn what_is_told_while_a_third_one_is_at_work_is_contested() {
    for (from, all, contested) in [(150, true, true), (150, false, true), (170, false, true), (170, true, false)] {
        let (mut story, late) = frozen();
        story.must(heir(between(130, 140, accepted(3, "c"))));
        story.must(change(4, "d"));
        story.must(ListingCommand::RecordOutcome(late));
        let mut third = between(from, 180, accepted(4, "d"));
        if !all {
            // As far as it knew the channel had the rest.
            third.progress.sections.retain(|section, _| nights().contains(section));
            third.calls[0].purpose = CallPurpose::Calendar;
        }
        story.must(ListingCommand::RecordOutcome(third));
        assert_eq!(story.listing.is_contested(), contested, "{from} {all}");
    }
}

/// Both of one job have written the same.
#[test]
fn two_attempts_at_one_job_contest_nothing() {
    let mut story = Story::synced();
    story.must(change(2, "b"));
    story.must(ListingCommand::RecordOutcome(between(100, 160, report(2, Some(OutcomeClass::Unknown)))));
    story.must(heir(between(130, 170, accepted(2, "b"))));
    assert!(!story.listing.is_contested());
    assert_eq!(story.listing.accepted().sections, sections("b"));
}

/// The job of an heir that failed is told as that, and nothing is sent in its place. One that goes on sends what is contested.
#[test]
fn of_an_heir_that_failed_nothing_is_sent_once_more() {
    for (class, waits) in [(OutcomeClass::Rejected, false), (OutcomeClass::Transient, true)] {
        let (mut story, late) = frozen();
        story.must(ListingCommand::RecordOutcome(late));
        story.must(heir(between(130, 170, report(3, Some(class)))));
        assert_eq!((story.listing.pending().is_some(), story.listing.is_contested()), (waits, false), "{class}");
        assert_eq!(story.listing.differing(&sections("c")), Section::ALL);
        if waits {
            story.must(ListingCommand::RecordOutcome(between(171, 172, accepted(3, "c"))));
            assert!(!story.listing.is_contested(), "it began after both");
            assert_eq!(story.listing.accepted().sections, sections("c"));
        }
    }
}

/// The channel may refuse a section for ever.
#[test]
fn what_is_contested_is_sent_once_more_and_not_again_and_again() {
    let (mut story, late) = frozen();
    story.must(ListingCommand::RecordOutcome(late));
    story.must(heir(between(130, 170, accepted(3, "c"))));
    story.must(manual(1, 3, "c"));
    let mut told = between(171, 172, accepted(4, "c"));
    told.class = Some(OutcomeClass::AcceptedWithRejections);
    told.progress.sections.retain(|section, _| nights().contains(section));
    told.calls[0].class = OutcomeClass::Rejected;
    story.must(ListingCommand::RecordOutcome(told));
    assert!(!story.listing.is_contested());
    assert_eq!(story.listing.differing(&sections("c")), [Section::Content, Section::Images]);
}
