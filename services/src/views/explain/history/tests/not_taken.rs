//! What of a section the channel did not take is kept beside what it took, until the section is taken again.

use domain::channel::Section;
use domain::listing::Cause;
use domain::outcome::OutcomeClass;

use super::super::History;
use super::{Ending, REFUSED, TAKEN, ask, at, attempt, attempt_at, send, synced, wish};

/// The sections of which parts are known that were not taken.
fn in_part(history: &History) -> Vec<Section> {
    let known = history.known.iter().filter(|(_, known)| !known.not_taken.is_empty());
    known.map(|(section, _)| *section).collect()
}

#[test]
fn what_was_not_taken_is_known_until_its_section_is_taken_again() {
    use OutcomeClass::{AcceptedWithRejections, Rejected};
    use Section::{Availability, Content, Images, Rates};
    let mut history = synced();
    assert!(in_part(&history).is_empty());
    ask(&mut history, Cause::UnitChanged, 2, "second");
    let rates = Ending { took: &[Rates], ..Ending::of(AcceptedWithRejections, &[Rates], &[TAKEN]) };
    attempt(&mut history, &rates);
    assert_eq!(in_part(&history), [Rates]);

    // To ask for the same is skipped, and to be refused takes nothing.
    ask(&mut history, Cause::UnitChanged, 3, "second");
    assert!(history.syncs.back().is_some_and(|story| story.skipped), "the hashes are the same");
    ask(&mut history, Cause::UnitChanged, 4, "third");
    attempt(&mut history, &Ending::of(Rejected, &[Rates], &[REFUSED]));
    assert_eq!(in_part(&history), [Rates], "it has what it took before");

    // Others say nothing of it.
    ask(&mut history, wish(), 4, "third");
    let others = Ending { took: &[Availability, Content, Images], ..Ending::of(Rejected, &[Content], &[REFUSED]) };
    attempt(&mut history, &others);
    assert_eq!(in_part(&history), [Rates, Content]);
    ask(&mut history, Cause::UnitChanged, 5, "fifth");
    send(&mut history, false);
    assert!(in_part(&history).is_empty());
}

#[test]
fn an_attempt_that_is_told_late_says_nothing_of_what_was_not_taken() {
    let mut history = synced();
    ask(&mut history, wish(), 2, "second");
    let sent = history.listing.pending().expect("a sync that waits").clone();
    send(&mut history, false);
    let took = &Section::ALL;
    let late = Ending { took, ..Ending::of(OutcomeClass::AcceptedWithRejections, &[Section::Content], &[TAKEN]) };
    attempt_at(&mut history, sent, at(0), &late);
    assert!(in_part(&history).is_empty());
}
