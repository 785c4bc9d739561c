//! Scopes and their limits.

use domain::ids::TargetId;
use domain::target::Target;
use domain::window::{RateLimit, Scope};
use sqlx::PgConnection;
use uuid::Uuid;

use super::DispatchStore;
use crate::postgres::begin;

/// The scope of a target's (`t`) account at its channel: the text of `Target::account_scope`.
pub const ACCOUNT_SCOPE: &str = "'account:' || t.channel || '/' || t.base_url || '/' || t.channel_account";

/// Whether the last that a channel has said of the credentials of a target (`t`) is that it takes them. Of a new secret it has said
/// nothing yet, and nothing where it fails. A change away from healthy says so as well: that to healthy may be old, and deleted. What
/// the host said that its address led to before is not this channel's word.
pub(super) const IS_ACCEPTED: &str = "(t.health = 'healthy' OR (
    SELECT h.to_health <> 'unauthorised' FROM target_health_changes h
    WHERE h.target_id = t.target_id AND (h.to_health IN ('healthy', 'unauthorised') OR h.from_health = 'healthy')
        AND h.position > coalesce(t.host_position, 0)
    ORDER BY h.position DESC LIMIT 1) IS TRUE)";

/// Whether a channel has ever taken credentials of a target (`t`), at the host that its address leads to.
pub(super) const WAS_ACCEPTED: &str = "(t.health = 'healthy' OR EXISTS (
    SELECT FROM target_health_changes h WHERE h.target_id = t.target_id AND 'healthy' IN (h.from_health, h.to_health)
        AND h.position > coalesce(t.host_position, 0)))";

/// A scope and what it may do; `None` leaves it unlimited, yet a channel can pause it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopeLimit {
    /// The scope.
    pub scope: Scope,
    /// Its limit.
    pub limit: Option<RateLimit>,
}

/// Scope, requests, length of the window in milliseconds.
type LimitRow = (String, Option<i32>, Option<i32>);

/// What the targets say of their accounts. Where the channel takes the credentials of an owner's target, only the targets of
/// such owners count, all of them: whoever names somebody else's account sets no limit for it. Where it takes nobody's now, as while
/// a secret was changed there first, those count whose it has taken before.
fn wanted(of: &str) -> String {
    format!(
        "SELECT wanted.scope, wanted.account_requests, wanted.account_window_ms
         FROM (SELECT DISTINCT ON (scope) scope, account_requests, account_window_ms
               FROM (SELECT {ACCOUNT_SCOPE} AS scope, account_requests, account_window_ms,
                         bool_or({IS_ACCEPTED}) OVER own AS is_accepted,
                         bool_or({WAS_ACCEPTED}) OVER own AS was_accepted
                     FROM channel_targets t WHERE lifecycle <> 'deleted' {of}
                     WINDOW own AS (PARTITION BY channel, base_url, channel_account, org_id, account_id)) said
               ORDER BY scope, is_accepted DESC, was_accepted DESC,
                   account_requests::float8 / account_window_ms NULLS LAST, account_requests) wanted"
    )
}

fn limit(requests: i32, window_ms: i32) -> Option<RateLimit> {
    RateLimit::new(u32::try_from(requests).ok()?, u32::try_from(window_ms).ok()?).ok()
}

fn limits(rows: Vec<LimitRow>) -> Vec<ScopeLimit> {
    let limits = rows.into_iter().filter_map(|(scope, requests, window_ms)| {
        let limit = requests.zip(window_ms).and_then(|(requests, window_ms)| limit(requests, window_ms));
        Some(ScopeLimit { scope: Scope::Account(scope.strip_prefix("account:")?.to_owned()), limit })
    });
    limits.collect()
}

impl DispatchStore {
    /// The limits of accounts that the tables know and do not have as the targets say now: of several targets that name one,
    /// the strictest counts, whichever it is. Reads all targets.
    pub async fn changed_account_limits(&self) -> Result<Vec<ScopeLimit>, sqlx::Error> {
        let changed = format!(
            "{} JOIN rate_scopes r ON r.scope = wanted.scope
             WHERE (r.requests, r.window_ms) IS DISTINCT FROM (wanted.account_requests, wanted.account_window_ms)",
            wanted("")
        );
        Ok(limits(sqlx::query_as(&changed).fetch_all(&self.pool).await?))
    }

    /// The limits of these accounts, where the tables do not have them as the targets say now, or do not know them yet.
    pub async fn account_limits_of(&self, accounts: &[Scope]) -> Result<Vec<ScopeLimit>, sqlx::Error> {
        let changed = format!(
            "{} LEFT JOIN rate_scopes r ON r.scope = wanted.scope
             WHERE r.scope IS NULL
                 OR (r.requests, r.window_ms) IS DISTINCT FROM (wanted.account_requests, wanted.account_window_ms)",
            wanted(&format!("AND {ACCOUNT_SCOPE} = ANY($1)"))
        );
        let accounts: Vec<String> = accounts.iter().map(ToString::to_string).collect();
        Ok(limits(sqlx::query_as(&changed).bind(accounts).fetch_all(&self.pool).await?))
    }

    /// Makes a scope known without a limit. One that others gave it stays.
    pub async fn know_scope(&self, scope: &Scope) -> Result<(), sqlx::Error> {
        sqlx::query("INSERT INTO rate_scopes (scope) VALUES ($1) ON CONFLICT DO NOTHING")
            .bind(scope.to_string())
            .execute(&self.pool)
            .await
            .map(|_| ())
    }

    /// Brings the scopes of these targets to their limits, and those of their accounts, and of the strangers there, to what the targets
    /// say now. Each target comes with its version when it was loaded. That may have been a while ago: of a target that the read model
    /// shows as newer than that, the limit which it shows counts.
    pub async fn ensure_limits_of(&self, targets: &[(&Target, i64)]) -> Result<(), sqlx::Error> {
        let accounts: Vec<Scope> = targets.iter().map(|(target, _)| target.account_scope()).collect();
        let mut limits = self.account_limits_of(&accounts).await?;
        let own = targets.iter().map(|(target, _)| (target.target_scope(), target.rate_limit));
        limits.extend(own.map(|(scope, limit)| ScopeLimit { scope, limit: Some(limit) }));
        self.bring(limits, targets).await?;
        let strangers = self.strangers_limits_of(&accounts).await?;
        if strangers.is_empty() { Ok(()) } else { self.ensure_scopes(&strangers).await }
    }

    /// Brings scopes to their limits. Idempotent. A lower limit counts the slots that are still taken; a longer window
    /// keeps taken slots for longer.
    pub async fn ensure_scopes(&self, limits: &[ScopeLimit]) -> Result<(), sqlx::Error> {
        self.bring(limits.to_vec(), &[]).await
    }

    /// The same, where limits of these targets are among them.
    ///
    /// Invariant: a target's limit takes the place of no newer one that the read model shows, however late it comes. The scopes are
    /// locked before the read model is asked: what somebody brings because it is shown is seen here, or is brought later. What is not
    /// shown yet may be lost until it is: then every dispatcher brings it again before it starts anything there.
    async fn bring(&self, mut limits: Vec<ScopeLimit>, of: &[(&Target, i64)]) -> Result<(), sqlx::Error> {
        limits.sort_by(|a, b| a.scope.cmp(&b.scope));
        limits.dedup_by(|a, b| a.scope == b.scope);
        let mut transaction = begin(&self.pool).await?;
        // A new one is locked as well, by being made; one that is there is locked by the conflict and left as it is.
        sqlx::query(
            "INSERT INTO rate_scopes (scope) SELECT u.scope FROM unnest($1::text[]) AS u (scope) ORDER BY u.scope
             ON CONFLICT (scope) DO UPDATE SET requests = rate_scopes.requests WHERE false",
        )
        .bind(limits.iter().map(|l| l.scope.to_string()).collect::<Vec<_>>())
        .execute(&mut *transaction)
        .await?;
        take_newer(&mut transaction, &mut limits, of).await?;
        write(&mut transaction, &limits).await?;
        transaction.commit().await
    }
}

/// Takes the limits that the read model shows of those of these targets that it shows in a later version.
async fn take_newer(
    connection: &mut PgConnection,
    limits: &mut [ScopeLimit],
    of: &[(&Target, i64)],
) -> Result<(), sqlx::Error> {
    if of.is_empty() {
        return Ok(());
    }
    let newer: Vec<(Uuid, i32, i32)> = sqlx::query_as(
        "SELECT t.target_id, t.requests, t.window_ms
         FROM unnest($1::uuid[], $2::bigint[]) AS u (target_id, version) JOIN channel_targets t USING (target_id)
         WHERE t.version > u.version",
    )
    .bind(of.iter().map(|(target, _)| target.target_id.0).collect::<Vec<_>>())
    .bind(of.iter().map(|(_, version)| *version).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    for (target, requests, window_ms) in newer {
        let scope = Scope::Target(TargetId(target).to_string());
        if let Some(own) = limits.iter_mut().find(|own| own.scope == scope) {
            own.limit = limit(requests, window_ms).or(own.limit);
        }
    }
    Ok(())
}

/// Writes the limits of scopes that are locked.
async fn write(connection: &mut PgConnection, limits: &[ScopeLimit]) -> Result<(), sqlx::Error> {
    let whole = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
    let scopes: Vec<String> = limits.iter().map(|l| l.scope.to_string()).collect();
    let requests: Vec<Option<i32>> = limits.iter().map(|l| l.limit.map(|l| whole(l.requests()))).collect();
    let windows: Vec<Option<i32>> = limits.iter().map(|l| l.limit.map(|l| whole(l.window_ms()))).collect();
    let rests: Vec<Option<i32>> = limits.iter().map(|l| l.limit.map(|l| whole(l.rest_ms()))).collect();
    sqlx::query(
        "UPDATE rate_slots s SET free_at = s.free_at + make_interval(secs => longer.by_ms / 1000.0)
         FROM (SELECT s.scope, s.slot, u.rest_ms - r.rest_ms AS by_ms
               FROM unnest($1::text[], $2::int[]) AS u (scope, rest_ms) JOIN rate_scopes r USING (scope)
               JOIN rate_slots s USING (scope)
               WHERE u.rest_ms > r.rest_ms AND s.free_at > clock_timestamp()
               ORDER BY s.scope, s.slot FOR UPDATE OF s) longer
         WHERE s.scope = longer.scope AND s.slot = longer.slot",
    )
    .bind(&scopes)
    .bind(&rests)
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "UPDATE rate_scopes s SET requests = u.requests, window_ms = u.window_ms, rest_ms = u.rest_ms
         FROM unnest($1::text[], $2::int[], $3::int[], $4::int[]) AS u (scope, requests, window_ms, rest_ms)
         WHERE s.scope = u.scope
             AND (s.requests, s.window_ms, s.rest_ms) IS DISTINCT FROM (u.requests, u.window_ms, u.rest_ms)",
    )
    .bind(&scopes)
    .bind(&requests)
    .bind(&windows)
    .bind(&rests)
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "INSERT INTO rate_slots (scope, slot)
         SELECT u.scope, s.slot FROM unnest($1::text[], $2::int[]) AS u (scope, requests)
         CROSS JOIN LATERAL generate_series(1, u.requests) AS s (slot)
         ON CONFLICT DO NOTHING",
    )
    .bind(&scopes)
    .bind(&requests)
    .execute(&mut *connection)
    .await
    .map(|_| ())
}
