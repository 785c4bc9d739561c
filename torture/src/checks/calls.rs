//! Each call that arrived is in the audit, by its request id, once; but for those that a kill made unknowable.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::arrivals::Arrival;
use crate::fleet::Ending;
use crate::world::World;

/// What a process did longer ago before it was killed, it had the time to tell.
const TO_TELL_US: u64 = 60_000_000;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Calls {
    pub wrong: Vec<String>,
    pub of_checks: u64,
    pub unknowable: u64,
}

pub(super) async fn check(world: &World, arrivals: &[Arrival]) -> anyhow::Result<Calls> {
    let attempts: Vec<(Uuid, Option<i32>, String, String)> =
        sqlx::query_as("SELECT request_id, status, method, path FROM outbound_attempts").fetch_all(&world.pool).await?;
    let attempts: HashMap<Uuid, _> =
        attempts.into_iter().map(|(id, status, method, path)| (id, (status, method, path))).collect();
    let mut calls = Calls::default();
    let mut seen = HashSet::new();
    for arrival in arrivals {
        let what = || format!("{} {} at {} from {}", arrival.method, arrival.path, arrival.at_us, arrival.ip);
        let Some(id) = arrival.request_id else {
            calls.wrong.push(format!("{} has no request id", what()));
            continue;
        };
        if !seen.insert(id) {
            calls.wrong.push(format!("{} arrived a second time as {id}", what()));
        }
        if let Some((status, _, _)) = attempts.get(&id) {
            let told = status.and_then(|status| u16::try_from(status).ok());
            // A client may have left before its answer; another answer than the one that was given is a lie.
            if told.is_some() && arrival.status.is_some() && told != arrival.status {
                calls.wrong.push(format!(
                    "{} was answered with {:?}, and the audit says {told:?}",
                    what(),
                    arrival.status
                ));
            }
        } else if is_of_check(arrival) {
            calls.of_checks += 1;
        } else if is_unknowable(world, arrival) {
            calls.unknowable += 1;
        } else {
            let life = world.fleet.life_of(arrival.ip).map(|life| format!("{}: {:?}", life.name, life.ending));
            calls.wrong.push(format!("{} as {id} is not in the audit; it was made by {life:?}", what()));
        }
    }
    let unseen = attempts.iter().filter(|(id, (status, ..))| status.is_some() && !seen.contains(*id));
    calls.wrong.extend(unseen.map(|(id, (status, method, path))| {
        format!("the audit has {method} {path} as {id} with the answer {status:?}, and it never arrived")
    }));
    Ok(calls)
}

/// Calls of checks are told as a number of each check. A token may have been asked for by either.
fn is_of_check(arrival: &Arrival) -> bool {
    let probe = arrival.method == "GET" && arrival.path == "/v1/listings" && arrival.query == "limit=1";
    probe || arrival.purpose == "token"
}

/// Whether its process was killed before it told of it, or told the log alone because it was to stop without Postgres.
fn is_unknowable(world: &World, arrival: &Arrival) -> bool {
    let Some(life) = world.fleet.life_of(arrival.ip) else { return false };
    match life.ending {
        Some(Ending::Killed) => arrival.at_us + TO_TELL_US >= life.ended_us,
        Some(Ending::Rolled) => life.printed().contains("an outcome could not be recorded before the stop"),
        _ => false,
    }
}
