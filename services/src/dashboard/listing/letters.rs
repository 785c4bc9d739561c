//! Dead letters of a listing's unit: what was published of it, could not be used, and waits for somebody.

use maud::{Markup, html};

use crate::api::Api;
use crate::api::by::By;
use crate::api::dead_letters::of_unit;
use crate::dashboard::dead_letters::place_of;
use crate::dashboard::pieces::told;
use crate::views::listings::Listing;
use crate::views::unit_letters::UnitLetters;

/// Those that are known of; `None` where none is. Where none of its organisation was counted, none is looked for: that costs a call for each.
/// That there may be more of an organisation tells nothing of this unit where none of its own was found.
pub(super) async fn look(api: &Api, by: &By, listing: &Listing) -> Option<UnitLetters> {
    if api.dead_letters_of(&by.caller.org_id) == 0 {
        return None;
    }
    of_unit(api, &by.caller, &listing.unit_id).await.filter(|found| !found.letters.is_empty())
}

/// In the words of an explanation, with ways to where they are decided about. It is no live part: a look costs a call for each letter. `taken`
/// is the newest revision that the listing has taken.
pub(super) fn show(found: &UnitLetters, taken: u64) -> Markup {
    html! { section aria-labelledby="unit-letters-title" {
        h2 #unit-letters-title { "Dead letters of its unit, as of when this page was loaded" }
        ul.plain { @for line in found.words(taken) { li { (told(&line)) } } }
        p.quiet {
            "To decide about them: "
            @for letter in found.told() { a href=(place_of(letter.number)) { "letter " (letter.number) } ", " }
            a href="/dead-letters" { "all dead letters" } "."
        }
    } }
}
