//! Tokens that other syncs got. Targets with one account and one secret share a token: while one gets it the others wait, and a
//! channel takes a new one only after a moment.

use chrono::{DateTime, TimeDelta, Utc};
use domain::target::Target;
use sqlx::PgConnection;
use uuid::Uuid;

use super::crowd::nearby;
use super::limits::Sharing;
use super::waits::{Again, Span};

/// How long it is until a channel takes a new token.
const SETTLES: TimeDelta = TimeDelta::seconds(1);

const OTHERS: &str = "
SELECT started_at, started_at + make_interval(secs => duration_ms / 1000.0) AS ended_at FROM outbound_attempts
WHERE org_id = $1 AND target_id = ANY ($2) AND position BETWEEN $3 AND $4
    AND purpose = 'token' AND class = 'accepted' AND sync_id <> $5 AND started_at < $6
ORDER BY started_at";

/// From when to when other syncs were getting a token that a target shares, or had one that was not taken yet, by their beginning.
pub(super) async fn of_others(
    connection: &mut PgConnection,
    target: &Target,
    sharing: &[Sharing],
    sync: Uuid,
    wait: &Again,
) -> Result<Vec<Span>, sqlx::Error> {
    // Only who makes a call needs one.
    if wait.call.is_none() {
        return Ok(Vec::new());
    }
    let alike: Vec<&Sharing> = sharing.iter().filter(|one| one.credential == target.credential.as_str()).collect();
    let targets: Vec<Uuid> = alike.iter().map(|one| one.target_id).collect();
    let (first, last) = nearby(wait.positions);
    let rows = sqlx::query_as(OTHERS)
        .bind(target.org_id.as_str())
        .bind(targets)
        .bind(first)
        .bind(last)
        .bind(sync)
        .bind(wait.time.1);
    let rows: Vec<(DateTime<Utc>, DateTime<Utc>)> = rows.fetch_all(connection).await?;
    let spans = rows.into_iter().map(|(from, to)| (from, to + SETTLES));
    Ok(spans.filter(|(_, to)| *to > wait.time.0).collect())
}
