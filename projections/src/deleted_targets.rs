//! Which targets were deleted, and where in the journal. A target and its listings are different aggregates, so a sync
//! can be asked for just after the deletion; it must end at once instead of waiting for ever.

use std::collections::{HashMap, HashSet};

use domain::listing::ListingEvent;
use domain::recorded::{ChannelEvent, Recorded};
use domain::target::TargetEvent;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::Error;

/// Positions of deletions.
pub(crate) struct DeletedTargets(HashMap<Uuid, i64>);

impl DeletedTargets {
    /// Looks up the targets that the batch asks syncs for.
    ///
    /// The journal is asked, not a read model: its answer does not depend on how far another projection is.
    pub(crate) async fn load(connection: &mut PgConnection, batch: &[Recorded]) -> Result<Self, Error> {
        let wanted: HashSet<Uuid> = batch.iter().filter(|event| requests_sync(event)).map(target_of).collect();
        if wanted.is_empty() {
            return Ok(Self(HashMap::new()));
        }
        let ids: Vec<String> = wanted.iter().map(Uuid::to_string).collect();
        let found: Vec<(String, i64)> = sqlx::query_as(
            "SELECT aggregate_id, position FROM public.events
             WHERE event_type = 'TargetDeleted' AND aggregate_id = ANY($1)",
        )
        .bind(ids)
        .fetch_all(connection)
        .await?;
        let parsed = found.into_iter().filter_map(|(id, position)| Some((Uuid::parse_str(&id).ok()?, position)));
        Ok(Self(parsed.collect()))
    }

    /// Whether the event's target was deleted before the event.
    pub(crate) fn before(&self, event: &Recorded) -> bool {
        self.0.get(&target_of(event)).is_some_and(|deleted_at| *deleted_at < event.position.0)
    }
}

fn requests_sync(event: &Recorded) -> bool {
    matches!(&event.event, ChannelEvent::Listing(listing) if matches!(**listing, ListingEvent::SyncRequested { .. }))
}

/// The target of an event.
pub(crate) fn target_of(event: &Recorded) -> Uuid {
    event.metadata.target_id.0
}

/// The targets that the batch deletes.
pub(crate) fn deleted_in(batch: &[Recorded]) -> Vec<Uuid> {
    let deletes = |event: &&Recorded| matches!(event.event, ChannelEvent::Target(TargetEvent::TargetDeleted { .. }));
    batch.iter().filter(deletes).map(|event| event.aggregate_id).collect()
}
