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
/// Listings behind their units that are read at once.
const PAGE: i64 = 500;
/// Listings of all that are looked at in one statement.
const SCANNED: i64 = 5_000;

/// One look in so many is at all of them: a row of a read model may have come late, and a listing may have failed.
const WHOLE: u32 = 60;
/// A look goes back to the one before it, and so much further: for what was in work then.
const OVERLAP: TimeDelta = TimeDelta::minutes(10);

/// By the read model, which may lag: the journal decides. Whoever is at work on a unit has some time for it, and so has its message:
/// NATS sends it again after 30 s without a word of it, and with it what published it, its correlation and its trace, which no snapshot
/// has. A listing to which an older snapshot was sent again is among them, and has nothing to ask for. One whose unit is in another
/// account is not behind: it takes nothing from there.
const LEFT_BEHIND: &str = "c.state <> 'unlinked' AND (c.revision IS NULL OR c.revision < u.revision)
    AND (u.account_id = c.account_id OR u.account_id = c.from_account_id)
    AND u.recorded_at < now() - interval '45 s' AND c.updated_at < now() - interval '15 s'";

/// Two halves, each of which begins with what is new: snapshots of the last minutes, and links of them.
fn newly_behind() -> String {
    format!(
        "SELECT c.listing_id FROM unit_snapshots AS s
         JOIN units AS u USING (org_id, unit_id) JOIN channel_listings AS c USING (org_id, unit_id)
         WHERE s.recorded_at > $3 AND c.listing_id > $1 AND {LEFT_BEHIND}
         UNION
         SELECT c.listing_id FROM channel_listings AS c JOIN units AS u USING (org_id, unit_id)
         WHERE c.linked_at > $3 AND c.listing_id > $1 AND {LEFT_BEHIND}
         ORDER BY listing_id LIMIT $2"
    )
}

/// The last listing of the next ones in order of their ids, and those among them that are behind.
fn all_behind() -> String {
    format!(
        "WITH scanned AS MATERIALIZED (
             SELECT listing_id, org_id, account_id, from_account_id, unit_id, state, revision, updated_at
             FROM channel_listings
             WHERE listing_id > $1 ORDER BY listing_id LIMIT $2
         )
         SELECT (SELECT listing_id FROM scanned ORDER BY listing_id DESC LIMIT 1),
             ARRAY(SELECT c.listing_id FROM scanned AS c JOIN units AS u USING (org_id, unit_id) WHERE {LEFT_BEHIND})"
    )
}

/// Whether the read model of listings shows what the journal had some seconds ago: before it does, listings look behind that
/// are not.
const IS_CURRENT: &str = "
SELECT coalesce((
    SELECT recorded_at > now() - interval '10 s' FROM events
    WHERE position > (SELECT position FROM projection_checkpoints WHERE name = 'channel_listings')
    ORDER BY position LIMIT 1), true)";

/// Looks at once, and then every now and then until `stop`.
pub(super) async fn run(syncing: &Syncing, stop: &CancellationToken) {
    // All of them at first: who died may have done so long ago.
    let (mut since, mut looks) = (None, 0_u32);
    while !stop.is_cancelled() {
        let began = Utc::now();
        match look(syncing, since, stop).await {
            Ok(Some(asked)) => {
                looks += 1;
                since = (!looks.is_multiple_of(WHOLE)).then(|| began - OVERLAP);
                if asked > 0 {
                    tracing::info!(asked, "syncs were asked for that nobody had asked for");
                }
            }
            Ok(None) => tracing::debug!("the read model of listings lags: no look for those behind their units"),
            Err(error) => tracing::warn!(%error, "failed to look for listings that are behind their units"),
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// Gives how many syncs were asked for; `None` where the read model lags. Without `since` it is a look at all listings.
async fn look(
    syncing: &Syncing,
    since: Option<DateTime<Utc>>,
    stop: &CancellationToken,
) -> Result<Option<usize>, sqlx::Error> {
    let pool = syncing.commands().journal().pool();
    let (newly_behind, all_behind) = (newly_behind(), all_behind());
    let (mut asked, mut after) = (0, Uuid::nil());
    while !stop.is_cancelled() {
        if !sqlx::query_scalar::<_, bool>(IS_CURRENT).fetch_one(pool).await? {
            return Ok(None);
        }
        let (last, behind): (Option<Uuid>, Vec<Uuid>) = match since {
            None => sqlx::query_as(&all_behind).bind(after).bind(SCANNED).fetch_one(pool).await?,
            Some(since) => {
                let query = sqlx::query_scalar(&newly_behind).bind(after).bind(PAGE).bind(since);
                let behind: Vec<Uuid> = query.fetch_all(pool).await?;
                (behind.last().copied(), behind)
            }
        };
        let Some(last) = last else { break };
        after = last;
        for listing in behind {
            match syncing.catch_up(ListingId(listing), Actor::service("intake")).await {
                Ok(now) => asked += usize::from(now.position().is_some()),
                Err(error) => tracing::warn!(listing_id = %listing, %error, "a listing could not catch up"),
            }
        }
    }
    Ok(Some(asked))
}
