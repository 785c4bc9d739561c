//! NATS: can it be reached, is it new enough, are the streams and the intake's consumer as defined, and is the relay at the journal's end.

use std::time::Duration;

use adapters::event_store::PgEventLog;
use adapters::leader::{Leadership, LeadingSession};
use adapters::nats::Nats;
use adapters::nats::definition::{Difference, listed};
use adapters::nats::intake::IntakeState;
use adapters::nats::owner::ForeignStream;
use adapters::nats::topology::{Deviation, StreamKind, TopologyError};
use async_nats::ServerAddr;
use chrono::{DateTime, Utc};
use domain::counted::{agreeing, counted};
use domain::recorded::Position;
use sqlx::PgPool;

use super::jetstream;
use super::report::Report;
use crate::cli::times::{moment, span};
use crate::config::Connections;
use crate::relay::{Relay, StreamEnd};

/// How often the intake is looked at, and how long after each other.
const LOOKS: u32 = 4;
const LOOK: Duration = Duration::from_millis(150);
/// The oldest version with atomic batches.
const OLDEST: (u64, u64) = (2, 12);
/// What is to be read about streams and the consumer.
const PAGE: &str = "ON_CALL.md, Streams are not as defined";

/// Gives a connection when there is JetStream, and no stream is another database's. `journal` is where anything is taken in to, if it is there.
pub(super) async fn check(
    connections: &Connections,
    journal: Option<&PgPool>,
    report: &mut Report,
) -> anyhow::Result<Option<Nats>> {
    let place = match connections.nats_addresses() {
        Ok(addresses) => {
            let place = |address: &ServerAddr| format!("{}, port {}", address.host(), address.port());
            addresses.iter().map(place).collect::<Vec<_>>().join("; ")
        }
        Err(invalid) => {
            report.fail("nats", invalid.to_string(), "set NATS_URL, or give --nats-url")?;
            return Ok(None);
        }
    };
    let nats = match connections.nats().await {
        Ok(nats) => nats,
        Err(error) => {
            let advice = "start `nats-server -js`, or set NATS_URL to where one runs";
            // What it says first is to ask the doctor.
            report.fail("nats", format!("{place}: {}", error.root_cause()), advice)?;
            return Ok(None);
        }
    };
    let version = nats.client.server_info().version;
    if major_minor(&version) < OLDEST {
        let advice = "install nats-server 2.12 or newer: it has atomic batches";
        report.fail("nats", format!("version {version} is too old"), advice)?;
    } else {
        report.ok("nats", format!("version {version}"))?;
    }
    if !jetstream::check(&nats, report).await? {
        return Ok(None);
    }
    if let Some(pool) = journal {
        match PgEventLog::new(pool.clone()).identity().await {
            Ok(id) => nats.of_journal(id),
            Err(error) => {
                let detail = format!("which journal this is cannot be read (journal_identity): {error}");
                report.fail(
                    "streams",
                    detail,
                    "ON_CALL.md, Streams of another database, says how it gets its id again",
                )?;
                return Ok(None);
            }
        }
    }
    // Whatever else they tell is about the other one's service then.
    if let Err(TopologyError::Foreign(foreign)) = nats.refuse_foreign_streams().await {
        report.fail("streams", foreign.found(), ForeignStream::ADVICE)?;
        return Ok(None);
    }
    let deviations = nats.deviations().await?;
    if deviations.is_empty() {
        report.ok("streams", "as defined")?;
    } else {
        let found = deviations.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        if deviations.iter().all(Deviation::stays) {
            report.warn("streams", found, format!("no start changes anything of this: {PAGE}"))?;
        } else {
            // What a start asks for in vain it brings back no stream with.
            let in_vain = nats.copies_in_vain().filter(|_| deviations.iter().any(Deviation::asks_for_copies));
            report.fail("streams", found, in_vain.unwrap_or_else(|| to_bring_back(&deviations)))?;
        }
    }
    if !deviations.iter().any(|deviation| matches!(deviation, Deviation::Missing(_) | Deviation::Unknown { .. })) {
        check_consumer(nats.intake_state().await?, report)?;
        check_intake(&nats, journal.is_some(), report).await?;
        check_dead_letters(&nats, report).await?;
    }
    Ok(Some(nats))
}

/// What to do about streams that are not as defined.
fn to_bring_back(deviations: &[Deviation]) -> String {
    let is_away = |deviation: &Deviation| matches!(deviation, Deviation::Unknown { may_pass: true, .. });
    let mut advice = Vec::new();
    if deviations.iter().any(|deviation| !is_away(deviation) && !deviation.stays()) {
        advice.push(by_a_start(deviations));
    }
    if deviations.iter().any(is_away) {
        // A start makes nothing of that better.
        advice.push(format!("start the NATS servers that are away, then look again: {}", jetstream::PAGE));
    }
    advice.join("; ")
}

/// What a start brings back, and what it does not.
fn by_a_start(deviations: &[Deviation]) -> String {
    let advice = "start (or restart) `distribution serve`: it brings the streams to their definition";
    let differences: Vec<&Difference> = deviations
        .iter()
        .flat_map(|deviation| match deviation {
            Deviation::Differs { differences, .. } => differences.as_slice(),
            Deviation::Missing(_) | Deviation::Unknown { .. } | Deviation::Newer { .. } => &[],
        })
        .collect();
    if differences.iter().any(|difference| difference.is_for_good()) {
        let fixed = differences.iter().filter(|difference| difference.is_for_good());
        let fixed = fixed.map(|difference| difference.setting.as_str()).collect::<Vec<_>>().join(", ");
        format!("NATS changes {fixed} in no stream that is there: it has to be made anew ({PAGE})")
    } else if differences.is_empty() {
        advice.to_owned()
    } else {
        format!("{advice} ({PAGE})")
    }
}

/// Nothing is said where no intake ever ran.
fn check_consumer(state: Option<IntakeState>, report: &mut Report) -> anyhow::Result<()> {
    let Some(IntakeState { differences, newer, passed_over, .. }) = state else { return Ok(()) };
    let reread = "`distribution unit reread` has it made anew by an intake, which takes in again what UNITS keeps";
    if !differences.is_empty() {
        let advice = if differences.iter().any(Difference::is_for_good) {
            format!("NATS changes some of this in no consumer that is there: {reread}")
        } else {
            let brought = "an intake brings it back, within 10 s where one runs; else start `distribution serve`";
            format!("{brought}. What a filter has passed over comes with `distribution unit reread`")
        };
        return report.fail("consumer", format!("intake: {}", listed(&differences)), advice);
    }
    if let Some(found_at) = passed_over {
        let detail = format!("it had a filter, as was found at {found_at}: unit changes may have been passed over");
        return report.warn("consumer", detail, reread);
    }
    if let Some(number) = newer {
        let detail = format!("intake: as a newer build defines it (number {number})");
        return report.warn("consumer", detail, format!("this build leaves it alone: {PAGE}"));
    }
    report.ok("consumer", "as defined")
}

fn major_minor(version: &str) -> (u64, u64) {
    let mut numbers = version.split('.').map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// An intake asks for messages all the time, but for the moments in which it is at work, and says so then.
async fn check_intake(nats: &Nats, journal: bool, report: &mut Report) -> anyhow::Result<()> {
    let advice = "start `distribution serve` (role intake); if one runs, its log says what stops it";
    let (mut untaken, mut given) = (0, 0);
    for _ in 0..LOOKS {
        let Some(state) = nats.intake_state().await? else { break };
        let waiting = state.waiting;
        (untaken, given) = (waiting + state.unanswered, state.unanswered);
        let dropped = (state.dropped > 0).then(|| dropped(state.dropped));
        if let Some(until) = state.paused_until {
            let paused = format!("its consumer is paused until {}: {}", moment(until), waits(waiting));
            let detail = [Some(paused), dropped].into_iter().flatten().collect::<Vec<_>>().join("; ");
            let stream = nats.stream_config(StreamKind::Units)?.name;
            let advice = format!(
                "unless somebody means it: `nats consumer resume {stream} intake` (ON_CALL.md, Nothing is taken in)"
            );
            return report.fail("intake", detail, advice);
        }
        if let Some(dropped) = dropped {
            let advice =
                "have their units published again; the stream UNITS was full, or they waited for a week: ON_CALL.md";
            return report.fail("intake", dropped, advice);
        }
        if state.attended && !journal {
            // It asks all the same: what it asked for waits in it until there is a journal.
            let asks = if waiting == 0 { "asks for unit changes".to_owned() } else { waits(waiting) };
            let advice = "unit changes wait in NATS until there is a journal; nothing of them is lost";
            return report.warn("intake", format!("{asks}; without the journal it takes nothing in"), advice);
        }
        if state.attended {
            let detail = if waiting == 0 { "takes unit changes in".to_owned() } else { waits(waiting) };
            return report.ok("intake", detail);
        }
        tokio::time::sleep(LOOK).await;
    }
    if untaken == 0 {
        return report.warn("intake", "nobody asks for unit changes", advice);
    }
    let silent = if given > 0 { format!(" ({given} of them were given to one that is silent)") } else { String::new() };
    report.fail("intake", format!("{}, and nobody asks for them{silent}", waits(untaken)), advice)
}

/// What an intake had in hand then, NATS counts as taken in.
fn dropped(changes: u64) -> String {
    let were = agreeing(changes, "was", "were");
    format!("at least {} {were} dropped by NATS before they were taken in", counted(changes, "unit change"))
}

fn waits(changes: u64) -> String {
    format!("{} to be taken in", counted(changes, "unit change"))
}

async fn check_dead_letters(nats: &Nats, report: &mut Report) -> anyhow::Result<()> {
    match nats.dead_letter_count().await? {
        0 => report.ok("dead letters", "none"),
        count => report.warn(
            "dead letters",
            format!("{} could not be used", counted(count, "message")),
            "`distribution dead-letters list` says why; mend that, then `distribution dead-letters replay --all`",
        ),
    }
}

/// A moment of lag is normal; a minute of it means that nobody relays.
pub(super) async fn check_relay(pool: &PgPool, nats: &Nats, report: &mut Report) -> anyhow::Result<()> {
    let log = PgEventLog::new(pool.clone());
    // That there is no stream was said already.
    let Ok(end) = StreamEnd::of(nats, StreamKind::Channels).await else { return Ok(()) };
    if let StreamEnd::Event { position, event_id } = end
        && !log.has(position, event_id).await?
    {
        let detail = "CHANNELS ends with events that the journal does not have: it was put back to an earlier state";
        let advice = "a relay goes on beyond them by itself, with the next event; `distribution unit reread` takes the \
                      unit changes of that time in again";
        return report.warn("relay", detail, advice);
    }
    let advice = "start `distribution serve` (role relay); if one runs, its log says what stops it";
    let Some(position) = end.position(&log).await? else {
        let detail = "none of the newest messages on CHANNELS is the relay's, so how far it is cannot be seen";
        return report.warn("relay", detail, "find out who else publishes there, and take that right away");
    };
    let reader = Reader { check: "relay", lock: &Relay::lock(nats), page: "The relay lags", advice };
    check_lag(pool, &reader, position, report).await
}

/// Who reads the journal, one process at a time.
pub(super) struct Reader<'a> {
    pub check: &'static str,
    /// What the one that works holds.
    pub lock: &'a str,
    /// What is to be read in ON_CALL.md.
    pub page: &'static str,
    pub advice: &'a str,
}

const LAG: &str = "SELECT count(*), min(recorded_at) FROM events WHERE position > $1";

/// Judges a reader of the journal by the age of the first event that it has not read.
pub(super) async fn check_lag(
    pool: &PgPool,
    reader: &Reader<'_>,
    reached: Position,
    report: &mut Report,
) -> anyhow::Result<()> {
    let Reader { check, lock, page, advice } = *reader;
    let (behind, oldest): (i64, Option<DateTime<Utc>>) = sqlx::query_as(LAG).bind(reached.0).fetch_one(pool).await?;
    let seconds = oldest.map_or(0, |oldest| (Utc::now() - oldest).num_seconds());
    let detail = format!("{} behind, the oldest for {}", counted(behind, "event"), span(seconds));
    if seconds < 5 {
        return report.ok(check, if behind == 0 { "at the journal's end".to_owned() } else { detail });
    }
    // One that stands by says nothing of that in its log.
    let (detail, advice) = match Leadership::held_by(pool, lock).await? {
        None => (detail, advice.to_owned()),
        Some(session) => (
            format!("{detail}; its lock is held by {}", words(&session)),
            format!(
                "{advice}; where the process of that session is gone, `SELECT pg_terminate_backend({})`: \
                 ON_CALL.md, {page}",
                session.pid
            ),
        ),
    };
    if seconds < 60 { report.warn(check, detail, advice) } else { report.fail(check, detail, advice) }
}

/// `the Postgres session 4711 (distribution, from 10.0.0.3, since 2026-11-29 12:00:00Z)`
fn words(session: &LeadingSession) -> String {
    let LeadingSession { pid, application, address, since } = session;
    let application = Some(application.clone()).filter(|application| !application.is_empty());
    let address = address.as_ref().map(|address| format!("from {address}"));
    let since = since.map(|since| format!("since {}", moment(since)));
    let known: Vec<String> = [application, address, since].into_iter().flatten().collect();
    let known = if known.is_empty() { String::new() } else { format!(" ({})", known.join(", ")) };
    format!("the Postgres session {pid}{known}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_start_brings_back_is_told_beside_the_servers_that_are_away() {
        let unknown = |may_pass| Deviation::Unknown { words: "failed to set up UNITS".to_owned(), may_pass };
        let missing = || Deviation::Missing("AUDIT".to_owned());
        let (start, servers) = ("`distribution serve`", "start the NATS servers that are away");
        let told = |deviations: &[Deviation]| {
            let advice = to_bring_back(deviations);
            (advice.contains(start), advice.contains(servers))
        };
        assert_eq!(told(&[unknown(true)]), (false, true));
        assert_eq!(told(&[unknown(true), missing()]), (true, true));
        assert_eq!(told(&[unknown(false), missing()]), (true, false));
    }
}
