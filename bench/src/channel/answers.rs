//! As much of Hostaway as our client needs: tokens, look-up, creation, partial update, nights and their read-back. A
//! written listing is answered with what was written, without reading it, so that it costs next to nothing.

use bytes::Bytes;
use hyper::Method;
use serde_json::{Value, json};

use super::form::{json_bytes, parameter};
use super::nights;
use super::state::{Called, Listing, State};

const EMPTY: &[u8] = br#"{"status":"success","result":[]}"#;

/// The answer to a call, and what it was.
pub fn answer(state: &State, method: &Method, path: &str, query: &str, body: &Bytes) -> (Called, Bytes) {
    let path = path.strip_prefix("/v1/").unwrap_or(path);
    let mut parts = path.split('/');
    let (first, id, part) = (parts.next(), parts.next().and_then(|id| id.parse().ok()), parts.next());
    let called = |kind| Called { kind, listing: id.unwrap_or_default(), account: None };
    match (method, first, id, part) {
        (&Method::POST, Some("accessTokens"), ..) => token(body),
        (&Method::GET, Some("listings"), None, _) => (called('l'), look_up(state, query)),
        (&Method::POST, Some("listings"), None, _) => create(state, body),
        (&Method::PUT, Some("listings"), Some(id), None) => (called('w'), write(state, id, body)),
        (&Method::GET, Some("listings"), Some(id), None) => (called('r'), read(state, id)),
        (&Method::PUT, Some("listings"), Some(id), Some("calendar" | "calendarIntervals")) => {
            (called('n'), nights::write(state, id, part == Some("calendar"), body))
        }
        (&Method::GET, Some("listings"), Some(id), Some("calendar")) => (called('r'), nights::read(state, id, query)),
        _ => (called('?'), Bytes::from_static(br#"{"status":"fail","result":"Route not found"}"#)),
    }
}

fn token(body: &Bytes) -> (Called, Bytes) {
    let account = parameter(&String::from_utf8_lossy(body), "client_id").unwrap_or_default();
    let called = Called { kind: 't', listing: 0, account: account.parse().ok() };
    (called, json_bytes(&json!({"token_type": "Bearer", "expires_in": 63_158_400, "access_token": account})))
}

fn look_up(state: &State, query: &str) -> Bytes {
    let wanted = parameter(query, "match").unwrap_or_default();
    let found = state.words.borrow().get(&wanted).copied();
    let listings = state.listings.borrow();
    let row = |id: u64| Some(json!({"id": id, "internalListingName": listings.get(&id)?.reference}));
    let rows: Vec<Value> = found.and_then(row).into_iter().collect();
    json_bytes(&json!({"status": "success", "result": rows, "count": rows.len()}))
}

fn create(state: &State, body: &Bytes) -> (Called, Bytes) {
    let id = state.new_id();
    let read: Value = serde_json::from_slice(body).unwrap_or_default();
    let reference = read["internalListingName"].as_str().unwrap_or_default().to_owned();
    let words = reference.split_whitespace().map(|word| (word.to_owned(), id));
    state.words.borrow_mut().extend(words);
    let listing = Listing { body: body.clone(), reference, intervals: Vec::new() };
    state.listings.borrow_mut().insert(id, listing);
    (Called { kind: 'c', listing: id, account: None }, with_id(id, body))
}

fn write(state: &State, id: u64, body: &Bytes) -> Bytes {
    state.listings.borrow_mut().entry(id).or_default().body = body.clone();
    with_id(id, body)
}

fn read(state: &State, id: u64) -> Bytes {
    state.listings.borrow().get(&id).map_or(Bytes::from_static(EMPTY), |listing| with_id(id, &listing.body))
}

/// `{"status":"success","result":{"id":7,…what was sent…}}`, put together without reading it.
fn with_id(id: u64, body: &[u8]) -> Bytes {
    let Some(rest) = body.strip_prefix(b"{") else { return Bytes::from_static(EMPTY) };
    let head = format!(r#"{{"status":"success","result":{{"id":{id}"#);
    let comma: &[u8] = if rest.trim_ascii() == b"}" { b"" } else { b"," };
    Bytes::from([head.as_bytes(), comma, rest, b"}"].concat())
}
