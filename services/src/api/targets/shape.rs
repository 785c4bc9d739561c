//! A target as the API shows it.

use chrono::{DateTime, Utc};
use domain::window::RateLimit;
use serde::Serialize;
use sqlx::FromRow;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::views::targets::STATE;

/// A target: one account at one channel.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Target {
    pub target_id: Uuid,
    pub org_id: String,
    pub account_id: String,
    pub name: String,
    #[schema(example = "hostaway")]
    pub channel: String,
    #[schema(example = "https://api.hostaway.com/v1")]
    pub base_url: String,
    /// The account's id at the channel.
    pub channel_account: String,
    /// Where the secret is, never its value.
    #[schema(example = "file:hostaway-bali")]
    pub credential: String,
    /// Requests in any such window.
    #[schema(example = "12/10s")]
    pub rate_limit: String,
    /// The limit of the account at the channel, where several targets share one.
    pub account_rate_limit: Option<String>,
    /// `active`, `paused` or `deleted`.
    pub lifecycle: String,
    /// Whether it sends: its lifecycle, or `needs_credentials` where it is active and the channel refuses its credentials, so
    /// that nothing is sent until somebody rotates them, resumes it, or a check succeeds.
    pub state: String,
    /// `unknown`, `healthy`, `degraded`, `unreachable` or `unauthorised`.
    pub health: String,
    /// Sequence of its last event; the ETag.
    pub version: i64,
    /// Why it was paused or deleted. Like all that follows, it is absent until the read model has seen the target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lifecycle_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health_since: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<DateTime<Utc>>,
}

impl Target {
    /// By the journal.
    pub(super) fn of(target: &domain::target::Target, version: i64) -> Self {
        Self {
            target_id: target.target_id.0,
            org_id: target.org_id.to_string(),
            account_id: target.account_id.to_string(),
            name: target.name.clone(),
            channel: target.channel.to_string(),
            base_url: target.base_url.clone(),
            channel_account: target.channel_account.clone(),
            credential: target.credential.to_string(),
            rate_limit: target.rate_limit.to_string(),
            account_rate_limit: target.account_rate_limit.map(|limit| limit.to_string()),
            lifecycle: target.lifecycle.as_str().to_owned(),
            state: target.state().to_owned(),
            health: target.health.as_str().to_owned(),
            version,
            lifecycle_reason: None,
            health_since: None,
            created_by: None,
            created_at: None,
            updated_at: None,
        }
    }
}

/// A row of `channel_targets`.
#[derive(Debug, FromRow)]
pub(super) struct Row {
    pub target_id: Uuid,
    org_id: String,
    account_id: String,
    pub name: String,
    channel: String,
    base_url: String,
    channel_account: String,
    credential: String,
    requests: i32,
    window_ms: i32,
    account_requests: Option<i32>,
    account_window_ms: Option<i32>,
    lifecycle: String,
    state: String,
    lifecycle_reason: Option<String>,
    health: String,
    health_since: DateTime<Utc>,
    version: i64,
    created_by: String,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

/// Every target, as a [`Row`].
pub(super) fn targets() -> String {
    format!(
        "SELECT target_id, org_id, account_id, name, channel, base_url, channel_account, credential, requests, window_ms,
            account_requests, account_window_ms, lifecycle, {STATE} AS state, lifecycle_reason, health, health_since, version,
            created_by, created_at, updated_at
         FROM channel_targets"
    )
}

fn limit(requests: i32, window_ms: i32) -> String {
    let limit = u32::try_from(requests).ok().zip(u32::try_from(window_ms).ok());
    let limit = limit.and_then(|(requests, window)| RateLimit::new(requests, window).ok());
    limit.map_or_else(|| format!("{requests}/{window_ms}ms"), |limit| limit.to_string())
}

impl Target {
    /// With what only the read model knows.
    pub(super) fn seen(self, row: Row) -> Self {
        Self {
            lifecycle_reason: row.lifecycle_reason,
            health_since: Some(row.health_since),
            created_by: Some(row.created_by),
            created_at: Some(row.created_at),
            updated_at: Some(row.updated_at),
            ..self
        }
    }
}

impl From<Row> for Target {
    fn from(row: Row) -> Self {
        Self {
            target_id: row.target_id,
            org_id: row.org_id,
            account_id: row.account_id,
            name: row.name,
            channel: row.channel,
            base_url: row.base_url,
            channel_account: row.channel_account,
            credential: row.credential,
            rate_limit: limit(row.requests, row.window_ms),
            account_rate_limit: row.account_requests.zip(row.account_window_ms).map(|(n, window)| limit(n, window)),
            lifecycle: row.lifecycle,
            state: row.state,
            health: row.health,
            version: row.version,
            lifecycle_reason: row.lifecycle_reason,
            health_since: Some(row.health_since),
            created_by: Some(row.created_by),
            created_at: Some(row.created_at),
            updated_at: Some(row.updated_at),
        }
    }
}
