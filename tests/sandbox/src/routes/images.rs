//! Asynchronous import of images (documented since 2026-01-27): the answer comes at once, the rows appear later.

use axum::{
    body::Bytes,
    extract::{Path, State},
    response::Response,
};
use serde_json::{Value, json};

use super::{id, json_body, listings::refuse_archived};
use crate::{
    envelope::{Refusal, success},
    gate::Called,
    listing::rows::NewImage,
    world::Shared,
};

pub async fn import(
    State(world): State<Shared>,
    caller: Called,
    Path(listing): Path<String>,
    body: Bytes,
) -> Result<Response, Refusal> {
    let listing = id(&listing, "Listing")?;
    refuse_archived(caller.account.books().listings.get(&listing).ok_or(Refusal::NotFound("Listing"))?)?;
    let body = json_body(&body)?;
    let rows = body.get("images").and_then(Value::as_array).filter(|rows| !rows.is_empty());
    let missing = "The \"images\" parameter is required and must be a non-empty array.";
    let rows = rows.ok_or_else(|| Refusal::Invalid(missing.to_owned()))?;
    let images = NewImage::read_all(rows).map_err(Refusal::Invalid)?;
    let count = images.len();
    if !caller.ignore_writes {
        let account = caller.account.clone();
        let imports = world.clone();
        imports.import(async move {
            tokio::time::sleep(world.config.image_delay).await;
            // The listing may have been deleted meanwhile; then there is nothing to add to.
            account.books().change(listing, |listing| listing.add_images(images, &[], &world.ids));
            world.touch();
        });
    }
    let message =
        format!("Image upload job scheduled for listing {listing}. {count} images will be processed asynchronously.");
    Ok(success(&json!({ "message": message, "imagesCount": count })))
}
