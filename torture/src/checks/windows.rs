//! No window at the channel had more requests than its limit, wherever it begins: of no account, and of no target of an
//! account that several share.

use std::collections::{BTreeMap, HashMap};

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
    Ok(overrun(arrivals, &rows.into_iter().collect()))
}

/// What is wrong with calls whose targets are known by their ids.
fn overrun(arrivals: &[Arrival], targets: &HashMap<Uuid, Uuid>) -> Vec<String> {
    let mut times: BTreeMap<Uuid, Vec<u64>> = BTreeMap::new();
    for arrival in arrivals {
        if let Some(target) = arrival.request_id.and_then(|id| targets.get(&id)) {
            times.entry(*target).or_default().push(arrival.at_us);
        }
    }
    let worst = times.iter().map(|(target, times)| (target, worst_window(times)));
    let over = worst.filter(|(_, worst)| *worst > u64::from(TARGET_LIMIT));
    over.map(|(target, worst)| {
        format!("target {target} was called {worst} times within {WINDOW_MS} ms, not {TARGET_LIMIT}")
    })
    .collect()
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

    #[test]
    fn a_target_that_was_called_too_often_is_seen_beside_another_of_its_account() {
        let id = |number: u64| Uuid::from_u128(number.into());
        let call = |number: u64, at_us: u64| Arrival {
            at_us,
            account: Some(1),
            ip: std::net::Ipv4Addr::LOCALHOST,
            purpose: String::new(),
            method: "PUT".to_owned(),
            path: "/v1/listings/7".to_owned(),
            query: String::new(),
            body: None,
            request_id: Some(id(number)),
            status: Some(200),
        };
        let limit = u64::from(TARGET_LIMIT);
        let calls: Vec<Arrival> = (0..=limit).map(|number| call(number, 10 * number)).collect();
        let of_one: HashMap<Uuid, Uuid> = (0..=limit).map(|number| (id(number), id(1_000))).collect();
        assert_eq!(overrun(&calls, &of_one).len(), 1);
        let of_two: HashMap<Uuid, Uuid> = (0..=limit).map(|number| (id(number), id(1_000 + number % 2))).collect();
        assert!(overrun(&calls, &of_two).is_empty());
    }
}
