//! What is stored and was never asked for: an intake died between a unit's snapshot and the requests, and NATS lost the
//! message before it came again; or somebody linked a unit and died before the first sync. Nobody else would ask.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use domain::ids::ListingId;
use domain::metadata::Actor;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::syncing::Syncing;

/// From one look to the next.
const LOOK: Duration = Duration::from_secs(60);
/// Listings that are read at once.
const PAGE: i64 = 500;

/// One look in so many is at all of them: a row of a read model may have come late, and a listing may have failed.
const WHOLE: u32 = 60;
/// A look goes back to the one before it, and so much further: for what was in work then.
const OVERLAP: TimeDelta = TimeDelta::minutes(10);

/// By the read model, which may lag: the journal decides. Whoever is at work on a unit has some time for it. A listing to
/// which an older snapshot was sent again is among them, and has nothing to ask for. Two halves, each of which begins with
/// what is new: most units and most listings are not.
fn behind() -> String {
    let left_behind = "c.state <> 'unlinked' AND (c.revision IS NULL OR c.revision < u.revision)
        AND u.recorded_at < now() - interval '15 s' AND c.updated_at < now() - interval '15 s' AND listing_id > $1";
    format!(
        "SELECT listing_id FROM units AS u JOIN channel_listings AS c USING (org_id, unit_id)
         WHERE u.recorded_at > $3 AND {left_behind}
         UNION
         SELECT listing_id FROM channel_listings AS c JOIN units AS u USING (org_id, unit_id)
         WHERE c.updated_at > $3 AND {left_behind}
         ORDER BY listing_id LIMIT $2"
    )
}

/// Looks at once, and then every now and then until `stop`.
pub(super) async fn run(syncing: &Syncing, stop: &CancellationToken) {
    // All of them at first: who died may have done so long ago.
    let (mut since, mut looks) = (DateTime::UNIX_EPOCH, 0_u32);
    while !stop.is_cancelled() {
        let began = Utc::now();
        match look(syncing, since, stop).await {
            Ok(asked) => {
                looks += 1;
                since = if looks.is_multiple_of(WHOLE) { DateTime::UNIX_EPOCH } else { began - OVERLAP };
                if asked > 0 {
                    tracing::info!(asked, "syncs were asked for that nobody had asked for");
                }
            }
            Err(error) => tracing::warn!(%error, "failed to look for listings that are behind their units"),
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// Gives how many syncs were asked for.
async fn look(syncing: &Syncing, since: DateTime<Utc>, stop: &CancellationToken) -> Result<usize, sqlx::Error> {
    let (behind, mut asked, mut after) = (behind(), 0, Uuid::nil());
    while !stop.is_cancelled() {
        let query = sqlx::query_scalar(&behind).bind(after).bind(PAGE).bind(since);
        let listings: Vec<Uuid> = query.fetch_all(syncing.commands().journal().pool()).await?;
        let Some(last) = listings.last() else { break };
        after = *last;
        for listing in listings {
            match syncing.catch_up(ListingId(listing), Actor::service("intake")).await {
                Ok(position) => asked += usize::from(position.flatten().is_some()),
                Err(error) => tracing::warn!(listing_id = %listing, %error, "a listing could not catch up"),
            }
        }
    }
    Ok(asked)
}
