//! Targets and audit rows by the ten thousand and by the million, put beside the real ones: what the pages read.

use crate::units::{ACCOUNT, ORG};
use crate::world::World;

const TARGETS: &str = "
INSERT INTO channel_targets (target_id, org_id, account_id, name, channel, base_url, channel_account, credential, requests,
    window_ms, lifecycle, health, health_since, version, created_by, created_at, updated_at, position)
SELECT gen_random_uuid(), $1, $2, 'seeded ' || n, 'hostaway', 'https://api.example.org/v1', n::text, 'file:seeded', 12,
    10000, CASE WHEN n % 50 = 0 THEN 'paused' ELSE 'active' END,
    (ARRAY['healthy', 'healthy', 'healthy', 'degraded', 'unreachable', 'unauthorised'])[1 + n % 6],
    now() - make_interval(mins => n), 1, 'bench', now(), now(), 0
FROM generate_series(1, $3::int) AS n";

const HEALTH: &str = "
INSERT INTO target_health (target_id, org_id, account_id, health, since, reason, position)
SELECT target_id, org_id, account_id, health, health_since, 'seeded', 0 FROM channel_targets WHERE name LIKE 'seeded %'";

/// Before everything real: positions below zero.
const AUDIT: &str = "
INSERT INTO outbound_audit (sync_id, listing_id, idempotency_key, org_id, account_id, target_id, unit_id, ordinal, cause,
    revision, snapshot, needs, outcome, attempts, created_by, credential, correlation_id, requested_at, finished_at,
    position, updated_position)
SELECT gen_random_uuid(), md5('listing ' || n % 100000)::uuid, decode(md5(n::text), 'hex'), $1, $2, t.target_id,
    'seeded-' || n % 100000, n, 'unit_changed', n, '\\x00', '{availability}', 'accepted', 1, 'bench', 'cli',
    gen_random_uuid(), now() - make_interval(secs => n), now() - make_interval(secs => n - 1), -n, -n
FROM generate_series(1, $3::int) AS n
JOIN (SELECT target_id, row_number() OVER () AS k FROM channel_targets WHERE name LIKE 'seeded %') AS t ON t.k = 1 + n % $4";

/// A day of minutes.
const ACTIVITY: &str = "
INSERT INTO sync_activity (org_id, account_id, minute, requested, accepted, finished, within_5_min, total_ms, longest_ms, calls)
SELECT $1, $2, date_trunc('minute', now()) - make_interval(mins => n), 700, 690, 690, 690, 1000000, 9000, 1400
FROM generate_series(1, 1440) AS n ON CONFLICT DO NOTHING";

/// Puts them there.
pub(super) async fn put(world: &World, targets: i64, rows: i64) -> anyhow::Result<()> {
    let pool = &world.pool;
    sqlx::query(TARGETS).bind(ORG).bind(ACCOUNT).bind(i32::try_from(targets)?).execute(pool).await?;
    sqlx::query(HEALTH).execute(pool).await?;
    let audit = sqlx::query(AUDIT).bind(ORG).bind(ACCOUNT).bind(i32::try_from(rows)?).bind(targets);
    audit.execute(pool).await?;
    sqlx::query(ACTIVITY).bind(ORG).bind(ACCOUNT).execute(pool).await?;
    sqlx::raw_sql("VACUUM ANALYZE").execute(pool).await?;
    Ok(())
}
