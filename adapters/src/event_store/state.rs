//! The state of an aggregate: what is at hand with what came after it, or else all of it from the journal.

use cqrs_es::persist::SerializedEvent;
use cqrs_es::{Aggregate, AggregateError};
use serde_json::Value;

use super::cache::State;
use super::load::StreamEvent;
use super::store::{Journal, broken};
use super::version::Version;

impl Journal {
    /// A state that is at hand, with what came after it; `None` where the journal does not have its last event any more.
    pub(super) async fn brought_up_to_date<A: Aggregate>(
        &self,
        id: &str,
        version: Version,
        mut state: A,
    ) -> Result<Option<State<A>>, AggregateError<A::Error>> {
        let loaded = self.request_load::<A>(id, Some(version), false).await?;
        if loaded.lacks_last {
            return Ok(None);
        }
        let last = self.replay(id, &mut state, loaded.events).map_err(broken)?;
        Ok(Some((last.or(Some(version)), state)))
    }

    /// The state as the journal has it, from a snapshot on where there is one that is good.
    pub(super) async fn read<A: Aggregate>(&self, id: &str) -> Result<State<A>, AggregateError<A::Error>> {
        let mut loaded = self.request_load::<A>(id, None, true).await?;
        let snapshot = loaded.snapshot.take().map(|(version, state)| (version, serde_json::from_value::<A>(state)));
        let (begins_at, mut state) = match snapshot {
            Some((version, Ok(state))) => (Some(version), state),
            None if !loaded.lacks_last => (None, A::default()),
            unusable => {
                // Of an older build, or of what the journal has lost: the events tell the same, only slower.
                let error = unusable.and_then(|(_, state)| state.err()).map(|error| error.to_string());
                tracing::info!(error, aggregate_id = id, "ignoring a snapshot of an aggregate that is of no use");
                loaded = self.request_load::<A>(id, None, false).await?;
                (None, A::default())
            }
        };
        let replayed = loaded.events.len();
        let last = self.replay(id, &mut state, loaded.events).map_err(broken)?;
        self.keep_read(id, replayed, last, &state);
        Ok((last.or(begins_at), state))
    }

    /// Applies events to a state, and gives the last one.
    fn replay<A: Aggregate>(
        &self,
        id: &str,
        state: &mut A,
        events: Vec<StreamEvent>,
    ) -> Result<Option<Version>, serde_json::Error> {
        let mut last = None;
        for event in events {
            last = Some(event.version);
            let stored = SerializedEvent::new(
                id.to_owned(),
                usize::try_from(event.version.sequence).unwrap_or_default(),
                A::TYPE.to_owned(),
                event.event_type,
                event.event_version,
                event.payload,
                Value::Null,
            );
            state.apply(serde_json::from_value(self.upcast(stored).payload)?);
        }
        Ok(last)
    }
}
