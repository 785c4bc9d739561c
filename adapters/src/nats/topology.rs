//! Streams and consumers, from the files in `nats/`: made where they are missing, compared where they are not.

use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::consumer::{self, PullConsumer};
use async_nats::jetstream::context::{
    ConsumerInfoErrorKind, CreateStreamError, CreateStreamErrorKind, GetStreamErrorKind,
};
use async_nats::jetstream::stream::{Config, ConsumerErrorKind, Stream};
use chrono::Utc;
use domain::counted::counted;

use super::owner::ForeignStream;
use super::{Nats, Prefix};

/// The longest wait for an answer about a stream. The client's own wait, which is shorter, begins when a request has room among those
/// that are to be sent, and while NATS is away nothing is sent.
const PATIENCE: Duration = Duration::from_secs(12);

/// A stream of this service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StreamKind {
    /// Unit changes that come in.
    Units,
    /// Journal events.
    Channels,
    /// Audit events for analytics.
    Audit,
    /// Messages that could not be used.
    DeadLetters,
}

/// A file in `nats/` or a server's answer that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TopologyError {
    /// A definition that does not parse.
    #[error("nats/{file} is not a valid definition")]
    Definition {
        /// The file.
        file: &'static str,
        /// What serde says.
        source: serde_json::Error,
    },
    /// A stream that nobody has made yet.
    #[error("there is no stream {0} yet: the service makes it when it starts")]
    Missing(String),
    /// A stream of another database's service.
    #[error(transparent)]
    Foreign(#[from] ForeignStream),
    /// The server refused.
    #[error("failed to set up {name}: {reason}")]
    Server {
        /// The stream or consumer.
        name: String,
        /// The server's words.
        reason: String,
    },
}

impl StreamKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Units, Self::Channels, Self::Audit, Self::DeadLetters];

    fn definition(self) -> (&'static str, &'static str) {
        match self {
            Self::Units => ("streams/units.json", include_str!("../../../nats/streams/units.json")),
            Self::Channels => ("streams/channels.json", include_str!("../../../nats/streams/channels.json")),
            Self::Audit => ("streams/audit.json", include_str!("../../../nats/streams/audit.json")),
            Self::DeadLetters => ("streams/dead-letters.json", include_str!("../../../nats/streams/dead-letters.json")),
        }
    }
}

/// How the intake's consumer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IntakeState {
    /// Unit changes that no intake has been given yet.
    pub waiting: u64,
    /// Unit changes that an intake was given and has not answered: it is at work on them, or was when it ended.
    pub unanswered: u64,
    /// Some intake asks for messages, or is at work on some: it was given them, or has said that work goes on, within the time after which
    /// the server takes it for gone. What a dead one had in hand stays unanswered until another one asks.
    pub attended: bool,
    /// Unit changes that the stream has dropped, being full or a week old, before an intake was given them; those since the
    /// last that was given.
    pub dropped: u64,
}

/// Whether a moment of the server's clock is no longer ago than that; one that is yet to come is not either.
fn is_within(at_ns: i128, span: Duration) -> bool {
    let age_ns = i128::from(Utc::now().timestamp_micros()) * 1_000 - at_ns;
    i128::try_from(span.as_nanos()).is_ok_and(|span| age_ns < span)
}

/// There is one of this name, with other settings.
fn is_taken(error: &CreateStreamError) -> bool {
    matches!(error.kind(), CreateStreamErrorKind::JetStream(answer) if answer.error_code() == ErrorCode::STREAM_NAME_EXIST)
}

/// What is answered about a stream; an error where nothing is in time.
async fn in_time<T>(name: &str, asked: impl Future<Output = T>) -> Result<T, TopologyError> {
    let late = |_| TopologyError::Server { name: name.to_owned(), reason: "no answer: NATS is away".to_owned() };
    tokio::time::timeout(PATIENCE, asked).await.map_err(late)
}

impl Nats {
    /// The definition of a stream under this connection's prefix.
    pub fn stream_config(&self, kind: StreamKind) -> Result<Config, TopologyError> {
        let (file, text) = kind.definition();
        let mut config: Config =
            serde_json::from_str(text).map_err(|source| TopologyError::Definition { file, source })?;
        config.name = self.prefix.stream(&config.name);
        if self.prefix != Prefix::default() {
            // A server reserves max_bytes for each stream; instances that share one share its own limit instead.
            config.max_bytes = -1;
        }
        config.subjects = config.subjects.iter().map(|subject| self.prefix.subject(subject)).collect();
        config.num_replicas = self.replicas.unwrap_or(config.num_replicas);
        Ok(config)
    }

    /// A stream, made or brought to its definition. It carries the id of this connection's journal then; one of another journal is an error.
    pub async fn ensure_stream(&self, kind: StreamKind) -> Result<Stream, TopologyError> {
        // Where somebody else makes it at the same moment, with other metadata, the second look finds it there.
        for _ in 0..2 {
            if let Some(stream) = self.set_up_stream(kind).await? {
                return Ok(stream);
            }
        }
        let name = self.stream_config(kind)?.name;
        Err(TopologyError::Server { name, reason: "somebody else makes it again and again".to_owned() })
    }

    /// `None` where somebody else has made it since it was found missing.
    async fn set_up_stream(&self, kind: StreamKind) -> Result<Option<Stream>, TopologyError> {
        let mut config = self.stream_config(kind)?;
        let name = config.name.clone();
        let failed = |reason: String| TopologyError::Server { name: name.clone(), reason };
        match self.stream(kind).await {
            Ok(there) => {
                let have = &there.cached_info().config;
                if self.replicas.is_none() {
                    // Whoever was not told does not take copies away that somebody else has wanted.
                    config.num_replicas = have.num_replicas;
                }
                config.metadata = self.owned(&have.metadata);
            }
            Err(TopologyError::Missing(_)) => config.metadata = self.owned(&config.metadata),
            Err(error) => return Err(error),
        }
        match in_time(&name, self.jetstream.create_or_update_stream(config)).await? {
            Ok(_) => {}
            Err(error) if is_taken(&error) => return Ok(None),
            Err(error) => return Err(failed(error.to_string())),
        }
        let stream = in_time(&name, self.jetstream.get_stream(&name)).await?.map_err(|e| failed(e.to_string()))?;
        // Somebody else may have been faster, or later.
        self.refuse_foreign(&stream.cached_info().config)?;
        Ok(Some(stream))
    }

    /// A stream as it is; an error when it is not there, or of another journal.
    pub async fn stream(&self, kind: StreamKind) -> Result<Stream, TopologyError> {
        let name = self.stream_config(kind)?.name;
        let found = in_time(&name, self.jetstream.get_stream(&name)).await?;
        let stream = found.map_err(|error| match error.kind() {
            GetStreamErrorKind::JetStream(answer) if answer.error_code() == ErrorCode::STREAM_NOT_FOUND => {
                TopologyError::Missing(name)
            }
            _ => TopologyError::Server { name, reason: error.to_string() },
        })?;
        self.refuse_foreign(&stream.cached_info().config)?;
        Ok(stream)
    }

    /// An error where one of the streams that are there is another journal's.
    pub async fn refuse_foreign_streams(&self) -> Result<(), TopologyError> {
        for kind in StreamKind::ALL {
            match self.stream(kind).await {
                Ok(_) | Err(TopologyError::Missing(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Every stream; none is made or changed where one is another journal's.
    pub async fn ensure_streams(&self) -> Result<(), TopologyError> {
        self.refuse_foreign_streams().await?;
        for kind in StreamKind::ALL {
            self.ensure_stream(kind).await?;
        }
        Ok(())
    }

    /// The durable consumer of the intake, with its stream.
    pub async fn ensure_intake(&self) -> Result<PullConsumer, TopologyError> {
        let file = "consumers/intake.json";
        let config: consumer::Config = serde_json::from_str(include_str!("../../../nats/consumers/intake.json"))
            .map_err(|source| TopologyError::Definition { file, source })?;
        let pull = consumer::pull::Config {
            durable_name: config.durable_name,
            name: config.name,
            description: config.description,
            deliver_policy: config.deliver_policy,
            ack_policy: config.ack_policy,
            ack_wait: config.ack_wait,
            max_deliver: config.max_deliver,
            max_ack_pending: config.max_ack_pending,
            replay_policy: config.replay_policy,
            ..Default::default()
        };
        let stream = self.ensure_stream(StreamKind::Units).await?;
        stream
            .create_consumer(pull)
            .await
            .map_err(|e| TopologyError::Server { name: "consumer intake".to_owned(), reason: e.to_string() })
    }

    /// Lets the intake begin anew at the oldest unit change that the stream keeps; gives how many it keeps. The consumer
    /// goes, and an intake that runs makes it again at once.
    pub async fn rewind_intake(&self) -> Result<u64, TopologyError> {
        let stream = self.stream(StreamKind::Units).await?;
        let kept = stream.cached_info().state.messages;
        match stream.delete_consumer("intake").await {
            Ok(_) => Ok(kept),
            Err(error) => match error.kind() {
                // No intake ever ran: the first one begins there anyway.
                ConsumerErrorKind::JetStream(answer) if answer.error_code() == ErrorCode::CONSUMER_NOT_FOUND => {
                    Ok(kept)
                }
                _ => Err(TopologyError::Server { name: "consumer intake".to_owned(), reason: error.to_string() }),
            },
        }
    }

    /// How the intake's consumer stands; nothing is made. `None` where no intake ever ran.
    pub async fn intake_state(&self) -> Result<Option<IntakeState>, TopologyError> {
        let stream = self.stream(StreamKind::Units).await?;
        match stream.consumer_info("intake").await {
            Ok(info) => {
                let heard = info.delivered.last_active;
                let is_heard = heard.is_some_and(|at| is_within(at.unix_timestamp_nanos(), info.config.ack_wait));
                let at_work = info.num_ack_pending > 0 && is_heard;
                let attended = info.num_waiting > 0 || at_work;
                let first = stream.cached_info().state.first_sequence;
                let dropped = first.saturating_sub(info.delivered.stream_sequence + 1);
                let unanswered = u64::try_from(info.num_ack_pending).unwrap_or(u64::MAX);
                Ok(Some(IntakeState { waiting: info.num_pending, unanswered, attended, dropped }))
            }
            Err(error) if error.kind() == ConsumerInfoErrorKind::NotFound => Ok(None),
            Err(error) => Err(TopologyError::Server { name: "consumer intake".to_owned(), reason: error.to_string() }),
        }
    }

    /// Where the server's streams differ from their definitions, in words.
    pub async fn differences(&self) -> Result<Vec<String>, TopologyError> {
        let mut differences = Vec::new();
        for kind in StreamKind::ALL {
            let wanted = self.stream_config(kind)?;
            match self.stream(kind).await {
                Err(TopologyError::Missing(name)) => differences.push(format!("{name} is missing")),
                Err(error) => differences.push(error.to_string()),
                Ok(stream) => {
                    let have = &stream.cached_info().config;
                    if have.subjects != wanted.subjects {
                        differences.push(format!("{}: subjects are {:?}", wanted.name, have.subjects));
                    }
                    if (have.max_age, have.max_bytes) != (wanted.max_age, wanted.max_bytes) {
                        differences.push(format!("{}: retention differs from its definition", wanted.name));
                    }
                    if self.replicas.is_some_and(|replicas| replicas != have.num_replicas) {
                        differences.push(format!("{}: it is on {}", wanted.name, counted(have.num_replicas, "server")));
                    }
                    if have.allow_atomic_publish != wanted.allow_atomic_publish {
                        differences.push(format!("{}: atomic batches are off (nats-server >= 2.12?)", wanted.name));
                    }
                }
            }
        }
        Ok(differences)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[tokio::test]
    async fn a_question_is_given_up_where_too_much_waits_for_a_nats_that_is_away() {
        let nats = Nats::connect_later("nats://127.0.0.1:9", Prefix::default(), "test").await.unwrap();
        // Nobody takes what is to be sent, until there is no room for more.
        let has_room = async || {
            let sent = nats.client.publish("nobody", Bytes::new());
            tokio::time::timeout(Duration::from_millis(200), sent).await.is_ok()
        };
        while has_room().await {}
        let asked = tokio::time::timeout(2 * PATIENCE, nats.stream(StreamKind::Units)).await;
        let error = asked.expect("it is given up").expect_err("nobody answers");
        assert!(error.to_string().contains("NATS is away"), "{error}");
    }
}
