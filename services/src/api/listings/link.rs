//! Putting a unit on a target.

use axum::extract::State;
use domain::ids::{ListingId, TargetId, UnitId};
use domain::recorded::Position;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::read::visible;
use crate::api::Api;
use crate::api::answer::Changed;
use crate::api::by::By;
use crate::api::input::{Body, read};
use crate::api::problem::Problem;
use crate::api::targets::visible_target;
use crate::linking::AtChannel;

/// A unit and a target. Whoever is signed in gets the example with ids of their own; else take `target_id` from `GET /api/channels/targets`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"target_id": "0199f0f0-0000-7000-8000-000000000000", "unit_id": "villa-0042"}))]
pub(in crate::api) struct LinkListing {
    #[serde(deserialize_with = "read::required")]
    target_id: Uuid,
    /// A unit of the caller's organisation, published or not. One that is of another account than the target's is followed in both.
    #[schema(value_type = String)]
    unit_id: UnitId,
    /// The listing at the channel, where there is one already, and not one that another listing of the target has.
    external_id: Option<String>,
    /// Do not take up what an earlier link had at the channel.
    #[serde(default)]
    afresh: bool,
}

/// What a link did.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::api) struct LinkedListing {
    listing_id: Uuid,
    target_id: Uuid,
    unit_id: String,
    /// Whether a first sync was asked for; not if the unit was never published.
    sync_requested: bool,
    /// Where it stands in the journal.
    position: i64,
}

/// Link a unit to a target. Its first sync is asked for at once.
#[utoipa::path(post, path = "/api/channels/listings", tag = "listings", request_body = LinkListing,
    responses((status = 201, body = LinkedListing), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(in crate::api) async fn link(
    State(api): State<Api>,
    by: By,
    Body(wanted): Body<LinkListing>,
) -> Result<Changed<LinkedListing>, Problem> {
    let target_id = TargetId(wanted.target_id);
    let unknown = |problem: Problem| Problem { field: Some("target_id".to_owned()), ..problem };
    let (target, _) = visible_target(&api, &by, target_id).await.map_err(unknown)?;
    let at_channel = match wanted.external_id.as_deref() {
        Some(_) if wanted.afresh => {
            return Err(Problem::field("afresh", "give external_id or afresh, not both"));
        }
        Some(id) => AtChannel::Listing(
            target.channel.external_id(id).map_err(|invalid| Problem::field("external_id", invalid.to_string()))?,
        ),
        None if wanted.afresh => AtChannel::Afresh,
        None => AtChannel::Kept,
    };
    let (syncing, accounts) = (&api.inner.syncing, &by.caller.accounts);
    let linked = syncing.link_of(accounts, target_id, wanted.unit_id, at_channel, by.asked()).await?;
    self::linked(&api, &by, linked.listing_id, linked.position, linked.sync_requested).await
}

/// The answer to a link.
pub(in crate::api) async fn linked(
    api: &Api,
    by: &By,
    id: ListingId,
    position: Position,
    sync_requested: bool,
) -> Result<Changed<LinkedListing>, Problem> {
    let (link, _, version) = visible(api, by, id).await?;
    let body = LinkedListing {
        listing_id: id.0,
        target_id: link.target_id.0,
        unit_id: link.unit_id.to_string(),
        sync_requested,
        position: position.0,
    };
    Ok(Changed::new(Some(position), version, body).created(format!("/api/channels/listings/{id}")))
}
