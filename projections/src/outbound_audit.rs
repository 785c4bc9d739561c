//! `outbound_audit`: one row per sync job, with every HTTP call under it in `outbound_attempts`; and `sync_activity`, what
//! happened in each minute.
//!
//! Invariant: every `SyncRequested` and every `SyncSkipped` of the journal has its row (see [`crate::coverage`]).

mod activity;
mod attempts;
mod fold;
mod job;
mod rows;

use async_trait::async_trait;
use domain::listing::SyncAttempt;
use domain::recorded::Recorded;
use sqlx::PgConnection;

use crate::behind::NextRequests;
use crate::deleted_targets::DeletedTargets;
use crate::error::Error;
use crate::projection::{Ended, Projection};

/// Why a sync was cancelled that was asked for in the moment in which its target was deleted.
pub const TARGET_HAD_BEEN_DELETED: &str = "the target had been deleted";

/// The projection.
pub struct OutboundAudit;

#[async_trait]
impl Projection for OutboundAudit {
    fn name(&self) -> &'static str {
        "outbound_audit"
    }

    fn tables(&self) -> &'static [&'static str] {
        &["outbound_audit", "outbound_attempts", "sync_activity"]
    }

    fn is_by_listing(&self) -> bool {
        true
    }

    async fn apply(&self, connection: &mut PgConnection, batch: &[Recorded]) -> Result<Vec<Ended>, Error> {
        let deleted = DeletedTargets::load(connection, batch).await?;
        let jobs = rows::load(connection, batch).await?;
        let stored = |_: &Recorded, attempt: &SyncAttempt| rows::newest_after(&jobs, attempt);
        let next = NextRequests::needed(batch, stored).load(connection).await?;
        let mut folded = fold::fold(jobs, &deleted, next, batch);
        rows::insert(connection, &folded.new).await?;
        rows::update(connection, &folded.changed).await?;
        folded.activity.called(attempts::insert(connection, &folded.calls).await?);
        activity::add(connection, folded.activity).await
    }
}
