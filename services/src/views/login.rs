//! A login that a target waits for: its channel is not known to take its credentials, while it takes another owner's at that account
//! (`adapters/src/dispatch/strangers.rs`).

use std::collections::HashMap;

use adapters::dispatch::{strangers_rule, waiting_strangers};
use chrono::{DateTime, Utc};
use domain::ids::TargetId;
use serde::Serialize;
use sqlx::PgPool;
use utoipa::ToSchema;
use uuid::Uuid;

use super::moment::moment;

/// A login that a target waits for: nothing of it is sent before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct LoginWait {
    /// When the next one may be, if nobody else who waits for one there has it then.
    pub not_before: DateTime<Utc>,
}

impl LoginWait {
    /// In plain words.
    pub fn words(&self) -> String {
        format!("{}; the next one is not before {}", strangers_rule(), moment(self.not_before))
    }
}

/// Those of these targets that wait for one, should they have something to send. Not for a reader: no reader sees these windows, as
/// owners share them who may not know of one another.
pub async fn waits(pool: &PgPool, targets: &[Uuid]) -> Result<HashMap<Uuid, LoginWait>, sqlx::Error> {
    let waiting = waiting_strangers(pool, targets).await?;
    Ok(waiting.into_iter().map(|(target, not_before)| (target, LoginWait { not_before })).collect())
}

/// The same of one target.
pub async fn wait(pool: &PgPool, target: TargetId) -> Result<Option<LoginWait>, sqlx::Error> {
    Ok(waits(pool, &[target.0]).await?.remove(&target.0))
}
