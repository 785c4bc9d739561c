//! Pages of lists: a cursor says where the next one begins, whatever is added meanwhile.

use std::ops::RangeInclusive;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::text::json_holds_nul;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::problem::Problem;

/// Rows of a page where the caller does not say how many.
pub(super) const DEFAULT_LIMIT: i64 = 50;
/// How many rows a page may have.
pub(super) const LIMITS: RangeInclusive<i64> = 1..=500;
/// Rows that are looked through for a page, where no index knows which of them are wanted.
pub(super) const DEPTH: i64 = 20_000;
/// The most characters of a cursor: it names a row, whose key is short.
pub(super) const LONGEST_CURSOR: usize = 2_048;
/// What a cursor looks like, as a regular expression.
pub(super) const CURSOR_PATTERN: &str = "^[A-Za-z0-9_-]+$";

/// A page of a list.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The rows, in the order of the list.
    pub items: Vec<T>,
    /// Give it back as `cursor` for the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// A page of rows of which one more than `limit` was asked for.
    pub(crate) fn of<K: Serialize>(mut items: Vec<T>, limit: i64, key: impl Fn(&T) -> K) -> Self {
        let shown = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = items.len() > shown;
        items.truncate(shown);
        let next_cursor = items.last().filter(|_| more).map(|last| encode(&key(last)));
        Self { items, next_cursor }
    }
}

/// The number of rows that a request asks for.
pub(crate) fn limit(asked: Option<i64>) -> Result<i64, Problem> {
    match asked {
        None => Ok(DEFAULT_LIMIT),
        Some(limit) if LIMITS.contains(&limit) => Ok(limit),
        Some(other) => {
            Err(Problem::field("limit", format!("{other}; {} to {} rows make a page", LIMITS.start(), LIMITS.end())))
        }
    }
}

pub(super) fn encode<K: Serialize>(key: &K) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(key).unwrap_or_default())
}

/// What a cursor says.
pub(crate) fn decode<K: DeserializeOwned>(cursor: Option<&str>) -> Result<Option<K>, Problem> {
    let Some(cursor) = cursor else { return Ok(None) };
    let fits = (1..=LONGEST_CURSOR).contains(&cursor.len()).then_some(cursor);
    let key = fits.and_then(|cursor| URL_SAFE_NO_PAD.decode(cursor).ok()).filter(|json| !json_holds_nul(json));
    let key = key.and_then(|json| serde_json::from_slice(&json).ok());
    key.map(Some).ok_or_else(|| Problem::field("cursor", "is none of this list: give back next_cursor as it came"))
}
