//! `channel_targets`: every target as its events have left it, deleted ones too.

mod fold;
mod rows;

use async_trait::async_trait;
use domain::recorded::{ChannelEvent, Recorded};
use sqlx::PgConnection;

use crate::error::Error;
use crate::projection::{Ended, Projection};

/// The projection.
pub struct ChannelTargets;

#[async_trait]
impl Projection for ChannelTargets {
    fn name(&self) -> &'static str {
        "channel_targets"
    }

    fn tables(&self) -> &'static [&'static str] {
        &["channel_targets"]
    }

    fn reads(&self) -> Option<&'static [&'static str]> {
        Some(&[
            "TargetCreated",
            "TargetConfigured",
            "RateLimitChanged",
            "CredentialRotated",
            "TargetPaused",
            "TargetResumed",
            "TargetDeleted",
            "HealthChanged",
        ])
    }

    async fn apply(&self, connection: &mut PgConnection, batch: &[Recorded]) -> Result<Vec<Ended>, Error> {
        let of_targets = |event: &&Recorded| matches!(event.event, ChannelEvent::Target(_));
        let events: Vec<&Recorded> = batch.iter().filter(of_targets).collect();
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let rows = rows::load(connection, &events).await?;
        let changes = fold::fold(self.name(), rows, &events)?;
        rows::store(connection, &changes.upserts).await?;
        Ok(Vec::new())
    }
}
