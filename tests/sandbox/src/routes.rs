//! Every route of the sandbox, API and inspection. An unknown route, or a known path with another method, is a 404
//! in the envelope.

mod calendar;
mod images;
mod inspection;
mod listings;
mod reservations;
mod tokens;

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Request, State},
    http::Method,
    middleware::{Next, from_fn_with_state},
    response::Response,
    routing::{delete, get, post, put},
};
use serde_json::{Map, Value};

use crate::{
    envelope::{Refusal, raw},
    lookups,
    world::Shared,
};

pub fn router(world: Shared) -> Router {
    Router::new()
        .merge(api())
        .nest("/_sandbox", inspection())
        .fallback(async || Refusal::NotFound("Route"))
        .method_not_allowed_fallback(async || Refusal::NotFound("Route"))
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(world.clone(), count_changes))
        .with_state(world)
}

/// Counted after the call, so that what it changed is never taken for written.
async fn count_changes(State(world): State<Shared>, request: Request, next: Next) -> Response {
    let reads = request.method() == Method::GET;
    let answer = next.run(request).await;
    if !reads {
        world.touch();
    }
    answer
}

fn api() -> Router<Shared> {
    let lookup = |json: &'static str| get(async move || raw(json));
    Router::new()
        .route("/v1/accessTokens", post(tokens::issue).delete(tokens::revoke))
        .route("/v1/listings", get(listings::list).post(listings::create))
        .route("/v1/listings/{id}", get(listings::one).put(listings::update).delete(listings::remove))
        .route("/v1/listings/{id}/images", post(images::import))
        .route("/v1/listings/{id}/calendar", get(calendar::read).put(calendar::write_one))
        .route("/v1/listings/{id}/calendarIntervals", put(calendar::write_many))
        .route("/v1/reservations", get(reservations::list))
        .route("/v1/reservations/{id}", get(reservations::one))
        .route("/v1/amenities", lookup(lookups::AMENITIES))
        .route("/v1/propertyTypes", lookup(lookups::PROPERTY_TYPES))
        .route("/v1/bedTypes", lookup(lookups::BED_TYPES))
        .route("/v1/cancellationPolicies", lookup(lookups::CANCELLATION_POLICIES))
        .route("/v1/currencies", lookup(lookups::CURRENCIES))
        .route("/v1/countries", lookup(lookups::COUNTRIES))
        .route("/v1/timezones", lookup(lookups::TIMEZONES))
        .route("/v1/languages", lookup(lookups::LANGUAGES))
}

fn inspection() -> Router<Shared> {
    Router::new()
        .route("/accounts", post(inspection::put_account))
        .route("/accounts/{id}/listings", get(inspection::listings))
        .route("/accounts/{id}/listings/{listing}/calendar", get(inspection::calendar))
        .route("/accounts/{id}/listings/{listing}/archive", put(inspection::archive))
        .route("/arrivals", get(inspection::arrivals))
        .route("/summary", get(inspection::summary))
        .route("/faults", get(inspection::faults).post(inspection::add_faults).delete(inspection::clear_faults))
        .route("/faults/{id}", delete(inspection::remove_fault))
        .route("/limits", get(inspection::limits).put(inspection::set_limits))
        .route("/reservations", post(inspection::reserve))
        .route("/reservations/{id}/status", put(inspection::set_status))
        .route("/save", post(inspection::save))
        .route("/reset", post(inspection::reset))
}

/// Ids in paths; anything that is no id names nothing.
fn id(text: &str, what: &'static str) -> Result<u64, Refusal> {
    text.parse().map_err(|_| Refusal::NotFound(what))
}

fn json_body(body: &Bytes) -> Result<Value, Refusal> {
    serde_json::from_slice(body).map_err(|_| Refusal::NotJson)
}

fn object(body: &Bytes) -> Result<Map<String, Value>, Refusal> {
    match json_body(body)? {
        Value::Object(map) => Ok(map),
        _ => Err(Refusal::InvalidListing("The request body must be an object.".to_owned())),
    }
}
