//! No window at the channel had more requests than its limit, wherever it begins: of no account, and of no target of an
//! account that several share.

use std::collections::HashMap;

use uuid::Uuid;

use super::arrivals::Arrival;
use crate::plan::{ACCOUNT_LIMIT, PLACES, TARGET_LIMIT, WINDOW_MS};
use crate::world::World;

pub(super) async fn check(world: &World, arrivals: &[Arrival]) -> anyhow::Result<Vec<String>> {
    let summary = world.sandbox.get(&format!("/summary?window_ms={WINDOW_MS}")).await?;
    let mut wrong = Vec::new();
    let accounts: std::collections::BTreeSet<u64> = PLACES.iter().map(|place| place.account).collect();
    for account in accounts {
        let shared = PLACES.iter().filter(|place| place.account == account).count() > 1;
        let limit = if shared { ACCOUNT_LIMIT } else { TARGET_LIMIT };
        let seen = &summary["accounts"][account.to_string()];
        if seen["worst_window"].as_u64().is_none_or(|worst| worst > u64::from(limit)) {
            let (worst, at) = (&seen["worst_window"], &seen["worst_window_at_us"]);
            wrong
                .push(format!("account {account} was called {worst} times within {WINDOW_MS} ms at {at}, not {limit}"));
        }
    }
    wrong.extend(of_targets(world, arrivals).await?);
    Ok(wrong)
}

/// What arrives tells its account; whose of its targets it was, the audit knows by the request id. Calls of checks, which the
/// audit does not have, are not counted: a window may have been fuller than this, never emptier.
async fn of_targets(world: &World, arrivals: &[Arrival]) -> anyhow::Result<Vec<String>> {
    let rows: Vec<(Uuid, Uuid)> =
        sqlx::query_as("SELECT request_id, target_id FROM outbound_attempts").fetch_all(&world.pool).await?;
    let targets: HashMap<Uuid, Uuid> = rows.into_iter().collect();
    let mut times: HashMap<Uuid, Vec<u64>> = HashMap::new();
    for arrival in arrivals {
        if let Some(target) = arrival.request_id.and_then(|id| targets.get(&id)) {
            times.entry(*target).or_default().push(arrival.at_us);
        }
    }
    let mut wrong = Vec::new();
    for target in &world.targets {
        let worst = times.get(target).map_or(0, |times| worst_window(times));
        if worst > u64::from(TARGET_LIMIT) {
            wrong.push(format!("target {target} was called {worst} times within {WINDOW_MS} ms, not {TARGET_LIMIT}"));
        }
    }
    Ok(wrong)
}

/// The most calls within one window, of times in their order.
fn worst_window(times_us: &[u64]) -> u64 {
    let window_us = u64::from(WINDOW_MS) * 1_000;
    let from = |(index, first): (usize, &u64)| {
        times_us[index..].iter().take_while(|at| **at < first.saturating_add(window_us)).count() as u64
    };
    times_us.iter().enumerate().map(from).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_window_begins_at_any_call_and_is_half_open() {
        let window_us = u64::from(WINDOW_MS) * 1_000;
        assert_eq!(worst_window(&[]), 0);
        assert_eq!(worst_window(&[5, 5 + window_us]), 1);
        assert_eq!(worst_window(&[0, window_us - 2, window_us - 1, window_us, 2 * window_us - 3]), 4);
    }
}
