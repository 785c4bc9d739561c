//! Reading listings and their history.

use axum::Json;
use axum::extract::State;
use domain::ids::{ListingId, UnitId};
use domain::listing::{ChannelListing, Link, ListingError};
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;
use uuid::Uuid;

use crate::api::Api;
use crate::api::answer::Versioned;
use crate::api::by::By;
use crate::api::conditional::IfNoneMatchHeader;
use crate::api::history::{self, Event, HistoryQuery};
use crate::api::input::{Id, Query, one_of, read};
use crate::api::page::{DEPTH, Page, decode, encode, limit};
use crate::api::problem::Problem;
use crate::api::reader::{Reader, account_filter};
use crate::views::audit::{FAILED, asked_outcomes, failures_in_sql, is_failure};
use crate::views::listings::{LISTINGS, Listing, states};

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    /// On one target only
    #[serde(default, deserialize_with = "read::optional")]
    target_id: Option<Uuid>,
    /// Of one unit only, e.g. villa-0042
    #[param(value_type = Option<String>)]
    unit_id: Option<UnitId>,
    /// In one state only: active, paused, target_deleted or unlinked; all but the unlinked ones by default
    state: Option<String>,
    /// Whose last sync stands so: an outcome, pending where one waits, or failed for rejected, unauthorised and exhausted
    outcome: Option<String>,
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

impl ListQuery {
    /// A page of listings on a target, in a state, whose last sync stands so.
    pub(crate) fn page(
        target_id: Option<Uuid>,
        state: Option<String>,
        outcome: Option<String>,
        cursor: Option<String>,
    ) -> Self {
        Self { target_id, state, outcome, cursor, ..Self::default() }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct After {
    unit_id: String,
    listing_id: Uuid,
}

/// The first listings of some accounts, one more than are wanted. A state that few are in, and a failure, are told in words, too: so
/// Postgres knows that it may use the index of those.
fn page(accounts: &str, state: Option<&str>, outcome: Option<&str>) -> String {
    let few = match state {
        Some("paused") => "AND l.state = 'paused'",
        Some("unlinked") => "AND l.state = 'unlinked'",
        _ => "",
    };
    let failures = failures_in_sql();
    // Of a deleted target's listing it is the audit that tells: what failed there has failed for the listing, too.
    let failed = match outcome {
        Some(outcome) if is_failure(outcome) => format!("AND l.last_outcome IN ({failures})"),
        _ => String::new(),
    };
    format!(
        "SELECT * FROM ({LISTINGS} WHERE l.org_id = $1 AND {accounts} {few} {failed}) AS l
         WHERE ($3::uuid IS NULL OR target_id = $3) AND ($4::text IS NULL OR unit_id = $4)
            AND CASE WHEN $5::text IS NULL THEN state <> 'unlinked' ELSE state = $5 END
            AND ($6::text IS NULL OR (unit_id, listing_id) > ($6, $7))
            AND ($10::text IS NULL OR (unit_id, listing_id) <= ($10, $11))
            AND ($9::text IS NULL OR $9 = CASE WHEN pending_sync_id IS NOT NULL THEN 'pending'
                WHEN $9 = '{FAILED}' AND last_outcome IN ({failures}) THEN $9
                ELSE last_outcome END)
         ORDER BY unit_id, listing_id LIMIT $8 + 1"
    )
}

/// The last listing that such a page looks at, of the one account that has the nearest; none where the rest is shorter. That it is
/// of one target is told in words, so that Postgres uses the index of those.
fn furthest(on_target: bool) -> String {
    let of_target = if on_target { "AND target_id = $6" } else { "" };
    format!(
        "SELECT l.unit_id, l.listing_id
         FROM (SELECT unnest($2::text[]) AS account_id UNION ALL SELECT NULL WHERE $2 IS NULL) AS mine
         CROSS JOIN LATERAL (
             SELECT unit_id, listing_id FROM channel_listings
             WHERE org_id = $1 AND (mine.account_id IS NULL OR account_id = mine.account_id)
                 AND ($3::text IS NULL OR (unit_id, listing_id) > ($3, $4)) {of_target}
             ORDER BY unit_id, listing_id OFFSET $5 LIMIT 1) AS l
         ORDER BY l.unit_id, l.listing_id LIMIT 1"
    )
}

/// The listings of the caller's organisation and accounts, by unit. By an `outcome` that is no failure, and where the target is
/// deleted, a page may be short and have a cursor all the same.
#[utoipa::path(get, path = "/api/channels/listings", tag = "listings", params(ListQuery),
    responses((status = 200, body = Page<Listing>), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn list(
    State(api): State<Api>,
    by: By,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<Listing>>, Problem> {
    let limit = limit(query.limit)?;
    let after: Option<After> = decode(query.cursor.as_deref())?;
    one_of("state", query.state.as_deref(), &states())?;
    one_of("outcome", query.outcome.as_deref(), &asked_outcomes())?;
    let accounts = account_filter(&by.caller);
    let (state, outcome) = (query.state.as_deref(), query.outcome.as_deref());
    let statement = if accounts.is_none() || query.target_id.is_some() || query.unit_id.is_some() {
        page("($2::text[] IS NULL OR l.account_id = ANY ($2))", state, outcome)
    } else {
        format!(
            "SELECT l.* FROM unnest($2::text[]) AS mine (account_id) CROSS JOIN LATERAL ({}) AS l
             ORDER BY l.unit_id, l.listing_id LIMIT $8 + 1",
            page("l.account_id = mine.account_id", state, outcome)
        )
    };
    let mut reader = Reader::open(&api.inner.pool, &by.caller).await?;
    let is_rare = outcome.is_some_and(|outcome| !is_failure(outcome)) || state == Some("target_deleted");
    let furthest: Option<(String, Uuid)> = if is_rare && query.unit_id.is_none() {
        let last = furthest(query.target_id.is_some());
        let last = sqlx::query_as(&last).bind(by.caller.org_id.as_str()).bind(accounts.clone());
        let last = last.bind(after.as_ref().map(|after| after.unit_id.clone()));
        let last = last.bind(after.as_ref().map(|after| after.listing_id)).bind(DEPTH - 1);
        let last = if let Some(target) = query.target_id { last.bind(target) } else { last };
        last.fetch_optional(&mut *reader).await?
    } else {
        None
    };
    let rows = sqlx::query_as(&statement).bind(by.caller.org_id.as_str()).bind(accounts);
    let rows = rows.bind(query.target_id).bind(query.unit_id.as_ref().map(UnitId::as_str)).bind(query.state);
    let rows = rows.bind(after.as_ref().map(|after| after.unit_id.clone()));
    let rows = rows.bind(after.as_ref().map(|after| after.listing_id)).bind(limit).bind(query.outcome);
    let rows = rows.bind(furthest.as_ref().map(|(unit_id, _)| unit_id)).bind(furthest.as_ref().map(|(_, id)| *id));
    let rows: Vec<Listing> = rows.fetch_all(&mut *reader).await?;
    let key = |row: &Listing| After { unit_id: row.unit_id.clone(), listing_id: row.listing_id };
    let mut page = Page::of(rows, limit, key);
    if page.next_cursor.is_none() {
        page.next_cursor = furthest.map(|(unit_id, listing_id)| encode(&After { unit_id, listing_id }));
    }
    Ok(Json(page))
}

/// One listing, as the read model has it.
#[utoipa::path(get, path = "/api/channels/listings/{listing_id}", tag = "listings",
    params(("listing_id" = Uuid, Path, description = "The listing"), IfNoneMatchHeader),
    responses((status = 200, body = Listing, headers(("etag" = String))), (status = 304, description = "One of If-None-Match still holds"), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
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

/// A listing that the caller may see, by the journal. Postgres is asked first, as the role for which one that belongs to others is
/// not there: only what it knows is loaded, so that neither the answer nor its time tells the two apart.
pub(super) async fn visible(api: &Api, by: &By, id: ListingId) -> Result<(Link, ChannelListing, i64), Problem> {
    if !Reader::open(&api.inner.pool, &by.caller).await?.knows("ChannelListing", id.0).await? {
        return Err(ListingError::NotFound.into());
    }
    let (listing, version) = api.inner.syncing.commands().load_listing_at(id).await?;
    let link = listing.link().filter(|link| by.caller.sees(&link.org_id, &link.account_id)).cloned();
    link.map(|link| (link, listing, version)).ok_or_else(|| ListingError::NotFound.into())
}

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
    let page = history::page(&api, &by, "ChannelListing", id, &query).await?;
    page.map(Json).ok_or_else(|| ListingError::NotFound.into())
}
