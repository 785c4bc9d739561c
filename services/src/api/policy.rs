//! Which permission each route needs; which roles have it says `domain/src/access.rs`. Requests that no line names are refused, and a test
//! holds the table against the served document. The tables of `services/API.md` are made from it.

use axum::http::Method;
use domain::access::Permission;

/// What a route asks of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Anybody may.
    Public,
    /// Anybody who is signed in may.
    SignedIn,
    /// One of the caller's roles has to have this.
    Needs(Permission),
}

/// A route with its rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// Its method.
    pub method: &'static str,
    /// Its path, as the router knows it.
    pub path: &'static str,
    /// What it asks.
    pub rule: Rule,
}

const fn route(method: &'static str, path: &'static str, rule: Rule) -> Route {
    Route { method, path, rule }
}

const fn needs(method: &'static str, path: &'static str, permission: Permission) -> Route {
    route(method, path, Rule::Needs(permission))
}

/// Every route of the API.
pub const ROUTES: &[Route] = &[
    route("GET", "/health/live", Rule::Public),
    route("GET", "/health/ready", Rule::Public),
    route("GET", "/version", Rule::Public),
    route("GET", "/api/channels/me", Rule::SignedIn),
    needs("GET", "/api/channels/targets", Permission::ReadTargets),
    needs("POST", "/api/channels/targets", Permission::WriteTargets),
    needs("GET", "/api/channels/targets/{target_id}", Permission::ReadTargets),
    needs("PATCH", "/api/channels/targets/{target_id}", Permission::WriteTargets),
    needs("DELETE", "/api/channels/targets/{target_id}", Permission::WriteTargets),
    needs("GET", "/api/channels/targets/{target_id}/health", Permission::ReadTargets),
    needs("GET", "/api/channels/targets/{target_id}/history", Permission::ReadAudit),
    needs("GET", "/api/channels/targets/{target_id}/visits", Permission::ReadAudit),
    needs("POST", "/api/channels/targets/{target_id}/check", Permission::WriteTargets),
    needs("POST", "/api/channels/targets/{target_id}/pause", Permission::WriteTargets),
    needs("POST", "/api/channels/targets/{target_id}/resume", Permission::WriteTargets),
    needs("POST", "/api/channels/targets/{target_id}/credential", Permission::WriteTargets),
    needs("GET", "/api/channels/listings", Permission::ReadListings),
    needs("POST", "/api/channels/listings", Permission::LinkListings),
    needs("GET", "/api/channels/listings/{listing_id}", Permission::ReadListings),
    needs("DELETE", "/api/channels/listings/{listing_id}", Permission::LinkListings),
    needs("GET", "/api/channels/listings/{listing_id}/history", Permission::ReadAudit),
    needs("GET", "/api/channels/listings/{listing_id}/explain", Permission::ReadListings),
    needs("GET", "/api/channels/listings/{listing_id}/preview", Permission::ReadListings),
    needs("POST", "/api/channels/listings/{listing_id}/sync", Permission::SyncListings),
    needs("POST", "/api/channels/listings/{listing_id}/retry", Permission::SyncListings),
    needs("POST", "/api/channels/listings/{listing_id}/drift", Permission::SyncListings),
    needs("POST", "/api/channels/listings/{listing_id}/pause", Permission::SyncListings),
    needs("POST", "/api/channels/listings/{listing_id}/resume", Permission::SyncListings),
    needs("GET", "/api/channels/queue", Permission::ReadListings),
    needs("GET", "/api/channels/service-levels", Permission::ReadTargets),
    needs("GET", "/api/channels/audit", Permission::ReadAudit),
    needs("GET", "/api/channels/audit/export", Permission::ReadAudit),
    needs("GET", "/api/channels/audit/{sync_id}", Permission::ReadAudit),
    needs("GET", "/api/channels/dead-letters", Permission::ReadDeadLetters),
    needs("GET", "/api/channels/dead-letters/decisions", Permission::ReadDeadLetters),
    needs("POST", "/api/channels/dead-letters/{number}/replay", Permission::WriteDeadLetters),
    needs("DELETE", "/api/channels/dead-letters/{number}", Permission::WriteDeadLetters),
];

/// Every page of the dashboard, and what its forms send.
pub const PAGES: &[Route] = &[
    route("GET", "/", Rule::SignedIn),
    route("GET", "/live", Rule::SignedIn),
    needs("GET", "/search", Permission::ReadAudit),
    needs("GET", "/targets", Permission::ReadTargets),
    needs("GET", "/targets/{target_id}", Permission::ReadTargets),
    needs("GET", "/targets/{target_id}/history", Permission::ReadAudit),
    needs("POST", "/targets/{target_id}/pause", Permission::WriteTargets),
    needs("POST", "/targets/{target_id}/resume", Permission::WriteTargets),
    needs("POST", "/targets/{target_id}/check", Permission::WriteTargets),
    needs("POST", "/targets/{target_id}/credential", Permission::WriteTargets),
    needs("GET", "/listings", Permission::ReadListings),
    needs("GET", "/listings/{listing_id}", Permission::ReadListings),
    needs("GET", "/listings/{listing_id}/history", Permission::ReadAudit),
    needs("GET", "/listings/{listing_id}/at/{sequence}", Permission::ReadListings),
    needs("GET", "/listings/{listing_id}/preview", Permission::ReadListings),
    needs("POST", "/listings/{listing_id}/sync", Permission::SyncListings),
    needs("POST", "/listings/{listing_id}/retry", Permission::SyncListings),
    needs("POST", "/listings/{listing_id}/pause", Permission::SyncListings),
    needs("POST", "/listings/{listing_id}/resume", Permission::SyncListings),
    needs("GET", "/syncs/{sync_id}", Permission::ReadAudit),
    needs("GET", "/audit", Permission::ReadAudit),
    needs("GET", "/dead-letters", Permission::ReadDeadLetters),
    needs("POST", "/dead-letters/{number}/replay", Permission::WriteDeadLetters),
    needs("POST", "/dead-letters/{number}/discard", Permission::WriteDeadLetters),
];

/// The rule of a route; `None` where the table has none, which is a refusal.
pub fn rule(method: &Method, path: &str) -> Option<Rule> {
    // HEAD is what GET is, without the body.
    let method = if method == Method::HEAD { "GET" } else { method.as_str() };
    let mut all = ROUTES.iter().chain(PAGES);
    all.find(|route| route.method == method && route.path == path).map(|route| route.rule)
}
