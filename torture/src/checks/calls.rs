//! Each call that arrived is in the audit, by its request id, once; but for those that the end of their process made unknowable,
//! which are named, and those of checks, which are told as a number (`of_checks`).

use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;

use uuid::Uuid;

use super::arrivals::Arrival;
use super::disturbances::undisturbed_us;
use super::health_checks;
use crate::fleet::{Ending, Life};
use crate::plan::PLACES;
use crate::world::{Disturbance, World};

/// A call ends within 4 s here, and then the outcome is told, or the next call has its slot: after its last call for a
/// listing a process that is not disturbed needs no longer than this to tell of it.
const TO_TELL_US: u64 = 15_000_000;
/// A call whose path names no listing, a creation or a look-up, is followed by further ones before all are told.
const WITHOUT_A_LISTING_US: u64 = 30_000_000;
/// All calls of a push, and the telling, take whoever is not disturbed no longer than this: what arrived earlier was another's.
const A_PUSH_US: u64 = 60_000_000;
/// What a process logs that was asked to stop while Postgres was away, in place of telling.
const NOT_RECORDED: &str = "an outcome could not be recorded before the stop";

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Calls {
    pub wrong: Vec<String>,
    pub of_checks: u64,
    /// Each with its process, how that ended, and when.
    pub unknowable: Vec<String>,
}

pub(super) async fn check(world: &World, arrivals: &[Arrival]) -> anyhow::Result<Calls> {
    let attempts = told(world).await?;
    let mut calls = Calls::default();
    let mut seen = HashSet::new();
    let last = last_calls(arrivals, |id| attempts.contains_key(&id));
    let mut of_checks = Vec::new();
    for arrival in arrivals {
        let what = || format!("{} {} at {} from {}", arrival.method, arrival.path, arrival.at_us, arrival.ip);
        let Some(id) = arrival.request_id else {
            calls.wrong.push(format!("{} has no request id", what()));
            continue;
        };
        if !seen.insert(id) {
            calls.wrong.push(format!("{} arrived a second time as {id}", what()));
        }
        if let Some(told) = attempts.get(&id) {
            calls.wrong.extend(told.lie_about(arrival).map(|lie| format!("{} {lie}", what())));
        } else if is_of_check(arrival) {
            of_checks.push(arrival);
        } else if let Some(why) = why_unknowable(world, arrival, &last) {
            calls.unknowable.push(format!("{id} {why}"));
        } else {
            let life = world.fleet.life_of(arrival.ip).map(|(_, life)| format!("{}: {:?}", life.name, life.ending));
            calls.wrong.push(format!("{} as {id} is not in the audit; it was made by {life:?}", what()));
        }
    }
    let unseen = attempts.iter().filter(|(id, told)| told.status.is_some() && !seen.contains(*id));
    calls.wrong.extend(unseen.map(|(id, told)| {
        let Told { status, method, path, .. } = told;
        format!("the audit has {method} {path} as {id} with the answer {status:?}, and it never arrived")
    }));
    calls.of_checks = of_checks.len() as u64;
    let seen_us = arrivals.last().map_or(0, |last| last.at_us);
    calls.wrong.extend(health_checks::check(world, &of_checks, seen_us).await?);
    Ok(calls)
}

/// What the audit says of a call.
#[derive(Debug)]
struct Told {
    status: Option<u16>,
    method: String,
    /// With its query.
    path: String,
    /// The account of its target.
    account: Option<u64>,
}

impl Told {
    /// What it says that was not so.
    fn lie_about(&self, arrival: &Arrival) -> Option<String> {
        let path = self.path.split('?').next().unwrap_or_default();
        if (self.method.as_str(), path) != (arrival.method.as_str(), arrival.path.as_str()) {
            return Some(format!("is {} {path} in the audit", self.method));
        }
        if arrival.account.is_some() && arrival.account != self.account {
            return Some(format!(
                "arrived at the account {:?}, and the audit has it of a target of {:?}",
                arrival.account, self.account
            ));
        }
        // A client may have left before its answer; another answer than the one that was given is a lie.
        (self.status.is_some() && arrival.status.is_some() && self.status != arrival.status)
            .then(|| format!("was answered with {:?}, and the audit says {:?}", arrival.status, self.status))
    }
}

async fn told(world: &World) -> anyhow::Result<HashMap<Uuid, Told>> {
    let accounts: HashMap<Uuid, u64> =
        world.targets.iter().zip(&PLACES).map(|(target, place)| (*target, place.account)).collect();
    let rows: Vec<(Uuid, Option<i32>, String, String, Uuid)> =
        sqlx::query_as("SELECT request_id, status, method, path, target_id FROM outbound_attempts")
            .fetch_all(&world.pool)
            .await?;
    let told = rows.into_iter().map(|(id, status, method, path, target)| {
        let status = status.and_then(|status| u16::try_from(status).ok());
        (id, Told { status, method, path, account: accounts.get(&target).copied() })
    });
    Ok(told.collect())
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

/// Which end of its process kept a call from being told; `None` where it had to be told. A push is told as a whole when it has
/// ended, and the next one of the same listing begins after that: what came before a call that was told had been told, too.
fn why_unknowable(world: &World, arrival: &Arrival, last: &HashMap<Thread<'_>, Last>) -> Option<String> {
    let (who, life) = world.fleet.life_of(arrival.ip)?;
    let last = thread(arrival).and_then(|thread| last.get(&thread));
    if last.is_some_and(|last| last.told_us > arrival.at_us) {
        return None;
    }
    let is_logged = matches!(life.ending, Some(Ending::Rolled { .. })) && life.printed().contains(NOT_RECORDED);
    let disturbances = world.disturbances_of(who);
    let end = end_before_telling(arrival.at_us, last.map(|last| last.made_us), &life, is_logged, &disturbances)?;
    let after_s = life.ended_us.saturating_sub(arrival.at_us) as f64 / 1e6;
    Some(format!("by {}, which {end} {after_s:.1} s later", life.name))
}

/// How a process ended that may not have told of a call at `at_us`, whose last one for the same listing was at `last_us`, if the call
/// was for one. Killed, it had no time; asked to stop without Postgres, it had nobody, and has logged that.
fn end_before_telling(
    at_us: u64,
    last_us: Option<u64>,
    life: &Life,
    is_logged: bool,
    disturbances: &[Disturbance],
) -> Option<&'static str> {
    let undisturbed = |since_us| undisturbed_us(since_us, life.ended_us, disturbances);
    let is_of_its_last_push = undisturbed(at_us) <= A_PUSH_US;
    match life.ending {
        Some(Ending::Killed | Ending::Overdue { .. }) => {
            let (since_us, longest) = last_us.map_or((at_us, WITHOUT_A_LISTING_US), |last_us| (last_us, TO_TELL_US));
            (is_of_its_last_push && undisturbed(since_us) <= longest).then_some("was killed")
        }
        Some(Ending::Rolled { .. }) => {
            let was_without = disturbances.iter().any(|one| one.began_us <= life.ended_us && one.ended_us >= at_us);
            (is_of_its_last_push && is_logged && was_without).then_some("was stopped without Postgres")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

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

    #[test]
    fn a_call_is_unknowable_only_by_an_end_of_its_process_that_was_near() {
        const S: u64 = 1_000_000;
        let life = |ending| {
            let (name, source, log) = ("dispatcher-1.1".to_owned(), Ipv4Addr::LOCALHOST, PathBuf::new());
            Life { name, source, ending, ended_us: 1_000 * S, log }
        };
        let killed = life(Some(Ending::Killed));
        let by_kill = |at_s: u64, last_s: Option<u64>, disturbances: &[Disturbance]| {
            end_before_telling(at_s * S, last_s.map(|last| last * S), &killed, false, disturbances).is_some()
        };
        assert!(by_kill(950, Some(990), &[]), "a push that was under way");
        assert!(!by_kill(950, Some(980), &[]), "after its last call it had time to tell");
        assert!(!by_kill(930, Some(990), &[]), "no push takes so long: it was an earlier one");
        assert!(by_kill(975, None, &[]) && !by_kill(965, None, &[]), "a creation");
        let stopped = Disturbance { who: None, began_us: 900 * S, ended_us: 995 * S };
        assert!(by_kill(890, Some(895), &[stopped]), "it was stopped, and killed then");
        for ending in [None, Some(Ending::ByItself("exit status: 1".to_owned()))] {
            assert_eq!(end_before_telling(999 * S, Some(999 * S), &life(ending), true, &[stopped]), None);
        }
        let rolled = life(Some(Ending::Rolled { well: true }));
        let by_stop = |at_s: u64, is_logged, disturbances: &[Disturbance]| {
            end_before_telling(at_s * S, Some(at_s * S), &rolled, is_logged, disturbances).is_some()
        };
        assert!(by_stop(950, true, &[stopped]));
        assert!(!by_stop(950, false, &[stopped]), "it has told of all");
        assert!(!by_stop(950, true, &[]) && !by_stop(996, true, &[stopped]), "Postgres was there");
        assert!(!by_stop(830, true, &[stopped]), "it had time to tell before");
    }

    #[test]
    fn what_the_audit_says_of_a_call_is_held_against_its_arrival() {
        let told = || Told {
            status: Some(200),
            method: "PUT".to_owned(),
            path: "/v1/listings/7?a=b".to_owned(),
            account: Some(8),
        };
        let call = Arrival { account: Some(8), status: Some(200), ..arrival(1, "/v1/listings/7") };
        assert_eq!(told().lie_about(&call), None);
        assert_eq!(Told { status: None, ..told() }.lie_about(&call), None, "who has left knows no answer");
        assert_eq!(told().lie_about(&Arrival { account: None, status: None, ..call.clone() }), None);
        for lie in [
            Told { status: Some(503), ..told() },
            Told { method: "POST".to_owned(), ..told() },
            Told { path: "/v1/listings/8".to_owned(), ..told() },
            Told { account: Some(9), ..told() },
            Told { account: None, ..told() },
        ] {
            assert!(lie.lie_about(&call).is_some(), "{lie:?}");
        }
    }
}
