//! Who may hold a listing at a channel: listings of the target that the read model or the journal after it has linked to it, and those of the
//! other targets of the account there, whoever's these are. Anybody can name any account and any id in it, so of another organisation only
//! those count whose credentials the channel has ever taken: nobody else has written there, and nobody else keeps an owner from what was
//! made for him.
//!
//! The aggregates have the last word.

use domain::ids::{ExternalId, ListingId, TargetId};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::scope::WAS_ACCEPTED;

/// Whether an event of a listing names `$1`, in JSON `$3`, as what that one is linked to. In a CASE, so that the payloads of events that can name
/// none, half of all, are left alone, and no other is taken apart that does not have the id as a text.
macro_rules! names {
    ($where:literal) => {
        concat!(
            "CASE WHEN event_type IN (
            'SyncRequested', 'SyncSkipped', 'CreationStarted', 'ListingPaused', 'ListingResumed', 'ListingUnlinked') THEN false
        WHEN strpos(payload::text, $3) = 0 THEN false
        ELSE ",
            $where,
            "$1 IN (payload #>> ARRAY[event_type, 'external_id'],
            payload #>> ARRAY[event_type, 'attempt', 'progress', 'external_id']) END"
        )
    };
}

/// Whether an event of a listing names `$1` as what that one is linked to; `$3` is [`in_json`].
pub const NAMES_ID: &str = names!("");

/// The same of an event that the read model may lack.
macro_rules! named_since {
    ($where:literal) => {
        concat!(
            "position > (SELECT coalesce(max(position), 0) FROM projection_checkpoints WHERE name = 'channel_listings')
    AND aggregate_type = 'ChannelListing'
    AND ",
            names!($where)
        )
    };
}

const AT_TARGET: &str = concat!(
    "SELECT listing_id::text FROM channel_listings WHERE external_id = $1 AND target_id = $2
UNION
SELECT aggregate_id FROM events WHERE ",
    named_since!("metadata ->> 'target_id' = $2::text AND ")
);

/// Each with its target, and whether that is another organisation's.
const IN_ACCOUNT: &str = concat!(
    "WITH found AS (
    SELECT listing_id::text AS listing_id, target_id FROM channel_listings WHERE external_id = $1
    UNION
    SELECT aggregate_id, (metadata ->> 'target_id')::uuid FROM events WHERE ",
    named_since!(""),
    ")
SELECT listing_id, target_id, false FROM found WHERE target_id = $2
UNION ALL
SELECT f.listing_id, f.target_id, t.org_id <> own.org_id
FROM found f
JOIN channel_targets own ON own.target_id = $2
JOIN channel_targets t ON t.target_id = f.target_id AND t.lifecycle <> 'deleted'
    AND 'account:' || t.channel || '/' || t.base_url || '/' || t.channel_account
        = 'account:' || own.channel || '/' || own.base_url || '/' || own.channel_account
WHERE f.target_id <> $2"
);

/// Listings of the target that the read model or the journal after it has linked to this one, each with the target.
pub async fn linked_at_target(
    connection: &mut PgConnection,
    target: TargetId,
    external: &ExternalId,
) -> Result<Vec<(ListingId, TargetId)>, sqlx::Error> {
    let found: Vec<String> = sqlx::query_scalar(AT_TARGET)
        .bind(&external.0)
        .bind(target.0)
        .bind(in_json(external))
        .fetch_all(connection)
        .await?;
    Ok(found.iter().filter_map(|id| Some((id.parse().ok()?, target))).collect())
}

/// As it stands in payloads.
pub fn in_json(external: &ExternalId) -> String {
    Value::from(external.0.as_str()).to_string()
}

/// Listings of the target, and of the other targets of its account, each with its target, that the read model or the journal after it has linked
/// to this one. Which targets there are is as of the read model.
pub async fn linked_in_account(
    connection: &mut PgConnection,
    target: TargetId,
    external: &ExternalId,
) -> Result<Vec<(ListingId, TargetId)>, sqlx::Error> {
    let found = sqlx::query_as(IN_ACCOUNT).bind(&external.0).bind(target.0).bind(in_json(external));
    let found: Vec<(String, Uuid, bool)> = found.fetch_all(&mut *connection).await?;
    let anothers: Vec<Uuid> = found.iter().filter(|(_, _, is_anothers)| *is_anothers).map(|(_, of, _)| *of).collect();
    let taken = if anothers.is_empty() { Vec::new() } else { taken(connection, anothers).await? };
    let counting = found.into_iter().filter(|(_, of, is_anothers)| !is_anothers || taken.contains(of));
    Ok(counting.filter_map(|(id, of, _)| Some((id.parse().ok()?, TargetId(of)))).collect())
}

/// Those of these whose credentials their channel has ever taken.
async fn taken(connection: &mut PgConnection, targets: Vec<Uuid>) -> Result<Vec<Uuid>, sqlx::Error> {
    let taken = format!("SELECT t.target_id FROM channel_targets t WHERE t.target_id = ANY($1) AND {WAS_ACCEPTED}");
    sqlx::query_scalar(&taken).bind(targets).fetch_all(connection).await
}
