//! Everything that happened to a target or a listing: who did it, by which credential, and when.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::FromRow;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::Api;
use super::by::By;
use super::input::read;
use super::page::{Page, decode, limit};
use super::problem::Problem;
use super::reader::{Reader, account_filter};

/// What a target's events tell that is for those alone who may read targets: where it leads, as whom, and by which secret.
const SETTINGS: [&str; 3] = ["base_url", "channel_account", "credential"];

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct HistoryQuery {
    /// Rows of a page: 1 to 500, by default 50
    #[serde(default, deserialize_with = "read::optional")]
    pub(super) limit: Option<i64>,
    /// `next_cursor` of the page before
    pub(super) cursor: Option<String>,
    #[serde(default, deserialize_with = "read::optional")]
    #[param(ignore)]
    #[expect(dead_code, reason = "the freshness middleware reads it; here it is a field that is known")]
    min_position: Option<i64>,
}

impl HistoryQuery {
    /// A page of so many.
    pub(crate) fn page(limit: i64, cursor: Option<String>) -> Self {
        Self { limit: Some(limit), cursor, ..Self::default() }
    }
}

/// An event of the journal.
#[derive(Debug, FromRow, Serialize, ToSchema)]
pub(crate) struct Event {
    pub position: i64,
    event_id: Uuid,
    pub sequence: i64,
    #[schema(example = "SyncAccepted")]
    pub event_type: String,
    event_version: String,
    /// Its content, as in `nats/schemas/event.v1.json`.
    #[schema(value_type = Object)]
    pub payload: Value,
    /// Fields that its content has and the caller may not see.
    #[sqlx(skip)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub withheld: Vec<&'static str>,
    /// Who did it.
    pub created_by: String,
    /// The kind of credential.
    pub credential: String,
    /// Which token or session it was; absent where the kind has none.
    pub credential_id: Option<String>,
    /// All that stands beside it: what caused it, too, and on whose behalf a part of the service acted.
    #[schema(value_type = Object)]
    pub metadata: Value,
    pub recorded_at: DateTime<Utc>,
}

impl Event {
    /// What the event itself says, below its name.
    pub(crate) fn content(&self) -> &Value {
        self.payload.get(&self.event_type).unwrap_or(&Value::Null)
    }

    /// Takes a target's settings out, for who may read the audit alone.
    pub(super) fn withhold_settings(&mut self) {
        let content = self.payload.as_object_mut().and_then(|payload| payload.values_mut().next());
        let Some(content) = content.and_then(Value::as_object_mut) else { return };
        self.withheld = SETTINGS.into_iter().filter(|name| content.remove(*name).is_some()).collect();
    }
}

const HISTORY: &str = "
SELECT position, event_id, sequence, event_type, event_version, payload, metadata ->> 'actor' AS created_by,
    metadata ->> 'credential' AS credential, metadata ->> 'credential_id' AS credential_id, metadata, recorded_at
FROM events
WHERE aggregate_type = $1 AND aggregate_id = $2 AND org_id = $3
    AND ($4::text[] IS NULL OR account_id = ANY ($4)) AND ($5::bigint IS NULL OR sequence < $5)
ORDER BY sequence DESC LIMIT $6 + 1";

/// A page of the events of an aggregate, the newest first; `None` where there is none that the caller may see.
pub(super) async fn page(
    api: &Api,
    by: &By,
    aggregate_type: &str,
    id: Uuid,
    query: &HistoryQuery,
) -> Result<Option<Page<Event>>, Problem> {
    let limit = limit(query.limit)?;
    let before: Option<i64> = decode(query.cursor.as_deref())?;
    let mut reader = Reader::open(&api.inner.pool, &by.caller).await?;
    let rows = sqlx::query_as(HISTORY).bind(aggregate_type).bind(id.to_string()).bind(by.caller.org_id.as_str());
    let rows = rows.bind(account_filter(&by.caller)).bind(before).bind(limit);
    let rows: Vec<Event> = rows.fetch_all(&mut *reader).await?;
    let known = !rows.is_empty() || before.is_some();
    Ok(known.then(|| Page::of(rows, limit, |event| event.sequence)))
}
