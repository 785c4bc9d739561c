//! Each call that arrived is in the audit, by its request id, once; but for those that a kill made unknowable.

use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;

use uuid::Uuid;

use super::arrivals::Arrival;
use crate::fleet::Ending;
use crate::world::{Disturbance, World};

/// A call ends within 4 s here, and then the outcome is told, or the next call has its slot: after its last call for a
/// listing a process that is not disturbed needs no longer than this to tell of it.
const TO_TELL_US: u64 = 15_000_000;
/// A call whose path names no listing, a creation or a look-up, is followed by further ones before all are told.
const WITHOUT_A_LISTING_US: u64 = 30_000_000;

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
    let last = last_calls(arrivals, |id| attempts.contains_key(&id));
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
        } else if is_unknowable(world, arrival, &last) {
            calls.unknowable += 1;
        } else {
            let life = world.fleet.life_of(arrival.ip).map(|(_, life)| format!("{}: {:?}", life.name, life.ending));
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

/// The listing that a call was for, as far as its path tells, and who made it.
type Thread<'a> = (Ipv4Addr, &'a str);

fn thread(arrival: &Arrival) -> Option<Thread<'_>> {
    let listing = arrival.path.strip_prefix("/v1/listings/")?.split('/').next()?;
    Some((arrival.ip, listing))
}

/// The last calls of each thread: of all, and of those that the audit has; in microseconds since the epoch.
#[derive(Debug, Default)]
struct Last {
    made_us: u64,
    told_us: u64,
}

fn last_calls<'a>(arrivals: &'a [Arrival], is_told: impl Fn(Uuid) -> bool) -> HashMap<Thread<'a>, Last> {
    let mut last: HashMap<Thread<'_>, Last> = HashMap::new();
    for arrival in arrivals {
        let Some(thread) = thread(arrival) else { continue };
        let last = last.entry(thread).or_default();
        last.made_us = last.made_us.max(arrival.at_us);
        if arrival.request_id.is_some_and(&is_told) {
            last.told_us = last.told_us.max(arrival.at_us);
        }
    }
    last
}

/// Whether its process was killed before it could tell of it, or told the log alone because it was to stop without
/// Postgres. A push is told as a whole when it has ended, and the next one of the same listing begins after that: what
/// came before a call that was told had been told, too.
fn is_unknowable(world: &World, arrival: &Arrival, last: &HashMap<Thread<'_>, Last>) -> bool {
    let Some((who, life)) = world.fleet.life_of(arrival.ip) else { return false };
    let last = thread(arrival).and_then(|thread| last.get(&thread));
    if last.is_some_and(|last| last.told_us > arrival.at_us) {
        return false;
    }
    match life.ending {
        Some(Ending::Killed) => {
            let (since, longest) =
                last.map_or((arrival.at_us, WITHOUT_A_LISTING_US), |last| (last.made_us, TO_TELL_US));
            undisturbed_us(since, life.ended_us, &world.disturbances_of(who)) <= longest
        }
        Some(Ending::Rolled) => life.printed().contains("an outcome could not be recorded before the stop"),
        _ => false,
    }
}

/// How much of a time nothing disturbed.
fn undisturbed_us(from_us: u64, to_us: u64, disturbances: &[Disturbance]) -> u64 {
    let mut spans: Vec<(u64, u64)> = disturbances
        .iter()
        .map(|one| (one.began_us.max(from_us), one.ended_us.min(to_us)))
        .filter(|(began, ended)| began < ended)
        .collect();
    spans.sort_unstable();
    let (mut at, mut undisturbed) = (from_us, 0);
    for (began, ended) in spans {
        undisturbed += began.saturating_sub(at);
        at = at.max(ended);
    }
    undisturbed + to_us.saturating_sub(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrival(at_us: u64, path: &str) -> Arrival {
        Arrival {
            at_us,
            account: None,
            ip: Ipv4Addr::LOCALHOST,
            purpose: String::new(),
            method: "PUT".to_owned(),
            path: path.to_owned(),
            query: String::new(),
            body: None,
            request_id: Some(Uuid::from_u128(at_us.into())),
            status: None,
        }
    }

    #[test]
    fn time_in_which_something_was_broken_does_not_count() {
        let span = |began_us, ended_us| Disturbance { who: None, began_us, ended_us };
        assert_eq!(undisturbed_us(10, 100, &[]), 90);
        assert_eq!(undisturbed_us(10, 100, &[span(90, 200), span(20, 40), span(30, 50), span(0, 5)]), 50);
        assert_eq!(undisturbed_us(10, 100, &[span(0, 200)]), 0);
    }

    #[test]
    fn the_last_calls_of_a_listing_are_those_of_one_process() {
        let mut other = arrival(9, "/v1/listings/7");
        other.ip = Ipv4Addr::new(127, 5, 0, 3);
        let calls =
            [arrival(1, "/v1/listings/7"), arrival(2, "/v1/listings/7/calendar"), arrival(3, "/v1/listings"), other];
        let last = last_calls(&calls, |id| id == Uuid::from_u128(1));
        assert_eq!(last.len(), 2, "a creation belongs to none");
        let last = &last[&(Ipv4Addr::LOCALHOST, "7")];
        assert_eq!((last.made_us, last.told_us), (2, 1));
    }
}
