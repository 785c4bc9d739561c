//! Which attempt of a sync is next, or under way: one number, wherever it is told. Five may be burned; a rate limit and refused
//! credentials burn none, so that the attempt after a 429 has the number of the one before it.

use domain::retry::RetryPolicy;
use sqlx::PgConnection;
use uuid::Uuid;

use super::queue::{BY_ROW, UNDER_WAY, WAITING};

/// The attempt that follows so many that were burned.
pub fn next(burned: u32) -> u32 {
    burned.saturating_add(1)
}

/// The same of a row `q` of `sync_queue`, whose `tries` count those that burned none, too.
pub const NEXT: &str =
    "coalesce((SELECT a.attempts FROM outbound_audit AS a WHERE a.sync_id = q.sync_id), 0) + 1 AS attempt";

/// It in words, with how many there are.
pub fn words(attempt: i32) -> String {
    format!("{attempt} of {}", RetryPolicy::default().max_attempts)
}

/// It in a sentence, while it is being made.
pub fn being_made(attempt: i32) -> String {
    format!("Attempt {} is being made now.", words(attempt))
}

/// The attempt of a listing's sync that is being made now; `None` where none is.
pub async fn under_way(reader: &mut PgConnection, listing: Uuid, sync: Uuid) -> Result<Option<i32>, sqlx::Error> {
    let statement = format!("SELECT {BY_ROW}, {NEXT} FROM {WAITING} WHERE q.listing_id = $1 AND q.sync_id = $2");
    let found = sqlx::query_as(&statement).bind(listing).bind(sync).fetch_optional(reader);
    let found: Option<(String, i32)> = found.await?;
    Ok(found.filter(|(status, _)| status == UNDER_WAY).map(|(_, attempt)| attempt))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_burned_none_is_tried_again_by_the_same_number() {
        assert_eq!((next(0), next(1)), (1, 2));
        assert_eq!(words(1), "1 of 5");
    }
}
