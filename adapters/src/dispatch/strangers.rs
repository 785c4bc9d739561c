//! Strangers: owners whose credentials a channel does not take, at an account where it takes another owner's. What they call counts
//! there as well, a refused login too, so all strangers of an account together have one call in a window of it.

use std::collections::HashSet;

use domain::window::{RateLimit, Scope};
use sqlx::PgConnection;
use uuid::Uuid;

use super::DispatchStore;
use super::scope::{ACCOUNT_SCOPE, IS_ACCEPTED, ScopeLimit};

/// Their window is as long as the account's, and this long at least, in milliseconds.
const SHORTEST_WINDOW_MS: i32 = 10_000;

/// The scope of an account's strangers, as text, by that of the account.
pub(super) fn of_account(account: &str) -> String {
    Scope::Strangers(key(account).to_owned()).to_string()
}

fn key(account: &str) -> &str {
    account.strip_prefix("account:").unwrap_or(account)
}

/// Those of these targets that are strangers.
pub(super) async fn among(connection: &mut PgConnection, targets: &[Uuid]) -> Result<HashSet<Uuid>, sqlx::Error> {
    if targets.is_empty() {
        return Ok(HashSet::new());
    }
    let found: Vec<Uuid> = sqlx::query_scalar(&format!(
        "WITH looked_at AS MATERIALIZED (
             SELECT DISTINCT {ACCOUNT_SCOPE} AS scope FROM channel_targets t WHERE t.target_id = ANY($1)
         ), owners AS MATERIALIZED (
             SELECT looked_at.scope, t.org_id, t.account_id, bool_or({IS_ACCEPTED}) AS is_accepted
             FROM looked_at JOIN channel_targets t ON {ACCOUNT_SCOPE} = looked_at.scope
             WHERE t.lifecycle <> 'deleted' GROUP BY looked_at.scope, t.org_id, t.account_id
         )
         SELECT t.target_id FROM channel_targets t
         JOIN owners own ON own.scope = {ACCOUNT_SCOPE} AND own.org_id = t.org_id AND own.account_id = t.account_id
         WHERE t.target_id = ANY($1) AND NOT own.is_accepted
             AND EXISTS (SELECT FROM owners other WHERE other.scope = own.scope AND other.is_accepted)"
    ))
    .bind(targets)
    .fetch_all(connection)
    .await?;
    Ok(found.into_iter().collect())
}

impl DispatchStore {
    /// The limits of the strangers of these accounts, of those that several owners name, where the tables do not have them yet.
    pub async fn strangers_limits_of(&self, accounts: &[Scope]) -> Result<Vec<ScopeLimit>, sqlx::Error> {
        let accounts: Vec<String> = accounts.iter().map(ToString::to_string).collect();
        let wanted: Vec<(String, i32)> = sqlx::query_as(&format!(
            "SELECT wanted.scope, wanted.window_ms
             FROM (SELECT {ACCOUNT_SCOPE} AS scope, greatest($2, max(r.window_ms)) AS window_ms
                   FROM channel_targets t LEFT JOIN rate_scopes r ON r.scope = {ACCOUNT_SCOPE}
                   WHERE t.lifecycle <> 'deleted' AND {ACCOUNT_SCOPE} = ANY($1)
                   GROUP BY 1 HAVING count(DISTINCT (t.org_id, t.account_id)) > 1) wanted
             LEFT JOIN rate_scopes s ON s.scope = 'strangers:' || substr(wanted.scope, 9)
             WHERE s.window_ms IS DISTINCT FROM wanted.window_ms"
        ))
        .bind(accounts)
        .bind(SHORTEST_WINDOW_MS)
        .fetch_all(&self.pool)
        .await?;
        let limits = wanted.into_iter().map(|(account, window_ms)| {
            let limit = u32::try_from(window_ms).ok().and_then(|window_ms| RateLimit::new(1, window_ms).ok());
            ScopeLimit { scope: Scope::Strangers(key(&account).to_owned()), limit }
        });
        Ok(limits.filter(|wanted| wanted.limit.is_some()).collect())
    }
}
