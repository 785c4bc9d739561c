//! `sync_queue`: what is still to be sent. Latest wins: there is at most one row per listing.
//!
//! Beside the queue, and no part of it, the dispatchers' lanes are woken in the same transaction.

mod fold;
mod lanes;
mod rows;

use async_trait::async_trait;
use domain::listing::SyncAttempt;
use domain::recorded::Recorded;
use sqlx::PgConnection;

use crate::behind::NextRequests;
use crate::deleted_targets::DeletedTargets;
use crate::error::Error;
use crate::projection::{Ended, Projection};

/// The projection.
pub struct SyncQueue;

#[async_trait]
impl Projection for SyncQueue {
    fn name(&self) -> &'static str {
        "sync_queue"
    }

    fn tables(&self) -> &'static [&'static str] {
        &["sync_queue"]
    }

    fn is_by_listing(&self) -> bool {
        true
    }

    async fn apply(&self, connection: &mut PgConnection, batch: &[Recorded]) -> Result<Vec<Ended>, Error> {
        let deleted = DeletedTargets::load(connection, batch).await?;
        let queue = rows::load(connection, batch).await?;
        let stored = |event: &Recorded, _: &SyncAttempt| queue.get(event.aggregate_id).map(|row| row.ordinal);
        let next = NextRequests::needed(batch, stored).load(connection).await?;
        let (changes, wakes) = fold::fold(queue, &deleted, next, batch);
        rows::store(connection, &changes.upserts).await?;
        rows::delete(connection, &changes.deletes).await?;
        lanes::wake(connection, wakes).await?;
        Ok(Vec::new())
    }
}
