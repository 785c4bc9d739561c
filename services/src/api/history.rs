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

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct HistoryQuery {
    /// Events of a page: 1 to 500, by default 50
    #[serde(default, deserialize_with = "read::optional")]
    limit: Option<i64>,
    /// `next_cursor` of the page before
    cursor: Option<String>,
    #[serde(default, deserialize_with = "read::optional")]
    #[param(ignore)]
    #[expect(dead_code, reason = "the freshness middleware reads it; here it is a field that is known")]
    min_position: Option<i64>,
}

/// An event of the journal.
#[derive(Debug, FromRow, Serialize, ToSchema)]
pub(crate) struct Event {
    position: i64,
    event_id: Uuid,
    sequence: i64,
    #[schema(example = "SyncAccepted")]
    event_type: String,
    event_version: String,
    /// Its content, as in `nats/schemas/event.v1.json`.
    #[schema(value_type = Object)]
    payload: Value,
    /// Who did it, by which credential, and what caused it.
    #[schema(value_type = Object)]
    metadata: Value,
    recorded_at: DateTime<Utc>,
}

const HISTORY: &str = "
SELECT position, event_id, sequence, event_type, event_version, payload, metadata, recorded_at FROM events
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
