//! Listings: list, read, create, partial update, delete. The order of work in an update is the documented one:
//! archived listings refuse, `[]` wipes rows, then the body is validated, then it is applied.

use axum::{
    body::Bytes,
    extract::{Path, RawQuery, State},
    response::Response,
};
use serde_json::Value;

use super::{id, object};
use crate::{
    envelope::{Page, Refusal, empty, listed, success},
    gate::Called,
    listing::{
        Listing,
        patch::{Patch, Wipes},
        view::{Depth, View},
    },
    query,
    world::Shared,
};

const DEFAULT_LIMIT: usize = 100;

/// Filters: `match`, `city`, `country`, `contactName`, `propertyTypeId`. Order is by id; `sortOrder` and all other
/// parameters are ignored.
pub async fn list(caller: Called, RawQuery(raw): RawQuery) -> Response {
    let raw = raw.unwrap_or_default();
    let size = |name| query::number(&raw, name).and_then(|n| usize::try_from(n).ok());
    let limit = size("limit").filter(|limit| *limit > 0).unwrap_or(DEFAULT_LIMIT);
    let offset = size("offset").unwrap_or(0);
    let filters = Filters::read(&raw);
    let books = caller.account.books();
    let depth = depth(&raw);
    let view = |listing| View { listing, depth };
    let wanted = query::value(&raw, "match").filter(|wanted| !wanted.trim().is_empty());
    if wanted.is_none() && filters.0.is_empty() {
        let rows: Vec<_> = books.listings.values().skip(offset).take(limit).map(view).collect();
        return listed(&rows, Page::new(limit, offset, books.listings.len()));
    }
    let mut found = match wanted {
        Some(wanted) => books.matching(&wanted),
        None => books.listings.values().collect(),
    };
    found.retain(|listing| filters.pass(listing));
    let rows: Vec<_> = found.iter().skip(offset).take(limit).map(|listing| view(listing)).collect();
    listed(&rows, Page::new(limit, offset, found.len()))
}

pub async fn one(caller: Called, Path(listing): Path<String>, RawQuery(raw): RawQuery) -> Result<Response, Refusal> {
    let books = caller.account.books();
    let listing = books.listings.get(&id(&listing, "Listing")?).ok_or(Refusal::NotFound("Listing"))?;
    Ok(success(&View { listing, depth: depth(&raw.unwrap_or_default()) }))
}

/// Not idempotent: two equal calls make two listings.
pub async fn create(State(world): State<Shared>, caller: Called, body: Bytes) -> Result<Response, Refusal> {
    let patch = Patch::read(&object(&body)?).map_err(Refusal::InvalidListing)?;
    patch.check_create().map_err(Refusal::InvalidListing)?;
    let mut listing = Listing::new(world.ids.listing(), caller.account.id);
    listing.apply(patch, &world.ids);
    let answer = success(&View { listing: &listing, depth: Depth::Full });
    if !caller.ignore_writes {
        caller.account.books().put(listing);
    }
    Ok(answer)
}

pub async fn update(
    State(world): State<Shared>,
    caller: Called,
    Path(listing): Path<String>,
    body: Bytes,
) -> Result<Response, Refusal> {
    let listing = id(&listing, "Listing")?;
    let body = object(&body)?;
    let write = |listing: &mut Listing| {
        refuse_archived(listing)?;
        if !caller.ignore_writes {
            listing.wipe(Wipes::of(&body));
        }
        let patch = Patch::read(&body).map_err(Refusal::InvalidListing)?;
        if !caller.ignore_writes {
            listing.apply(patch, &world.ids);
        }
        Ok(success(&View { listing, depth: Depth::Full }))
    };
    caller.account.books().change(listing, write).ok_or(Refusal::NotFound("Listing"))?
}

pub async fn remove(caller: Called, Path(listing): Path<String>) -> Result<Response, Refusal> {
    let listing = id(&listing, "Listing")?;
    let mut books = caller.account.books();
    if !books.listings.contains_key(&listing) {
        return Err(Refusal::NotFound("Listing"));
    }
    if !caller.ignore_writes {
        books.remove(listing);
    }
    Ok(empty())
}

/// Since 2025-11-15 an archived listing rejects every create and update.
pub fn refuse_archived(listing: &Listing) -> Result<(), Refusal> {
    if listing.archived {
        return Err(Refusal::InvalidListing(format!("Listing {} is archived and cannot be changed.", listing.id)));
    }
    Ok(())
}

fn depth(query: &str) -> Depth {
    if query::include_resources(query) { Depth::Full } else { Depth::Flat }
}

/// Exact, case-blind filters that were given.
struct Filters(Vec<(&'static str, String)>);

impl Filters {
    fn read(query: &str) -> Self {
        let given = |name| query::value(query, name).filter(|v| !v.is_empty()).map(|v| (name, v.to_lowercase()));
        Self(["city", "country", "contactName", "propertyTypeId"].into_iter().filter_map(given).collect())
    }

    fn pass(&self, listing: &Listing) -> bool {
        self.0.iter().all(|(name, wanted)| match (*name, listing.fields.get(name)) {
            ("country", _) => listing.country().is_some_and(|country| country.to_lowercase() == *wanted),
            (_, Some(Value::String(text))) => text.to_lowercase() == *wanted,
            (_, Some(value)) => value.as_u64().is_some() && value.as_u64() == wanted.parse().ok(),
            (_, None) => false,
        })
    }
}
