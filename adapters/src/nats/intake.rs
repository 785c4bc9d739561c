//! The intake's consumer: made where it is missing, brought to its definition where it is not, and looked at.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::consumer::{Config, FromConsumer, Info, PullConsumer, pull};
use async_nats::jetstream::context::ConsumerInfoErrorKind;
use async_nats::jetstream::stream::{ConsumerErrorKind, Stream};
use chrono::{DateTime, SecondsFormat, Utc};

use super::Nats;
use super::definition::{Difference, listed, of_consumer};
use super::owner::OF_THE_SERVER;
use super::topology::{StreamKind, TopologyError, in_time};

/// Its name.
const NAME: &str = "intake";
/// What errors call it.
const CONSUMER: &str = "consumer intake";
/// Where it carries, in its metadata, since when it is known that it may have passed over changes.
const PASSED_OVER: &str = "distribution.passed-over";

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
    /// Until then it gives nothing out: somebody has paused it.
    pub paused_until: Option<DateTime<Utc>>,
    /// When it was found to have a filter, where it was: it may have passed over changes that nobody has taken in. It is forgotten when the
    /// intake begins anew ([`Nats::rewind_intake`]).
    pub passed_over: Option<String>,
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

/// `None` where no intake ever ran.
async fn info(stream: &Stream) -> Result<Option<Info>, TopologyError> {
    match in_time(CONSUMER, stream.consumer_info(NAME)).await? {
        Ok(info) => Ok(Some(info)),
        Err(error) if error.kind() == ConsumerInfoErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(&error)),
    }
}

/// What it is to have as its metadata, from what it has.
fn marked(has: &HashMap<String, String>, was_filtered: bool) -> HashMap<String, String> {
    let kept = has.iter().filter(|(key, _)| !key.starts_with(OF_THE_SERVER));
    let mut kept: HashMap<String, String> = kept.map(|(key, value)| (key.clone(), value.clone())).collect();
    if was_filtered {
        let now = || Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true);
        kept.entry(PASSED_OVER.to_owned()).or_insert_with(now);
    }
    kept
}

impl Nats {
    /// The durable consumer of the intake, with its stream; made, or brought to its definition. A pause stays: whoever paused it may have
    /// meant it.
    pub async fn ensure_intake(&self) -> Result<PullConsumer, TopologyError> {
        let stream = self.ensure_stream(StreamKind::Units).await?;
        let mut config = definition()?;
        let mut differences = Vec::new();
        if let Some(there) = info(&stream).await? {
            differences = of_consumer(&there.config, &config);
            config.pause_until = there.config.pause_until;
            config.metadata = marked(&there.config.metadata, differences.iter().any(Difference::is_filter));
        }
        let pull = pull::Config::try_from_consumer_config(config).map_err(|error| failed(&error))?;
        let made = in_time(CONSUMER, stream.create_consumer(pull)).await?;
        let found = listed(&differences);
        let consumer = made.map_err(|error| match found.as_str() {
            "" => failed(&error),
            found => failed(&format!(
                "{error}; it is not as it is defined: {found}; `distribution unit reread` has it made anew, and what \
                 UNITS keeps is taken in again"
            )),
        })?;
        if !differences.is_empty() {
            tracing::warn!(found, "the intake's consumer was not as it is defined, and has been brought to it");
        }
        Ok(consumer)
    }

    /// Lets the intake begin anew at the oldest unit change that the stream keeps; gives how many it keeps. The consumer
    /// goes, and an intake that runs makes it again at once.
    pub async fn rewind_intake(&self) -> Result<u64, TopologyError> {
        let stream = self.stream(StreamKind::Units).await?;
        let kept = stream.cached_info().state.messages;
        match stream.delete_consumer(NAME).await {
            Ok(_) => Ok(kept),
            Err(error) => match error.kind() {
                // No intake ever ran: the first one begins there anyway.
                ConsumerErrorKind::JetStream(answer) if answer.error_code() == ErrorCode::CONSUMER_NOT_FOUND => {
                    Ok(kept)
                }
                _ => Err(failed(&error)),
            },
        }
    }

    /// How the intake's consumer stands; nothing is made. `None` where no intake ever ran.
    pub async fn intake_state(&self) -> Result<Option<IntakeState>, TopologyError> {
        let stream = self.stream(StreamKind::Units).await?;
        let Some(info) = info(&stream).await? else { return Ok(None) };
        let heard = info.delivered.last_active;
        let is_heard = heard.is_some_and(|at| is_within(at.unix_timestamp_nanos(), info.config.ack_wait));
        let at_work = info.num_ack_pending > 0 && is_heard;
        let oldest = stream.cached_info().state.first_sequence;
        let until = info.config.pause_until.filter(|_| info.paused);
        Ok(Some(IntakeState {
            waiting: info.num_pending,
            unanswered: u64::try_from(info.num_ack_pending).unwrap_or(u64::MAX),
            attended: info.num_waiting > 0 || at_work,
            dropped: oldest.saturating_sub(info.delivered.stream_sequence + 1),
            oldest,
            paused_until: until.and_then(|until| DateTime::from_timestamp(until.unix_timestamp(), 0)),
            passed_over: info.config.metadata.get(PASSED_OVER).cloned(),
            differences: of_consumer(&info.config, &definition()?),
        }))
    }
}
