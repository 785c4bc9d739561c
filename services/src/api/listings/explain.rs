//! Why a listing stands as it does, and what would be sent now.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use domain::ids::{ListingId, SyncId};
use serde::Deserialize;
use serde_json::json;
use utoipa::IntoParams;
use uuid::Uuid;

use super::read::visible;
use super::resend::{Named, resolve};
use crate::api::Api;
use crate::api::by::By;
use crate::api::dead_letters::of_unit;
use crate::api::input::{Id, Query, read};
use crate::api::problem::{Problem, ProblemKind};
use crate::api::reader::Reader;
use crate::payloads::PayloadError;
use crate::views::explain::{Explanation, Unexplained, explain as explained};
use crate::views::preview::{NoPreview, Preview, Wanted, preview as previewed};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct ExplainQuery {
    /// This sync of the listing; the one that waits, or else the newest, by default
    #[serde(default, deserialize_with = "read::optional")]
    sync_id: Option<Uuid>,
    #[serde(default, deserialize_with = "read::optional")]
    #[param(ignore)]
    #[expect(dead_code, reason = "the freshness middleware reads it; here it is a field that is known")]
    min_position: Option<i64>,
}

/// Why a listing stands as it does: which change by whom, which fields differ, which calls, which rules, what is next.
#[utoipa::path(get, path = "/api/channels/listings/{listing_id}/explain", tag = "listings",
    params(("listing_id" = Uuid, Path, description = "The listing"), ExplainQuery),
    responses(
        (status = 200, body = Explanation, example = json!(example())),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(in crate::api) async fn explain(
    State(api): State<Api>,
    by: By,
    Id(id): Id<Uuid>,
    Query(query): Query<ExplainQuery>,
) -> Result<Json<Explanation>, Problem> {
    let id = ListingId(id);
    visible(&api, &by, id).await?;
    let reader = Reader::open(&api.inner.pool, &by.caller);
    let told = explained(&api.inner.syncing, &api.inner.pool, reader, id, query.sync_id.map(SyncId)).await?;
    Ok(Json(match of_unit(&api, &by.caller, &told.listing.unit_id).await {
        Some(letters) => told.with_letters(letters),
        None => told,
    }))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct PreviewQuery {
    /// The snapshot with this SHA-256
    snapshot: Option<String>,
    /// The snapshot of this sync of the listing
    #[serde(default, deserialize_with = "read::optional")]
    sync_id: Option<Uuid>,
    /// The snapshot that was the newest at this time, which is not later than now
    #[serde(default, deserialize_with = "read::optional")]
    as_of: Option<DateTime<Utc>>,
    /// The snapshot that was the newest at this position of the journal
    #[serde(default, deserialize_with = "read::optional")]
    position: Option<i64>,
    /// Every section, whatever the channel has, as a sync that somebody asks for sends it; a state of the past always is
    #[serde(default, deserialize_with = "read::required")]
    force: bool,
    #[serde(default, deserialize_with = "read::optional")]
    #[param(ignore)]
    #[expect(dead_code, reason = "the freshness middleware reads it; here it is a field that is known")]
    min_position: Option<i64>,
}

/// What would be sent now, or by a retry from a point of the past, as a difference against what the channel took last.
/// Nothing is sent, and nothing is written.
#[utoipa::path(get, path = "/api/channels/listings/{listing_id}/preview", tag = "listings",
    params(("listing_id" = Uuid, Path, description = "The listing"), PreviewQuery),
    responses((status = 200, body = Preview), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(in crate::api) async fn preview(
    State(api): State<Api>,
    by: By,
    Id(id): Id<Uuid>,
    Query(query): Query<PreviewQuery>,
) -> Result<Json<Preview>, Problem> {
    let id = ListingId(id);
    visible(&api, &by, id).await?;
    let named = Named {
        snapshot: query.snapshot.as_deref(),
        sync_id: query.sync_id,
        as_of: query.as_of,
        position: query.position,
    };
    let wanted = Wanted { snapshot: resolve(&api, &by, id, &named).await?, forced: query.force };
    let reader = Reader::open(&api.inner.pool, &by.caller);
    Ok(Json(previewed(&api.inner.syncing, &api.inner.pool, reader, id, wanted).await?))
}

impl From<Unexplained> for Problem {
    fn from(error: Unexplained) -> Self {
        match error {
            Unexplained::Listing(refusal) => refusal.into(),
            Unexplained::NoSync { .. } => Self::field("sync_id", error.to_string()),
            Unexplained::Target(error) => error.into(),
            Unexplained::Other(error) => error.into(),
            Unexplained::Newest(error) => error.into(),
            Unexplained::Database(error) => error.into(),
            Unexplained::History(error) => error.into(),
        }
    }
}

impl From<crate::views::history::NoHistory> for Problem {
    fn from(error: crate::views::history::NoHistory) -> Self {
        use crate::views::history::NoHistory;
        match error {
            NoHistory::Database(error) => error.into(),
            NoHistory::Unreadable(error) => {
                tracing::error!(error = %error, "a history cannot be read by this build");
                ProblemKind::Internal.because("its history cannot be read by this build; ask the operator")
            }
        }
    }
}

impl From<NoPreview> for Problem {
    fn from(error: NoPreview) -> Self {
        match error {
            NoPreview::Refused(refusal) => refusal.into(),
            NoPreview::History(error) => error.into(),
            NoPreview::Known(PayloadError::Store(error)) => error.into(),
            NoPreview::Known(_) => ProblemKind::Conflict.because(error.to_string()),
        }
    }
}

/// What an explanation looks like.
fn example() -> serde_json::Value {
    let (listing, sync) = ("0c5f0d9e-6f0b-5d3e-9a53-2f6a0c1f7a10", "01990000-0000-7000-8000-000000000001");
    let snapshot = "6f".repeat(32);
    let difference = json!({ "path": "calendar[2026-12-24..2026-12-26].isAvailable", "change": "changed", "before": 1,
        "after": 0, "nights": { "first": "2026-12-24", "last": "2026-12-26", "count": 3 } });
    let call = json!({ "request_id": "01990000-0000-7000-8000-000000000002", "purpose": "calendar", "method": "PUT",
        "path": "/v1/listings/51600/calendar", "status": 200, "class": "accepted",
        "started_at": "2026-11-25T10:00:00.180Z", "duration_ms": 120, "detail": null });
    json!({
        "listing": { "listing_id": listing, "org_id": "sunstay", "account_id": "bali", "unit_id": "villa-0042",
            "target_id": "01990000-0000-7000-8000-000000000003", "target_name": "Hostaway Bali", "state": "active",
            "external_id": "51600", "last_revision": 8 },
        "sync": { "sync_id": sync, "cause": "unit_changed", "reason": null, "revision": 8, "snapshot": snapshot,
            "requested_at": "2026-11-25T10:00:00.010Z", "position": 4711,
            "by": { "actor": "service:intake", "credential": "service", "credential_id": null, "on_behalf_of": null,
                "source": "urn:sunstay:bookings",
                "correlation_id": "01990000-0000-7000-8000-000000000004", "causation_id": null,
                "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01" },
            "needs": ["availability"], "forced": false,
            "compared_with": { "snapshots": ["5e".repeat(32)], "certain": true, "refused": [], "not_taken": [],
                "exact": true },
            "differences": [{ "section": "availability", "count": 1, "fields": [difference] }], "stays": [],
            "differences_missing": null, "outcome": "accepted", "ended_at": "2026-11-25T10:00:00.320Z", "detail": null,
            "cancelled": null,
            "attempts": [{ "burned": 1, "started_at": "2026-11-25T10:00:00.170Z", "finished_at": "2026-11-25T10:00:00.310Z",
                "class": "accepted", "detail": null, "due_at": null, "late": false, "took": ["availability"],
                "took_in_part": [],
                "calls": [call] }],
            "refused": [] },
        "rules": [{ "rule": "waited", "ms": 160, "behind_ms": 0, "behind": [], "behind_silent": null, "unheard": false,
            "held_ms": 0, "circuit_known": true, "calls_before": 3, "full_ms": 0, "window": 12, "window_ms": 10_000,
            "other_calls": { "checks": 1, "drift": 0, "known": true }, "paused_ms": 0 }],
        "next": { "step": "nothing", "sync_id": null, "attempt": null, "at": null,
            "because": ["its newest sync has ended: accepted"], "what_to_do": [] },
        "lacking": null,
        "older_state": null,
        "elsewhere": null,
        "unproved_creations": [],
        "dead_letters": { "letters": [], "more": false },
        "waiting": null,
        "recent": [{ "sync_id": sync, "requested_at": "2026-11-25T10:00:00.010Z", "cause": "unit_changed", "revision": 8,
            "outcome": "accepted", "superseded_by": null }],
        "words": ["Listing … of unit villa-0042 on Hostaway Bali, 51600 at the channel, active.", "…"]
    })
}
