//! Of a section that was refused it is told what the channel has, where that is certain.

use domain::call::CallPurpose;
use domain::channel::{ChannelKind, RejectedPart, Section};
use domain::hash::SnapshotHash;
use domain::ids::ExternalId;
use domain::listing::{Cause, LinkListing, ListingCommand, Progress};
use domain::outcome::OutcomeClass;
use uuid::Uuid;

use super::super::{Doubt, History};
use super::{
    Call, Ending, FAILED, LOST, MANY_REFUSED, REFUSED, TAKEN, THROTTLED, UNREACHED, ask, at, attempt, attempt_at,
    ended, link, newest, refused, report, request, run, run_at, send, synced, wish,
};
use crate::holders::MAY_HAVE_BEEN_WRITTEN_TO;
use crate::views::asked::{Asked, Taken};
use crate::views::lacking::Lacking;

/// Why it is not certain that the channel has of a section what it took last: the status of a refusal, with a question mark where
/// some of it may have gone in, or that nobody knows.
fn doubt(history: &History, section: Section) -> String {
    match history.known[&section].doubt {
        None => "none".to_owned(),
        Some(Doubt::Unknown) => "unknown".to_owned(),
        Some(Doubt::Unlinked) => "unlinked".to_owned(),
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
        // Hostaway refuses some of what it validates with HTTP 200, and says in the body that it failed.
        (Rejected, nothing, both, vec![refused("calendar", 200); 3], "200"),
        (Rejected, nothing, both, vec![refused("calendarIntervals", 200), REFUSED, REFUSED], "422?"),
        // A redirect is no answer to what a call carries.
        (Rejected, nothing, nothing, vec![refused("calendar", 308)], "unknown"),
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
        // Without a connection the channel saw nothing.
        (Transient, nothing, nothing, vec![UNREACHED], "none"),
        (Transient, nothing, nothing, vec![REFUSED, UNREACHED], "422"),
        (Transient, nothing, nothing, vec![FAILED, UNREACHED], "unknown"),
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

/// What an attempt had to send is worked out from how its listing stood as it began, as far as that is known.
#[test]
fn an_attempt_that_is_told_late_may_have_sent_anything() {
    let mut history = synced();
    ask(&mut history, Cause::UnitChanged, 2, "second");
    let sent = history.listing.pending().expect("a sync that waits").clone();
    send(&mut history, true);
    attempt_at(&mut history, sent, at(0), &Ending::of(OutcomeClass::Unknown, &[], &[LOST]));
    assert_eq!(doubt(&history, Section::Rates), "unknown", "it may have been written after what was taken");
}

/// Its dispatcher was frozen, and another one has taken all of it over meanwhile. It was to send what differed as it began.
#[test]
fn an_attempt_that_another_one_overtook_is_doubted_for_what_it_had_to_send_and_nothing_else() {
    let taken = Ending { takes_over: true, took: &Section::ALL, ..Ending::of(OutcomeClass::Accepted, &[], &[]) };
    let frozen = Ending { took: &[Section::Rates], ..Ending::of(OutcomeClass::Accepted, &[], &[TAKEN]) };
    for (asked_at, cause, told) in [
        (60, Cause::UnitChanged, ["none", "unknown", "none", "none"]),
        // Somebody asked for all of it.
        (60, wish(), ["unknown", "unknown", "none", "none"]),
        // It may have been decided before the one before it was told.
        (2, Cause::UnitChanged, ["unknown", "unknown", "none", "none"]),
    ] {
        let mut history = synced();
        run_at(&mut history, asked_at, request(cause, 2, "second"));
        let sent = history.listing.pending().expect("a sync that waits").clone();
        run_at(&mut history, asked_at + 1, request(Cause::UnitChanged, 3, "third"));
        let heir = history.listing.pending().expect("a sync that waits").clone();
        run_at(&mut history, asked_at + 90, ended(heir, at(asked_at + 80), &taken));
        assert_eq!(Section::ALL.map(|section| doubt(&history, section)), ["none"; 4]);
        run_at(&mut history, asked_at + 95, ended(sent, at(asked_at + 1), &frozen));
        assert_eq!(Section::ALL.map(|section| doubt(&history, section)), told, "asked for at {asked_at}");
    }
}

/// Only so many states are kept.
#[test]
fn an_attempt_that_began_before_what_is_kept_of_the_past_may_have_sent_anything() {
    let taken = Ending { takes_over: true, took: &Section::ALL, ..Ending::of(OutcomeClass::Accepted, &[], &[]) };
    let frozen = Ending { took: &[Section::Rates], ..Ending::of(OutcomeClass::Accepted, &[], &[TAKEN]) };
    let mut history = synced();
    run_at(&mut history, 60, request(Cause::UnitChanged, 2, "second"));
    let sent = history.listing.pending().expect("a sync that waits").clone();
    for (second, revision) in (63..90).zip(3..) {
        run_at(&mut history, second, request(Cause::UnitChanged, revision, &format!("{revision}")));
        let heir = history.listing.pending().expect("a sync that waits").clone();
        run_at(&mut history, second, ended(heir, at(second), &taken));
    }
    run_at(&mut history, 100, ended(sent, at(61), &frozen));
    assert_eq!(Section::ALL.map(|section| doubt(&history, section)), ["unknown", "unknown", "none", "none"]);
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

/// The sync has ended as accepted, and still the next one sends what the late call carried: whoever reads how it ended reads that, too.
#[test]
fn what_a_late_call_may_have_written_over_is_told_with_what_sends_it_again() {
    let lacking = |history: &History, refused: &[RejectedPart]| {
        let newest = newest(history);
        let asked = Asked { request: newest.request.clone(), by: newest.metadata.clone(), at: newest.requested_at };
        Lacking::of(&Taken { listing: &history.listing, channel: ChannelKind::Hostaway, asked: &asked }, refused)
    };
    let mut history = synced();
    ask(&mut history, Cause::UnitChanged, 2, "second");
    let sent = history.listing.pending().expect("a sync that waits").clone();
    send(&mut history, false);
    assert_eq!(lacking(&history, &[]), None);
    attempt_at(&mut history, sent, at(2), &Ending::of(OutcomeClass::Unknown, &[], &[LOST]));
    assert!(newest(&history).end.as_ref().is_some_and(|end| end.outcome.succeeded()));

    let told = lacking(&history, &[]).expect("two sections are in doubt");
    assert!(told.sections.is_empty() && told.parts_of.is_empty() && told.is_sent_next(), "{told:?}");
    assert_eq!(told.in_doubt, ["availability", "rates"]);
    let id = history.listing.link().expect("a link").listing_id;
    let words = format!(
        "A call has ended of which nobody knows what it wrote: the next sync sends availability, rates again, and \
         `distribution listing sync {id} --reason REASON` asks for one now."
    );
    assert_eq!(told.words(), [words]);
    let refused = RejectedPart::all_of(Section::Rates, "in words".to_owned());
    let told = lacking(&history, &[refused]).expect("one section is refused");
    assert_eq!((&told.sections[..], &told.in_doubt[..]), (&["rates"][..], &["availability"][..]));
    ask(&mut history, wish(), 2, "second");
    send(&mut history, false);
    assert_eq!(lacking(&history, &[]), None, "it was sent again");
}

/// What became of it meanwhile is not followed; that is no call of which nobody knows what it wrote.
#[test]
fn what_is_linked_again_is_in_doubt_by_that_unless_a_call_had_left_it_so() {
    for (lost, told) in [(false, "unlinked"), (true, "unknown")] {
        let mut history = synced();
        if lost {
            ask(&mut history, Cause::UnitChanged, 2, "second");
            attempt(&mut history, &Ending::of(OutcomeClass::Unknown, &[], &[LOST]));
        }
        run(&mut history, ListingCommand::Unlink { reason: "for a while".to_owned() });
        run(&mut history, link());
        assert_eq!(doubt(&history, Section::Rates), told);
        ask(&mut history, Cause::Linked, 3, "third");
        attempt(&mut history, &Ending::of(OutcomeClass::Transient, &[], &[UNREACHED]));
        assert_eq!(doubt(&history, Section::Rates), told, "nothing was sent");
        attempt(&mut history, &Ending::of(OutcomeClass::Throttled, &[], &[REFUSED]));
        assert_eq!(doubt(&history, Section::Rates), told, "a refusal tells nothing of what is there");
        attempt(&mut history, &Ending::of(OutcomeClass::Transient, &[], &[FAILED]));
        assert_eq!(doubt(&history, Section::Rates), "unknown", "it may have been written");
        send(&mut history, false);
        assert_eq!(doubt(&history, Section::Rates), "none");
    }
}

/// Its calls and what the channel took are told then as those of any other attempt.
#[test]
fn what_an_attempt_wrote_that_ended_after_the_listing_was_unlinked_is_known_and_nothing_else_is_doubted() {
    use OutcomeClass::{Accepted, Unknown};
    let [first, second] = ["first", "second"].map(|rates| SnapshotHash::of_bytes(rates.as_bytes()));
    for (class, took, call, rates, snapshot) in [
        (Accepted, &[Section::Rates][..], TAKEN, "none", second),
        (Unknown, &[][..], LOST, "unknown", first),
        (OutcomeClass::Rejected, &[][..], REFUSED, "422", first),
    ] {
        for superseded in [false, true] {
            let mut history = synced();
            ask(&mut history, Cause::UnitChanged, 2, "second");
            let sent = history.listing.pending().expect("a sync that waits").clone();
            if superseded {
                ask(&mut history, Cause::UnitChanged, 3, "third");
            }
            run(&mut history, ListingCommand::Unlink { reason: "for a while".to_owned() });
            let mut relinked_before = history.clone();
            let calls = [call];
            let ending = Ending { took, ..Ending::of(class, &[], &calls) };
            attempt_at(&mut history, sent.clone(), at(1), &ending);
            let told = |history: &History| Section::ALL.map(|section| doubt(history, section));
            let case = format!("{class}, superseded: {superseded}");
            assert_eq!(told(&history), ["none", rates, "none", "none"], "{case}");
            assert_eq!(history.known[&Section::Rates].snapshot, snapshot, "{case}");
            let story = history.sync(sent.sync_id).expect("it is kept");
            let attempt = &story.attempts[0];
            let late = (attempt.late, attempt.after_unlinking, &attempt.needs);
            assert_eq!(late, (true, true, &vec![Section::Rates]), "{case}");
            run(&mut history, link());
            let again = if rates == "unknown" { "unknown" } else { "unlinked" };
            assert_eq!(told(&history), ["unlinked", again, "unlinked", "unlinked"], "{case}");

            run(&mut relinked_before, link());
            attempt_at(&mut relinked_before, sent, at(1), &ending);
            assert_eq!(told(&relinked_before), ["unlinked", again, "unlinked", "unlinked"], "{case}");
            assert_eq!(relinked_before.known[&Section::Rates].snapshot, snapshot, "{case}");
        }
    }
}

/// A link that names another listing at the channel follows that one.
#[test]
fn what_was_written_to_the_listing_of_an_earlier_link_is_not_told_of_another_one() {
    let mut history = synced();
    ask(&mut history, Cause::UnitChanged, 2, "second");
    let sent = history.listing.pending().expect("a sync that waits").clone();
    run(&mut history, ListingCommand::Unlink { reason: "it was the wrong one".to_owned() });
    let ListingCommand::Link(named) = link() else { unreachable!("it links") };
    let other = LinkListing { external_id: Some(ExternalId("40002".to_owned())), ..named };
    run(&mut history, ListingCommand::Link(other));
    let rates = &[Section::Rates][..];
    attempt_at(&mut history, sent, at(1), &Ending { took: rates, ..Ending::of(OutcomeClass::Accepted, &[], &[TAKEN]) });
    assert!(history.known.is_empty(), "{:?}", history.known);
    run(&mut history, ListingCommand::Unlink { reason: "it was the right one".to_owned() });
    run(&mut history, link());
    assert_eq!(Section::ALL.map(|section| doubt(&history, section)), ["unlinked"; 4]);
    assert_eq!(history.known[&Section::Rates].snapshot, SnapshotHash::of_bytes(b"second"));
}

/// It may be another listing there, or the same one, which an attempt finds by our reference.
#[test]
fn what_is_found_again_after_a_link_afresh_is_known_and_in_doubt() {
    for (id, is_same) in [("40001", true), ("40002", false)] {
        let mut history = synced();
        run(&mut history, ListingCommand::Unlink { reason: "to look for it".to_owned() });
        let ListingCommand::Link(named) = link() else { unreachable!("it links") };
        run(&mut history, ListingCommand::Link(LinkListing { external_id: None, afresh: true, ..named }));
        assert!(history.is_afresh() && history.known.is_empty());
        ask(&mut history, Cause::Linked, 2, "second");
        ask(&mut history, Cause::UnitChanged, 3, "third");
        assert!(newest(&history).is_afresh);
        let pending = history.listing.pending().expect("a sync that waits").clone();
        let mut report = report(pending, at(1));
        report.class = Some(OutcomeClass::Transient);
        report.progress = Progress { external_id: Some(ExternalId(id.to_owned())), ..Progress::default() };
        run(&mut history, ListingCommand::RecordOutcome(report));
        assert!(!history.is_afresh() && history.syncs.iter().all(|story| !story.is_afresh));
        assert_eq!(history.known.is_empty(), !is_same);
        let told = history.syncs.iter().skip(1).filter_map(|story| story.known.as_ref());
        assert_eq!(told.map(std::collections::BTreeMap::len).collect::<Vec<_>>(), [history.known.len(); 2], "{id}");
        if is_same {
            assert_eq!(doubt(&history, Section::Rates), "unlinked");
            assert_eq!(history.known[&Section::Rates].snapshot, SnapshotHash::of_bytes(b"first"));
        }
        send(&mut history, false);
        assert_eq!(doubt(&history, Section::Rates), "none");
    }
}

/// The dispatcher says so, as it asks for the listing once more.
#[test]
fn nobody_knows_what_is_there_once_another_listing_may_have_written_to_it_until_it_is_taken_again() {
    let again = |reason: &str| {
        let request_id = Uuid::new_v5(&Uuid::nil(), reason.as_bytes());
        Cause::Replayed { reason: reason.to_owned(), request_id }
    };
    let mut history = synced();
    ask(&mut history, again("somebody's own words"), 1, "first");
    assert_eq!(doubt(&history, Section::Rates), "none");
    ask(&mut history, again(MAY_HAVE_BEEN_WRITTEN_TO), 1, "first");
    assert_eq!(Section::ALL.map(|section| doubt(&history, section)), Section::ALL.map(|_| "unknown"));
    attempt(&mut history, &Ending { took: &[Section::Rates], ..Ending::of(OutcomeClass::Throttled, &[], &[]) });
    assert_eq!((&*doubt(&history, Section::Rates), &*doubt(&history, Section::Content)), ("none", "unknown"));
    let of_sync = newest(&history).known.as_ref().expect("what it was sent against");
    assert_eq!(of_sync[&Section::Rates].doubt, Some(Doubt::Unknown));
    send(&mut history, false);
    assert_eq!(Section::ALL.map(|section| doubt(&history, section)), Section::ALL.map(|_| "none"));
}
