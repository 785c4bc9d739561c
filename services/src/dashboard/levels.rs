//! Whether the promises hold. They cost more than the rest of the overview, so they are computed at most every few
//! seconds, whoever looks.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use domain::ids::OrgId;
use maud::{Markup, html};
use tokio::time::Instant;

use super::pieces::number;
use super::ways::{Ways, minute};
use crate::api::Api;
use crate::api::by::By;
use crate::api::reader::account_filter;
use crate::api::service_levels::levels_of;
use crate::views::audit::FAILED;
use crate::views::service_levels::{Level, ServiceLevels};

/// How long they are good for: some promises are about the last ten minutes, none about the last seconds.
const GOOD_FOR: Duration = Duration::from_secs(5);

type Known = HashMap<(OrgId, Option<Vec<String>>), (Instant, Arc<ServiceLevels>)>;

/// The levels that were computed last, by who sees them. Clones share everything.
#[derive(Debug, Clone, Default)]
pub(super) struct Levels {
    known: Arc<Mutex<Known>>,
}

impl Levels {
    /// Those of a caller, at most some seconds old.
    pub(super) async fn of(&self, api: &Api, by: &By) -> Result<Arc<ServiceLevels>, sqlx::Error> {
        let key = (by.caller.org_id.clone(), account_filter(&by.caller));
        if let Some((at, levels)) = self.with(|known| known.get(&key).cloned())
            && at.elapsed() < GOOD_FOR
        {
            return Ok(levels);
        }
        let levels = Arc::new(levels_of(api, by).await?);
        self.with(|known| {
            known.retain(|_, (at, _)| at.elapsed() < GOOD_FOR);
            known.insert(key, (Instant::now(), levels.clone()))
        });
        Ok(levels)
    }

    fn with<T>(&self, act: impl FnOnce(&mut Known) -> T) -> T {
        act(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Each promise with what it is now.
pub(super) fn show(levels: &ServiceLevels, ways: Ways) -> Markup {
    html! { ul.levels { @for level in &levels.levels { (one(level, way(level, levels.at, ways).as_deref())) } } }
}

/// To the syncs that a promise is about, or to what waits; of one about the service itself there are none. `at` is when it was computed.
pub(super) fn way(level: &Level, at: DateTime<Utc>, ways: Ways) -> Option<String> {
    match level.name {
        "syncs_in_time" => ways.listings(&[("outcome", "pending")]),
        "sync_failures" => {
            let since = minute(at - TimeDelta::hours(24));
            ways.audit(&[("outcome", FAILED), ("ended_since", since.as_str())])
        }
        "throttled_calls" => of_throttled(at, ways),
        "snapshot_replay" => ways.audit(&[("cause", "replayed")]),
        "audit_coverage" => ways.audit(&[]),
        _ => None,
    }
}

/// To the syncs whose calls were answered with 429 in the minutes that the level of `at` is about: those that began less than ten ago.
pub(super) fn of_throttled(at: DateTime<Utc>, ways: Ways) -> Option<String> {
    let since = minute(at - TimeDelta::minutes(9));
    ways.audit(&[("class", "throttled"), ("called_since", since.as_str())])
}

/// How many calls were answered with 429, and of how many.
pub(super) fn throttled(levels: &ServiceLevels) -> (i64, i64) {
    levels.throttled().unwrap_or_default()
}

fn one(level: &Level, way: Option<&str>) -> Markup {
    let (tone, verdict) = match level.holds {
        Some(true) => ("good", "holds"),
        Some(false) => ("bad", "broken"),
        None => ("idle", "nothing to judge by"),
    };
    html! { li title=(level.window) {
        p.promise { @match way { Some(way) => { a href=(way) { (level.promise) } }, None => { (level.promise) } } }
        p.now { @if let Some(shown) = level.shown() { strong { (shown) } " " } span.state.(tone) { (verdict) } }
        p.quiet { (level.window) @if level.observed > 0 { ", " (number(level.observed)) " seen" } }
    } }
}
