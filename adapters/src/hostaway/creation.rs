//! A listing that has no id yet. Hostaway has no idempotency key, so our reference is looked up before anything is
//! created: a creation whose answer was lost is found again and adopted. An id that comes without our reference is proved first, and
//! none is written to that another listing of ours holds.

use std::collections::BTreeSet;

use domain::call::CallPurpose;
use domain::channel::Section;
use domain::mapping::hostaway::reference;
use domain::outcome::OutcomeClass;
use reqwest::Method;
use serde_json::{Value, json};

use super::answer::{Wanted, carries, created, id_of};
use super::failure::{Failure, Reach};
use super::push::{Run, checked_id};
use super::session::Call;
use super::verdict::{Effect, malformed};

const PAGE: u64 = 100;
/// An account with more pages than this is not searched to its end, and so nothing is created in it.
const MOST_PAGES: u64 = 500;

/// Listings that carry our reference.
struct Found {
    /// The one with the lowest id, so that every attempt takes the same.
    id: String,
    others: Vec<u64>,
}

impl Run<'_> {
    /// The id, and the sections that are still to be sent.
    pub(super) async fn adopt_or_create(&mut self) -> Result<(String, BTreeSet<Section>), Failure> {
        let reference = reference(self.push.unit_id, &self.push.listing_id);
        let all: BTreeSet<Section> = self.push.payload.sections.keys().copied().collect();
        if let Some(found) = self.look_up(&reference).await? {
            return Ok((self.adopt(found).await?, all));
        }
        if let Some(id) = self.push.unproved {
            let id = checked_id(id)?;
            self.prove(&id).await?;
            self.note(format!("adopted listing {id}, which an earlier creation was given"));
            return Ok((id, all));
        }
        let mut in_body = BTreeSet::from([Section::Content, Section::Images]);
        in_body.retain(|section| all.contains(section));
        let id = match self.create(&in_body).await {
            Err(failure) if in_body.contains(&Section::Images) && blames_a_photo(&failure) => {
                // One bad photo must not keep the listing out; the photos are then refused on their own.
                in_body.remove(&Section::Images);
                self.create(&in_body).await?
            }
            other => other?,
        };
        Ok((id, all.difference(&in_body).copied().collect()))
    }

    /// Takes up what was found, unless another listing of ours writes there.
    async fn adopt(&mut self, Found { id, others }: Found) -> Result<String, Failure> {
        self.session.may_write_to(&id, false).await?;
        self.note(if others.is_empty() {
            format!("adopted listing {id}, which carries our reference")
        } else {
            format!("adopted listing {id}; {others:?} carry our reference as well, remove them at Hostaway")
        });
        self.learn_id(&id);
        Ok(id)
    }

    async fn look_up(&mut self, reference: &str) -> Result<Option<Found>, Failure> {
        let filter = format!("match={}&", self.push.listing_id);
        let found = self.search(&filter, reference).await?;
        if found.is_some() || !self.verify {
            return Ok(found);
        }
        // A creation may be in, and it is not documented which names `match` looks at: search without the filter.
        self.search("", reference).await
    }

    /// Pages through the listings until one carries our reference. Unknown filters are ignored there, not refused.
    async fn search(&mut self, filter: &str, reference: &str) -> Result<Option<Found>, Failure> {
        let mut offset = 0;
        for _ in 0..MOST_PAGES {
            let path = format!("/listings?{filter}limit={PAGE}&offset={offset}");
            // With the filter nobody knows what is counted. Without it, ours may be among those that are not told.
            let whole = filter.is_empty().then_some(offset);
            let wanted = Wanted::Page { reference: reference.to_owned(), offset: whole };
            let answer = self.session.call(&call(CallPurpose::Lookup, Method::GET, path, None, wanted)).await?;
            let listings = answer.result.as_array().map_or(&[][..], Vec::as_slice);
            if let Some(found) = ours(listings, reference) {
                return Ok(Some(found));
            }
            offset += listings.len() as u64;
            // What is counted may be no more than the page.
            let more = listings.len() as u64 >= PAGE || answer.count.is_some_and(|count| offset < count);
            if listings.is_empty() || !more {
                return Ok(None);
            }
        }
        let why = format!("our reference was not found in {offset} listings and there are more; nothing was created");
        Err(Failure::new(OutcomeClass::Rejected, why).reaching(Reach::Listing))
    }

    async fn create(&mut self, sections: &BTreeSet<Section>) -> Result<String, Failure> {
        let Some(body) = self.listing_body(sections).filter(|_| sections.contains(&Section::Content)) else {
            return Err(Failure::new(OutcomeClass::Rejected, "there is no content to create a listing from"));
        };
        // Asked for nested rows: without them the answer's arrays could be empty, and would look as if refused.
        let path = "/listings?includeResources=1".to_owned();
        let create = call(CallPurpose::Create, Method::POST, path, Some(body), Wanted::Created);
        let answer = self.session.call(&create).await;
        let answer = answer.map_err(Failure::of_creation)?;
        // An answer without one was refused with the same words before it came here.
        let id = created(&answer.result).map_err(|missing| malformed(Effect::Write, missing))?.to_string();
        let made = if carries(&answer.result, &reference(self.push.unit_id, &self.push.listing_id)) {
            // It may be another one's all the same. Something was made, so nothing is made again by itself.
            self.doubt_id(&id);
            self.session.may_write_to(&id, true).await?;
            self.learn_id(&id);
            answer.result
        } else {
            self.prove(&id).await?
        };
        self.verify = false;
        self.take_listing_answer(sections, &made);
        Ok(id)
    }
}

fn call(purpose: CallPurpose, method: Method, path: String, body: Option<Value>, wanted: Wanted) -> Call {
    // A listing that was begun is finished before others are begun, or a hundred would wait half made.
    Call { purpose, urgency: Section::Availability, method, path, body, wanted }
}

/// Those with exactly our reference.
fn ours(listings: &[Value], reference: &str) -> Option<Found> {
    let mut ids: Vec<u64> = listings.iter().filter(|listing| carries(listing, reference)).filter_map(id_of).collect();
    ids.sort_unstable();
    let (id, others) = ids.split_first()?;
    Some(Found { id: id.to_string(), others: others.to_vec() })
}

fn blames_a_photo(failure: &Failure) -> bool {
    failure.refuses_part() && failure.detail.to_ascii_lowercase().contains("image")
}

impl Run<'_> {
    /// Content and photos as one body, of those sections that are asked for.
    pub(super) fn listing_body(&self, sections: &BTreeSet<Section>) -> Option<Value> {
        let content = sections.contains(&Section::Content).then(|| self.body(Section::Content)).flatten();
        let images = sections.contains(&Section::Images).then(|| self.body(Section::Images)).flatten();
        let mut body = content.cloned();
        if let Some(images) = images {
            body.get_or_insert_with(|| json!({})).as_object_mut()?.insert("listingImages".to_owned(), images.clone());
        }
        body
    }
}
