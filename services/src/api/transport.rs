//! Whether NATS answers and the relay keeps up, and since when not; and how many dead letters there are. One task of the process
//! asks, and whoever looks is told what it saw last: that costs the same however many look, and nobody waits for a NATS that hangs.

use std::collections::HashMap;
use std::time::Duration;

use adapters::event_store::PgEventLog;
use adapters::nats::topology::StreamKind;
use chrono::{DateTime, Utc};
use domain::ids::OrgId;
use tokio::time::{Instant, sleep, timeout};

use super::Api;
use super::probes::PATIENCE;
use crate::relay::StreamEnd;

/// From one look at NATS to the next.
const LOOK: Duration = Duration::from_secs(2);
/// From one look at the relay to the next while it keeps up: as often as the metrics tell of it.
const LOOK_AT_RELAY: Duration = Duration::from_secs(15);

// A moment on the way is how the relay works: what was appended while this is asked for is none of its lag.
const FIRST_AFTER: &str = "
SELECT recorded_at FROM (SELECT recorded_at FROM events WHERE position > $1 ORDER BY position LIMIT 1) AS first
WHERE recorded_at < now() - interval '5 s'";

/// What carries events from the journal to those who read them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Transport {
    /// Since when NATS does not answer, UTC; `None` while it does.
    pub away_since: Option<DateTime<Utc>>,
    /// When the first event was appended that is not on the stream of events, UTC; `None` where all are, or while NATS is away.
    pub unpublished_since: Option<DateTime<Utc>>,
}

/// Dead letters by the organisation that they name.
pub(super) type Letters = HashMap<OrgId, u64>;

/// Looks again and again.
pub(super) async fn watch(api: &Api) {
    let mut relay_at: Option<Instant> = None;
    loop {
        let before = *api.inner.transport.borrow();
        let began = Utc::now();
        let now = if !api.nats_answers().await {
            relay_at = None;
            Transport { away_since: Some(before.away_since.unwrap_or(began)), unpublished_since: None }
        } else if before.unpublished_since.is_some() || relay_at.is_none_or(|at| at.elapsed() >= LOOK_AT_RELAY) {
            relay_at = Some(Instant::now());
            let seen = timeout(PATIENCE * 2, unpublished_since(api)).await.unwrap_or_else(|late| Err(late.into()));
            let unpublished_since = seen.unwrap_or_else(|error| {
                tracing::debug!(error = %error, "how far the relay is cannot be seen now");
                before.unpublished_since
            });
            Transport { away_since: None, unpublished_since }
        } else {
            Transport { away_since: None, ..before }
        };
        api.inner.transport.send_replace(now);
        if now.away_since.is_none() {
            count_letters(api).await;
        }
        sleep(LOOK).await;
    }
}

/// While they cannot be counted there are as many as there were.
async fn count_letters(api: &Api) {
    match timeout(PATIENCE, api.inner.nats.dead_letters_by_org()).await {
        Ok(Ok(letters)) => {
            api.inner.letters.send_replace(letters);
        }
        Ok(Err(error)) => tracing::debug!(error = %error, "dead letters cannot be counted now"),
        Err(_) => tracing::debug!("dead letters are not counted in time"),
    }
}

async fn unpublished_since(api: &Api) -> anyhow::Result<Option<DateTime<Utc>>> {
    let end = StreamEnd::of(&api.inner.nats, StreamKind::Channels).await?;
    let Some(position) = end.position(&PgEventLog::new(api.pool().clone())).await? else { return Ok(None) };
    Ok(sqlx::query_scalar(FIRST_AFTER).bind(position.0).fetch_optional(api.pool()).await?)
}
