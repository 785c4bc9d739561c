//! No window at the channel had more requests than its limit, wherever it begins: of no account, of no target of an account that
//! several share, and of all together, as they leave from one address.

use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;

use super::arrivals::Arrival;
use crate::plan::{ACCOUNT_LIMIT, EGRESS_LIMIT, PLACES, TARGET_LIMIT, WINDOW_MS};
use crate::world::World;

/// What was found.
#[derive(Debug)]
pub(super) struct Windows {
    pub wrong: Vec<String>,
    /// Calls with which a window of the address began that was full: without any its limit was never met.
    pub full_of_address: u64,
}

pub(super) async fn check(world: &World, arrivals: &[Arrival]) -> anyhow::Result<Windows> {
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
    let (over, full_of_address) = of_address(arrivals);
    wrong.extend(over);
    Ok(Windows { wrong, full_of_address })
}

/// Whoever made a call and whatever for, it left from there: those of checks and those for tokens, too. Gives what is wrong, and how
/// many calls begin a window that is full.
fn of_address(arrivals: &[Arrival]) -> (Option<String>, u64) {
    let times: Vec<u64> = arrivals.iter().map(|arrival| arrival.at_us).collect();
    let limit = u64::from(EGRESS_LIMIT);
    let worst = worst_window(&times);
    let over = (worst > limit)
        .then(|| format!("the address called {worst} times within {WINDOW_MS} ms in all, not {EGRESS_LIMIT}"));
    (over, windows(&times).filter(|calls| *calls >= limit).count() as u64)
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
    windows(times_us).max().unwrap_or_default()
}

/// The calls in the window that begins with each, of times in their order.
fn windows(times_us: &[u64]) -> impl Iterator<Item = u64> {
    let window_us = u64::from(WINDOW_MS) * 1_000;
    times_us.iter().enumerate().map(move |(index, first)| {
        times_us[index..].iter().take_while(|at| **at < first.saturating_add(window_us)).count() as u64
    })
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

    fn id(number: u64) -> Uuid {
        Uuid::from_u128(number.into())
    }

    fn call(number: u64, at_us: u64) -> Arrival {
        Arrival {
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
        }
    }

    #[test]
    fn an_address_that_called_too_often_is_seen_over_all_accounts_and_processes() {
        let from = |number: u64| Arrival {
            account: (!number.is_multiple_of(3)).then_some(number % 3),
            ip: std::net::Ipv4Addr::new(127, 5, 0, u8::try_from(number % 2).unwrap_or_default()),
            ..call(number, 10 * number)
        };
        let limit = u64::from(EGRESS_LIMIT);
        let full: Vec<Arrival> = (0..limit).map(from).collect();
        assert_eq!(of_address(&full), (None, 1));
        let over: Vec<Arrival> = (0..=limit).map(from).collect();
        assert!(of_address(&over).0.is_some());
        assert_eq!(of_address(&full[1..]), (None, 0), "it was never met");
    }

    #[test]
    fn a_target_that_was_called_too_often_is_seen_beside_another_of_its_account() {
        let limit = u64::from(TARGET_LIMIT);
        let calls: Vec<Arrival> = (0..=limit).map(|number| call(number, 10 * number)).collect();
        let of_one: HashMap<Uuid, Uuid> = (0..=limit).map(|number| (id(number), id(1_000))).collect();
        assert_eq!(overrun(&calls, &of_one).len(), 1);
        let of_two: HashMap<Uuid, Uuid> = (0..=limit).map(|number| (id(number), id(1_000 + number % 2))).collect();
        assert!(overrun(&calls, &of_two).is_empty());
    }
}
