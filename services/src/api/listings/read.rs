//! Reading listings and their history.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use domain::ids::ListingId;
use domain::listing::{ChannelListing, Link, ListingError};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::FromRow;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::api::Api;
use crate::api::answer::Versioned;
use crate::api::by::By;
use crate::api::input::{Id, Query, one_of};
use crate::api::page::{Page, decode, limit};
use crate::api::problem::Problem;
use crate::api::reader::{Reader, account_filter};
use crate::views::listings::{LISTINGS, Listing};

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    /// On one target only
    target_id: Option<Uuid>,
    /// Of one unit only
    #[param(example = "villa-0042")]
    unit_id: Option<String>,
    /// In one state only: active, paused, target_deleted or unlinked; all but the unlinked ones by default
    state: Option<String>,
    /// Rows of a page: 1 to 500, by default 50
    limit: Option<i64>,
    /// `next_cursor` of the page before
    cursor: Option<String>,
    /// Wait until the read models show this position
    #[expect(dead_code, reason = "the freshness middleware reads it; here it is a field that is known")]
    min_position: Option<i64>,
}

impl ListQuery {
    /// A page of listings on a target, in a state.
    pub(crate) fn page(target_id: Option<Uuid>, state: Option<String>, cursor: Option<String>) -> Self {
        Self { target_id, state, cursor, ..Self::default() }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct After {
    unit_id: String,
    listing_id: Uuid,
}

/// The listings of the caller's organisation and accounts, by unit.
#[utoipa::path(get, path = "/api/channels/listings", tag = "listings", params(ListQuery),
    responses((status = 200, body = Page<Listing>), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn list(
    State(api): State<Api>,
    by: By,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<Listing>>, Problem> {
    let limit = limit(query.limit)?;
    let after: Option<After> = decode(query.cursor.as_deref())?;
    one_of("state", query.state.as_deref(), &["active", "paused", "target_deleted", "unlinked"])?;
    let statement = format!(
        "SELECT * FROM ({LISTINGS} WHERE l.org_id = $1 AND ($2::text[] IS NULL OR l.account_id = ANY ($2))) AS l
         WHERE ($3::uuid IS NULL OR target_id = $3) AND ($4::text IS NULL OR unit_id = $4)
            AND CASE WHEN $5::text IS NULL THEN state <> 'unlinked' ELSE state = $5 END
            AND ($6::text IS NULL OR (unit_id, listing_id) > ($6, $7))
         ORDER BY unit_id, listing_id LIMIT $8 + 1"
    );
    let mut reader = Reader::open(&api.inner.pool, &by.caller).await?;
    let rows = sqlx::query_as(&statement).bind(by.caller.org_id.as_str()).bind(account_filter(&by.caller));
    let rows = rows.bind(query.target_id).bind(query.unit_id).bind(query.state);
    let rows = rows.bind(after.as_ref().map(|after| after.unit_id.clone()));
    let rows = rows.bind(after.as_ref().map(|after| after.listing_id)).bind(limit);
    let rows: Vec<Listing> = rows.fetch_all(&mut *reader).await?;
    let key = |row: &Listing| After { unit_id: row.unit_id.clone(), listing_id: row.listing_id };
    Ok(Json(Page::of(rows, limit, key)))
}

/// One listing, as the read model has it.
#[utoipa::path(get, path = "/api/channels/listings/{listing_id}", tag = "listings",
    params(("listing_id" = Uuid, Path, description = "The listing")),
    responses((status = 200, body = Listing, headers(("etag" = String))), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn get(State(api): State<Api>, by: By, Id(id): Id<Uuid>) -> Result<Versioned<Listing>, Problem> {
    let statement = format!(
        "SELECT * FROM ({LISTINGS}) AS l
         WHERE listing_id = $1 AND org_id = $2 AND ($3::text[] IS NULL OR account_id = ANY ($3))"
    );
    let mut reader = Reader::open(&api.inner.pool, &by.caller).await?;
    let row = sqlx::query_as(&statement).bind(id).bind(by.caller.org_id.as_str()).bind(account_filter(&by.caller));
    let row: Option<Listing> = row.fetch_optional(&mut *reader).await?;
    let listing = row.ok_or(ListingError::NotFound)?;
    Ok(Versioned(listing.version.unwrap_or_default(), listing))
}

/// A listing that the caller may see, by the journal. One that belongs to others is loaded all the same, and then is
/// not there: answer and time tell no difference.
pub(super) async fn visible(api: &Api, by: &By, id: ListingId) -> Result<(Link, ChannelListing, i64), Problem> {
    let (listing, version) = api.inner.syncing.commands().load_listing_at(id).await?;
    let known = Reader::open(&api.inner.pool, &by.caller).await?.knows("ChannelListing", id.0).await?;
    let link = listing.link().filter(|link| known && by.caller.sees(&link.org_id, &link.account_id)).cloned();
    link.map(|link| (link, listing, version)).ok_or_else(|| ListingError::NotFound.into())
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct HistoryQuery {
    /// Events of a page: 1 to 500, by default 50
    limit: Option<i64>,
    /// `next_cursor` of the page before
    cursor: Option<String>,
    /// Wait until the read models show this position
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
WHERE aggregate_type = 'ChannelListing' AND aggregate_id = $1 AND org_id = $2
    AND ($3::text[] IS NULL OR account_id = ANY ($3)) AND ($4::bigint IS NULL OR sequence < $4)
ORDER BY sequence DESC LIMIT $5 + 1";

/// Everything that happened to a listing, the newest first, from the journal itself.
#[utoipa::path(get, path = "/api/channels/listings/{listing_id}/history", tag = "listings",
    params(("listing_id" = Uuid, Path, description = "The listing"), HistoryQuery),
    responses((status = 200, body = Page<Event>), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn history(
    State(api): State<Api>,
    by: By,
    Id(id): Id<Uuid>,
    Query(query): Query<HistoryQuery>,
) -> Result<Json<Page<Event>>, Problem> {
    let limit = limit(query.limit)?;
    let before: Option<i64> = decode(query.cursor.as_deref())?;
    let mut reader = Reader::open(&api.inner.pool, &by.caller).await?;
    let rows = sqlx::query_as(HISTORY).bind(id.to_string()).bind(by.caller.org_id.as_str());
    let rows = rows.bind(account_filter(&by.caller)).bind(before).bind(limit);
    let rows: Vec<Event> = rows.fetch_all(&mut *reader).await?;
    if rows.is_empty() && before.is_none() {
        return Err(ListingError::NotFound.into());
    }
    Ok(Json(Page::of(rows, limit, |event| event.sequence)))
}
