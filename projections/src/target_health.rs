//! `target_health`: how each target answers now, and `target_health_changes`: how that came about.

mod fold;
mod rows;

use async_trait::async_trait;
use domain::recorded::Recorded;
use sqlx::PgConnection;

use crate::error::Error;
use crate::projection::{Ended, Projection};

/// The projection.
pub struct TargetHealth;

#[async_trait]
impl Projection for TargetHealth {
    fn name(&self) -> &'static str {
        "target_health"
    }

    fn tables(&self) -> &'static [&'static str] {
        &["target_health", "target_health_changes"]
    }

    fn reads(&self) -> Option<&'static [&'static str]> {
        Some(&[
            "TargetCreated",
            "HealthChanged",
            "CredentialRotated",
            "SyncAccepted",
            "SyncDeferred",
            "SyncFailed",
            "SupersededSyncFailed",
        ])
    }

    async fn apply(&self, connection: &mut PgConnection, batch: &[Recorded]) -> Result<Vec<Ended>, Error> {
        let rows = rows::load(connection, batch).await?;
        let folded = fold::fold(rows, batch);
        rows::store(connection, &folded.rows).await?;
        rows::insert_changes(connection, &folded.changes).await?;
        Ok(Vec::new())
    }
}
