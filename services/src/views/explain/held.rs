//! What held a sync while it waited: pauses and refused credentials, and open circuits from the times that are kept of them. What holds
//! one that has not ended is told by what is next.

use chrono::{DateTime, TimeDelta, Utc};
use domain::ids::TargetId;
use serde::Serialize;
use sqlx::PgConnection;
use utoipa::ToSchema;

use super::history::SyncStory;
use super::waits::{SHORT_MS, Span, for_attempts, ms};
use crate::views::circuit;
use crate::views::holds::{Hold, Holder, Holds, Over};

/// Something that held a sync.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Held {
    /// What it was.
    pub holder: Holder,
    /// From when.
    pub from: DateTime<Utc>,
    /// To when; `null` where it holds the listing still, although this sync has ended.
    pub until: Option<DateTime<Utc>>,
    /// For how long the sync waited meanwhile.
    pub ms: i64,
    /// Who did it, where somebody did.
    pub by: Option<String>,
    /// Why, where that is said.
    pub reason: Option<String>,
}

/// What held a sync, as far as is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct HeldBy {
    /// By their beginning.
    pub held: Vec<Held>,
    /// How much of the wait for its first attempt that was, once no attempt of another sync was under way.
    pub first_ms: i64,
    /// It is known when the circuit was open in that time.
    pub circuit_known: bool,
}

fn overlap(one: Span, other: Span) -> Span {
    (one.0.max(other.0), one.1.min(other.1))
}

impl Held {
    pub(super) fn span(&self) -> Span {
        (self.from, self.until.unwrap_or(DateTime::<Utc>::MAX_UTC))
    }
}

/// How much of a time is covered by others, which may overlap. They are sorted by their beginning.
pub(super) fn covered(time: Span, by: impl IntoIterator<Item = Span>) -> i64 {
    let mut seen_to = time.0;
    by.into_iter().fold(0, |sum, (begin, end)| {
        let (from, to) = overlap((begin.max(seen_to), end), time);
        seen_to = seen_to.max(to);
        sum + ms((from, to))
    })
}

/// What held a sync of a listing with these holds, on this target. `known_since` is since when all openings of circuits are known.
pub(super) async fn held_by(
    reader: &mut PgConnection,
    target: TargetId,
    story: &SyncStory,
    holds: &Holds,
    known_since: DateTime<Utc>,
) -> Result<HeldBy, sqlx::Error> {
    let waits = for_attempts(story, Utc::now());
    let all = waits.first().map(|first| first.0).zip(waits.last().map(|last| last.1));
    let Some(all) = all.filter(|_| waits.iter().any(|wait| ms(*wait) >= SHORT_MS)) else {
        return Ok(HeldBy { circuit_known: true, ..HeldBy::default() });
    };
    let mut held: Vec<Held> = holds.over.iter().map(over).collect();
    held.extend(holds.now.iter().map(|(holder, hold)| of(*holder, hold, None)));
    held.extend(circuit::openings(reader, target, all).await?.into_iter().map(|opening| {
        let (holder, from, until) = (Holder::CircuitOpen, opening.opened_at, opening.closed_at);
        Held { holder, from, until, ms: 0, by: None, reason: None }
    }));
    held.retain(|one| one.until.is_some() || story.end.is_some());
    let held = while_it_waited(held, &waits);
    let first = story.began().map(|began| (story.behind().until, began));
    let first_ms = first.map_or(0, |first| covered(first, held.iter().map(Held::span)));
    // The clocks of a host and of Postgres may differ a little.
    let circuit_known = known_since <= all.0 + TimeDelta::seconds(1);
    Ok(HeldBy { held, first_ms, circuit_known })
}

/// Those of these that held it while it waited, by their beginning, each with for how long that was.
pub(super) fn while_it_waited(mut held: Vec<Held>, waits: &[Span]) -> Vec<Held> {
    for one in &mut held {
        one.ms = waits.iter().map(|wait| ms(overlap(one.span(), *wait))).sum();
    }
    held.retain(|one| one.ms > 0);
    held.sort_by_key(|one| one.from);
    held
}

fn over(over: &Over) -> Held {
    of(over.holder, &over.hold, Some(over.until))
}

fn of(holder: Holder, hold: &Hold, until: Option<DateTime<Utc>>) -> Held {
    let by = (holder != Holder::TargetUnauthorised).then(|| hold.by.clone());
    Held { holder, from: hold.at, until, ms: 0, by, reason: Some(hold.reason.clone()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(s, 0).unwrap_or_default()
    }

    #[test]
    fn what_overlaps_counts_once() {
        let by = [(at(0), at(4)), (at(1), at(3)), (at(2), at(6)), (at(8), at(9))];
        assert_eq!(covered((at(1), at(20)), by), 6_000);
        assert_eq!(covered((at(9), at(20)), by), 0);
    }
}
