//! `/audit`: every sync job and every call.

mod walk;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use domain::access::Permission;
use domain::ids::{AccountId, TraceId, UnitId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::Api;
use super::by::By;
use super::input::{Id, Query, one_of, read};
use super::page::{Page, decode, limit};
use super::problem::Problem;
use super::reader::{Reader, account_filter};
use crate::views::audit::{CALLS, CAUSES, COLUMNS, Call, Sync, asked_outcomes, classes, goes_on};
use crate::views::explain::Next;
use crate::views::next_attempt::next_attempt;

pub(crate) use walk::{Filter, Order, syncs};

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(get))
}

/// Which syncs, and which page of them.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    /// Of one account only, e.g. bali
    #[param(value_type = Option<String>)]
    pub account_id: Option<AccountId>,
    /// On one target only
    #[serde(default, deserialize_with = "read::optional")]
    pub target_id: Option<Uuid>,
    /// Of one listing only
    #[serde(default, deserialize_with = "read::optional")]
    pub listing_id: Option<Uuid>,
    /// Of one unit only, e.g. villa-0042
    #[param(value_type = Option<String>)]
    pub unit_id: Option<UnitId>,
    /// With one outcome only, e.g. accepted, rejected, exhausted, pending, or failed for rejected, unauthorised and exhausted
    pub outcome: Option<String>,
    /// Whose last attempt ended so, or with a call that did, whatever came of it later, e.g. throttled, stopped
    pub class: Option<String>,
    /// With one cause only: unit_changed, linked, manual or replayed
    pub cause: Option<String>,
    /// Of one trace only: the digits of its id, as a traceparent has it, e.g. 4bf92f3577b34da6a3ce929d0e0e4736
    #[serde(default, deserialize_with = "read::optional")]
    #[param(value_type = Option<String>)]
    pub trace_id: Option<TraceId>,
    /// Asked for at this time or later
    #[serde(default, deserialize_with = "read::optional")]
    pub since: Option<DateTime<Utc>>,
    /// Asked for before this time
    #[serde(default, deserialize_with = "read::optional")]
    pub until: Option<DateTime<Utc>>,
    /// Ended at this time or later
    #[serde(default, deserialize_with = "read::optional")]
    pub ended_since: Option<DateTime<Utc>>,
    /// With a call that began at this time or later; beside class, with one that ended so
    #[serde(default, deserialize_with = "read::optional")]
    pub called_since: Option<DateTime<Utc>>,
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

pub(super) fn filters_are_known(
    outcome: Option<&str>,
    class: Option<&str>,
    cause: Option<&str>,
) -> Result<(), Problem> {
    one_of("outcome", outcome, &asked_outcomes())?;
    one_of("class", class, &classes())?;
    one_of("cause", cause, &CAUSES)
}

/// Sync jobs, the newest first.
///
/// A page may be short or empty and yet have a `next_cursor`: no more than 20,000 rows are looked through for one.
#[utoipa::path(get, path = "/api/channels/audit", tag = "audit", params(ListQuery),
    responses((status = 200, body = Page<Sync>), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
async fn list(State(api): State<Api>, by: By, Query(query): Query<ListQuery>) -> Result<Json<Page<Sync>>, Problem> {
    let limit = limit(query.limit)?;
    let before: Option<i64> = decode(query.cursor.as_deref())?;
    filters_are_known(query.outcome.as_deref(), query.class.as_deref(), query.cause.as_deref())?;
    let filter = Filter {
        account_id: query.account_id,
        target_id: query.target_id,
        listing_id: query.listing_id,
        unit_id: query.unit_id.map(String::from),
        outcome: query.outcome,
        class: query.class,
        cause: query.cause,
        trace_id: query.trace_id,
        since: query.since,
        until: query.until,
        ended_since: query.ended_since,
        called_since: query.called_since,
    };
    let found = syncs(&api.inner.pool, &by.caller, &filter, Order::NewestFirst, before, limit).await?;
    Ok(Json(found.page()))
}

/// One sync job with every call that it made.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SyncWithCalls {
    #[serde(flatten)]
    pub sync: Sync,
    /// Another took its place, and an attempt of it that had begun goes on: how it ends, and its calls, are told later.
    pub goes_on: bool,
    /// What is next for it, as an explanation says; `null` once it has ended, and for those who may not read listings.
    pub next: Option<Next>,
    /// In the order in which they were made.
    pub attempts_made: Vec<Call>,
}

/// One sync job with every call that it made.
#[utoipa::path(get, path = "/api/channels/audit/{sync_id}", tag = "audit",
    params(("sync_id" = Uuid, Path, description = "The sync")),
    responses((status = 200, body = SyncWithCalls), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn get(State(api): State<Api>, by: By, Id(id): Id<Uuid>) -> Result<Json<SyncWithCalls>, Problem> {
    let statement = format!(
        "SELECT {COLUMNS} FROM outbound_audit AS a LEFT JOIN channel_targets AS t ON t.target_id = a.target_id
         WHERE a.sync_id = $1 AND a.org_id = $2 AND ($3::text[] IS NULL OR a.account_id = ANY ($3))"
    );
    let mut reader = Reader::open(&api.inner.pool, &by.caller).await?;
    let row = sqlx::query_as(&statement).bind(id).bind(by.caller.org_id.as_str()).bind(account_filter(&by.caller));
    let sync: Option<Sync> = row.fetch_optional(&mut *reader).await?;
    let sync = sync.ok_or_else(|| Problem::not_found("sync"))?;
    let attempts_made = sqlx::query_as(CALLS).bind(id).fetch_all(&mut *reader).await?;
    let goes_on = goes_on(&mut reader, id).await?;
    drop(reader);
    let mut next = None;
    if by.caller.may(Permission::ReadListings) {
        let reader = Reader::open(&api.inner.pool, &by.caller);
        next = next_attempt(&api.inner.syncing, &api.inner.pool, reader, &sync).await?;
    }
    Ok(Json(SyncWithCalls { sync, goes_on, next, attempts_made }))
}
