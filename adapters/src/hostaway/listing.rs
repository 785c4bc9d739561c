//! Content and photos of a listing that exists: one partial update for both, held against the answer, because Hostaway
//! ignores what it does not take and says success.

use std::collections::BTreeSet;

use domain::call::CallPurpose;
use domain::channel::{RejectedPart, Section};
use domain::counted::counted;
use domain::mapping::hostaway::{ContentDifference, content_differences, kept_texts};
use reqwest::Method;
use serde_json::{Value, json};

use super::answer::Wanted;
use super::failure::Failure;
use super::push::Run;
use super::session::{Call, Session};

impl Run<'_> {
    /// Sends what is wanted of content and photos.
    pub(super) async fn listing(&mut self, id: &str, wanted: &BTreeSet<Section>) -> Result<(), Failure> {
        let mut wanted: BTreeSet<Section> =
            wanted.iter().copied().filter(|section| matches!(section, Section::Content | Section::Images)).collect();
        if self.verify && wanted.contains(&Section::Content) && self.content_is_there(id).await? {
            self.accept(Section::Content);
            wanted.remove(&Section::Content);
        }
        match self.put_listing(id, &wanted).await {
            Err(failure) if failure.refuses_part() && wanted.len() > 1 => {
                // One body, one verdict: apart, the bad one stops only itself.
                for section in wanted {
                    self.put_or_refuse(id, section).await?;
                }
                Ok(())
            }
            Err(failure) if failure.refuses_part() => {
                wanted.iter().for_each(|section| self.refuse(*section, &failure));
                Ok(())
            }
            other => other,
        }
    }

    async fn put_or_refuse(&mut self, id: &str, section: Section) -> Result<(), Failure> {
        match self.put_listing(id, &BTreeSet::from([section])).await {
            Err(failure) if failure.refuses_part() => {
                self.refuse(section, &failure);
                Ok(())
            }
            other => other,
        }
    }

    async fn put_listing(&mut self, id: &str, sections: &BTreeSet<Section>) -> Result<(), Failure> {
        let (Some(urgency), Some(body)) = (sections.first().copied(), self.listing_body(sections)) else {
            return Ok(());
        };
        let purpose = if urgency == Section::Content { CallPurpose::Content } else { CallPurpose::Images };
        // Asked for nested rows: without them the answer's arrays could be empty, and would look as if refused.
        let path = format!("/listings/{id}?includeResources=1");
        let wanted = Wanted::Listing { id: id.to_owned() };
        let call = Call { purpose, urgency, method: Method::PUT, path, body: Some(body), wanted };
        let answer = self.session.call(&call).await?;
        self.take_listing_answer(sections, &answer.result);
        Ok(())
    }

    /// The channel took the sections; what differs in its answer was ignored, and sending it again would not help.
    pub(super) fn take_listing_answer(&mut self, sections: &BTreeSet<Section>, answered: &Value) {
        for section in sections {
            let Some(body) = self.body(*section) else { continue };
            let parts: Vec<RejectedPart> = match section {
                Section::Content => {
                    let ignored = content_differences(body, answered);
                    let ignored = ignored.iter().map(ContentDifference::to_rejected_part);
                    ignored.chain(kept_texts(body, answered)).collect()
                }
                _ => missing_photos(body, answered).into_iter().collect(),
            };
            parts.into_iter().for_each(|part| self.note_ignored(part, false));
            self.accept(*section);
        }
    }

    /// Whether the channel has our content already. Photos cannot be recognised: it keeps them under URLs of its own.
    async fn content_is_there(&mut self, id: &str) -> Result<bool, Failure> {
        let listing = read_listing(&mut self.session, id).await?;
        let content = self.body(Section::Content).cloned().unwrap_or_else(|| json!({}));
        Ok(content_differences(&content, &listing).is_empty())
    }
}

/// The listing with its nested rows.
pub(super) async fn read_listing(session: &mut Session<'_>, id: &str) -> Result<Value, Failure> {
    let path = format!("/listings/{id}?includeResources=1");
    let (purpose, urgency, wanted) = (CallPurpose::ReadBack, Section::Content, Wanted::Listing { id: id.to_owned() });
    let call = Call { purpose, urgency, method: Method::GET, path, body: None, wanted };
    session.call(&call).await.map(|answer| answer.result)
}

/// The answer may hold fewer photos than were sent; an answer without any list of photos tells nothing.
fn missing_photos(sent: &Value, answered: &Value) -> Option<RejectedPart> {
    let sent = sent.as_array()?.len();
    let kept = answered.get("listingImages")?.as_array()?.len();
    (kept < sent).then(|| RejectedPart {
        section: Section::Images,
        part: "listing.listingImages".to_owned(),
        value: counted(sent, "photo"),
        reason: format!("Hostaway answered with success but has {kept} of them"),
    })
}
