//! Strangers: organisations of whose credentials a channel takes none now, at an account where it takes another one's; where it takes
//! nobody's now, as while a secret was changed there first, those of which it has never taken any, unlike another one's. A refused
//! login counts there as any call does, so all strangers of an account together may ask for one token in a while, and those of one
//! organisation more rarely: however many targets guess there, a newcomer whose credentials are good has its turn. Whoever has a token
//! was taken, and waits for no further slot of this kind.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use domain::window::{RateLimit, Scope};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::DispatchStore;
use super::scope::{ACCOUNT_SCOPE, IS_ACCEPTED, ScopeLimit, WAS_ACCEPTED};

/// The window in which all strangers of an account ask for one token, in milliseconds, whatever that of the account is: its limit
/// counts beside it, and may have a window of an hour.
pub const STRANGERS_WINDOW_MS: u32 = 10_000;
/// The same for those of one organisation, which leaves two turns in three to others.
pub const ORG_STRANGERS_WINDOW_MS: u32 = 30_000;

/// The scopes of the strangers of an account, as texts: of all, and of this organisation.
fn scopes(account: &str, org: &str) -> [String; 2] {
    let key = account.strip_prefix("account:").unwrap_or(account);
    [Scope::Strangers(key.to_owned()), Scope::Strangers(format!("{key} {org}"))].map(|scope| scope.to_string())
}

/// Those of these targets that are strangers, with the scopes that they share as such. Each account and each organisation is looked at once,
/// and who is healthy before anybody's past.
pub(super) async fn among(
    connection: &mut PgConnection,
    targets: &[Uuid],
) -> Result<HashMap<Uuid, [String; 2]>, sqlx::Error> {
    if targets.is_empty() {
        return Ok(HashMap::new());
    }
    let found: Vec<(Uuid, String, String)> = sqlx::query_as(&format!(
        "WITH asked AS MATERIALIZED (
             SELECT t.target_id, t.org_id, {ACCOUNT_SCOPE} AS scope
             FROM channel_targets t WHERE t.target_id = ANY($1)
         ), accounts AS MATERIALIZED (
             SELECT scope,
                 EXISTS (SELECT FROM channel_targets t
                         WHERE {ACCOUNT_SCOPE} = a.scope AND t.lifecycle <> 'deleted' AND t.health = 'healthy')
                 OR EXISTS (SELECT FROM channel_targets t
                            WHERE {ACCOUNT_SCOPE} = a.scope AND t.lifecycle <> 'deleted' AND {IS_ACCEPTED}) AS takes_now
             FROM (SELECT DISTINCT scope FROM asked) a
         ), taken AS MATERIALIZED (
             SELECT scope, takes_now FROM accounts a
             WHERE takes_now OR EXISTS (SELECT FROM channel_targets t
                                        WHERE {ACCOUNT_SCOPE} = a.scope AND t.lifecycle <> 'deleted' AND {WAS_ACCEPTED})
         ), strangers AS MATERIALIZED (
             SELECT scope, org_id FROM (SELECT DISTINCT scope, takes_now, org_id FROM asked JOIN taken USING (scope)) a
             WHERE NOT EXISTS (SELECT FROM channel_targets t
                               WHERE {ACCOUNT_SCOPE} = a.scope AND t.org_id = a.org_id AND t.lifecycle <> 'deleted'
                                   AND CASE WHEN a.takes_now THEN {IS_ACCEPTED} ELSE {WAS_ACCEPTED} END)
         )
         SELECT target_id, scope, org_id FROM asked JOIN strangers USING (scope, org_id)"
    ))
    .bind(targets)
    .fetch_all(connection)
    .await?;
    Ok(found.into_iter().map(|(target, account, org)| (target, scopes(&account, &org))).collect())
}

/// What keeps a stranger from a login, in words.
pub fn strangers_rule() -> String {
    let [all_s, org_s] = [STRANGERS_WINDOW_MS, ORG_STRANGERS_WINDOW_MS].map(|window_ms| window_ms / 1000);
    format!(
        "the channel is not known to take these credentials, and all such at this account have one login in {all_s} s \
         together, those of one organisation one in {org_s} s"
    )
}

/// Those of these targets that are strangers and may ask for no token now, with when they may again, if nobody else does before them.
pub async fn waiting_strangers(pool: &PgPool, targets: &[Uuid]) -> Result<HashMap<Uuid, DateTime<Utc>>, sqlx::Error> {
    let strangers = among(&mut *pool.acquire().await?, targets).await?;
    if strangers.is_empty() {
        return Ok(HashMap::new());
    }
    // A slot whose call is under way is kept for the longest one, and comes back a window after its answer.
    let closed: Vec<(String, DateTime<Utc>)> = sqlx::query_as(
        "SELECT r.scope, least(min(s.free_at), now() + make_interval(secs => r.window_ms / 1000.0))
         FROM rate_scopes r JOIN rate_slots s ON s.scope = r.scope AND s.slot <= r.requests
         WHERE r.scope = ANY($1) GROUP BY r.scope HAVING min(s.free_at) > now()",
    )
    .bind(strangers.values().flatten().map(String::as_str).collect::<Vec<_>>())
    .fetch_all(pool)
    .await?;
    let closed: HashMap<String, DateTime<Utc>> = closed.into_iter().collect();
    let until = |scopes: &[String; 2]| scopes.iter().filter_map(|scope| closed.get(scope)).max().copied();
    Ok(strangers.iter().filter_map(|(target, scopes)| Some((*target, until(scopes)?))).collect())
}

impl DispatchStore {
    /// The limits of the strangers of these accounts, of those that several organisations name, where the tables do not have them yet.
    pub async fn strangers_limits_of(&self, accounts: &[Scope]) -> Result<Vec<ScopeLimit>, sqlx::Error> {
        let accounts: Vec<String> = accounts.iter().map(ToString::to_string).collect();
        let whole = |window_ms: u32| i32::try_from(window_ms).unwrap_or(i32::MAX);
        // The texts are those of `scopes`.
        let wanted: Vec<(String, i32)> = sqlx::query_as(&format!(
            "WITH shared AS MATERIALIZED (
                 SELECT substr({ACCOUNT_SCOPE}, 9) AS key, array_agg(DISTINCT t.org_id) AS orgs FROM channel_targets t
                 WHERE t.lifecycle <> 'deleted' AND {ACCOUNT_SCOPE} = ANY($1)
                 GROUP BY 1 HAVING count(DISTINCT t.org_id) > 1
             ), wanted AS (
                 SELECT key, $2::int AS window_ms FROM shared
                 UNION ALL
                 SELECT key || ' ' || org, $3::int FROM shared CROSS JOIN LATERAL unnest(orgs) AS one (org)
             )
             SELECT wanted.key, wanted.window_ms FROM wanted LEFT JOIN rate_scopes s ON s.scope = 'strangers:' || wanted.key
             WHERE (s.requests, s.window_ms) IS DISTINCT FROM (1, wanted.window_ms)"
        ))
        .bind(accounts)
        .bind(whole(STRANGERS_WINDOW_MS))
        .bind(whole(ORG_STRANGERS_WINDOW_MS))
        .fetch_all(&self.pool)
        .await?;
        let limits = wanted.into_iter().map(|(key, window_ms)| {
            let limit = u32::try_from(window_ms).ok().and_then(|window_ms| RateLimit::new(1, window_ms).ok());
            ScopeLimit { scope: Scope::Strangers(key), limit }
        });
        Ok(limits.collect())
    }
}
