//! Reservations, read only. Documented: order is `updatedOn` then `id`, both descending; `afterId` is the cursor (then
//! `offset` is ignored); the filter is `listingId`, and the wrong name `listingMapId` is ignored.

use axum::{
    extract::{Path, RawQuery},
    response::Response,
};

use super::id;
use crate::{
    envelope::{Page, Refusal, listed, success},
    gate::Called,
    query,
};

const DEFAULT_LIMIT: usize = 100;

pub async fn list(caller: Called, RawQuery(raw): RawQuery) -> Response {
    let raw = raw.unwrap_or_default();
    let size = |name| query::number(&raw, name).and_then(|n| usize::try_from(n).ok());
    let limit = size("limit").filter(|limit| *limit > 0).unwrap_or(DEFAULT_LIMIT);
    let books = caller.account.books();
    let listing = query::number(&raw, "listingId");
    let mut found: Vec<_> =
        books.reservations.values().filter(|row| listing.is_none_or(|id| row.listing_map_id == id)).collect();
    found.sort_unstable_by_key(|row| std::cmp::Reverse((row.changed, row.id)));
    let offset = match query::number(&raw, "afterId") {
        Some(after) => found.iter().position(|row| row.id == after).map_or(0, |index| index + 1),
        None => size("offset").unwrap_or(0),
    };
    let rows: Vec<_> = found.iter().skip(offset).take(limit).collect();
    listed(&rows, Page::new(limit, offset, found.len()))
}

pub async fn one(caller: Called, Path(reservation): Path<String>) -> Result<Response, Refusal> {
    let books = caller.account.books();
    let id = id(&reservation, "Reservation")?;
    Ok(success(books.reservations.get(&id).ok_or(Refusal::NotFound("Reservation"))?))
}
