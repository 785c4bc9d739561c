//! Reading a listing at its channel, for a comparison.

use axum::Json;
use axum::extract::State;
use domain::ids::ListingId;
use uuid::Uuid;

use super::read::visible;
use crate::api::Api;
use crate::api::by::By;
use crate::api::input::Id;
use crate::api::problem::{Problem, ProblemKind};
use crate::api::reader::Reader;
use crate::drift::{Drift, NoDrift};
use crate::payloads::PayloadError;

/// Read the listing at its channel and compare it with what was sent last. It costs calls of the target's window, waits up to
/// 20 s for their slots, and changes nothing; a sync heals what differs. Who asked is among the target's visits for three days.
#[utoipa::path(post, path = "/api/channels/listings/{listing_id}/drift", tag = "listings",
    params(("listing_id" = Uuid, Path, description = "The listing")),
    responses((status = 200, body = Drift), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(in crate::api) async fn drift(State(api): State<Api>, by: By, Id(id): Id<Uuid>) -> Result<Json<Drift>, Problem> {
    visible(&api, &by, ListingId(id)).await?;
    let reader = Reader::open(&api.inner.pool, &by.caller);
    Ok(Json(api.inner.drift.read(ListingId(id), by.asked(), reader).await?))
}

impl From<NoDrift> for Problem {
    fn from(error: NoDrift) -> Self {
        match error {
            NoDrift::Listing(refusal) => refusal.into(),
            NoDrift::Target(error) => error.into(),
            NoDrift::History(error) => error.into(),
            NoDrift::Database(error) => error.into(),
            NoDrift::Known(PayloadError::Store(error)) => error.into(),
            NoDrift::NotNow(_) | NoDrift::Known(_) => ProblemKind::Conflict.because(error.to_string()),
            NoDrift::NoSlot(_) => ProblemKind::TimedOut.because(error.to_string()).retry_after(10),
            NoDrift::Channel { .. } => ProblemKind::ChannelFailed.because(error.to_string()),
        }
    }
}
