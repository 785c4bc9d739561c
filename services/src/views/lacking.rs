//! What the channel lacks, or may lack, of what was asked for last, although the sync succeeded: it, or the mapping, refused some of it, or
//! a call that ended late may have written over it.

use std::collections::BTreeSet;

use domain::channel::{RejectedPart, Section};
use domain::counted::agreeing;
use domain::ids::ListingId;
use serde::Serialize;
use serde_json::Value;
use sqlx::PgConnection;
use utoipa::ToSchema;

use super::asked::Taken;
use super::known::call_unknown;

/// What a channel lacks of what was asked for last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Lacking {
    /// The sections that it refused, so that the next change of the unit sends them, too, most urgent first.
    pub sections: Vec<&'static str>,
    /// The sections that it has, but for what it, or the mapping, refused of them.
    pub parts_of: Vec<&'static str>,
    /// The sections of which nobody knows what the channel has: a call has ended since it took them that may have written something else. The
    /// next sync sends them again, most urgent first.
    pub in_doubt: Vec<&'static str>,
    /// Whose they are.
    #[serde(skip)]
    listing_id: ListingId,
}

impl Lacking {
    /// `refused` is what is known to be refused of the listing.
    pub fn of(taken: &Taken<'_>, refused: &[RejectedPart]) -> Option<Self> {
        let listing_id = taken.listing.link()?.listing_id;
        let differing = taken.listing.differing(&taken.asked.request.sections);
        let refused: BTreeSet<Section> = refused.iter().map(|part| part.section).collect();
        // What it took is forgotten by nothing else. A section with another hash is one that another build had mapped.
        let accepted = &taken.listing.accepted().sections;
        let is_in_doubt = |section: &Section| !refused.contains(section) && !accepted.contains_key(section);
        let in_doubt: Vec<Section> = differing.iter().copied().filter(is_in_doubt).collect();
        let (sections, parts_of): (Vec<Section>, Vec<Section>) =
            refused.into_iter().partition(|section| differing.contains(section));
        let names = |sections: Vec<Section>| sections.into_iter().map(Section::as_str).collect::<Vec<_>>();
        let (sections, parts_of, in_doubt) = (names(sections), names(parts_of), names(in_doubt));
        let is_all_there = sections.is_empty() && parts_of.is_empty() && in_doubt.is_empty();
        (!is_all_there).then_some(Self { sections, parts_of, in_doubt, listing_id })
    }

    /// Some of it goes out with the next sync, also where the unit is the same.
    pub fn is_sent_next(&self) -> bool {
        !self.sections.is_empty() || !self.in_doubt.is_empty()
    }

    /// In plain words, with what brings it.
    pub fn words(&self) -> Vec<String> {
        let sections = (!self.sections.is_empty()).then(|| {
            format!(
                "The channel refused {} of the last sync; {} sent with the next change of the unit, or with a sync \
                 now.",
                self.sections.join(", "),
                agreeing(self.sections.len(), "it is", "they are")
            )
        });
        let parts = (!self.parts_of.is_empty()).then(|| {
            format!(
                "Of {} something was refused or left out; it is tried again when that section changes, or with a \
                 sync now.",
                self.parts_of.join(", ")
            )
        });
        sections.into_iter().chain(parts).chain(self.doubt()).collect()
    }

    /// What is in doubt, with what heals it. Of a listing of which a sync waits nothing is told to lack.
    pub fn doubt(&self) -> Option<String> {
        (!self.in_doubt.is_empty()).then(|| call_unknown(&self.in_doubt, &self.listing_id, false))
    }
}

const REFUSED: &str = "SELECT rejected FROM channel_listings WHERE listing_id = $1";

/// What is known to be refused of a listing: by the mapping of its unit, and by the channel when each section was sent last.
pub async fn refused_parts(connection: &mut PgConnection, id: ListingId) -> Result<Vec<RejectedPart>, sqlx::Error> {
    let refused: Option<Value> = sqlx::query_scalar(REFUSED).bind(id.0).fetch_optional(connection).await?;
    Ok(refused.map(parts).unwrap_or_default())
}

/// The same of a row's column. What cannot be read is none, as a part of a section that only a newer build knows: the others are told all the
/// same.
pub fn parts(rejected: Value) -> Vec<RejectedPart> {
    let Value::Array(rejected) = rejected else { return Vec::new() };
    rejected.into_iter().filter_map(|part| serde_json::from_value(part).ok()).collect()
}
