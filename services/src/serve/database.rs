//! Says why Postgres cannot be asked. Those who wait for a connection only know that they waited.

use std::time::Duration;

use adapters::postgres::{Unasked, answers};
use sqlx::PgPool;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// From one question to the next.
const LOOK: Duration = Duration::from_secs(2);
/// The longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// The same reason is told again after so long.
const AGAIN: Duration = Duration::from_secs(60);

/// Asks until `stop`.
pub(super) async fn watch(pool: PgPool, stop: CancellationToken) {
    let mut told: Option<(Unasked, Instant)> = None;
    while !stop.is_cancelled() {
        match answers(&pool, PATIENCE).await {
            Ok(()) => {
                if told.take().is_some() {
                    tracing::info!("Postgres answers again");
                }
            }
            Err(reason) if told.as_ref().is_none_or(|(last, at)| *last != reason || at.elapsed() > AGAIN) => {
                tracing::error!(%reason, "Postgres cannot be asked: all work waits for it");
                told = Some((reason, Instant::now()));
            }
            Err(_) => {}
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}
