//! The roles of which one process works while the others stand by: relay, projector and health. Each takes its lock, leads until
//! it fails or is to stop, gives the lock up and tries again.

use std::time::Duration;

use adapters::leader::Leadership;
use async_trait::async_trait;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

/// From one try to take a role to the next.
const STAND_BY: Duration = Duration::from_millis(500);

/// A role of which one works.
#[async_trait]
pub(crate) trait LeadingRole: Send {
    /// What the log calls it.
    const NAME: &'static str;

    /// Works until `stop`. Ends with an error where it cannot go on, or is no longer the one that leads: that it finds out by
    /// asking `leadership`, now and then.
    async fn lead(&mut self, leadership: &mut Leadership, stop: &CancellationToken) -> anyhow::Result<()>;
}

/// Leads until `stop` whenever nobody else does. `lock` names the role among all that use this database.
pub(crate) async fn lead_in_turn<R: LeadingRole>(mut role: R, pool: &PgPool, lock: &str, stop: &CancellationToken) {
    while !stop.is_cancelled() {
        let taken = tokio::select! {
            () = stop.cancelled() => return,
            taken = Leadership::take(pool, lock, STAND_BY) => taken,
        };
        match taken {
            Ok(mut leadership) => {
                if let Err(error) = role.lead(&mut leadership, stop).await {
                    tracing::warn!(error = format!("{error:#}"), "the {} starts again", R::NAME);
                }
                leadership.release().await;
            }
            Err(error) => tracing::warn!(error = %error, "the {} cannot reach the database", R::NAME),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(STAND_BY) => {}
        }
    }
}
