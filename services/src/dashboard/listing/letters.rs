//! Dead letters of a listing's unit: what was published of it, could not be used, and waits for somebody.

use domain::ids::ListingId;
use maud::{Markup, html};

use crate::api::Api;
use crate::api::by::By;
use crate::api::dead_letters::of_unit;
use crate::api::problem::Problem;
use crate::dashboard::dead_letters::place_of;
use crate::dashboard::pieces::told;
use crate::views::listings::Listing;

/// In the words of an explanation, with ways to where they are decided about; nothing where none is known of. It is no live part: to look
/// through letters costs a call each.
pub(super) async fn show(api: &Api, by: &By, listing: &Listing) -> Result<Markup, Problem> {
    let Some(found) = of_unit(api, &by.caller, &listing.unit_id).await else { return Ok(html! {}) };
    let taken = api.syncing().commands().load_listing(ListingId(listing.listing_id)).await?.last_revision();
    Ok(html! { section aria-labelledby="unit-letters-title" {
        h2 #unit-letters-title { "Dead letters of its unit, as of when this page was loaded" }
        ul.plain { @for line in found.words(taken) { li { (told(&line)) } } }
        p.quiet {
            "To decide about them: "
            @for letter in &found.letters { a href=(place_of(letter.number)) { "letter " (letter.number) } ", " }
            a href="/dead-letters" { "all dead letters" } "."
        }
    } })
}
