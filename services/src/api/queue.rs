//! `/queue`: what is still to be sent, and why it waits.

use std::collections::BTreeSet;
use std::mem::take;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::Api;
use super::by::By;
use super::input::{Query, read};
use super::page::{Page, decode, limit};
use super::problem::Problem;
use super::reader::{Reader, account_filter};
use crate::views::attempts::NEXT;
use crate::views::queue::{BEHIND_SINCE, BY_ROW, HELD_BY, WAITING, closed, status};

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct QueueQuery {
    /// Of one target only
    #[serde(default, deserialize_with = "read::optional")]
    target_id: Option<Uuid>,
    /// Rows of a page: 1 to 500, by default 50
    #[serde(default, deserialize_with = "read::optional")]
    limit: Option<i64>,
    /// `next_cursor` of the page before
    cursor: Option<String>,
    #[serde(default, deserialize_with = "read::optional")]
    #[param(ignore)]
    #[expect(dead_code, reason = "the freshness middleware reads it; here it is a field that is known")]
    min_position: Option<i64>,
}

/// A listing with something to send.
#[derive(Debug, FromRow, Serialize, ToSchema)]
struct QueuedSync {
    listing_id: Uuid,
    account_id: String,
    unit_id: Option<String>,
    target_id: Uuid,
    target_name: Option<String>,
    sync_id: Uuid,
    revision: i64,
    /// The sections that are to be sent: availability, rates, content, images.
    needs: Vec<String>,
    /// Attempts that were put off so far, those too that burned none of the five.
    tries: i32,
    /// Which attempt is next, or under way, of five: a rate limit and refused credentials burn none.
    attempt: i32,
    /// `under way`, `after an attempt` (of an earlier sync of the listing, whose place it took), `due` (it waits for a slot of the
    /// window), `later` (it is tried again at its time), `paused by the channel` (calls wait as the channel answered 429, at least
    /// until it is due), `waits for a login` (the channel is not known to take the target's credentials, and such have few logins
    /// together), or what holds it: the listing or target is paused, the target refuses the credentials, or its circuit is
    /// open (it failed again and again, and is checked until it answers).
    status: String,
    /// All that holds it, where `status` says that something does, which is the first of these; whoever lets it go finds it held by the others.
    held_by: Vec<String>,
    requested_at: DateTime<Utc>,
    /// When the first request was made that the channel has not got: a sync that takes the place of another waits since that one did.
    behind_since: DateTime<Utc>,
    due_at: DateTime<Utc>,
}

/// Where a page ended.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct After(#[serde(deserialize_with = "read::required")] DateTime<Utc>, Uuid);

// The page first, by the index that has the order, and only then what is known of each row.
fn work() -> String {
    format!(
        "WITH page AS MATERIALIZED (
            SELECT listing_id FROM sync_queue
            WHERE org_id = $1 AND ($2::text[] IS NULL OR account_id = ANY ($2)) AND ($3::uuid IS NULL OR target_id = $3)
                AND ($4::timestamptz IS NULL OR (due_at, listing_id) > ($4, $5))
            ORDER BY due_at, listing_id LIMIT $6 + 1
         )
         SELECT q.listing_id, q.account_id, l.unit_id, q.target_id, t.name AS target_name, q.sync_id, q.revision, q.needs,
            q.tries, {NEXT}, {BY_ROW}, {HELD_BY}, q.requested_at, {BEHIND_SINCE} AS behind_since,
            q.due_at
         FROM page, {WAITING} WHERE q.listing_id = page.listing_id ORDER BY q.due_at, q.listing_id"
    )
}

/// What waits, in the order in which it is due.
#[utoipa::path(get, path = "/api/channels/queue", tag = "queue", params(QueueQuery),
    responses((status = 200, body = Page<QueuedSync>), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
async fn list(
    State(api): State<Api>,
    by: By,
    Query(query): Query<QueueQuery>,
) -> Result<Json<Page<QueuedSync>>, Problem> {
    let limit = limit(query.limit)?;
    let after: Option<After> = decode(query.cursor.as_deref())?;
    let mut reader = Reader::open(&api.inner.pool, &by.caller).await?;
    let work = work();
    let rows = sqlx::query_as(&work).bind(by.caller.org_id.as_str()).bind(account_filter(&by.caller));
    let rows = rows.bind(query.target_id).bind(after.map(|after| after.0)).bind(after.map(|after| after.1)).bind(limit);
    let mut rows: Vec<QueuedSync> = rows.fetch_all(&mut *reader).await?;
    drop(reader);
    let targets: BTreeSet<Uuid> = rows.iter().map(|row| row.target_id).collect();
    let closed = closed(&api.inner.pool, &targets.into_iter().collect::<Vec<_>>()).await?;
    for row in &mut rows {
        let closed = closed.get(&row.target_id).copied().unwrap_or_default();
        row.status = status(take(&mut row.status), row.due_at, &closed);
    }
    Ok(Json(Page::of(rows, limit, |row| After(row.due_at, row.listing_id))))
}
