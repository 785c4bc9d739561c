//! What waits for somebody and is no target's: dead letters, listings whose last sync failed, promises that are broken. Each leads to
//! where one acts.

use domain::access::Caller;
use domain::counted::{agreeing, counted};
use maud::{Markup, html};
use sqlx::PgConnection;

use super::levels;
use super::ways::Ways;
use crate::api::Api;
use crate::api::dead_letters::sees_letters;
use crate::api::reader::account_filter;
use crate::views::audit::{FAILED, failures_in_sql};
use crate::views::service_levels::ServiceLevels;

/// Listings that are counted at the most.
const COUNTED: i64 = 1_000;

/// One of these, in words, of which the first lead somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Need {
    before: &'static str,
    leads: String,
    way: Option<String>,
    after: &'static str,
}

/// What there is of it for a caller.
pub(super) async fn needs(
    api: &Api,
    reader: &mut PgConnection,
    caller: &Caller,
    levels: &ServiceLevels,
) -> Result<Vec<Need>, sqlx::Error> {
    let ways = Ways::of(caller);
    let mut needs = Vec::new();
    let letters = letters(api, caller);
    if letters > 0 {
        let (leads, way) = (counted(letters, "dead letter"), Some("/dead-letters".to_owned()));
        let after = agreeing(letters, " waits to be decided about.", " wait to be decided about.");
        needs.push(Need { before: "", leads, way, after });
    }
    let listings = failed(reader, caller).await?;
    if listings > 0 {
        let more = if listings == COUNTED { " or more" } else { "" };
        let leads = format!("{}{more}", counted(listings, "listing"));
        let way = ways.listings(&[("state", "active"), ("outcome", FAILED)]);
        let after = ": the last sync failed, and nothing sends it again by itself.";
        needs.push(Need { before: "", leads, way, after });
    }
    let broken = levels.levels.iter().filter(|level| level.holds == Some(false));
    needs.extend(broken.map(|level| {
        let way = levels::way(level, levels.at, ways);
        Need { before: "Broken: ", leads: level.promise.to_owned(), way, after: "." }
    }));
    Ok(needs)
}

/// Those that the caller sees.
fn letters(api: &Api, caller: &Caller) -> u64 {
    if sees_letters(caller) { api.dead_letters_of(&caller.org_id) } else { 0 }
}

/// Listings that follow their unit, of which nothing waits and whose last sync failed.
async fn failed(reader: &mut PgConnection, caller: &Caller) -> Result<i64, sqlx::Error> {
    let failures = failures_in_sql();
    let statement = format!(
        "SELECT count(*) FROM (
             SELECT FROM channel_listings AS l
             WHERE l.org_id = $1 AND ($2::text[] IS NULL OR l.account_id = ANY ($2)) AND l.last_outcome IN ({failures})
                 AND l.state = 'active' AND l.pending_sync_id IS NULL
                 AND NOT EXISTS (SELECT FROM channel_targets AS t WHERE t.target_id = l.target_id AND t.lifecycle = 'deleted')
             LIMIT $3
         ) AS counted"
    );
    let count = sqlx::query_scalar(&statement).bind(caller.org_id.as_str()).bind(account_filter(caller));
    count.bind(COUNTED).fetch_one(reader).await
}

/// As a list, which has the place of a line while it is empty: what stands below it does not move when the first comes.
pub(super) fn show(needs: &[Need]) -> Markup {
    html! { div.needs { @if !needs.is_empty() { ul.plain { @for need in needs { li {
        (need.before)
        @match &need.way { Some(way) => { a href=(way) { (need.leads) } }, None => { (need.leads) } }
        (need.after)
    } } } } } }
}
