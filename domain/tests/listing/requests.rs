//! Requests: revisions in order, latest wins, nothing sent that the channel has, force where somebody asks.

use domain::call::LISTING_GONE;
use domain::channel::Section;
use domain::hash::PayloadHash;
use domain::listing::{
    Cause, LinkListing, ListingCommand, ListingError, ListingEvent, RequestSync, SyncReport, SyncRequest,
};
use domain::outcome::OutcomeClass;
use uuid::Uuid;

use crate::fixture::{Story, accepted, change, failed, link, manual, org, report, sections, unlink, wish};

fn requested(event: ListingEvent) -> SyncRequest {
    match event {
        ListingEvent::SyncRequested { request, .. } => request,
        other => panic!("no sync was requested: {other:?}"),
    }
}

#[test]
fn a_revision_is_taken_once_and_never_after_a_newer_one() {
    let mut story = Story::linked();
    story.must(change(5, "a"));
    assert_eq!(story.refused(change(5, "a")), ListingError::DuplicateRevision(5));
    assert_eq!(story.refused(change(5, "b")), ListingError::DuplicateRevision(5), "whatever is in it");
    assert_eq!(story.refused(change(4, "b")), ListingError::StaleRevision { have: 5, got: 4 });
    let linked = ListingCommand::RequestSync(wish(Cause::Linked, 5, "a"));
    assert_eq!(story.refused(linked), ListingError::DuplicateRevision(5));
    assert_eq!(requested(story.must(change(9, "b"))).revision, 9, "revisions may leave gaps");
}

#[test]
fn a_snapshot_of_something_else_is_refused() {
    let mut story = Story::linked();
    let of = |change: fn(&mut domain::listing::RequestSync)| {
        let mut foreign = wish(Cause::UnitChanged, 1, "a");
        change(&mut foreign);
        ListingCommand::RequestSync(foreign)
    };
    let other_org = of(|wish| wish.snapshot_org = "others".parse().expect("a name"));
    let other_unit = of(|wish| wish.snapshot_unit = "villa-0043".parse().expect("a name"));
    assert!(matches!(story.refused(other_org), ListingError::ForeignSnapshot { org: whose, .. } if whose != org()));
    assert!(matches!(story.refused(other_unit), ListingError::ForeignSnapshot { .. }));
}

/// A wish for a revision of the unit in an account.
fn of_account(account: &str, revision: u64, content: &str) -> ListingCommand {
    let snapshot_account = account.parse().expect("a name");
    ListingCommand::RequestSync(RequestSync { snapshot_account, ..wish(Cause::UnitChanged, revision, content) })
}

#[test]
fn what_a_unit_is_in_another_account_is_refused_until_it_is_back() {
    let mut story = Story::synced();
    assert_eq!(story.refused(of_account("lombok", 2, "b")), ListingError::UnitElsewhere);
    for cause in [
        Cause::Linked,
        Cause::Manual { reason: "look".to_owned(), request_id: Uuid::from_u128(1) },
        Cause::Replayed { reason: "look".to_owned(), request_id: Uuid::from_u128(1) },
    ] {
        let snapshot_account = "lombok".parse().expect("a name");
        let wish = ListingCommand::RequestSync(RequestSync { snapshot_account, ..wish(cause, 2, "b") });
        assert_eq!(story.refused(wish), ListingError::UnitElsewhere);
    }
    assert_eq!(requested(story.must(of_account("bali", 3, "c"))).revision, 3);
}

#[test]
fn what_was_linked_from_another_account_takes_from_both_and_from_no_third() {
    let linked_from = |account: &str| {
        let ListingCommand::Link(new) = link(None) else { panic!("it links") };
        let mut story = Story::default();
        story.must(ListingCommand::Link(LinkListing { unit_account_id: account.parse().ok(), ..new }));
        story
    };
    let from = |story: &Story| story.listing.link().and_then(|link| link.from_account_id.clone());
    assert_eq!(from(&linked_from("bali")), None, "the target's own is not told");
    let mut story = linked_from("lombok");
    assert_eq!(from(&story), "lombok".parse().ok());
    story.must(of_account("lombok", 1, "a"));
    assert_eq!(story.refused(of_account("gili", 2, "b")), ListingError::UnitElsewhere);
    story.must(of_account("bali", 3, "c"));
    story.must(of_account("lombok", 4, "d"));
    story.must(unlink());
    story.must(link(None));
    assert_eq!(story.refused(of_account("lombok", 5, "e")), ListingError::UnitElsewhere, "a new link starts over");
}

#[test]
fn what_the_channel_has_already_is_skipped_but_counted() {
    let mut story = Story::synced();
    let ListingEvent::SyncSkipped { request } = story.must(change(2, "a")) else { panic!("it is skipped") };
    assert_eq!((request.ordinal, request.needs.len()), (2, 0));
    assert_eq!(story.listing.pending(), None);
    assert_eq!(story.refused(change(2, "a")), ListingError::DuplicateRevision(2));
}

/// A skip makes no call: it would end as if the channel had all of it.
#[test]
fn a_change_to_what_was_there_before_is_no_skip_where_the_listing_is_gone() {
    let mut story = Story::synced();
    story.must(manual(1, 1, "a"));
    let detail = Some(format!("{LISTING_GONE} at the channel: HTTP 404"));
    let gone = SyncReport { detail, ..report(2, Some(OutcomeClass::Rejected)) };
    story.must(ListingCommand::RecordOutcome(gone));
    assert_eq!(requested(story.must(change(2, "a"))).needs, Section::ALL);
}

#[test]
fn only_the_sections_that_differ_are_needed() {
    let mut story = Story::synced();
    let mut wish = wish(Cause::UnitChanged, 2, "a");
    wish.sections.insert(Section::Rates, PayloadHash::of_bytes(b"other rates"));
    wish.sections.insert(Section::Availability, PayloadHash::of_bytes(b"other nights"));
    let request = requested(story.must(ListingCommand::RequestSync(wish)));
    assert_eq!(request.needs, [Section::Availability, Section::Rates], "most urgent first");
}

#[test]
fn the_latest_request_takes_the_place_of_the_one_that_waits() {
    let mut story = Story::synced();
    let first = requested(story.must(change(2, "b")));
    let ListingEvent::SyncRequested { request, supersedes } = story.must(change(3, "c")) else { panic!("requested") };
    assert_eq!(supersedes, Some(first.sync_id));
    assert_eq!(story.listing.pending().map(|pending| pending.sync_id), Some(request.sync_id));
}

#[test]
fn a_change_back_is_no_skip_while_another_change_may_be_on_its_way() {
    let mut story = Story::synced();
    story.must(change(2, "b"));
    let request = requested(story.must(change(3, "a")));
    assert!(request.needs.is_empty());
    // The first one came through after all: now the second differs.
    story.must(ListingCommand::RecordOutcome(accepted(2, "b")));
    assert_eq!(story.listing.needs().len(), 4);
}

#[test]
fn a_forced_sync_needs_everything_and_stays_forced() {
    let mut story = Story::synced();
    let request = requested(story.must(manual(1, 1, "a")));
    assert_eq!(request.needs, Section::ALL, "although the channel has all of it");
    let later = requested(story.must(change(2, "a")));
    assert_eq!(later.needs, Section::ALL, "what is asked for tells what is sent");
    assert_eq!(story.listing.needs(), Section::ALL, "a later change does not take the force away");
    story.must(ListingCommand::RecordOutcome(accepted(3, "a")));
    let next = story.must(change(3, "a"));
    assert!(matches!(next, ListingEvent::SyncSkipped { .. }), "what was sent forces no more: {next:?}");
}

#[test]
fn an_older_snapshot_can_be_sent_again_and_does_not_turn_revisions_back() {
    let mut story = Story::synced();
    story.must(change(5, "b"));
    let cause = Cause::Replayed { reason: "it was better".to_owned(), request_id: Uuid::from_u128(3) };
    let request = requested(story.must(ListingCommand::RequestSync(wish(cause, 1, "a"))));
    assert_eq!(request.sections, sections("a"));
    assert_eq!(story.listing.last_revision(), 5);
    assert_eq!(story.refused(change(4, "c")), ListingError::StaleRevision { have: 5, got: 4 });
}

#[test]
fn keys_tell_one_job_from_another_over_revisions_wishes_and_links() {
    let mut story = Story::linked();
    let mut keys = vec![
        requested(story.must(change(1, "a"))).idempotency_key,
        requested(story.must(manual(1, 1, "a"))).idempotency_key,
        requested(story.must(manual(2, 1, "a"))).idempotency_key,
        requested(story.must(change(2, "a"))).idempotency_key,
    ];
    story.must(unlink());
    story.must(link(None));
    keys.push(requested(story.must(change(1, "a"))).idempotency_key);
    let all = keys.len();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), all);
}

#[test]
fn a_new_request_has_attempts_of_its_own() {
    let mut story = Story::synced();
    story.must(change(2, "b"));
    story.must(failed(2, OutcomeClass::Transient));
    assert_eq!(story.listing.pending().map(|pending| pending.attempts), Some(1));
    story.must(change(3, "c"));
    assert_eq!(story.listing.pending().map(|pending| pending.attempts), Some(0));
}
