//! The inspection API under `/_sandbox/`: what the sandbox holds and saw, and the levers (accounts, limits, faults,
//! reservations, archive, save, reset). No authentication, no limits, no faults, not recorded; plain JSON, no envelope.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, RawQuery, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::calendar::{days, span};
use crate::{
    arrivals::{Purpose, Record},
    envelope::json_answer,
    faults::Rule,
    limits::LimitTable,
    listing::view::{Depth, View},
    query,
    reservations::Seed,
    store::Account,
    summary::summarise,
    world::{Shared, World},
};

/// A refused inspection call: `{"error": "..."}`.
pub struct Problem(StatusCode, String);

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        json_answer(self.0, &json!({ "error": self.1 }))
    }
}

type Answer = Result<Response, Problem>;

fn bad(reason: impl Into<String>) -> Problem {
    Problem(StatusCode::BAD_REQUEST, reason.into())
}

fn unknown(what: &str, id: impl std::fmt::Display) -> Problem {
    Problem(StatusCode::NOT_FOUND, format!("{what} {id} is unknown"))
}

fn ok<T: Serialize + ?Sized>(body: &T) -> Response {
    json_answer(StatusCode::OK, body)
}

fn parse<T: DeserializeOwned>(value: Value) -> Result<T, Problem> {
    serde_json::from_value(value).map_err(|error| bad(error.to_string()))
}

fn account(world: &World, id: u64) -> Result<Arc<Account>, Problem> {
    world.account(id).ok_or_else(|| unknown("account", id))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewAccount {
    account_id: u64,
    secret: String,
}

pub async fn put_account(State(world): State<Shared>, Json(body): Json<Value>) -> Answer {
    let NewAccount { account_id, secret } = parse(body)?;
    if account_id == 0 || secret.is_empty() {
        return Err(bad("account_id must be above 0 and secret not empty"));
    }
    world.put_account(account_id, secret);
    Ok(ok(&json!({ "account_id": account_id })))
}

pub async fn listings(State(world): State<Shared>, Path(id): Path<u64>) -> Answer {
    let account = account(&world, id)?;
    let books = account.books();
    let rows: Vec<_> = books.listings.values().map(|listing| View { listing, depth: Depth::Inspection }).collect();
    Ok(ok(&json!({ "account_id": id, "count": rows.len(), "listings": rows })))
}

pub async fn calendar(
    State(world): State<Shared>,
    Path((id, listing)): Path<(u64, u64)>,
    RawQuery(raw): RawQuery,
) -> Answer {
    let account = account(&world, id)?;
    let books = account.books();
    let found = books.listings.get(&listing).ok_or_else(|| unknown("listing", listing))?;
    let span = span(&raw.unwrap_or_default()).map_err(bad)?;
    Ok(ok(&json!({ "listing_id": listing, "days": days(&books, found, span, true) })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Archive {
    archived: bool,
}

/// Body `{"archived": false}` brings it back; without a body it is archived.
pub async fn archive(
    State(world): State<Shared>,
    Path((id, listing)): Path<(u64, u64)>,
    body: Option<Json<Value>>,
) -> Answer {
    let Archive { archived } = body.map_or(Ok(Archive { archived: true }), |Json(body)| parse(body))?;
    let changed = account(&world, id)?.books().change(listing, |listing| listing.archived = archived);
    changed.ok_or_else(|| unknown("listing", listing))?;
    Ok(ok(&json!({ "listing_id": listing, "archived": archived })))
}

#[derive(Serialize)]
struct Arrival<'a> {
    at_us: u64,
    account: Option<u64>,
    ip: std::net::IpAddr,
    purpose: Purpose,
    method: &'a str,
    path: &'a str,
    query: &'a str,
    body_bytes: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a str>,
    request_id: Option<&'a str>,
    status: Option<u16>,
    duration_us: u64,
}

impl<'a> From<&'a Record> for Arrival<'a> {
    fn from(record: &'a Record) -> Self {
        Self {
            at_us: record.at_us,
            account: Some(record.account).filter(|account| *account != 0),
            ip: record.ip,
            purpose: record.purpose,
            method: record.method.as_str(),
            path: &record.path,
            query: &record.query,
            body_bytes: record.body_bytes,
            body: record.body.as_deref(),
            request_id: record.request_id.as_deref(),
            status: Some(record.status).filter(|status| *status != 0),
            duration_us: record.duration_us,
        }
    }
}

/// Oldest first, from `since_us` (included), at most `limit` (default 1,000).
pub async fn arrivals(State(world): State<Shared>, RawQuery(raw): RawQuery) -> Response {
    let raw = raw.unwrap_or_default();
    let wanted = query::number(&raw, "account");
    let since = query::number(&raw, "since_us").unwrap_or(0);
    let limit = query::number(&raw, "limit").and_then(|n| usize::try_from(n).ok()).unwrap_or(1000);
    world.arrivals.read(|records, dropped| {
        let start = records.partition_point(|record| record.at_us < since);
        let rows = records.range(start..).filter(|record| wanted.is_none_or(|id| record.account == id));
        let rows: Vec<Arrival<'_>> = rows.take(limit).map(Arrival::from).collect();
        ok(&json!({ "total": records.len(), "dropped": dropped, "arrivals": rows }))
    })
}

pub async fn summary(State(world): State<Shared>, RawQuery(raw): RawQuery) -> Answer {
    let window_ms = query::number(&raw.unwrap_or_default(), "window_ms").unwrap_or(10_000);
    if window_ms == 0 {
        return Err(bad("window_ms must be above 0"));
    }
    Ok(ok(&summarise(&world, window_ms)))
}

pub async fn faults(State(world): State<Shared>) -> Response {
    ok(&json!({ "faults": world.faults.list() }))
}

/// One rule or an array of rules; none is taken when one is bad.
pub async fn add_faults(State(world): State<Shared>, Json(body): Json<Value>) -> Answer {
    let rows = match body {
        Value::Array(rows) => rows,
        one => vec![one],
    };
    let rules = rows.into_iter().map(parse::<Rule>).collect::<Result<Vec<_>, _>>()?;
    rules.iter().try_for_each(Rule::check).map_err(bad)?;
    let added: Vec<Rule> = rules.into_iter().map(|rule| world.faults.add(rule)).collect();
    Ok(ok(&json!({ "faults": added })))
}

pub async fn clear_faults(State(world): State<Shared>) -> Response {
    world.faults.clear();
    ok(&json!({ "faults": [] }))
}

pub async fn remove_fault(State(world): State<Shared>, Path(id): Path<u64>) -> Answer {
    if !world.faults.remove(id) {
        return Err(unknown("fault", id));
    }
    Ok(ok(&json!({ "faults": world.faults.list() })))
}

pub async fn limits(State(world): State<Shared>) -> Response {
    ok(&world.limits.table())
}

/// Replaces the whole table: a part left out is off.
pub async fn set_limits(State(world): State<Shared>, Json(body): Json<Value>) -> Answer {
    let table: LimitTable = parse(body)?;
    let all = table.accounts.values().copied().chain([table.account, table.ip]).flatten();
    if all.into_iter().any(|limit| limit.limit == 0 || limit.window_ms == 0) {
        return Err(bad("limit and window_ms must be at least 1"));
    }
    world.limits.set(table);
    Ok(ok(&world.limits.table()))
}

pub async fn reserve(State(world): State<Shared>, Json(body): Json<Value>) -> Answer {
    let seed: Seed = parse(body)?;
    let account = account(&world, seed.account_id)?;
    let mut books = account.books();
    Ok(ok(books.reserve(seed, &world.ids).map_err(bad)?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Status {
    account_id: u64,
    status: String,
}

pub async fn set_status(State(world): State<Shared>, Path(id): Path<u64>, Json(body): Json<Value>) -> Answer {
    let Status { account_id, status } = parse(body)?;
    let account = account(&world, account_id)?;
    let mut books = account.books();
    Ok(ok(books.set_status(id, status, &world.ids).ok_or_else(|| unknown("reservation", id))?))
}

/// Writes the state file at once.
pub async fn save(State(world): State<Shared>) -> Answer {
    let Some(path) = world.state_file.as_ref().map(|file| file.path().display().to_string()) else {
        return Err(Problem(StatusCode::NOT_FOUND, "the sandbox was started without --state-file".to_owned()));
    };
    let failed = |error| Problem(StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}"));
    let write = tokio::task::spawn_blocking(move || world.save()).await.map_err(anyhow::Error::from);
    write.and_then(|written| written).map_err(failed)?;
    Ok(ok(&json!({ "saved": path })))
}

/// Back to the accounts and limits of the command line and nothing else; the state file follows.
pub async fn reset(State(world): State<Shared>) -> Response {
    world.reset();
    ok(&json!({ "reset": true }))
}
