//! The limits that a target and its account at the channel have had, from the events of the targets that say them.

use std::collections::BTreeMap;

use adapters::dispatch::ACCOUNT_SCOPE;
use chrono::{DateTime, Utc};
use domain::recorded::ChannelEvent;
use domain::target::{Target, TargetEvent};
use domain::window::RateLimit;
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use crate::views::history::{NoHistory, TARGET, of_types};

/// A limit, or that there is none, and when it came into force.
type Since = (DateTime<Utc>, Option<RateLimit>);

/// The limits that a scope has had, and whose calls fall under them.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    /// The targets.
    pub targets: Vec<Uuid>,
    /// Whose they are.
    pub org: String,
    /// In order; the first is of before everything, as clocks may differ.
    pub changes: Vec<Since>,
}

impl Limits {
    /// Of a target alone.
    pub(super) async fn of_target(connection: &mut PgConnection, target: &Target) -> Result<Self, NoHistory> {
        let id = target.target_id.0;
        let events = of_types(connection, TARGET, id, &["TargetCreated", "RateLimitChanged"]).await?;
        let limits = events.iter().filter_map(|recorded| match &recorded.event {
            ChannelEvent::Target(TargetEvent::RateLimitChanged { rate_limit }) => {
                Some((recorded.recorded_at, Some(*rate_limit)))
            }
            ChannelEvent::Target(TargetEvent::TargetCreated { rate_limit, .. }) => {
                Some((DateTime::UNIX_EPOCH, Some(*rate_limit)))
            }
            _ => None,
        });
        let mut changes: Vec<Since> = limits.collect();
        if changes.is_empty() {
            changes.push((DateTime::UNIX_EPOCH, Some(target.rate_limit)));
        }
        Ok(Self { targets: vec![id], org: target.org_id.to_string(), changes })
    }

    /// Of an account; `None` where nobody has ever limited it.
    pub(super) async fn of_account(
        connection: &mut PgConnection,
        target: &Target,
        sharing: &[Sharing],
    ) -> Result<Option<Self>, NoHistory> {
        let mut said = Vec::new();
        for one in sharing {
            let events =
                of_types(&mut *connection, TARGET, one.target_id, &["TargetCreated", "TargetConfigured"]).await?;
            for recorded in &events {
                let ChannelEvent::Target(
                    TargetEvent::TargetCreated { base_url, account_rate_limit: limit, .. }
                    | TargetEvent::TargetConfigured { base_url, account_rate_limit: limit, .. },
                ) = &recorded.event
                else {
                    continue;
                };
                // Under another address it was another account.
                said.push((recorded.recorded_at, one.target_id, limit.filter(|_| *base_url == target.base_url)));
            }
        }
        let changes = strictest(said);
        let limited = changes.iter().any(|(_, limit)| limit.is_some());
        let targets = sharing.iter().map(|one| one.target_id).collect();
        Ok(limited.then_some(Self { targets, org: target.org_id.to_string(), changes }))
    }
}

/// Of what targets said of their account, the strictest counts, whichever it is.
fn strictest(mut said: Vec<(DateTime<Utc>, Uuid, Option<RateLimit>)>) -> Vec<Since> {
    said.sort_by_key(|(at, ..)| *at);
    let rate = |limit: &RateLimit| f64::from(limit.requests()) / f64::from(limit.window_ms());
    let mut by_target = BTreeMap::new();
    let mut changes: Vec<Since> = vec![(DateTime::UNIX_EPOCH, None)];
    for (at, target, limit) in said {
        by_target.insert(target, limit);
        let limits = by_target.values().copied().flatten();
        let now = limits.min_by(|a, b| rate(a).total_cmp(&rate(b)).then(a.requests().cmp(&b.requests())));
        match changes.last_mut() {
            Some((_, last)) if *last == now => {}
            Some((since, last)) if *since == at => *last = now,
            _ => changes.push((at, now)),
        }
    }
    changes
}

/// A target of an account that several may have.
#[derive(Debug, Clone, FromRow)]
pub(super) struct Sharing {
    /// The target.
    pub target_id: Uuid,
    /// The reference to its secret: those that have the same one have one token.
    pub credential: String,
}

/// Targets of one account that are looked at.
const MOST: i64 = 50;

/// Those of the same owner that have the account of a target, this one first. What others do with it, and who they are, is not
/// told to this one's readers. It is asked as the owner of the tables: the index of accounts is of a text that is put together, and for a
/// reader Postgres would not use it.
pub(super) async fn sharing(connection: &mut PgConnection, target: &Target) -> Result<Vec<Sharing>, sqlx::Error> {
    let statement = format!(
        "SELECT t.target_id, t.credential FROM channel_targets AS t
         WHERE {ACCOUNT_SCOPE} = $1 AND t.org_id = $2 AND t.account_id = $3 AND t.lifecycle <> 'deleted'
         ORDER BY (t.target_id = $4) DESC, t.target_id LIMIT $5"
    );
    let rows = sqlx::query_as(&statement).bind(target.account_scope().to_string());
    let rows = rows.bind(target.org_id.as_str()).bind(target.account_id.as_str()).bind(target.target_id.0);
    let mut found: Vec<Sharing> = rows.bind(MOST).fetch_all(connection).await?;
    let own = target.target_id.0;
    if !found.iter().any(|one| one.target_id == own) {
        // A deleted one has the account no more, but its calls and its limit were there.
        found.insert(0, Sharing { target_id: own, credential: target.credential.as_str().to_owned() });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_targets_the_strictest_limit_is_the_accounts() {
        let at = |s: i64| DateTime::from_timestamp(s, 0).unwrap_or_default();
        let limit = |requests| RateLimit::new(requests, 1_000).ok();
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        assert_eq!(strictest(Vec::new()), [(at(0), None)]);
        let said = vec![
            (at(40), one, None),
            (at(10), one, limit(12)),
            (at(20), other, limit(5)),
            (at(30), one, limit(9)),
            (at(50), other, limit(7)),
        ];
        let expected = [(at(0), None), (at(10), limit(12)), (at(20), limit(5)), (at(50), limit(7))];
        assert_eq!(strictest(said), expected);
    }
}
