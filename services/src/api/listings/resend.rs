//! Sending a listing once more: its latest state, or a state of the past.

use axum::extract::State;
use chrono::{DateTime, Utc};
use domain::hash::SnapshotHash;
use domain::ids::{ListingId, SyncId};
use domain::listing::ListingError;
use domain::recorded::Position;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::read::visible;
use crate::api::Api;
use crate::api::answer::Changed;
use crate::api::by::By;
use crate::api::input::{Body, Id, read};
use crate::api::problem::Problem;
use crate::api::reader::Reader;
use crate::api::targets::Reason;
use crate::replay_point::{NoSnapshot, ReplayPoint};

/// Which state to send, and why. Without a point the latest one.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"reason": "prices were edited at the channel"}))]
pub(crate) struct Retry {
    /// It stands in the journal and in the audit.
    reason: String,
    /// The snapshot with this SHA-256.
    snapshot: Option<String>,
    /// The snapshot of this sync of the listing.
    #[serde(default, deserialize_with = "read::optional")]
    sync_id: Option<Uuid>,
    /// The snapshot that was the newest at this time, which is not later than now.
    #[serde(default, deserialize_with = "read::optional")]
    as_of: Option<DateTime<Utc>>,
    /// The snapshot that was the newest at this position of the journal.
    position: Option<i64>,
}

impl Retry {
    /// The snapshot that was the newest at a position.
    pub(crate) fn of_position(reason: String, position: i64) -> Self {
        Self { reason, snapshot: None, sync_id: None, as_of: None, position: Some(position) }
    }
}

/// A sync that was asked for.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RequestedSync {
    listing_id: Uuid,
    /// Look it up in the audit.
    sync_id: Option<Uuid>,
    /// What it sends.
    snapshot: Option<String>,
    /// Where it stands in the journal.
    position: Option<i64>,
}

const MADE: &str = "
SELECT (payload #>> ARRAY[event_type, 'request', 'sync_id'])::uuid, payload #>> ARRAY[event_type, 'request', 'snapshot']
FROM events WHERE position = $1";

/// Send the latest state once more, all of it.
#[utoipa::path(post, path = "/api/channels/listings/{listing_id}/sync", tag = "listings", request_body = Reason,
    params(("listing_id" = Uuid, Path, description = "The listing")),
    responses((status = 202, body = RequestedSync), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn sync(
    State(api): State<Api>,
    by: By,
    Id(id): Id<Uuid>,
    Body(reason): Body<Reason>,
) -> Result<Changed<RequestedSync>, Problem> {
    visible(&api, &by, ListingId(id)).await?;
    resend(&api, &by, ListingId(id), None, reason.checked()?).await
}

/// Send a state of the past once more, or without a point the latest one.
#[utoipa::path(post, path = "/api/channels/listings/{listing_id}/retry", tag = "listings", request_body = Retry,
    params(("listing_id" = Uuid, Path, description = "The listing")),
    responses((status = 202, body = RequestedSync), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn retry(
    State(api): State<Api>,
    by: By,
    Id(id): Id<Uuid>,
    Body(retry): Body<Retry>,
) -> Result<Changed<RequestedSync>, Problem> {
    let id = ListingId(id);
    visible(&api, &by, id).await?;
    let named = Named {
        snapshot: retry.snapshot.as_deref(),
        sync_id: retry.sync_id,
        as_of: retry.as_of,
        position: retry.position,
    };
    let snapshot = resolve(&api, &by, id, &named).await?;
    let reason = Reason::new(retry.reason).checked()?;
    resend(&api, &by, id, snapshot, reason).await
}

/// A state of the past, as a caller names it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Named<'a> {
    pub snapshot: Option<&'a str>,
    pub sync_id: Option<Uuid>,
    pub as_of: Option<DateTime<Utc>>,
    pub position: Option<i64>,
}

/// The snapshot that is named; `None` where none is.
pub(super) async fn resolve(
    api: &Api,
    by: &By,
    id: ListingId,
    named: &Named<'_>,
) -> Result<Option<SnapshotHash>, Problem> {
    let Some(point) = point(named)? else { return Ok(None) };
    let mut reader = Reader::open(&api.inner.pool, &by.caller).await?;
    point.snapshot(&mut reader, id).await.map(Some).map_err(|error| refusal(field(point), error))
}

fn point(named: &Named<'_>) -> Result<Option<ReplayPoint>, Problem> {
    let snapshot = named.snapshot.map(|hash| {
        let wrong = |_| Problem::field("snapshot", "is no SHA-256 in hexadecimal; the history and the audit show them");
        hash.parse::<SnapshotHash>().map_err(wrong)
    });
    let given: Vec<ReplayPoint> = [
        snapshot.transpose()?.map(ReplayPoint::Snapshot),
        named.sync_id.map(|id| ReplayPoint::Sync(SyncId(id))),
        named.as_of.map(ReplayPoint::AsOf),
        named.position.map(ReplayPoint::Position),
    ]
    .into_iter()
    .flatten()
    .collect();
    let names: Vec<&str> = given.iter().map(|point| field(*point)).collect();
    match names.as_slice() {
        [] | [_] => Ok(given.first().copied()),
        [.., last] => {
            let reason = "one of snapshot, sync_id, as_of and position says which state";
            Err(Problem::field(*last, format!("{} are given; {reason}", names.join(" and "))))
        }
    }
}

/// What a caller names it by.
fn field(point: ReplayPoint) -> &'static str {
    match point {
        ReplayPoint::Snapshot(_) => "snapshot",
        ReplayPoint::Sync(_) => "sync_id",
        ReplayPoint::Position(_) => "position",
        ReplayPoint::AsOf(_) => "as_of",
    }
}

fn refusal(field: &str, error: NoSnapshot) -> Problem {
    match error {
        NoSnapshot::NoListing => ListingError::NotFound.into(),
        NoSnapshot::Database(error) => error.into(),
        other => Problem::field(field, other.to_string()),
    }
}

async fn resend(
    api: &Api,
    by: &By,
    id: ListingId,
    snapshot: Option<SnapshotHash>,
    reason: String,
) -> Result<Changed<RequestedSync>, Problem> {
    let position = api.inner.syncing.resend(id, snapshot, reason, by.asked()).await?;
    requested(api, by, id, position).await
}

/// The answer to a request for a sync, which stands at this position of the journal.
pub(in crate::api) async fn requested(
    api: &Api,
    by: &By,
    id: ListingId,
    position: Option<Position>,
) -> Result<Changed<RequestedSync>, Problem> {
    let mut reader = Reader::open(&api.inner.pool, &by.caller).await?;
    let made = sqlx::query_as(MADE).bind(position.unwrap_or(Position(0)).0).fetch_optional(&mut *reader).await?;
    let (sync_id, snapshot): (Option<Uuid>, Option<String>) = made.unwrap_or_default();
    drop(reader);
    let (_, _, version) = visible(api, by, id).await?;
    let body = RequestedSync { listing_id: id.0, sync_id, snapshot, position: position.map(|position| position.0) };
    Ok(Changed::new(position, version, body).accepted())
}
