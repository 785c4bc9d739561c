//! Targets that a search finds: by their id, or by any part of their name.

use maud::{Markup, html};
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use crate::api::by::By;
use crate::api::reader::account_filter;
use crate::dashboard::pieces::state;
use crate::views::targets::{STATE, shown_health};

/// A target that was found.
#[derive(Debug, FromRow)]
pub(super) struct Found {
    pub target_id: Uuid,
    name: String,
    account_id: String,
    health: String,
    state: String,
}

/// Those that are named so, and then those whose name begins so, stand first.
pub(super) async fn find(
    reader: &mut PgConnection,
    by: &By,
    text: &str,
    limit: i64,
) -> Result<Vec<Found>, sqlx::Error> {
    let statement = format!(
        "SELECT target_id, name, account_id, health, {STATE} AS state FROM channel_targets
         WHERE org_id = $1 AND ($2::text[] IS NULL OR account_id = ANY ($2))
            AND (target_id = $3 OR strpos(lower(name), lower($4)) > 0)
         ORDER BY lower(name) = lower($4) DESC, starts_with(lower(name), lower($4)) DESC, name, target_id LIMIT $5"
    );
    let rows = sqlx::query_as(&statement).bind(by.caller.org_id.as_str()).bind(account_filter(&by.caller));
    rows.bind(text.parse::<Uuid>().ok()).bind(text).bind(limit).fetch_all(reader).await
}

/// As rows.
pub(super) fn table(targets: &[Found]) -> Markup {
    html! {
        div.scroll { table {
            thead { tr { th { "Target" } th.wide { "Account" } th { "Health" } th { "State" } } }
            tbody { @for target in targets { tr {
                td.named { a href=(format!("/targets/{}", target.target_id)) { (target.name) } }
                td.wide { (target.account_id) }
                td { (state(shown_health(&target.health, &target.state))) }
                td { (state(&target.state)) }
            } } }
        } }
    }
}
