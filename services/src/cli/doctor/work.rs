//! The work itself: read models, leases, targets, and whether due syncs are being sent.

use chrono::{DateTime, Utc};
use domain::counted::{agreeing, counted};
use sqlx::{FromRow, PgPool};
use uuid::Uuid;

use super::nats::{Reader, check_lag};
use super::report::Report;
use crate::cli::projections::runner;
use crate::cli::times::{moment, span};
use crate::projector::LOCK;
use crate::views::queue::{IS_DONE, PAUSED, channel_pauses};

#[derive(FromRow)]
struct Ill {
    target_id: Uuid,
    name: String,
    health: String,
    reason: Option<String>,
}

const LEASES: &str = "
SELECT count(*) FROM dispatch_leases WHERE NOT done AND isfinite(lease_until) AND lease_until < now()";

const ILL: &str = "
SELECT t.target_id, t.name, t.health, h.reason FROM channel_targets AS t
LEFT JOIN target_health AS h ON h.target_id = t.target_id
WHERE t.lifecycle <> 'deleted' AND t.health IN ('unauthorised', 'unreachable') ORDER BY t.org_id, t.name";

const CIRCUITS: &str = "
SELECT count(*), coalesce(sum((SELECT count(*) FROM sync_queue AS q WHERE q.target_id = t.target_id)), 0)::bigint, min(t.name)
FROM dispatch_circuits AS o JOIN channel_targets AS t USING (target_id)
WHERE o.opened > 0 AND t.lifecycle = 'active'";

/// Work of targets that nothing holds and that nobody has called for a whole window: a dispatcher would have taken it. What one was done
/// with holds up that alone, and nothing newer of its listing.
fn overdue() -> String {
    format!(
        "SELECT count(*), min(q.due_at) FROM sync_queue AS q
         JOIN channel_targets AS t ON t.target_id = q.target_id AND t.lifecycle = 'active' AND t.health <> 'unauthorised'
         JOIN channel_listings AS l ON l.listing_id = q.listing_id AND l.state = 'active'
         WHERE q.due_at < now() - interval '30 seconds'
            AND q.target_id NOT IN (SELECT p.target_id FROM ({}) AS p)
            AND NOT EXISTS (SELECT 1 FROM dispatch_circuits AS o WHERE o.target_id = t.target_id AND o.opened > 0)
            AND NOT EXISTS (SELECT 1 FROM dispatch_leases AS d WHERE d.listing_id = q.listing_id AND d.lease_until > now()
                AND (NOT d.done OR (q.ordinal, q.tries) <= (d.ordinal, d.tries)))
            AND NOT EXISTS (SELECT 1 FROM rate_slots AS s WHERE s.scope = 'target:' || t.target_id AND s.free_at > now())",
        channel_pauses()
    )
}

pub(super) async fn check(pool: &PgPool, report: &mut Report) -> anyhow::Result<()> {
    check_projections(pool, report).await?;
    check_leases(pool, report).await?;
    check_targets(pool, report).await?;
    check_circuits(pool, report).await?;
    check_overdue(pool, report).await
}

/// Every event moves every projection, so the slowest one stands for all.
async fn check_projections(pool: &PgPool, report: &mut Report) -> anyhow::Result<()> {
    let slowest = runner(pool).lag().await?.into_iter().min_by_key(|lag| lag.position);
    let Some(slowest) = slowest else { return Ok(()) };
    let advice = format!(
        "start `distribution serve` (role projector); if one runs, its log says what stops it; the slowest read model is {}",
        slowest.name
    );
    let reader = Reader { check: "read models", lock: LOCK, page: "Read models lag", advice: &advice };
    check_lag(pool, &reader, slowest.position, report).await
}

async fn check_leases(pool: &PgPool, report: &mut Report) -> anyhow::Result<()> {
    match sqlx::query_scalar::<_, i64>(LEASES).fetch_one(pool).await? {
        0 => report.ok("leases", "none ran out"),
        count => report.warn(
            "leases",
            format!("{} ran out: a dispatcher ended in the middle of its work", counted(count, "lease")),
            "start `distribution serve` (role dispatcher) if none runs; a running one takes the work over by itself",
        ),
    }
}

async fn check_targets(pool: &PgPool, report: &mut Report) -> anyhow::Result<()> {
    let ill: Vec<Ill> = sqlx::query_as(ILL).fetch_all(pool).await?;
    if ill.is_empty() {
        return report.ok("targets", "none refuses its credentials or is out of reach");
    }
    for target in ill {
        let reason = target.reason.map(|reason| format!(": {reason}")).unwrap_or_default();
        let detail = format!("{} ({}) is {}{reason}", target.target_id, target.name, target.health);
        let id = target.target_id;
        let advice = if target.health == "unauthorised" {
            format!(
                "mend the secret, then `distribution target check {id}`; or \
                 `distribution target rotate-credential {id} --secret-ref REF`"
            )
        } else {
            format!(
                "its syncs wait, and it is checked until it answers; `distribution target check {id}` checks it now"
            )
        };
        report.warn("targets", detail, advice)?;
    }
    Ok(())
}

async fn check_circuits(pool: &PgPool, report: &mut Report) -> anyhow::Result<()> {
    let (open, held, name): (i64, i64, Option<String>) = sqlx::query_as(CIRCUITS).fetch_one(pool).await?;
    let Some(name) = name else { return report.ok("circuits", "none is open") };
    report.warn(
        "circuits",
        format!(
            "{} left alone after failures in a row: {name}{}; of {} listings {held} {}",
            counted(open, "target"),
            agreeing(open, "", " among others"),
            agreeing(open, "its", "their"),
            agreeing(held, "waits", "wait")
        ),
        "they are checked until they answer; `distribution target health TARGET` says what was answered last",
    )
}

async fn check_overdue(pool: &PgPool, report: &mut Report) -> anyhow::Result<()> {
    let (count, oldest): (i64, Option<DateTime<Utc>>) = sqlx::query_as(&overdue()).fetch_one(pool).await?;
    let Some(oldest) = oldest else {
        return report.ok("queue", format!("no due work is left lying{}{}", paused(pool).await?, done(pool).await?));
    };
    let age = span((Utc::now() - oldest).num_seconds());
    report.warn(
        "queue",
        format!("{} due that nobody takes, the oldest for {age}", counted(count, "sync job")),
        "start `distribution serve` (role dispatcher); if one runs, `distribution queue` says what waits",
    )
}

/// What a dispatcher was done with and the queue still shows: read models that lag, or a database that was put back.
async fn done(pool: &PgPool) -> anyhow::Result<String> {
    let done = format!(
        "SELECT count(*) FROM sync_queue AS q
         JOIN dispatch_leases AS ended ON ended.listing_id = q.listing_id AND {IS_DONE}
         WHERE q.due_at < now() - interval '30 seconds'"
    );
    let count: i64 = sqlx::query_scalar(&done).fetch_one(pool).await?;
    let jobs = counted(count, "sync job");
    let words = format!("; {jobs} told as done and still in the queue: taken up again in a minute unless that follows");
    Ok(if count > 0 { words } else { String::new() })
}

/// What waits for a channel to let it go on.
async fn paused(pool: &PgPool) -> anyhow::Result<String> {
    let pauses = format!("SELECT count(*), max(p.paused_until) FROM ({}) AS p", channel_pauses());
    let (count, until): (i64, Option<DateTime<Utc>>) = sqlx::query_as(&pauses).fetch_one(pool).await?;
    let words = |until| format!("; {} {PAUSED} until {}", counted(count, "target"), moment(until));
    Ok(until.map(words).unwrap_or_default())
}
