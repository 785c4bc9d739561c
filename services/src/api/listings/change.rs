//! What changes a listing's life: pause, resume, unlink.

use axum::extract::State;
use domain::ids::ListingId;
use domain::listing::ListingCommand;
use domain::recorded::Position;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::read::visible;
use crate::api::Api;
use crate::api::answer::Changed;
use crate::api::by::By;
use crate::api::if_match::{IfMatch, IfMatchHeader};
use crate::api::input::{Body, Id};
use crate::api::problem::Problem;
use crate::api::targets::Reason;

/// A listing after a change.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ListingState {
    listing_id: Uuid,
    /// `active`, `paused` or `unlinked`.
    state: String,
    /// Sequence of its last event; the ETag.
    version: i64,
    /// Where the change stands in the journal; absent where there was nothing to change.
    position: Option<i64>,
}

/// Hold a listing's syncs.
#[utoipa::path(post, path = "/api/channels/listings/{listing_id}/pause", tag = "listings", request_body = Reason,
    params(("listing_id" = Uuid, Path, description = "The listing"), IfMatchHeader),
    responses((status = 200, body = ListingState), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn pause(
    State(api): State<Api>,
    by: By,
    Id(id): Id<Uuid>,
    if_match: IfMatch,
    Body(reason): Body<Reason>,
) -> Result<Changed<ListingState>, Problem> {
    let command = ListingCommand::Pause { reason: reason.checked()? };
    change(&api, &by, ListingId(id), &if_match, command).await
}

/// Send again.
#[utoipa::path(post, path = "/api/channels/listings/{listing_id}/resume", tag = "listings",
    params(("listing_id" = Uuid, Path, description = "The listing"), IfMatchHeader),
    responses((status = 200, body = ListingState), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn resume(
    State(api): State<Api>,
    by: By,
    Id(id): Id<Uuid>,
    if_match: IfMatch,
) -> Result<Changed<ListingState>, Problem> {
    change(&api, &by, ListingId(id), &if_match, ListingCommand::Resume).await
}

/// Take a listing off its target. What stands at the channel stays there.
#[utoipa::path(delete, path = "/api/channels/listings/{listing_id}", tag = "listings", request_body = Reason,
    params(("listing_id" = Uuid, Path, description = "The listing"), IfMatchHeader),
    responses((status = 200, body = ListingState), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn unlink(
    State(api): State<Api>,
    by: By,
    Id(id): Id<Uuid>,
    if_match: IfMatch,
    Body(reason): Body<Reason>,
) -> Result<Changed<ListingState>, Problem> {
    let command = ListingCommand::Unlink { reason: reason.checked()? };
    change(&api, &by, ListingId(id), &if_match, command).await
}

async fn change(
    api: &Api,
    by: &By,
    id: ListingId,
    if_match: &IfMatch,
    command: ListingCommand,
) -> Result<Changed<ListingState>, Problem> {
    let (link, _, found) = visible(api, by, id).await?;
    let metadata = by.metadata(link.org_id, link.account_id, link.target_id, Some(link.unit_id));
    let commands = api.inner.syncing.commands();
    let position = match if_match.at(found)? {
        Some(version) => commands.listing_at(id, version, command, &metadata).await?,
        None => commands.listing(id, command, &metadata).await?,
    };
    changed(api, by, id, position).await
}

/// The answer to a change: where the listing is in its life now.
pub(in crate::api) async fn changed(
    api: &Api,
    by: &By,
    id: ListingId,
    position: Option<Position>,
) -> Result<Changed<ListingState>, Problem> {
    let (_, listing, version) = visible(api, by, id).await.map_err(Problem::after_change)?;
    let state = listing.state().map(|state| state.as_str().to_owned()).unwrap_or_default();
    let body = ListingState { listing_id: id.0, state, version, position: position.map(|position| position.0) };
    Ok(Changed::new(position, version, body))
}
