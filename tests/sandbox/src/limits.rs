//! Rate limits as sliding exact windows over arrival times, per account id and per IP, and the 429 answer. A general
//! call is charged to both counters; a refused call is charged to neither (our choice, the documentation is silent).

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    net::IpAddr,
    sync::Mutex,
};

use axum::{http::StatusCode, response::Response};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::envelope;

/// At most `limit` calls in any `window_ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// Calls admitted per window.
    pub limit: u32,
    /// Length of the sliding window, milliseconds.
    pub window_ms: u64,
}

/// What is enforced; `None` enforces nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitTable {
    /// Per account id, unless overridden.
    pub account: Option<Limit>,
    /// Per peer address (or first `X-Forwarded-For` entry).
    pub ip: Option<Limit>,
    /// Overrides by account id; `null` lifts the limit for that account.
    pub accounts: BTreeMap<u64, Option<Limit>>,
}

impl LimitTable {
    /// Published since the correction of 2026-08-20: 200 per 10 s per account id and per IP.
    pub fn current() -> Self {
        let limit = Some(Limit { limit: 200, window_ms: 10_000 });
        Self { account: limit, ip: limit, accounts: BTreeMap::new() }
    }

    /// Published until then: 20 per 10 s per account id, 15 per 10 s per IP.
    pub fn old() -> Self {
        Self {
            account: Some(Limit { limit: 20, window_ms: 10_000 }),
            ip: Some(Limit { limit: 15, window_ms: 10_000 }),
            accounts: BTreeMap::new(),
        }
    }

    fn of_account(&self, account: u64) -> Option<Limit> {
        self.accounts.get(&account).copied().unwrap_or(self.account)
    }
}

/// Reads `N/WINDOW_S`, for example `12/10`.
pub fn parse_limit(text: &str) -> Result<Limit, String> {
    let wrong = || format!("{text:?} is not N/WINDOW_S (for example 12/10)");
    let (limit, window_s) = text.split_once('/').ok_or_else(wrong)?;
    let limit = limit.parse::<u32>().map_err(|_| wrong())?;
    let window_s = window_s.parse::<u64>().map_err(|_| wrong())?;
    if limit == 0 || window_s == 0 {
        return Err(format!("{text:?}: both numbers must be at least 1"));
    }
    Ok(Limit { limit, window_ms: window_s.saturating_mul(1000) })
}

/// Reads `off`, `current`, `old` or `N/WINDOW_S` (per account, no limit per IP).
pub fn parse_table(text: &str) -> Result<LimitTable, String> {
    match text {
        "off" => Ok(LimitTable::default()),
        "current" => Ok(LimitTable::current()),
        "old" => Ok(LimitTable::old()),
        _ => Ok(LimitTable { account: Some(parse_limit(text)?), ..LimitTable::default() }),
    }
}

/// Which counter refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Applied {
    #[default]
    Account,
    Ip,
}

/// A refused call: the limit that applied and when its window has room again.
#[derive(Debug)]
pub struct Exceeded {
    pub applied: Applied,
    pub limit: u32,
    pub retry_at_us: u64,
}

impl Exceeded {
    /// HTTP 429 with the documented body and `X-RateLimit-*` headers; `X-RateLimit-Retry-After` is the Unix time to
    /// retry at, in whole seconds (rounded up), not a delay. There is no `Retry-After`.
    pub fn answer(&self) -> Response {
        let body = json!({ "status": "fail", "message": "You have exceeded the API rate limits. Please slow down your requests and try again later." });
        let mut answer = envelope::json_answer(StatusCode::TOO_MANY_REQUESTS, &body);
        let headers = answer.headers_mut();
        headers.insert("x-ratelimit-limit", self.limit.into());
        headers.insert("x-ratelimit-remaining", 0.into());
        headers.insert("x-ratelimit-retry-after", self.retry_at_us.div_ceil(1_000_000).into());
        let applied = if self.applied == Applied::Account { "account" } else { "ip" };
        headers.insert("x-ratelimit-applied", axum::http::HeaderValue::from_static(applied));
        answer
    }
}

#[derive(PartialEq, Eq, Hash, Clone, Copy)]
enum Counter {
    Account(u64),
    Ip(IpAddr),
}

struct Inner {
    table: LimitTable,
    admitted: HashMap<Counter, VecDeque<u64>>,
}

pub struct Limits(Mutex<Inner>);

impl Limits {
    pub fn new(table: LimitTable) -> Self {
        Self(Mutex::new(Inner { table, admitted: HashMap::new() }))
    }

    /// Replaces the table; calls admitted before still count in the windows.
    pub fn set(&self, table: LimitTable) {
        self.lock().table = table;
    }

    pub fn table(&self) -> LimitTable {
        self.lock().table.clone()
    }

    pub fn forget(&self, table: LimitTable) {
        *self.lock() = Inner { table, admitted: HashMap::new() };
    }

    /// Charges an arrival to its counters, or says which one is full. The IP counter is looked at first.
    pub fn admit(&self, account: Option<u64>, ip: IpAddr, at_us: u64) -> Result<(), Exceeded> {
        let mut inner = self.lock();
        let ip = inner.table.ip.map(|limit| (Counter::Ip(ip), limit));
        let account = account.and_then(|id| inner.table.of_account(id).map(|limit| (Counter::Account(id), limit)));
        let charged: Vec<_> = [ip, account].into_iter().flatten().collect();
        for (counter, limit) in &charged {
            let times = inner.admitted.entry(*counter).or_default();
            let window_us = limit.window_ms.saturating_mul(1000);
            // Half-open: a call exactly one window after another no longer shares a window with it.
            while times.front().is_some_and(|first| first + window_us <= at_us) {
                times.pop_front();
            }
            let full_until = times.len().checked_sub(limit.limit as usize).and_then(|index| times.get(index));
            if let Some(frees) = full_until {
                let applied = if matches!(counter, Counter::Ip(_)) { Applied::Ip } else { Applied::Account };
                return Err(Exceeded { applied, limit: limit.limit, retry_at_us: frees + window_us });
            }
        }
        for (counter, _) in charged {
            inner.admitted.entry(counter).or_default().push_back(at_us);
        }
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().expect("no holder of the limits panics")
    }
}
