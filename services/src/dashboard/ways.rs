//! Ways from what a page shows to what is behind it. They are offered to those alone who may go them.

use chrono::{DateTime, SecondsFormat, Utc};
use domain::access::{Caller, Permission};
use maud::{Markup, html};
use uuid::Uuid;

/// What is open to whoever looks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ways {
    targets: bool,
    listings: bool,
    audit: bool,
}

impl Ways {
    /// Those of a caller.
    pub(super) fn of(caller: &Caller) -> Self {
        let may = |permission| caller.may(permission);
        let (targets, listings) = (may(Permission::ReadTargets), may(Permission::ReadListings));
        Self { targets, listings, audit: may(Permission::ReadAudit) }
    }

    /// To a target.
    pub(super) fn target(self, id: Uuid, name: &str) -> Markup {
        html! { @if self.targets { a href=(format!("/targets/{id}")) { (name) } } @else { (name) } }
    }

    /// To the listings that pass this filter.
    pub(super) fn listings(self, filter: &[(&str, &str)]) -> Option<String> {
        self.listings.then(|| address("/listings", filter))
    }

    /// To the syncs that pass this filter.
    pub(super) fn audit(self, filter: &[(&str, &str)]) -> Option<String> {
        self.audit.then(|| address("/audit", filter))
    }

    /// To the listings of a unit, as the search finds them: one alone is shown at once.
    pub(super) fn unit(self, unit: &str) -> Option<String> {
        self.listings.then(|| address("/search", &[("q", unit)]))
    }

    /// To a listing.
    pub(super) fn listing(self, id: Uuid, unit: &str) -> Markup {
        html! { @if self.listings { a href=(format!("/listings/{id}")) { (unit) } } @else { (unit) } }
    }
}

fn address(path: &str, filter: &[(&str, &str)]) -> String {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(filter).finish();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

/// A time of a filter, to the minute: of a live part whose link changed each second everybody would get each second's.
pub(super) fn minute(at: DateTime<Utc>) -> String {
    let whole = DateTime::from_timestamp(at.timestamp().div_euclid(60) * 60, 0).unwrap_or(at);
    whole.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// A figure, with the way to what it counts; `says` is both in words.
pub(super) fn led(way: Option<&str>, says: &str, figure: &Markup) -> Markup {
    html! { @match way { Some(way) => { a href=(way) aria-label=(says) { (figure) } }, None => { (figure) } } }
}
