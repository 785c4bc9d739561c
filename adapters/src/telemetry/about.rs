//! What a part of a trace is about, under one name each wherever it is.

use domain::ids::{ListingId, SyncId};
use domain::metadata::Metadata;
use domain::recorded::{ChannelEvent, Recorded};
use opentelemetry::Value;

/// Names with their values.
pub type Attributes = Vec<(&'static str, Value)>;

/// What a command or its events are about: what stands beside them, with the listing and the sync where they are of one.
pub fn about(metadata: &Metadata, listing: Option<ListingId>, sync: Option<SyncId>) -> Attributes {
    let mut known: Attributes = vec![
        ("distribution.org.id", metadata.org_id.to_string().into()),
        ("distribution.target.id", metadata.target_id.to_string().into()),
    ];
    known.extend(listing.map(|id| ("distribution.listing.id", Value::from(id.to_string()))));
    known.extend(metadata.unit_id.as_ref().map(|id| ("distribution.unit.id", Value::from(id.to_string()))));
    known.extend(sync.map(|id| ("distribution.sync.id", Value::from(id.to_string()))));
    known
}

/// The same of an event, with its type and its place in the journal.
pub fn about_event(event: &Recorded) -> Attributes {
    let (listing, sync) = match &event.event {
        ChannelEvent::Target(_) => (None, None),
        ChannelEvent::Listing(told) => (Some(ListingId(event.aggregate_id)), told.sync_id()),
    };
    let mut known = about(&event.metadata, listing, sync);
    known.push(("distribution.event.type", event.event.type_name().into()));
    known.push(("distribution.event.position", event.position.0.into()));
    known
}
