//! The standing figure of the audit: every sync job of the journal has its row in `outbound_audit`.

use domain::ids::SyncId;
use sqlx::PgPool;
use uuid::Uuid;

use crate::error::Error;

/// Jobs of the journal against rows of the audit, at the audit's checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coverage {
    /// Sync jobs in the journal, up to the checkpoint.
    pub jobs: i64,
    /// Rows in `outbound_audit`.
    pub rows: i64,
    /// Jobs without a row. Must be 0.
    pub missing: i64,
    /// The first 20 of those.
    pub missing_sync_ids: Vec<SyncId>,
}

// One statement, so one snapshot: the figures fit together while events are being applied.
const COVERAGE: &str = "
WITH jobs AS MATERIALIZED (
    SELECT DISTINCT (payload #>> ARRAY[event_type, 'request', 'sync_id'])::uuid AS sync_id
    FROM public.events
    WHERE event_type IN ('SyncRequested', 'SyncSkipped')
      AND position <= (SELECT max(position) FROM public.projection_checkpoints WHERE name = 'outbound_audit')
), missing AS MATERIALIZED (
    SELECT sync_id FROM jobs
    WHERE NOT EXISTS (SELECT 1 FROM public.outbound_audit AS audit WHERE audit.sync_id = jobs.sync_id)
)
SELECT (SELECT count(*) FROM jobs), (SELECT count(*) FROM public.outbound_audit), (SELECT count(*) FROM missing),
    ARRAY(SELECT sync_id FROM missing ORDER BY sync_id LIMIT 20)";

/// Compares the journal with the audit.
pub async fn audit_coverage(pool: &PgPool) -> Result<Coverage, Error> {
    let (jobs, rows, missing, ids): (i64, i64, i64, Vec<Uuid>) = sqlx::query_as(COVERAGE).fetch_one(pool).await?;
    Ok(Coverage { jobs, rows, missing, missing_sync_ids: ids.into_iter().map(SyncId).collect() })
}
