//! Streams, from the files in `nats/`: made where they are missing, compared, and brought to their definition at a start of `serve`.

mod deviation;

use std::collections::HashMap;
use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{CreateStreamError, CreateStreamErrorKind, GetStreamError, GetStreamErrorKind};
use async_nats::jetstream::stream::{Config, Stream};

use super::definition::{self, Difference, listed};
use super::owner::ForeignStream;
use super::placement::NoPlace;
use super::{Nats, Prefix, marks};

pub use deviation::Deviation;

/// The longest wait for an answer about a stream. The client's own wait, which is shorter, begins when a request has room among those
/// that are to be sent, and while NATS is away nothing is sent.
pub const PATIENCE: Duration = Duration::from_secs(12);

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
    /// Not for now: NATS is away, or its JetStream is, as in a cluster without a leader, or servers that a new stream is to be on.
    #[error("failed to set up {name}: {reason}")]
    Away {
        /// The stream or consumer.
        name: String,
        /// Who says so, and how.
        reason: String,
    },
    /// It is to be on more servers than there are for it.
    #[error("failed to set up {name}: {reason}")]
    TooManyCopies {
        /// The stream.
        name: String,
        /// The server's words, and what to do.
        reason: String,
    },
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

/// There is one of this name, with other settings.
fn is_taken(error: &CreateStreamError) -> bool {
    matches!(error.kind(), CreateStreamErrorKind::JetStream(answer) if answer.error_code() == ErrorCode::STREAM_NAME_EXIST)
}

/// The server's answer where it cannot do it for now: there is no leader, or too little of something.
pub const UNAVAILABLE: usize = 503;

/// NATS has answered, and does not do it; not where that may pass.
pub(super) fn is_refused(error: &CreateStreamError) -> bool {
    matches!(error.kind(), CreateStreamErrorKind::JetStream(answer) if answer.code() != UNAVAILABLE)
}

/// Why a stream cannot be looked at.
fn unfound(name: String, error: &GetStreamError) -> TopologyError {
    let reason = error.to_string();
    match error.kind() {
        GetStreamErrorKind::JetStream(answer) if answer.error_code() == ErrorCode::STREAM_NOT_FOUND => {
            TopologyError::Missing(name)
        }
        GetStreamErrorKind::JetStream(answer) if answer.code() != UNAVAILABLE => TopologyError::Server { name, reason },
        GetStreamErrorKind::JetStream(_) | GetStreamErrorKind::Request => TopologyError::Away { name, reason },
        _ => TopologyError::Server { name, reason },
    }
}

/// Why a stream that is to have so many copies was not made, or not brought to its definition.
fn unmade(name: String, copies: usize, error: &CreateStreamError) -> TopologyError {
    let no_place = NoPlace::of(error);
    let said = match error.kind() {
        // The client says it twice: of what kind the error is, and where it comes from.
        CreateStreamErrorKind::JetStream(answer) => answer.to_string(),
        _ => error.to_string(),
    };
    let reason = match no_place {
        Some(why) if copies > 1 => format!("{said}; {}", why.advice(copies)),
        _ => said,
    };
    if !is_refused(error) || no_place == Some(NoPlace::ServersAway) {
        TopologyError::Away { name, reason }
    } else if no_place.is_some() && copies > 1 {
        TopologyError::TooManyCopies { name, reason }
    } else {
        TopologyError::Server { name, reason }
    }
}

/// What is answered about a stream; an error where nothing is in time.
pub(super) async fn in_time<T>(name: &str, asked: impl Future<Output = T>) -> Result<T, TopologyError> {
    let late = |_| TopologyError::Away { name: name.to_owned(), reason: "no answer: NATS is away".to_owned() };
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

    /// A stream, made or brought to its definition, but for limits by which it keeps more, for what NATS refuses to change, for copies that are to
    /// be on servers that are away, and for one that a newer build has set up. It carries the id of this connection's journal then; one of
    /// another journal is an error.
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
        let (mut stay, mut differences) = (Vec::new(), Vec::new());
        let mut has_copies = None;
        match self.stream(kind).await {
            Ok(there) => {
                let info = there.cached_info();
                let have = &info.config;
                has_copies = Some(have.num_replicas);
                if definition::newer(&have.metadata, &config.metadata).is_some() {
                    return Ok(Some(there));
                }
                let found = definition::of_stream(have, &config);
                (stay, differences) = found.into_iter().partition(|difference| difference.keeps_more);
                definition::keep_more(&mut config, have);
                if self.replicas.is_none() {
                    // Whoever was not told does not take copies away that somebody else has wanted.
                    config.num_replicas = have.num_replicas;
                }
                config.metadata = self.owned(&have.metadata, config.metadata);
                if kind == StreamKind::Units {
                    config.metadata.extend(marks::superseded(info));
                }
            }
            Err(TopologyError::Missing(_)) => config.metadata = self.owned(&HashMap::new(), config.metadata),
            Err(error) => return Err(error),
        }
        let mut made = in_time(&name, self.jetstream.create_or_update_stream(config.clone())).await?;
        // Copies that have no place yet keep nobody from a stream that is there, and nothing else from being as it is defined.
        if let (Some(has), Err(error)) = (has_copies, &made)
            && has != config.num_replicas
            && NoPlace::of(error) == Some(NoPlace::ServersAway)
        {
            tracing::error!(
                stream = name,
                copies = config.num_replicas,
                %error,
                "a stream gets no more copies while servers of the cluster are away: it is used with those that it has"
            );
            config.num_replicas = has;
            made = in_time(&name, self.jetstream.create_or_update_stream(config.clone())).await?;
        }
        let copies = config.num_replicas;
        let asks_for_more = has_copies.is_some_and(|has| has != copies);
        match made {
            Ok(_) if differences.is_empty() => {}
            Ok(_) => {
                let found = listed(&differences);
                tracing::warn!(stream = name, found, "a stream was not as it is defined, and has been brought to it");
            }
            Err(error) if is_taken(&error) => return Ok(None),
            // Of copies that NATS_REPLICAS asks for in vain a start is told, whatever else is not as it is defined.
            Err(error) if asks_for_more && NoPlace::of(&error).is_some() => return Err(unmade(name, copies, &error)),
            // What somebody has set, and nobody can take back, keeps nobody from work.
            Err(error) if is_refused(&error) && !differences.is_empty() => tracing::error!(
                stream = name,
                found = listed(&differences),
                %error,
                "NATS does not let a stream be brought to its definition: it is used as it is (ON_CALL.md, Streams are \
                 not as defined)"
            ),
            Err(error) => return Err(unmade(name, copies, &error)),
        }
        if !stay.is_empty() {
            let found = listed(&stay);
            tracing::warn!(stream = name, found, "a stream keeps more than is defined, and goes on so");
        }
        let stream = in_time(&name, self.jetstream.get_stream(&name)).await?.map_err(|error| unfound(name, &error))?;
        // Somebody else may have been faster, or later.
        self.refuse_foreign(&stream.cached_info().config)?;
        Ok(Some(stream))
    }

    /// A stream as it is, made where it is missing.
    pub async fn stream_or_new(&self, kind: StreamKind) -> Result<Stream, TopologyError> {
        match self.stream(kind).await {
            Err(TopologyError::Missing(_)) => self.ensure_stream(kind).await,
            found => found,
        }
    }

    /// A stream as it is; an error when it is not there, or of another journal.
    pub async fn stream(&self, kind: StreamKind) -> Result<Stream, TopologyError> {
        let name = self.stream_config(kind)?.name;
        let found = in_time(&name, self.jetstream.get_stream(&name)).await?;
        let stream = found.map_err(|error| unfound(name, &error))?;
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

    /// What to do where more copies are asked for than this server can make, as it is in no cluster.
    pub fn copies_in_vain(&self) -> Option<String> {
        let copies = self.replicas.filter(|copies| *copies > 1)?;
        self.client.server_info().cluster.is_none().then(|| NoPlace::NoCluster.advice(copies))
    }

    /// In what a stream is not as it is defined; an error when it is not there, or of another journal. On how many servers it is counts for
    /// nothing here: whoever was told otherwise may be right. Nor does anything of one that a newer build has set up.
    pub async fn differences(&self, kind: StreamKind) -> Result<Vec<Difference>, TopologyError> {
        let (stream, wanted) = (self.stream(kind).await?, self.stream_config(kind)?);
        let has = &stream.cached_info().config;
        let is_newer = definition::newer(&has.metadata, &wanted.metadata).is_some();
        Ok(if is_newer { Vec::new() } else { definition::of_stream(has, &wanted) })
    }

    /// The streams that are not as they are defined.
    pub async fn deviations(&self) -> Result<Vec<Deviation>, TopologyError> {
        let mut deviations = Vec::new();
        for kind in StreamKind::ALL {
            let wanted = self.stream_config(kind)?;
            let stream = match self.stream(kind).await {
                Ok(stream) => stream,
                Err(TopologyError::Missing(name)) => {
                    deviations.push(Deviation::Missing(name));
                    continue;
                }
                Err(error) => {
                    let may_pass = matches!(error, TopologyError::Away { .. });
                    deviations.push(Deviation::Unknown { words: error.to_string(), may_pass });
                    continue;
                }
            };
            let has = &stream.cached_info().config;
            if let Some(number) = definition::newer(&has.metadata, &wanted.metadata) {
                deviations.push(Deviation::Newer { stream: wanted.name, number });
                continue;
            }
            let mut differences = definition::of_stream(has, &wanted);
            if let Some(replicas) = self.replicas.filter(|replicas| *replicas != has.num_replicas) {
                let (has, wanted) = (has.num_replicas.to_string(), replicas.to_string());
                let setting = "num_replicas".to_owned();
                differences.push(Difference { setting, has, wanted, keeps_more: false });
            }
            if !differences.is_empty() {
                deviations.push(Deviation::Differs { stream: wanted.name, differences });
            }
        }
        Ok(deviations)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn an_answer_that_may_pass_is_no_refusal() {
        let answer = |code: usize, error: u64| {
            let text = format!(r#"{{"code": {code}, "err_code": {error}, "description": "no"}}"#);
            let answer = serde_json::from_str::<async_nats::jetstream::Error>(&text).expect("as the server writes it");
            CreateStreamError::from(answer)
        };
        assert!(is_refused(&answer(500, 10_052)), "settings that cannot be");
        assert!(!is_refused(&answer(503, 10_008)), "a cluster without a leader");
        assert!(!is_refused(&answer(503, 10_023)), "insufficient resources");
    }

    #[test]
    fn a_stream_waits_for_servers_that_are_away_and_says_which_setting_asks_for_too_many() {
        let answer = |words: &str| {
            let text = format!(r#"{{"code": 400, "err_code": 10005, "description": "{words}"}}"#);
            let answer = serde_json::from_str::<async_nats::jetstream::Error>(&text).expect("as the server writes it");
            unmade("UNITS".to_owned(), 5, &CreateStreamError::from(answer))
        };
        let away = answer("no suitable peers for placement, peer offline");
        assert!(matches!(away, TopologyError::Away { .. }), "{away}");
        let refused = answer("no suitable peers for placement");
        assert!(matches!(refused, TopologyError::TooManyCopies { .. }), "{refused}");
        assert!(refused.to_string().contains("NATS_REPLICAS asks for 5 copies"), "{refused}");
        assert_eq!(refused.to_string().matches("no suitable peers").count(), 1, "{refused}");
    }

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
