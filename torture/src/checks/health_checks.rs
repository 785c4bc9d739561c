//! Calls of checks, and requests for tokens that no sync tells of: each that arrived is counted in a row of `health_checks`, and
//! each check that was answered has arrived. A row names no call, so calls are held against the rows of their account by time and
//! by number.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::arrivals::Arrival;
use super::disturbances::undisturbed_us;
use crate::clock::now_us;
use crate::fleet::{Ending, Life};
use crate::plan::PLACES;
use crate::who::Who;
use crate::world::{Disturbance, World};

/// A check waits for its slots for 15 s, and makes four calls of 4 s at most; a push of which a token is the first call has more of
/// both. Whoever is not disturbed needs no longer than this to tell of a call.
const TO_TELL_US: u64 = 60_000_000;
/// At the end nothing is broken, no window is full and no push under way: only the last checks may not have been told.
const AT_REST_US: u64 = 20_000_000;
/// Of failures that come again and again one in so long is logged.
const LOGGED_EACH_US: u64 = 10_000_000;

/// A row of `health_checks`.
#[derive(Debug, Clone, Copy)]
struct Row {
    /// When it was written, in microseconds since the epoch.
    at_us: u64,
    calls: u64,
    /// Whether its last call had an answer.
    is_answered: bool,
}

/// A process that makes checks.
#[derive(Debug)]
struct Maker {
    who: Who,
    life: Life,
    printed: String,
}

/// `arrivals` are those that no sync tells of, oldest first; at `seen_us` no later call had arrived.
pub(super) async fn check(world: &World, arrivals: &[&Arrival], seen_us: u64) -> anyhow::Result<Vec<String>> {
    let read_us = now_us();
    let rows = rows(world).await?;
    let dispatchers = world.fleet.members().iter().filter(|member| member.who.role() == "dispatcher");
    let makers: Vec<Maker> = dispatchers
        .flat_map(|member| member.lives().into_iter().map(|life| (member.who, life)))
        .map(|(who, life)| Maker { who, printed: life.printed(), life })
        .collect();
    let has_to_be_told = |arrival: &Arrival| {
        let maker = makers.iter().find(|maker| maker.life.source == arrival.ip);
        maker.is_none_or(|maker| !maker.may_have_kept(arrival.at_us, read_us, &world.disturbances_of(maker.who)))
    };
    let mut wrong = Vec::new();
    for (account, rows) in rows {
        let own = arrivals.iter().filter(|arrival| arrival.account == Some(account));
        let times: Vec<u64> = own.filter(|arrival| has_to_be_told(arrival)).map(|arrival| arrival.at_us).collect();
        let untold = untold(&times, &rows);
        if untold > 0 {
            wrong.push(format!("{untold} calls of checks at account {account} are in no row of health_checks"));
        }
        // Whose a call is that came with half a body, the channel does not know.
        let arrived = arrivals.iter().filter(|arrival| arrival.account.is_none_or(|whose| whose == account)).count();
        let answered = rows.iter().filter(|row| row.is_answered && row.at_us <= seen_us).count();
        if answered > arrived {
            wrong.push(format!(
                "{answered} checks of account {account} were answered, and {arrived} of their calls arrived"
            ));
        }
    }
    Ok(wrong)
}

/// By account, in the order of their times.
async fn rows(world: &World) -> anyhow::Result<BTreeMap<u64, Vec<Row>>> {
    let sql = "SELECT target_id, at, calls, status IS NOT NULL FROM health_checks ORDER BY at";
    let all: Vec<(uuid::Uuid, DateTime<Utc>, i32, bool)> = sqlx::query_as(sql).fetch_all(&world.pool).await?;
    // An account without a check has calls that are in no row, if it has any.
    let mut rows: BTreeMap<u64, Vec<Row>> = PLACES.iter().map(|place| (place.account, Vec::new())).collect();
    for (target, at, calls, is_answered) in all {
        let place = world.targets.iter().position(|id| *id == target);
        if let Some(own) = place.and_then(|place| rows.get_mut(&PLACES[place].account)) {
            own.push(Row { at_us: us(at), calls: u64::try_from(calls)?, is_answered });
        }
    }
    Ok(rows)
}

fn us(at: DateTime<Utc>) -> u64 {
    u64::try_from(at.timestamp_micros()).unwrap_or_default()
}

/// How many calls no row has room for: each takes room in the first row that was written after it.
fn untold(times_us: &[u64], rows: &[Row]) -> usize {
    let mut room: Vec<(u64, u64)> = rows.iter().map(|row| (row.at_us, row.calls)).collect();
    let mut takes_room = |at_us: u64| match room.iter_mut().find(|(at, left)| *at >= at_us && *left > 0) {
        Some((_, left)) => {
            *left -= 1;
            true
        }
        None => false,
    };
    times_us.iter().filter(|at_us| !takes_room(**at_us)).count()
}

impl Maker {
    /// Whether it made a call of which it could not tell before it ended, or before the rows were read; or it has logged that it
    /// could not.
    fn may_have_kept(&self, at_us: u64, read_us: u64, disturbances: &[Disturbance]) -> bool {
        let (end_us, longest) = match self.life.ending {
            None => (read_us, AT_REST_US),
            // Gently ended, it has told of all, unless that was without Postgres.
            Some(Ending::Rolled { .. }) if !self.printed.contains("stopping without Postgres") => (u64::MAX, 0),
            Some(_) => (self.life.ended_us, TO_TELL_US),
        };
        undisturbed_us(at_us, end_us, disturbances) <= longest || self.has_failed_to_tell(at_us, disturbances)
    }

    fn has_failed_to_tell(&self, at_us: u64, disturbances: &[Disturbance]) -> bool {
        let lines = self.printed.lines().filter(|line| {
            line.contains("a check could not be told")
                || line.contains("an outcome could not be recorded before the stop")
        });
        let mut times = lines.map(|line| line.split_whitespace().next().and_then(|time| time.parse().ok()).map(us));
        times.any(|logged_us| {
            // Without a time it may have been any.
            logged_us.is_none_or(|logged_us| {
                logged_us + LOGGED_EACH_US >= at_us && undisturbed_us(at_us, logged_us, disturbances) <= TO_TELL_US
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::path::PathBuf;

    use super::*;

    const S: u64 = 1_000_000;

    fn row(at_us: u64, calls: u64) -> Row {
        Row { at_us, calls, is_answered: true }
    }

    fn maker(ending: Option<Ending>, printed: &str) -> Maker {
        let (name, source, log) = ("dispatcher-1.1".to_owned(), Ipv4Addr::LOCALHOST, PathBuf::new());
        let ended_us = if ending.is_some() { 1_000 * S } else { 0 };
        Maker { who: Who(4), life: Life { name, source, ending, ended_us, log }, printed: printed.to_owned() }
    }

    #[test]
    fn a_call_that_no_row_after_it_has_room_for_is_seen() {
        let rows = [row(10, 2), row(20, 1), row(30, 0)];
        assert_eq!(untold(&[5, 6, 15], &rows), 0);
        assert_eq!(untold(&[5, 6, 7, 15], &rows), 1, "the row of another call has no room for it");
        assert_eq!(untold(&[5, 25], &rows), 1, "no row that was written after it counts a call");
        assert_eq!(untold(&[5], &[]), 1);
    }

    #[test]
    fn a_call_has_to_be_told_unless_its_process_was_killed_soon() {
        let killed = maker(Some(Ending::Killed), "");
        assert!(killed.may_have_kept(950 * S, 0, &[]));
        assert!(!killed.may_have_kept(900 * S, 0, &[]), "it had time enough");
        let stopped = Disturbance { who: None, began_us: 910 * S, ended_us: 990 * S };
        assert!(killed.may_have_kept(900 * S, 0, &[stopped]), "it was stopped, and killed then");
        let running = maker(None, "");
        assert!(running.may_have_kept(995 * S, 1_000 * S, &[]), "its check may be under way");
        assert!(!running.may_have_kept(970 * S, 1_000 * S, &[]));
        let rolled = Some(Ending::Rolled { well: true });
        assert!(!maker(rolled.clone(), "").may_have_kept(999 * S, 0, &[]), "it ends what is under way");
        let without = "WARN stopping without Postgres: what is under way is cut";
        assert!(maker(rolled, without).may_have_kept(999 * S, 0, &[]));
    }

    #[test]
    fn a_call_that_could_not_be_told_is_known_by_the_log_at_its_time() {
        let line =
            "1970-01-01T00:10:00.000000Z  WARN services: a check could not be told; it is made again target_id=7";
        let failing = maker(None, line);
        let kept = |at_s: u64| failing.may_have_kept(at_s * S, 10_000 * S, &[]);
        assert!(kept(590) && kept(600), "just before it");
        assert!(kept(608), "of failures that come again and again not each is logged");
        assert!(!kept(500) && !kept(620), "it was another call");
        assert!(
            maker(None, "a check could not be told").may_have_kept(S, 10_000 * S, &[]),
            "at a time that nobody knows"
        );
    }
}
