//! What held a sync while it waited, as far as that is over: pauses and refused credentials from the journal, open circuits
//! from the times that are kept of them.

use adapters::event_store::PgEventLog;
use chrono::{DateTime, TimeDelta, Utc};
use domain::ids::TargetId;
use domain::recorded::{ChannelEvent, Recorded};
use domain::target::{Health, Lifecycle, Settings, TargetEvent};
use serde::Serialize;
use sqlx::PgPool;
use utoipa::ToSchema;

use super::history::{Hold, NoHistory, SyncStory};
use super::words::SHORT_MS;
use crate::views::circuit;

/// Events that are read at once.
const BATCH: i64 = 500;

/// What can hold a sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Holder {
    /// Somebody had paused its listing.
    ListingPaused,
    /// Somebody had paused its target.
    TargetPaused,
    /// The channel refused the target's credentials.
    TargetUnauthorised,
    /// The target failed again and again.
    CircuitOpen,
}

/// Something that held a sync.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Held {
    /// What it was.
    pub holder: Holder,
    /// From when.
    pub from: DateTime<Utc>,
    /// To when.
    pub until: DateTime<Utc>,
    /// For how long the sync waited meanwhile.
    pub ms: i64,
    /// Who did it, where somebody did.
    pub by: Option<String>,
    /// Why, where that is said.
    pub reason: Option<String>,
}

/// What held a sync, as far as is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Holds {
    /// By their beginning.
    pub held: Vec<Held>,
    /// How much of the wait for its first attempt that was.
    pub first_ms: i64,
    /// It is known when the circuit was open in that time.
    pub circuit_known: bool,
}

type Span = (DateTime<Utc>, DateTime<Utc>);

/// The times in which a sync waited: for its first attempt, and for each next one from when that was due.
fn waits(story: &SyncStory, now: DateTime<Utc>) -> Vec<Span> {
    let mut begins = vec![story.requested_at];
    let attempts = story.attempts.iter().filter(|attempt| !attempt.late);
    begins.extend(attempts.clone().filter_map(|attempt| attempt.due_at));
    let attempts = attempts.map(|attempt| attempt.attempt.started_at);
    let end = story.end.as_ref().map_or(now, |end| end.at);
    begins.into_iter().zip(attempts.chain([end])).filter(|(from, to)| from < to).collect()
}

fn ms((from, to): Span) -> i64 {
    (to - from).num_milliseconds().max(0)
}

fn overlap(one: Span, other: Span) -> Span {
    (one.0.max(other.0), one.1.min(other.1))
}

/// How much of a time is covered by others, which may overlap. They are sorted by their beginning.
fn covered(time: Span, by: &[Held]) -> i64 {
    let mut seen_to = time.0;
    by.iter().fold(0, |sum, held| {
        let (from, to) = overlap((held.from.max(seen_to), held.until), time);
        seen_to = seen_to.max(to);
        sum + ms((from, to))
    })
}

/// What held a sync of a listing with these pauses, on this target.
pub(super) async fn holds(
    pool: &PgPool,
    target: TargetId,
    story: &SyncStory,
    pauses: &[(Hold, DateTime<Utc>)],
) -> Result<Holds, NoHistory> {
    let waits = waits(story, Utc::now());
    let all = waits.first().map(|first| first.0).zip(waits.last().map(|last| last.1));
    let Some(all) = all.filter(|_| waits.iter().any(|wait| ms(*wait) >= SHORT_MS)) else {
        return Ok(Holds { circuit_known: true, ..Holds::default() });
    };
    let mut held: Vec<Held> = pauses.iter().map(|(hold, until)| over(Holder::ListingPaused, hold, *until)).collect();
    held.extend(of_target(pool, target).await?.over);
    held.extend(circuit::openings(pool, target, all).await?.into_iter().filter_map(|opening| {
        let (holder, from, until) = (Holder::CircuitOpen, opening.opened_at, opening.closed_at?);
        Some(Held { holder, from, until, ms: 0, by: None, reason: None })
    }));
    for one in &mut held {
        one.ms = waits.iter().map(|wait| ms(overlap((one.from, one.until), *wait))).sum();
    }
    held.retain(|one| one.ms > 0);
    held.sort_by_key(|one| one.from);
    let first_ms =
        story.attempts.first().map_or(0, |first| covered((story.requested_at, first.attempt.started_at), &held));
    // The clocks of a host and of Postgres may differ a little.
    let circuit_known = circuit::known_since(pool).await? <= all.0 + TimeDelta::seconds(1);
    Ok(Holds { held, first_ms, circuit_known })
}

fn over(holder: Holder, hold: &Hold, until: DateTime<Utc>) -> Held {
    let by = (holder != Holder::TargetUnauthorised).then(|| hold.by.clone());
    Held { holder, from: hold.at, until, ms: 0, by, reason: Some(hold.reason.clone()) }
}

/// What keeps a target from sending now.
pub(super) async fn of_target_now(pool: &PgPool, target: &Settings) -> Result<TargetHolds, NoHistory> {
    let sends = target.lifecycle != Lifecycle::Paused && target.health != Health::Unauthorised;
    if sends { Ok(TargetHolds::default()) } else { of_target(pool, target.target_id).await }
}

/// When a target was paused or its credentials refused.
async fn of_target(pool: &PgPool, target: TargetId) -> Result<TargetHolds, NoHistory> {
    let log = PgEventLog::new(pool.clone());
    let (id, mut after) = (target.to_string(), 0);
    let mut told = TargetHolds::default();
    loop {
        let batch = log.of_aggregate("ChannelTarget", &id, after, BATCH).await?;
        let Some(last) = batch.last() else { return Ok(told) };
        after = last.sequence;
        for stored in batch {
            told.take(&stored.into_recorded()?);
        }
    }
}

/// What held a target and what holds it now.
#[derive(Debug, Default)]
pub(super) struct TargetHolds {
    /// Somebody has it paused.
    pub paused: Option<Hold>,
    /// The channel refuses its credentials.
    pub refused: Option<Hold>,
    over: Vec<Held>,
}

impl TargetHolds {
    fn take(&mut self, recorded: &Recorded) {
        let ChannelEvent::Target(event) = &recorded.event else { return };
        let at = recorded.recorded_at;
        let hold = |reason: &String| Hold { reason: reason.clone(), by: recorded.metadata.actor.name.clone(), at };
        match event {
            TargetEvent::TargetPaused { reason } => self.paused = Some(hold(reason)),
            TargetEvent::TargetResumed {} => self.resumed(at),
            TargetEvent::HealthChanged { to: Health::Unauthorised, reason, .. } => self.refused = Some(hold(reason)),
            TargetEvent::HealthChanged { .. } | TargetEvent::CredentialRotated { .. } => self.taken(at),
            TargetEvent::TargetDeleted { .. } => {
                self.resumed(at);
                self.taken(at);
            }
            TargetEvent::TargetCreated { .. }
            | TargetEvent::TargetConfigured { .. }
            | TargetEvent::RateLimitChanged { .. } => {}
        }
    }

    fn resumed(&mut self, at: DateTime<Utc>) {
        self.over.extend(self.paused.take().map(|hold| over(Holder::TargetPaused, &hold, at)));
    }

    fn taken(&mut self, at: DateTime<Utc>) {
        self.over.extend(self.refused.take().map(|hold| over(Holder::TargetUnauthorised, &hold, at)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(s, 0).unwrap_or_default()
    }

    #[test]
    fn what_overlaps_counts_once() {
        let held = |from, until| Held {
            holder: Holder::TargetPaused,
            from: at(from),
            until: at(until),
            ms: 0,
            by: None,
            reason: None,
        };
        let by = [held(0, 4), held(1, 3), held(2, 6), held(8, 9)];
        assert_eq!(covered((at(1), at(20)), &by), 6_000);
        assert_eq!(covered((at(9), at(20)), &by), 0);
    }
}
