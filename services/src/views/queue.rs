//! Why work waits: one word for it, wherever it is told.

use std::collections::HashMap;

use adapters::dispatch::ACCOUNT_SCOPE;
use chrono::{DateTime, Utc};
use sqlx::PgPool;
use uuid::Uuid;

/// What holds all work of a target (`t`, and `o` for its circuit).
macro_rules! target_holds {
    () => {
        "WHEN t.lifecycle = 'paused' THEN 'target paused' WHEN t.health = 'unauthorised' THEN 'target unauthorised'
    WHEN o.target_id IS NOT NULL THEN 'circuit open'"
    };
}

/// What the queue joins to say so; [`BY_ROW`] stands on it.
pub const WAITING: &str = "
sync_queue AS q
LEFT JOIN channel_listings AS l ON l.listing_id = q.listing_id
LEFT JOIN channel_targets AS t ON t.target_id = q.target_id
LEFT JOIN dispatch_circuits AS o ON o.target_id = q.target_id AND o.opened > 0
LEFT JOIN dispatch_leases AS d ON d.listing_id = q.listing_id AND NOT d.done AND d.lease_until > now()";

/// It is due, and calls of its account, or of the address that they leave from, wait until a time: the channel answered 429.
pub const PAUSED: &str = "paused by the channel";
/// Since when the channel has been behind for a row `q` of `sync_queue`: since the first request that it has not got, as a sync that
/// takes the place of another keeps that one's clock.
pub const BEHIND_SINCE: &str = "coalesce(q.behind_since, q.requested_at)";

/// What [`status`] says.
pub const STATUSES: [&str; 8] =
    ["under way", "target paused", "target unauthorised", "circuit open", "listing paused", "later", PAUSED, "due"];

/// Those of a sync that nobody has to let go: it waits for its time, the end of a pause by the channel, its turn and slots.
pub const FREE: [&str; 4] = ["under way", "later", PAUSED, "due"];

/// What the rows of the queue say of it: [`status`] says the rest.
pub const BY_ROW: &str = concat!(
    "
CASE WHEN d.listing_id IS NOT NULL THEN 'under way' ",
    target_holds!(),
    "
    WHEN l.state = 'paused' THEN 'listing paused'
    WHEN q.due_at > now() THEN 'later' ELSE 'due' END AS status"
);

/// The same of a target as a whole: what holds it, or nothing.
pub const HELD: &str = concat!("CASE ", target_holds!(), " END AS held");

/// Under way, what holds it, later (it is tried again at its time), paused by the channel, or due (it waits for a slot of the
/// window). `by_row` is what [`BY_ROW`] says, `paused_until` the end of a pause by the channel: where it is that of an address, no
/// reader sees it, so no statement of theirs can tell.
pub fn status(by_row: String, paused_until: Option<DateTime<Utc>>) -> String {
    if by_row == "due" && paused_until.is_some() { PAUSED.to_owned() } else { by_row }
}

/// The targets whose calls a channel has paused, by a 429: with the scope that it named, the account or an address that calls
/// leave from, and until when; of several pauses the longest.
pub fn channel_pauses() -> String {
    format!(
        "SELECT DISTINCT ON (t.target_id) t.target_id, split_part(p.scope, ':', 1) AS paused_scope, p.paused_until
         FROM rate_scopes AS p JOIN channel_targets AS t ON p.scope = {ACCOUNT_SCOPE} OR p.scope LIKE 'egress:%'
         WHERE p.paused_until > now() AND isfinite(p.paused_until) AND t.lifecycle <> 'deleted'
         ORDER BY t.target_id, p.paused_until DESC"
    )
}

/// Until when the channel has calls of these targets paused, where it has.
pub async fn paused_until(pool: &PgPool, targets: &[Uuid]) -> Result<HashMap<Uuid, DateTime<Utc>>, sqlx::Error> {
    let pauses = channel_pauses();
    let statement = format!("SELECT target_id, paused_until FROM ({pauses}) AS p WHERE target_id = ANY ($1)");
    let rows: Vec<(Uuid, DateTime<Utc>)> = sqlx::query_as(&statement).bind(targets).fetch_all(pool).await?;
    Ok(rows.into_iter().collect())
}
