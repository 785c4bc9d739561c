//! Since when the read models lag, as they do not show all of the journal: the projector is slow, or not there.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgPool;

/// The longest lag that is promised; beyond it alerts begin, and the overview asks for somebody.
pub const PROMISED: Duration = Duration::from_secs(20);
/// A moment of lag is how read models are.
const LAGGING: Duration = Duration::from_secs(5);

/// When the first event was appended that a read model does not show, if this holds. `$2` is bound to what it needs.
fn first_unseen(holds: &str) -> String {
    format!(
        "WITH shown AS MATERIALIZED (
             SELECT coalesce(min(coalesce(c.position, 0)), 0) AS position
             FROM unnest($1::text[]) AS n (name) LEFT JOIN projection_checkpoints AS c ON c.name = n.name
         ), unseen AS MATERIALIZED (
             SELECT recorded_at FROM events WHERE position > (SELECT position FROM shown) ORDER BY position LIMIT 1
         )
         SELECT recorded_at FROM unseen WHERE {holds}"
    )
}

fn names() -> Vec<&'static str> {
    projections::all().iter().map(|projection| projection.name()).collect()
}

/// When the first event was appended that a read model does not show, where more than so many positions are not shown.
pub async fn far_since(pool: &PgPool, positions: i64) -> Result<Option<DateTime<Utc>>, sqlx::Error> {
    let far = first_unseen("EXISTS (SELECT FROM events WHERE position > (SELECT position FROM shown) + $2)");
    sqlx::query_scalar(&far).bind(names()).bind(positions).fetch_optional(pool).await
}

/// When the first event was appended that a read model does not show; `None` where they show all but the newest seconds.
pub async fn since(pool: &PgPool) -> Result<Option<DateTime<Utc>>, sqlx::Error> {
    let lagging = first_unseen("recorded_at < now() - make_interval(secs => $2)");
    sqlx::query_scalar(&lagging).bind(names()).bind(LAGGING.as_secs_f64()).fetch_optional(pool).await
}
