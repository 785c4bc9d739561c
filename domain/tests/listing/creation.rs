//! The creation guard: no duplicate listing at the channel.

use domain::call::CallPurpose;
use domain::ids::{ExternalId, SyncId};
use domain::listing::{LinkListing, ListingCommand, ListingError, ListingEvent, Progress, SyncReport};
use domain::outcome::OutcomeClass;
use uuid::Uuid;

use crate::fixture::{NEWEST, OF_ORDINAL, Story, accepted, at, change, failed, link, report, unlink};

fn start(second: i64) -> ListingCommand {
    start_again(second, None)
}

fn start_again(second: i64, replaces: Option<i64>) -> ListingCommand {
    let (sync_id, replaces) = (OF_ORDINAL, replaces.map(at));
    ListingCommand::StartCreation { sync_id, ordinal: NEWEST, at: at(second), began_at: at(second), replaces }
}

/// A link that forgets the previous id.
fn link_afresh() -> ListingCommand {
    match link(None) {
        ListingCommand::Link(wanted) => ListingCommand::Link(LinkListing { afresh: true, ..wanted }),
        other => other,
    }
}

fn to_be_created() -> Story {
    let mut story = Story::linked();
    story.must(change(1, "a"));
    story
}

#[test]
fn the_intent_is_recorded_before_the_call() {
    let mut story = to_be_created();
    assert!(matches!(story.must(start(0)), ListingEvent::CreationStarted { .. }));
    assert_eq!(story.listing.creation().map(|creation| creation.started_at), Some(at(0)));
    assert_eq!(story.listing.untold_creation(), story.listing.creation());
}

#[test]
fn nothing_is_created_without_a_job_or_twice() {
    let mut story = Story::linked();
    assert!(matches!(story.refused(start(0)), ListingError::NotPending(_)));
    assert_eq!(Story::synced().refused(start(0)), ListingError::AlreadyCreated);
    story.must(change(1, "a"));
    story.must(unlink());
    assert_eq!(story.refused(start(0)), ListingError::Unlinked);
}

/// A crash after the intent: nobody tells how the call ended, so others wait until it cannot arrive any more.
#[test]
fn a_second_creation_waits_until_the_first_cannot_arrive_any_more() {
    let mut story = to_be_created();
    story.must(start(0));
    assert_eq!(story.refused(start(34)), ListingError::CreationUnderWay { until: at(35) });
    assert!(matches!(story.must(start(35)), ListingEvent::CreationStarted { .. }));
}

/// The look-up found nothing while the first call could still arrive; the slot came only after that.
#[test]
fn a_creation_does_not_trust_a_look_up_from_before_the_first_could_not_arrive() {
    let mut story = to_be_created();
    story.must(start(0));
    story.must(failed(1, OutcomeClass::Unknown));
    let late = |began: i64| {
        let sync_id = OF_ORDINAL;
        ListingCommand::StartCreation { sync_id, ordinal: NEWEST, at: at(36), began_at: at(began), replaces: None }
    };
    assert_eq!(story.refused(late(26)), ListingError::CreationUnderWay { until: at(35) });
    assert!(matches!(story.must(late(35)), ListingEvent::CreationStarted { .. }));
}

/// Found by the model of listings: what arrives late would be a second one.
#[test]
fn a_link_to_a_known_listing_forgets_no_creation_that_may_still_arrive() {
    let mut story = to_be_created();
    story.must(start(0));
    story.must(failed(1, OutcomeClass::Unknown));
    story.must(unlink());
    story.must(link(Some("500")));
    story.must(change(1, "a"));
    story.must(failed(2, OutcomeClass::Unknown));
    story.must(unlink());
    story.must(link_afresh());
    story.must(change(1, "a"));
    assert_eq!(story.refused(start(10)), ListingError::CreationUnderWay { until: at(35) });
    assert!(matches!(story.must(start(35)), ListingEvent::CreationStarted { .. }));
}

/// Found by the model of listings: two attempts had looked and found nothing, one of them created, and the listing was linked afresh.
#[test]
fn an_attempt_of_an_earlier_link_creates_nothing_for_a_later_one() {
    let mut story = to_be_created();
    story.must(start(0));
    story.must(ListingCommand::RecordOutcome(accepted(1, "a")));
    story.must(unlink());
    story.must(link_afresh());
    story.must(change(1, "a"));
    let sync_id = OF_ORDINAL;
    let of_job =
        |ordinal| ListingCommand::StartCreation { sync_id, ordinal, at: at(1), began_at: at(0), replaces: None };
    assert!(matches!(story.refused(of_job(1)), ListingError::NotPending(_)));
    assert!(matches!(story.must(of_job(2)), ListingEvent::CreationStarted { .. }));
}

/// Of a journal that was put back to an earlier state: it gives ordinals a second time, and has not come as far.
#[test]
fn an_attempt_of_a_job_that_the_journal_lost_creates_nothing_for_another() {
    let mut story = to_be_created();
    let lost = SyncId(Uuid::from_u128(7));
    for ordinal in [1, 2] {
        let (at, began_at) = (at(1), at(0));
        let create = ListingCommand::StartCreation { sync_id: lost, ordinal, at, began_at, replaces: None };
        assert_eq!(story.refused(create), ListingError::NotPending(lost), "{ordinal}");
    }
    assert!(matches!(story.must(start(1)), ListingEvent::CreationStarted { .. }));
}

/// A crash in the middle of a creation leaves no outcome, and five unknown ends leave no job.
#[test]
fn an_intent_without_an_end_is_verified_whoever_comes_next() {
    let mut story = to_be_created();
    assert!(!story.listing.must_verify());
    story.must(start(0));
    assert!(story.listing.must_verify());
    story.must(unlink());
    story.must(link(None));
    story.must(change(1, "a"));
    assert!(story.listing.must_verify());
    story.must(ListingCommand::RecordOutcome(accepted(2, "a")));
    assert!(!story.listing.must_verify());
}

/// A photo was refused with the whole: the same push tries once more without, and its time starts anew.
#[test]
fn a_push_may_replace_its_own_intent_and_no_other() {
    let mut story = to_be_created();
    story.must(start(0));
    assert_eq!(story.refused(start_again(20, Some(19))), ListingError::CreationUnderWay { until: at(35) });
    assert!(matches!(story.must(start_again(20, Some(0))), ListingEvent::CreationStarted { .. }));
    assert_eq!(story.refused(start(54)), ListingError::CreationUnderWay { until: at(55) });
}

#[test]
fn the_guard_outlives_an_unknown_end_a_newer_job_and_a_new_link() {
    let mut story = to_be_created();
    story.must(start(0));
    story.must(failed(1, OutcomeClass::Unknown));
    assert_eq!(story.refused(start(10)), ListingError::CreationUnderWay { until: at(35) });
    story.must(change(2, "b"));
    assert_eq!(story.refused(start(10)), ListingError::CreationUnderWay { until: at(35) });
    story.must(unlink());
    story.must(link(None));
    story.must(change(1, "a"));
    assert_eq!(story.refused(start(10)), ListingError::CreationUnderWay { until: at(35) });
}

#[test]
fn an_answer_lifts_the_guard() {
    let mut story = to_be_created();
    story.must(start(0));
    let mut told = report(1, Some(OutcomeClass::Rejected));
    told.calls[0].purpose = CallPurpose::Create;
    story.must(ListingCommand::RecordOutcome(told));
    assert_eq!(story.listing.creation(), None);
    story.must(change(2, "b"));
    assert!(matches!(story.must(start(1)), ListingEvent::CreationStarted { .. }));
}

/// The attempt after an unknown end looks the reference up; that look-up failing says nothing about the creating call.
#[test]
fn a_failed_look_up_does_not_lift_the_guard_and_the_end_stays_to_be_verified() {
    for class in [OutcomeClass::Transient, OutcomeClass::Throttled, OutcomeClass::Unauthorised] {
        let mut story = to_be_created();
        story.must(start(0));
        story.must(failed(1, OutcomeClass::Unknown));
        story.must(failed(1, class));
        assert!(story.listing.must_verify(), "{class}");
        story.must(change(2, "b"));
        assert!(story.listing.must_verify(), "{class}");
        assert_eq!(story.refused(start(10)), ListingError::CreationUnderWay { until: at(35) }, "{class}");
    }
}

#[test]
fn what_was_created_is_known_from_then_on() {
    let mut story = to_be_created();
    story.must(start(0));
    story.must(ListingCommand::RecordOutcome(accepted(1, "a")));
    assert_eq!(story.listing.external_id(), Some(&ExternalId("40001".to_owned())));
    assert_eq!(story.listing.creation(), None);
    story.must(change(2, "b"));
    assert_eq!(story.refused(start(99)), ListingError::AlreadyCreated);
}

/// The channel gave an id for it, and nothing proves whose that is: one listing was made.
#[test]
fn an_id_that_nothing_proves_keeps_every_creation_away_until_it_is_proved_or_linked_anew() {
    let unproved = Progress { unproved: Some(ExternalId("40001".to_owned())), ..Progress::default() };
    let given = || {
        let mut story = to_be_created();
        story.must(start(0));
        let mut told = SyncReport { progress: unproved.clone(), ..report(1, Some(OutcomeClass::Rejected)) };
        told.calls[0].purpose = CallPurpose::Create;
        story.must(ListingCommand::RecordOutcome(told));
        story.must(change(2, "b"));
        assert_eq!(story.listing.unproved(), unproved.unproved.as_ref());
        assert_eq!((story.listing.external_id(), story.listing.creation()), (None, None));
        assert!(story.listing.must_verify());
        assert_eq!(story.refused(start(99)), ListingError::AlreadyCreated);
        story
    };
    let mut proved = given();
    proved.must(ListingCommand::RecordOutcome(accepted(2, "b")));
    assert_eq!((proved.listing.unproved(), proved.listing.must_verify()), (None, false));
    let mut afresh = given();
    afresh.must(unlink());
    assert_eq!(afresh.refused(link(None)), ListingError::Unproved(ExternalId("40001".to_owned())));
    afresh.must(link_afresh());
    afresh.must(change(1, "a"));
    assert_eq!(afresh.listing.unproved(), None);
    assert!(matches!(afresh.must(start(99)), ListingEvent::CreationStarted { .. }));
}
