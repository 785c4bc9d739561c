//! A listing that was found gone at the channel is told as that until a sync ends otherwise, or it is linked anew.

use domain::call::LISTING_GONE;
use domain::channel::Section;
use domain::listing::{Cause, ListingCommand, Progress};
use domain::outcome::OutcomeClass;

use super::super::History;
use super::{Ending, UNREACHED, ask, at, attempt, attempt_at, link, newest, report, run, synced, wish};

/// The sync that waits is sent, and the channel has no such listing.
fn find_gone(history: &mut History) {
    let pending = history.listing.pending().expect("a sync that waits").clone();
    let told: usize = history.syncs.iter().map(|story| story.attempts.len()).sum();
    let mut report = report(pending, at(i64::try_from(told).expect("a number")));
    report.class = Some(OutcomeClass::Rejected);
    report.detail = Some(format!("{LISTING_GONE}: HTTP 404"));
    report.progress = Progress::default();
    run(history, ListingCommand::RecordOutcome(report));
}

#[test]
fn what_was_found_gone_is_told_while_a_newer_sync_waits_and_not_over_a_new_link() {
    let mut history = synced();
    assert_eq!(history.gone(), None);
    ask(&mut history, Cause::UnitChanged, 2, "second");
    assert_eq!(history.gone(), None);
    find_gone(&mut history);
    let told = history.gone();
    assert!(told.is_some());
    // One waits, it is tried in vain, and others take its place: none of them has ended in a way that tells more.
    ask(&mut history, Cause::UnitChanged, 3, "third");
    assert_eq!(history.gone(), told);
    attempt(&mut history, &Ending::of(OutcomeClass::Transient, &[], &[UNREACHED]));
    assert_eq!(history.gone(), told);
    for revision in 4..40 {
        ask(&mut history, Cause::UnitChanged, revision, &format!("rates {revision}"));
    }
    let waits = history.listing.pending().expect("a sync that waits").clone();
    assert_eq!(history.gone(), told, "also where it is none of those that are kept any more");

    let mut linked_anew = history.clone();
    run(&mut linked_anew, ListingCommand::Unlink { reason: "to look for it".to_owned() });
    run(&mut linked_anew, link());
    assert_eq!(linked_anew.gone(), None);
    ask(&mut linked_anew, Cause::Linked, 40, "after");
    assert_eq!(linked_anew.gone(), None);
    let taken = Ending { took: &Section::ALL, ..Ending::of(OutcomeClass::Accepted, &[], &[]) };
    attempt_at(&mut history, waits, at(100), &taken);
    assert_eq!(history.gone(), None, "it is there again");
}

/// A skip makes no call. As the newest that has ended it would be told as if the channel had all of it.
#[test]
fn what_was_found_gone_is_told_after_a_change_to_what_was_there_before() {
    let mut history = synced();
    ask(&mut history, wish(), 1, "first");
    find_gone(&mut history);
    let told = history.gone();
    assert!(told.is_some());
    ask(&mut history, Cause::UnitChanged, 2, "first");
    assert_eq!((history.gone(), newest(&history).skipped), (told, false));
    assert_eq!(history.listing.needs(), Section::ALL);
}
