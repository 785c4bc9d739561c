//! Why work waits.

use adapters::dispatch::ACCOUNT_SCOPE;

/// What the queue joins to say so; [`STATUS`] stands on it.
pub const WAITING: &str = "
sync_queue AS q
LEFT JOIN channel_listings AS l ON l.listing_id = q.listing_id
LEFT JOIN channel_targets AS t ON t.target_id = q.target_id
LEFT JOIN dispatch_circuits AS o ON o.target_id = q.target_id AND o.opened > 0
LEFT JOIN dispatch_leases AS d ON d.listing_id = q.listing_id AND NOT d.done AND d.lease_until > now()";

/// Since when the channel has been behind for a row `q` of `sync_queue`: since the first request that it has not got, as a sync that
/// takes the place of another keeps that one's clock.
pub const BEHIND_SINCE: &str = "coalesce(q.behind_since, q.requested_at)";

/// What [`STATUS`] says.
pub const STATUSES: [&str; 7] =
    ["under way", "target paused", "target unauthorised", "circuit open", "listing paused", "later", "due"];

/// Those of a sync that nothing holds: its time, its turn and slots are what it waits for.
pub const FREE: [&str; 3] = ["under way", "later", "due"];

/// Under way, what holds it, later (it is tried again at its time), or due (it waits for a slot of the window, or for the end of a
/// pause by the channel, of which [`channel_pauses`] knows).
pub const STATUS: &str = "
CASE WHEN d.listing_id IS NOT NULL THEN 'under way' WHEN t.lifecycle = 'paused' THEN 'target paused'
    WHEN t.health = 'unauthorised' THEN 'target unauthorised' WHEN o.target_id IS NOT NULL THEN 'circuit open'
    WHEN l.state = 'paused' THEN 'listing paused'
    WHEN q.due_at > now() THEN 'later' ELSE 'due' END AS status";

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
