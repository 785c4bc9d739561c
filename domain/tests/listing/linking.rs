//! Links, pauses and unlinks.

use domain::ids::{ExternalId, ListingId};
use domain::listing::{LinkListing, LinkState, ListingCommand, ListingError, ListingEvent};

use crate::fixture::{Story, accepted, change, failed, link, listing_id, manual, target, unit, unlink};

fn pause() -> ListingCommand {
    ListingCommand::Pause { reason: "works".to_owned() }
}

#[test]
fn the_id_is_the_pair() {
    assert_eq!(ListingId::of(target(), &unit()), listing_id());
    assert_ne!(ListingId::of(target(), &"villa-0043".parse().expect("a name")), listing_id());
    let story = Story::linked();
    assert_eq!(story.listing.link().map(|link| link.listing_id), Some(listing_id()));
}

#[test]
fn a_pair_is_linked_once() {
    let mut story = Story::linked();
    assert_eq!(story.refused(link(None)), ListingError::AlreadyLinked);
    story.must(pause());
    assert_eq!(story.refused(link(None)), ListingError::AlreadyLinked);
}

#[test]
fn nothing_can_be_asked_of_what_was_never_linked() {
    let mut story = Story::default();
    for command in
        [change(1, "a"), pause(), ListingCommand::Resume, unlink(), failed(1, domain::outcome::OutcomeClass::Rejected)]
    {
        assert_eq!(story.refused(command), ListingError::NotFound);
    }
}

#[test]
fn an_unlink_cancels_what_waits_and_refuses_what_comes() {
    let mut story = Story::synced();
    story.must(change(2, "b"));
    let waiting = story.listing.pending().map(|pending| pending.sync_id);
    let ListingEvent::ListingUnlinked { cancels, .. } = story.must(unlink()) else { panic!("it is unlinked") };
    assert!(waiting.is_some());
    assert_eq!(cancels, waiting);
    assert_eq!(story.listing.pending(), None);
    for command in [change(3, "c"), manual(1, 3, "c"), pause(), ListingCommand::Resume, unlink()] {
        assert_eq!(story.refused(command), ListingError::Unlinked);
    }
}

#[test]
fn an_unlink_with_nothing_waiting_cancels_nothing() {
    let mut story = Story::synced();
    assert!(matches!(story.must(unlink()), ListingEvent::ListingUnlinked { cancels: None, .. }));
}

#[test]
fn a_new_link_counts_on_keeps_the_channels_id_and_starts_over() {
    let mut story = Story::synced();
    story.must(unlink());
    let ListingEvent::ListingLinked { generation, external_id, .. } = story.must(link(None)) else {
        panic!("it is linked")
    };
    assert_eq!(generation, 2);
    assert_eq!(external_id, Some(ExternalId("40001".to_owned())), "what was created is taken up, not created twice");
    assert_eq!(story.listing.state(), Some(LinkState::Active));
    // The channel may have been edited meanwhile: the same revision with the same content is sent again, whole.
    let ListingEvent::SyncRequested { request, .. } = story.must(change(1, "a")) else { panic!("it is sent") };
    assert_eq!(request.needs.len(), 4);
    assert_eq!(request.ordinal, 2, "ordinals go on over links");
}

#[test]
fn a_link_may_name_the_listing_at_the_channel() {
    let mut story = Story::synced();
    story.must(unlink());
    story.must(link(Some("50002")));
    assert_eq!(story.listing.external_id(), Some(&ExternalId("50002".to_owned())));
}

#[test]
fn a_late_outcome_after_the_unlink_is_kept_and_its_id_taken_up() {
    let mut story = Story::linked();
    story.must(change(1, "a"));
    story.must(unlink());
    let late = story.must(ListingCommand::RecordOutcome(accepted(1, "a")));
    assert!(matches!(late, ListingEvent::LateAttemptRecorded { .. }));
    assert_eq!(story.listing.state(), Some(LinkState::Unlinked));
    let ListingEvent::ListingLinked { external_id, .. } = story.must(link(None)) else { panic!("it is linked") };
    assert_eq!(external_id, Some(ExternalId("40001".to_owned())));
}

#[test]
fn pauses_and_resumes_go_in_turns_and_hold_no_request_back() {
    let mut story = Story::linked();
    assert_eq!(story.refused(ListingCommand::Resume), ListingError::NotPaused);
    story.must(pause());
    assert_eq!(story.refused(pause()), ListingError::AlreadyPaused);
    assert!(matches!(story.must(change(1, "a")), ListingEvent::SyncRequested { .. }), "changes go on being recorded");
    story.must(ListingCommand::Resume);
    assert_eq!(story.listing.pending().map(|pending| pending.revision), Some(1));
    assert_eq!(story.refused(ListingCommand::Resume), ListingError::NotPaused);
}

#[test]
fn a_link_may_leave_behind_what_an_earlier_one_had() {
    let mut story = Story::synced();
    story.must(unlink());
    let ListingCommand::Link(again) = link(None) else { panic!("it is a link") };
    story.must(ListingCommand::Link(LinkListing { afresh: true, ..again }));
    assert_eq!(story.listing.external_id(), None);
}
