//! The intake's consumer: made where it is missing, brought to its definition where it is not, and looked at.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::consumer::{Config, FromConsumer, Info, PullConsumer, pull};
use async_nats::jetstream::context::{ConsumerInfoErrorKind, UpdateStreamError};
use async_nats::jetstream::stream::{self, ConsumerErrorKind, Stream};
use chrono::{DateTime, SecondsFormat, Utc};

use super::Nats;
use super::definition::{Difference, listed, newer, of_consumer};
use super::marks::{PASSED_OVER, superseded_to};
use super::owner::kept;
use super::topology::{StreamKind, TopologyError, in_time, is_refused};

/// Its name.
const NAME: &str = "intake";
/// What errors call it.
const CONSUMER: &str = "consumer intake";

/// How the intake's consumer stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntakeState {
    /// Unit changes that no intake has been given yet.
    pub waiting: u64,
    /// Unit changes that an intake was given and has not answered: it is at work on them, or was when it ended.
    pub unanswered: u64,
    /// Some intake asks for messages, or is at work on some: it was given them, or has said that work goes on, within the time after which
    /// the server takes it for gone. What a dead one had in hand stays unanswered until another one asks.
    pub attended: bool,
    /// Unit changes that the stream has dropped, being full or a week old, before an intake was given them; those since the
    /// last that was given. There may be more: what an intake had in hand counts as answered once it is dropped.
    pub dropped: u64,
    /// The first place of the stream that is not dropped.
    pub oldest: u64,
    /// Up to this place what was dropped is no loss: the stream keeps so many changes of each unit alone, or did until then.
    pub superseded_to: u64,
    /// Until then it gives nothing out: somebody has paused it.
    pub paused_until: Option<DateTime<Utc>>,
    /// When it was found to have a filter, where it was: it may have passed over changes that nobody has taken in. It is forgotten when the
    /// intake begins anew ([`Nats::rewind_intake`]).
    pub passed_over: Option<String>,
    /// The number of its definition, where a newer build has set it up: this one cannot judge it then.
    pub newer: Option<u64>,
    /// In what it is not as it is defined.
    pub differences: Vec<Difference>,
}

/// Whether a moment of the server's clock is no longer ago than that; one that is yet to come is not either.
fn is_within(at_ns: i128, span: Duration) -> bool {
    let age_ns = i128::from(Utc::now().timestamp_micros()) * 1_000 - at_ns;
    i128::try_from(span.as_nanos()).is_ok_and(|span| age_ns < span)
}

/// As it is defined.
pub(super) fn definition() -> Result<Config, TopologyError> {
    let file = "consumers/intake.json";
    serde_json::from_str(include_str!("../../../nats/consumers/intake.json"))
        .map_err(|source| TopologyError::Definition { file, source })
}

fn failed(reason: &dyn fmt::Display) -> TopologyError {
    TopologyError::Server { name: CONSUMER.to_owned(), reason: reason.to_string() }
}

fn not_carried(units: &Stream, error: &UpdateStreamError) -> TopologyError {
    TopologyError::Server { name: units.cached_info().config.name.clone(), reason: error.to_string() }
}

/// `None` where no intake ever ran.
async fn info(stream: &Stream) -> Result<Option<Info>, TopologyError> {
    match in_time(CONSUMER, stream.consumer_info(NAME)).await? {
        Ok(info) => Ok(Some(info)),
        Err(error) if error.kind() == ConsumerInfoErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(&error)),
    }
}

impl Nats {
    /// The durable consumer of the intake, with its stream; made, or brought to its definition. A pause stays: whoever paused it may have
    /// meant it. One that a newer build has set up is used as it is.
    pub async fn ensure_intake(&self) -> Result<PullConsumer, TopologyError> {
        let (consumer, differences) = self.set_up_intake().await?;
        if !differences.is_empty() {
            let found = listed(&differences);
            tracing::warn!(found, "the intake's consumer was not as it is defined, and has been brought to it");
        }
        Ok(consumer)
    }

    /// Brings the consumer to its definition, for an intake that uses it and has said so.
    pub async fn bring_intake_back(&self) -> Result<(), TopologyError> {
        self.set_up_intake().await.map(drop)
    }

    async fn set_up_intake(&self) -> Result<(PullConsumer, Vec<Difference>), TopologyError> {
        let stream = self.stream_or_new(StreamKind::Units).await?;
        let mut config = definition()?;
        let mut differences = Vec::new();
        if let Some(there) = info(&stream).await? {
            if newer(&there.config.metadata, &config.metadata).is_some() {
                let pull = pull::Config::try_from_consumer_config(there.config.clone());
                let pull = pull.map_err(|error| failed(&error))?;
                return Ok((PullConsumer::new(pull, there, self.jetstream.clone()), differences));
            }
            differences = of_consumer(&there.config, &config);
            if differences.iter().any(Difference::is_filter) {
                self.mark_passed_over(&stream).await?;
            }
            config.pause_until = there.config.pause_until;
            // NATS refuses to change it, and with it all else.
            config.max_waiting = there.config.max_waiting;
            config.metadata = kept(&there.config.metadata).chain(config.metadata).collect();
        }
        let pull = pull::Config::try_from_consumer_config(config).map_err(|error| failed(&error))?;
        let made = in_time(CONSUMER, stream.create_consumer(pull)).await?;
        let consumer = made.map_err(|error| match listed(&differences).as_str() {
            "" => failed(&error),
            found => failed(&format!(
                "{error}; it is not as it is defined: {found}; `distribution unit reread` has it made anew, and what \
                 UNITS keeps is taken in again"
            )),
        })?;
        Ok((consumer, differences))
    }

    /// Before the consumer is brought back, so that no crash in between forgets it. Where NATS refuses, the filter goes all the same.
    async fn mark_passed_over(&self, units: &Stream) -> Result<(), TopologyError> {
        if units.cached_info().config.metadata.contains_key(PASSED_OVER) {
            return Ok(());
        }
        let now = Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true);
        let carried = self.carry(|metadata| drop(metadata.insert(PASSED_OVER.to_owned(), now))).await?;
        match carried {
            Err(error) if is_refused(&error) => {
                tracing::error!(
                    %error,
                    "the intake's consumer had a filter, and may have passed over unit changes, which UNITS cannot \
                     carry: `distribution unit reread` brings back what was passed over"
                );
                Ok(())
            }
            carried => carried.map(drop).map_err(|error| not_carried(units, &error)),
        }
    }

    /// Changes what `UNITS` carries, and nothing else of it: it is looked at once more, as all of it is written again, and somebody may have
    /// edited it meanwhile.
    async fn carry(
        &self,
        change: impl FnOnce(&mut HashMap<String, String>),
    ) -> Result<Result<stream::Info, UpdateStreamError>, TopologyError> {
        let mut config = self.stream(StreamKind::Units).await?.cached_info().config.clone();
        config.metadata = kept(&config.metadata).collect();
        change(&mut config.metadata);
        let name = config.name.clone();
        in_time(&name, self.jetstream.update_stream(config)).await
    }

    /// Lets the intake begin anew at the oldest unit change that the stream keeps; gives how many it keeps. The consumer
    /// goes, and an intake that runs makes it again at once.
    pub async fn rewind_intake(&self) -> Result<u64, TopologyError> {
        let stream = self.stream(StreamKind::Units).await?;
        match stream.delete_consumer(NAME).await {
            Ok(_) => {}
            Err(error) => match error.kind() {
                // No intake ever ran: the first one begins there anyway.
                ConsumerErrorKind::JetStream(answer) if answer.error_code() == ErrorCode::CONSUMER_NOT_FOUND => {}
                _ => return Err(failed(&error)),
            },
        }
        let units = stream.cached_info();
        if units.config.metadata.contains_key(PASSED_OVER) {
            let carried = self.carry(|metadata| drop(metadata.remove(PASSED_OVER))).await?;
            carried.map_err(|error| not_carried(&stream, &error))?;
        }
        Ok(units.state.messages)
    }

    /// How the intake's consumer stands; nothing is made. `None` where no intake ever ran.
    pub async fn intake_state(&self) -> Result<Option<IntakeState>, TopologyError> {
        let stream = self.stream(StreamKind::Units).await?;
        let Some(info) = info(&stream).await? else { return Ok(None) };
        let heard = info.delivered.last_active;
        let is_heard = heard.is_some_and(|at| is_within(at.unix_timestamp_nanos(), info.config.ack_wait));
        let at_work = info.num_ack_pending > 0 && is_heard;
        let units = stream.cached_info();
        let oldest = units.state.first_sequence;
        let superseded_to = superseded_to(&units.config);
        let given = info.delivered.stream_sequence.max(superseded_to);
        let until = info.config.pause_until.filter(|_| info.paused);
        let definition = definition()?;
        let newer = newer(&info.config.metadata, &definition.metadata);
        let differences = if newer.is_none() { of_consumer(&info.config, &definition) } else { Vec::new() };
        Ok(Some(IntakeState {
            waiting: info.num_pending,
            unanswered: u64::try_from(info.num_ack_pending).unwrap_or(u64::MAX),
            attended: info.num_waiting > 0 || at_work,
            dropped: oldest.saturating_sub(given.saturating_add(1)),
            oldest,
            superseded_to,
            paused_until: until.and_then(|until| DateTime::from_timestamp(until.unix_timestamp(), 0)),
            passed_over: units.config.metadata.get(PASSED_OVER).cloned(),
            newer,
            differences,
        }))
    }
}
