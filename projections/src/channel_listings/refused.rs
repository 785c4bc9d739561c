//! The refused parts of a listing: what the mapping leaves out of the unit as it was asked for last, and of each section
//! what the channel refused when it was sent last. They outlive syncs that have nothing to do with them.

use std::collections::BTreeSet;

use domain::channel::{RejectedPart, Section};
use domain::listing::SyncAttempt;

use super::rows::ListingRow;
use crate::column::rejected_json;

/// The mapping names all that it leaves out of the unit.
pub(super) fn take_mapping(row: &mut ListingRow, left_out: &[RejectedPart]) {
    let mut parts = parts(row);
    parts.retain(|part| !part.is_of_the_unit());
    parts.extend_from_slice(left_out);
    put(row, parts);
}

/// The channel said what it refuses of the sections that were sent.
pub(super) fn take_attempt(row: &mut ListingRow, attempt: &SyncAttempt) {
    let mut parts = parts(row);
    let refused = attempt.rejected.iter().filter(|part| !part.is_of_the_unit()).map(|part| part.section);
    let sent: BTreeSet<Section> = attempt.progress.sections.keys().copied().chain(refused).collect();
    parts.retain(|part| part.is_of_the_unit() || !sent.contains(&part.section));
    for part in &attempt.rejected {
        if !parts.contains(part) {
            parts.push(part.clone());
        }
    }
    put(row, parts);
}

fn parts(row: &ListingRow) -> Vec<RejectedPart> {
    if row.rejected == "[]" {
        return Vec::new();
    }
    serde_json::from_str(&row.rejected).unwrap_or_default()
}

fn put(row: &mut ListingRow, parts: Vec<RejectedPart>) {
    row.rejected = rejected_json(&RejectedPart::bounded(parts));
}
