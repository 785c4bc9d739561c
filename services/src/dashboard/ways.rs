//! Ways from what a page shows to what is behind it. They are offered to those alone who may go them.

use domain::access::{Caller, Permission};
use maud::{Markup, html};
use uuid::Uuid;

/// What is open to whoever looks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ways {
    targets: bool,
    listings: bool,
}

impl Ways {
    /// Those of a caller.
    pub(super) fn of(caller: &Caller) -> Self {
        let may = |permission| caller.may(permission);
        Self { targets: may(Permission::ReadTargets), listings: may(Permission::ReadListings) }
    }

    /// To a target.
    pub(super) fn target(self, id: Uuid, name: &str) -> Markup {
        html! { @if self.targets { a href=(format!("/targets/{id}")) { (name) } } @else { (name) } }
    }

    /// To a listing.
    pub(super) fn listing(self, id: Uuid, unit: &str) -> Markup {
        html! { @if self.listings { a href=(format!("/listings/{id}")) { (unit) } } @else { (unit) } }
    }
}
