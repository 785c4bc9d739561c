//! An id that came with the answer to a creation, and without our reference. It may be anybody's, so what the channel shows under it has
//! to tell. Whatever that is, something was made: no second creation follows by itself, and where nothing is proved a person decides.

use domain::call::UNPROVED;
use domain::channel::Section;
use domain::mapping::hostaway::{content_differences, reference};
use domain::outcome::OutcomeClass;
use serde_json::{Map, Value};

use super::answer::carries;
use super::failure::{Failure, Reach};
use super::listing::read_listing;
use super::push::Run;

/// Our reference at Hostaway.
const INTERNAL_NAME: &str = "internalListingName";

impl Run<'_> {
    /// Takes the id where the listing under it carries our reference, or what was sent, and none of ours holds it. Gives the listing.
    pub(super) async fn prove(&mut self, id: &str) -> Result<Value, Failure> {
        self.doubt_id(id);
        let listing = match read_listing(&mut self.session, id).await {
            Err(failure) if failure.reach == Reach::Listing => return Err(unproved(id, "there is no such listing")),
            // Refused as one of the creation's own parts is, it would have the creation made again without the photos.
            Err(failure) if failure.class == OutcomeClass::Rejected => return Err(unproved(id, &failure.detail)),
            read => read?,
        };
        let reference = reference(self.push.unit_id, &self.push.listing_id);
        if !carries(&listing, &reference) && !self.is_what_was_sent(&listing, &reference) {
            return Err(unproved(id, "it shows neither our reference nor what was sent"));
        }
        self.session.may_write_to(id, false).await?;
        self.learn_id(id);
        Ok(listing)
    }

    /// Whether it has every text that was sent, without an internal name or with ours as the channel writes it.
    fn is_what_was_sent(&self, listing: &Value, reference: &str) -> bool {
        let name = listing.get(INTERNAL_NAME).and_then(Value::as_str).unwrap_or_default();
        let content = self.body(Section::Content).and_then(Value::as_object).into_iter().flatten();
        let texts = content.filter(|(field, value)| *field != INTERNAL_NAME && value.is_string());
        let texts: Map<String, Value> = texts.map(|(field, value)| (field.clone(), value.clone())).collect();
        let is_named_so = name.trim().is_empty() || letters(name) == letters(reference);
        is_named_so && !texts.is_empty() && content_differences(&Value::Object(texts), listing).is_empty()
    }
}

/// What is left of a name whatever a channel makes of blanks, signs and capitals.
fn letters(name: &str) -> String {
    name.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

fn unproved(id: &str, why: &str) -> Failure {
    let words = format!(
        "Hostaway gave listing {id} for what was created, and {UNPROVED} ({why}). Nothing more is created for it by itself: look at that \
         one there; unlink this one, and link it with that id if it is its listing, else afresh"
    );
    Failure::new(OutcomeClass::Rejected, words).reaching(Reach::Listing)
}
