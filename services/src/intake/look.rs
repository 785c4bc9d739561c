//! What the intake looks at beside its work: whether NATS has dropped what nobody had taken in, and whether its consumer and its streams are
//! still as they are defined. Whoever changes them by hand finds it in the log. The consumer is brought back, but for a pause, which may be
//! meant. The streams it leaves: a limit may have been moved for good reason, and what is beyond one NATS drops.

use std::time::{Duration, Instant};

use adapters::nats::Nats;
use adapters::nats::definition::listed;
use adapters::nats::intake::IntakeState;
use adapters::nats::topology::{StreamKind, TopologyError};
use adapters::telemetry::found_dropped;
use async_nats::jetstream::Message;

use super::decode::is_without_body;

/// From one look to the next.
const LOOK: Duration = Duration::from_secs(10);
/// What goes on is told again after so long.
const AGAIN: Duration = Duration::from_secs(60);

/// What was seen, and what of it was told.
#[derive(Debug, Default)]
pub(super) struct Look {
    looked_at: Option<Instant>,
    places: Places,
    gaps: Vec<Gap>,
    told: Vec<(String, Instant)>,
    is_paused: bool,
    passed_over: Option<String>,
}

impl Look {
    /// The work begins, or begins again, with what may be another consumer: the next look is at once.
    pub(super) fn begin(&mut self) {
        self.looked_at = None;
        self.places.last = None;
    }

    /// Sees what was given out. Where something about it is odd the next look is at once.
    pub(super) fn see(&mut self, arrived: &[Message]) {
        for info in arrived.iter().filter_map(|message| message.info().ok()).filter(|info| info.delivered == 1) {
            self.gaps.extend(self.places.next(info.consumer_sequence, info.stream_sequence));
        }
        if !self.gaps.is_empty() || arrived.iter().any(|message| is_without_body(message)) {
            self.looked_at = None;
        }
    }

    /// Looks where it is time to. An error where a stream is another database's by now; what cannot be asked now is asked later.
    pub(super) async fn look(&mut self, nats: &Nats) -> Result<(), TopologyError> {
        if self.looked_at.is_some_and(|at| at.elapsed() <= LOOK) {
            return Ok(());
        }
        self.looked_at = Some(Instant::now());
        match self.at_all(nats).await {
            Err(error) if !matches!(error, TopologyError::Foreign(_)) => {
                tracing::debug!(%error, "NATS cannot be asked now");
                Ok(())
            }
            looked => looked,
        }
    }

    async fn at_all(&mut self, nats: &Nats) -> Result<(), TopologyError> {
        self.at_consumer(nats).await?;
        // Those that the intake uses; of the others the relay makes up for what is lost.
        self.at_stream(nats, StreamKind::Units).await?;
        self.at_stream(nats, StreamKind::DeadLetters).await
    }

    async fn at_consumer(&mut self, nats: &Nats) -> Result<(), TopologyError> {
        let Some(mut state) = nats.intake_state().await? else { return Ok(()) };
        self.tell_dropped(&state);
        if !state.differences.is_empty() {
            let found = listed(&state.differences);
            if self.is_news(&found) {
                tracing::error!(found, "the intake's consumer was changed: it is brought back to its definition");
            }
            if let Err(error) = nats.bring_intake_back().await {
                self.tell_stays(&error);
            } else if let Some(now) = nats.intake_state().await? {
                state = now;
            }
        }
        self.tell_paused(&state);
        self.tell_passed_over(state);
        Ok(())
    }

    /// Of one that keeps more than is defined the doctor tells, and a start: nothing is lost by it.
    async fn at_stream(&mut self, nats: &Nats, kind: StreamKind) -> Result<(), TopologyError> {
        let mut differences = nats.differences(kind).await?;
        differences.retain(|difference| !difference.keeps_more);
        if differences.is_empty() {
            return Ok(());
        }
        let (stream, found) = (nats.stream_config(kind)?.name, listed(&differences));
        if self.is_news(&format!("{stream}: {found}")) {
            tracing::error!(
                stream,
                found,
                "a stream was changed, and stays so until a start of `distribution serve` brings it back (ON_CALL.md, \
                 Streams are not as defined)"
            );
        }
        Ok(())
    }

    /// A stream that is full makes room, and nobody is asked. Whoever published has an acknowledgement all the same.
    fn tell_dropped(&mut self, state: &IntakeState) {
        let of_gaps: u64 = self.gaps.drain(..).map(|gap| gap.dropped(state.oldest, state.superseded_to)).sum();
        let not_given = state.dropped.saturating_sub(self.places.told);
        self.places.told = self.places.told.max(state.dropped);
        if of_gaps + not_given > 0 {
            found_dropped(of_gaps + not_given);
        }
        for at_least in [of_gaps, state.dropped] {
            if at_least > 0 && self.is_news(&format!("{at_least} dropped")) {
                tracing::error!(
                    at_least,
                    "unit changes were dropped by NATS before they were taken in: have these units published again"
                );
            }
        }
    }

    fn tell_paused(&mut self, state: &IntakeState) {
        let was_paused = std::mem::replace(&mut self.is_paused, state.paused_until.is_some());
        match state.paused_until {
            Some(until) if self.is_news(&format!("paused until {until}")) => tracing::error!(
                %until,
                waiting = state.waiting,
                "the intake's consumer is paused: no unit change is taken in. It stays so, as somebody may mean it \
                 (ON_CALL.md, Nothing is taken in)"
            ),
            None if was_paused => tracing::info!("the intake's consumer is paused no more"),
            _ => {}
        }
    }

    /// Once for each time: it stays known until somebody has done something about it, and the doctor tells it meanwhile.
    fn tell_passed_over(&mut self, state: IntakeState) {
        if state.passed_over.is_some() && state.passed_over != self.passed_over {
            tracing::error!(
                found_at = state.passed_over,
                "the intake's consumer had a filter, and may have passed over unit changes: `distribution unit reread` \
                 brings back what was passed over"
            );
            self.passed_over = state.passed_over;
        }
    }

    fn tell_stays(&mut self, error: &TopologyError) {
        let error = error.to_string();
        if self.is_news(&error) {
            tracing::error!(error, "the intake's consumer cannot be brought back to its definition");
        }
    }

    fn is_news(&mut self, words: &str) -> bool {
        self.told.retain(|(_, at)| at.elapsed() < AGAIN);
        let is_news = self.told.iter().all(|(told, _)| told != words);
        if is_news {
            self.told.push((words.to_owned(), Instant::now()));
        }
        is_news
    }
}

/// Where the last message stood that was given out for the first time: in the order of the consumer, and in the stream.
#[derive(Debug, Default)]
struct Places {
    last: Option<(u64, u64)>,
    /// Dropped since then, and told already.
    told: u64,
}

/// Places of the stream that nobody was given.
#[derive(Debug, PartialEq, Eq)]
struct Gap {
    /// The one before them.
    after: u64,
    /// How many, at least.
    missing: u64,
}

impl Places {
    /// What is given out for the first time comes in the stream's order, and each delivery to anybody takes a place in the consumer's. So as
    /// far as the stream has come further than the consumer, its places were given to nobody.
    fn next(&mut self, consumer: u64, stream: u64) -> Option<Gap> {
        let told = std::mem::take(&mut self.told);
        let (last_given, last) = self.last.replace((consumer, stream))?;
        let given = consumer.checked_sub(last_given)?;
        let missing = stream.checked_sub(last)?.saturating_sub(given).saturating_sub(told);
        (missing > 0).then_some(Gap { after: last + told, missing })
    }
}

impl Gap {
    /// How many of them the stream has dropped, at least. Others were passed over, and it has them, or are superseded by what it has.
    fn dropped(&self, oldest: u64, superseded_to: u64) -> u64 {
        let after = self.after.max(superseded_to);
        oldest.saturating_sub(after.saturating_add(1)).min(self.missing)
    }
}

#[cfg(test)]
mod tests {
    use super::{Gap, Places};

    #[test]
    fn places_that_nobody_was_given_are_a_gap_whoever_was_given_the_others() {
        let mut places = Places::default();
        assert_eq!(places.next(1, 1), None, "nothing is known of what was before");
        assert_eq!(places.next(2, 2), None);
        // Two were redelivered, or given to another intake.
        assert_eq!(places.next(5, 5), None);
        assert_eq!(places.next(6, 16), Some(Gap { after: 5, missing: 10 }));
        assert_eq!(places.next(9, 20), Some(Gap { after: 16, missing: 1 }), "at least: three may have gone elsewhere");
        places.told = 4;
        assert_eq!(places.next(10, 27), Some(Gap { after: 24, missing: 2 }), "four of them were told");
        assert_eq!(places.next(1, 3), None, "another consumer");
        assert_eq!(places.next(2, 4), None);
    }

    #[test]
    fn what_the_stream_still_has_was_passed_over_and_not_dropped() {
        let gap = Gap { after: 5, missing: 10 };
        assert_eq!([1, 6, 9, 16, 40].map(|oldest| gap.dropped(oldest, 0)), [0, 0, 3, 10, 10]);
    }

    #[test]
    fn what_a_newer_change_of_the_same_unit_stands_for_is_no_loss() {
        let gap = Gap { after: 5, missing: 10 };
        assert_eq!([4, 8, 15, u64::MAX].map(|to| gap.dropped(16, to)), [10, 7, 0, 0]);
    }
}
