//! Why work waits.

/// What the queue joins to say so; [`STATUS`] stands on it.
pub const WAITING: &str = "
sync_queue AS q
LEFT JOIN channel_listings AS l ON l.listing_id = q.listing_id
LEFT JOIN channel_targets AS t ON t.target_id = q.target_id
LEFT JOIN dispatch_circuits AS o ON o.target_id = q.target_id AND o.opened > 0
LEFT JOIN dispatch_leases AS d ON d.listing_id = q.listing_id AND NOT d.done AND d.lease_until > now()";

/// What [`STATUS`] says.
pub const STATUSES: [&str; 7] =
    ["under way", "target paused", "target unauthorised", "circuit open", "listing paused", "later", "due"];

/// Under way, what holds it, later (it is tried again at its time), or due (it waits for a slot of the window).
pub const STATUS: &str = "
CASE WHEN d.listing_id IS NOT NULL THEN 'under way' WHEN t.lifecycle = 'paused' THEN 'target paused'
    WHEN t.health = 'unauthorised' THEN 'target unauthorised' WHEN o.target_id IS NOT NULL THEN 'circuit open'
    WHEN l.state = 'paused' THEN 'listing paused'
    WHEN q.due_at > now() THEN 'later' ELSE 'due' END AS status";
