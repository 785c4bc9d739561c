//! Dead letters: messages that could not be used, as they came, with the reason. They can be sent again.

use std::collections::HashMap;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::connection::State;
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{RawMessageErrorKind, Stream};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use domain::counted::counted;
use domain::ids::{OrgId, UnitId};
use domain::text::{cut, trace_id, traceparent};
use domain::unit::Problem;
use futures::TryStreamExt as _;
use serde::{Serialize, Serializer};
use uuid::Uuid;

use super::Nats;
use super::size::headers_len;
use super::subject::parse_unit_changed;
use super::topology::{StreamKind, TopologyError};
use crate::masking::{MaskedProblems, masked};

const SUBJECT: &str = "Dead-Letter-Subject";
const PROBLEMS: &str = "Dead-Letter-Problems";
const AT: &str = "Dead-Letter-At";
const CUT: &str = "Dead-Letter-Cut-From-Bytes";
const TRACE: &str = "Dead-Letter-Trace-Id";
/// The server takes 64 KiB of headers on a stream: so much of them may be the sender's, in bytes,
const MOST_HEADERS: usize = 24 * 1024;
/// and so much the problems.
const MOST_PROBLEMS: usize = 24 * 1024;
/// A field's name may come from the message, so it can be of any length.
const LONGEST_FIELD: usize = 200;
/// The same for a reason.
const LONGEST_REASON: usize = 400;
/// Somebody waits for what is asked here: NATS answers each question within this time, or counts as away.
const PATIENCE: Duration = Duration::from_secs(3);

/// A message that could not be used.
#[derive(Debug, Clone, Serialize)]
pub struct DeadLetter {
    /// Its number in the dead-letter stream.
    pub number: u64,
    #[serde(skip)]
    id: Uuid,
    /// Where it had been published, without prefix.
    pub subject: String,
    /// When it was put here, UTC.
    pub at: Option<DateTime<Utc>>,
    /// The id of the trace in which it was taken in.
    pub trace_id: Option<String>,
    /// Which fields, and why, without what looks like a secret or a guest's.
    pub problems: Vec<Problem>,
    #[serde(skip)]
    headers: HeaderMap,
    /// Shown as [`DeadLetter::body`].
    #[serde(rename = "body", serialize_with = "shown")]
    payload: Bytes,
}

impl DeadLetter {
    /// Which letter it is, of all that ever had its number: a stream that was lost begins anew with the first one.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// The organisation that its subject names.
    pub fn org(&self) -> Option<OrgId> {
        parse_unit_changed(&self.subject).map(|(org, _)| org)
    }

    /// The unit that its subject names.
    pub fn unit(&self) -> Option<UnitId> {
        parse_unit_changed(&self.subject).map(|(_, unit)| unit)
    }

    /// Whether all of it is kept; what is cut cannot be sent again.
    pub fn is_whole(&self) -> bool {
        self.headers.get(CUT).is_none()
    }

    /// Its body as text, without what looks like a secret or a guest's. What is sent again is the payload.
    pub fn body(&self) -> String {
        readable(&self.payload)
    }

    /// Its body as it came.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }
}

fn readable(payload: &[u8]) -> String {
    masked(&String::from_utf8_lossy(payload))
}

fn shown<S: Serializer>(payload: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&readable(payload))
}

/// The dead letters could not be reached, or there is no such letter.
#[derive(Debug, thiserror::Error)]
pub enum DeadLetterError {
    /// No letter has this number.
    #[error("there is no dead letter {0}")]
    NotFound(u64),
    /// Not all of it is kept, so it cannot be sent again.
    #[error("dead letter {0} was too large to be kept whole; ask its sender to publish it again")]
    Cut(u64),
    /// NATS failed.
    #[error("failed to reach the dead letters: {0}")]
    Nats(String),
    /// The stream is not there.
    #[error(transparent)]
    Topology(#[from] TopologyError),
}

fn failed(error: impl std::fmt::Display) -> DeadLetterError {
    DeadLetterError::Nats(error.to_string())
}

impl Nats {
    /// Keeps a message as a dead letter; it is stored when this returns. `id` makes a redelivery the same letter; `trace_id` is that of the trace in
    /// which it was taken in.
    pub async fn bury(
        &self,
        id: &str,
        subject: &str,
        headers: Option<&HeaderMap>,
        payload: Bytes,
        problems: &MaskedProblems,
        trace_id: Option<&str>,
    ) -> Result<(), DeadLetterError> {
        let org = parse_unit_changed(self.prefix.strip(subject)).map(|(org, _)| org);
        let to = self.prefix.dead_letter_unit(org.as_ref());
        let mut kept = without_nats_headers(headers);
        let mut whole = headers_len(&kept) <= MOST_HEADERS;
        if !whole {
            kept = HeaderMap::new();
        }
        kept.insert(SUBJECT, self.prefix.strip(subject));
        kept.insert(PROBLEMS, listed(problems.as_slice()).map_err(failed)?);
        kept.insert(AT, Utc::now().to_rfc3339());
        if let Some(id) = trace_id {
            kept.insert(TRACE, id);
        }
        kept.insert(async_nats::header::NATS_MESSAGE_ID, id);
        // A message of the largest size has no room for the reason beside it. Bodies of that size are never usable.
        let room = self.room_for_body(&kept);
        whole &= payload.len() <= room;
        let size = payload.len();
        let payload = payload.slice(..size.min(room));
        if !whole {
            kept.insert(CUT, size.to_string());
        }
        let sent = self.jetstream.publish_with_headers(to, kept, payload).await;
        sent.map_err(failed)?.await.map_err(failed).map(|_| ())
    }

    /// Up to `limit` dead letters after a number, the oldest first; with an organisation, those that name it.
    pub async fn dead_letters(
        &self,
        org: Option<&OrgId>,
        after: u64,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, DeadLetterError> {
        let stream = self.letters().await?;
        let subject = org.map_or_else(|| self.prefix.dead_letters(), |org| self.prefix.dead_letter_unit(Some(org)));
        let mut letters = Vec::new();
        let mut from = after.saturating_add(1);
        // What the server calls a bad request is past every letter.
        while letters.len() < limit && i64::try_from(from).is_ok() {
            let next = stream.raw_message_builder().sequence(from).next_by_subject(subject.clone()).send();
            let letter = match self.answered(next).await? {
                Ok(message) => letter(message),
                Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => break,
                Err(error) => return Err(failed(error)),
            };
            from = letter.number + 1;
            letters.push(letter);
        }
        Ok(letters)
    }

    /// How many dead letters there are.
    pub async fn dead_letter_count(&self) -> Result<u64, DeadLetterError> {
        Ok(self.stream(StreamKind::DeadLetters).await?.cached_info().state.messages)
    }

    /// How many dead letters name each organisation; those that name none are left out.
    pub async fn dead_letters_by_org(&self) -> Result<HashMap<OrgId, u64>, DeadLetterError> {
        let stream = self.letters().await?;
        let counted = async {
            let subjects = stream.info_with_subjects(self.prefix.dead_letters()).await?;
            subjects.try_collect::<Vec<(String, usize)>>().await
        };
        let counted = self.answered(counted).await?.map_err(failed)?;
        let of_nobody = self.prefix.dead_letter_unit(None);
        let org =
            |subject: &str| -> Option<OrgId> { subject.strip_prefix(&of_nobody)?.strip_prefix('.')?.parse().ok() };
        let letters = |(subject, count): (String, usize)| Some((org(&subject)?, u64::try_from(count).ok()?));
        Ok(counted.into_iter().filter_map(letters).collect())
    }

    /// One dead letter.
    pub async fn dead_letter(&self, number: u64) -> Result<DeadLetter, DeadLetterError> {
        self.read(&self.letters().await?, number).await
    }

    /// Publishes a dead letter where it had been published first, then takes it off the stream. Done again after an answer that was
    /// lost it publishes nothing, for as long as the stream remembers ids.
    pub async fn replay_dead_letter(&self, letter: &DeadLetter) -> Result<(), DeadLetterError> {
        if !letter.is_whole() {
            return Err(DeadLetterError::Cut(letter.number));
        }
        let subject = self.prefix.subject(&letter.subject);
        let mut headers = without_nats_headers(Some(&letter.headers));
        headers.insert(async_nats::header::NATS_MESSAGE_ID, format!("dead-letter-{}", letter.id));
        let published =
            async { self.jetstream.publish_with_headers(subject, headers, letter.payload.clone()).await?.await };
        self.answered(published).await?.map_err(failed)?;
        match self.discard_dead_letter(letter).await {
            // Somebody else has taken it off; it is published.
            Err(DeadLetterError::NotFound(_)) => Ok(()),
            ended => ended,
        }
    }

    /// Takes a dead letter off the stream for good.
    pub async fn discard_dead_letter(&self, letter: &DeadLetter) -> Result<(), DeadLetterError> {
        let stream = self.letters().await?;
        match self.answered(stream.delete_message(letter.number)).await? {
            Ok(_) => Ok(()),
            Err(error) => {
                // The server has one code for whatever is in the way, also for a letter that is no longer there.
                self.read(&stream, letter.number).await?;
                Err(failed(error))
            }
        }
    }

    async fn letters(&self) -> Result<Stream, DeadLetterError> {
        Ok(self.answered(self.stream(StreamKind::DeadLetters)).await??)
    }

    async fn read(&self, stream: &Stream, number: u64) -> Result<DeadLetter, DeadLetterError> {
        // The server calls these a bad request.
        if number == 0 || i64::try_from(number).is_err() {
            return Err(DeadLetterError::NotFound(number));
        }
        let message = self.answered(stream.get_raw_message(number)).await?.map_err(|error| match error.kind() {
            RawMessageErrorKind::NoMessageFound => DeadLetterError::NotFound(number),
            _ => failed(error),
        })?;
        Ok(letter(message))
    }

    /// What NATS answers within [`PATIENCE`]; where it is known to be away nobody waits.
    async fn answered<T>(&self, asked: impl Future<Output = T>) -> Result<T, DeadLetterError> {
        if self.client.connection_state() != State::Connected {
            return Err(failed("NATS is away"));
        }
        let late = |_| failed(format_args!("no answer within {} s", PATIENCE.as_secs()));
        tokio::time::timeout(PATIENCE, asked).await.map_err(late)
    }
}

/// The problems as JSON that fits into a header: cut where they are long, and the last ones counted where they are many.
fn listed(problems: &[Problem]) -> Result<String, serde_json::Error> {
    let mut list: Vec<Problem> = Vec::with_capacity(problems.len());
    let mut bytes = 0;
    for (index, problem) in problems.iter().enumerate() {
        let problem =
            Problem { field: cut(&problem.field, LONGEST_FIELD), reason: cut(&problem.reason, LONGEST_REASON) };
        bytes += serde_json::to_string(&problem)?.len() + 1;
        if bytes > MOST_PROBLEMS {
            let reason = format!("has {}; mend these first", counted(problems.len() - index, "more problem"));
            list.push(Problem { field: "body".to_owned(), reason });
            break;
        }
        list.push(problem);
    }
    serde_json::to_string(&list)
}

/// What the sender gave: no header of the server's, none of the dead letter's.
fn without_nats_headers(headers: Option<&HeaderMap>) -> HeaderMap {
    let mut kept = HeaderMap::new();
    for (name, values) in headers.into_iter().flat_map(HeaderMap::iter) {
        let lower = name.to_string().to_ascii_lowercase();
        if !lower.starts_with("nats-") && !lower.starts_with("dead-letter-") {
            values.iter().for_each(|value| kept.append(name.clone(), value.clone()));
        }
    }
    kept
}

fn letter(message: StreamMessage) -> DeadLetter {
    let header = |name: &str| message.headers.get(name).map(|value| value.as_str().to_owned());
    let problems: Option<Vec<Problem>> = header(PROBLEMS).and_then(|text| serde_json::from_str(&text).ok());
    // Older builds kept it as the sender gave it, where one did.
    let given = || header("traceparent").and_then(|text| trace_id(traceparent(&text).as_deref()).map(str::to_owned));
    let stored = format!("{} {}", message.sequence, message.time.unix_timestamp_nanos());
    DeadLetter {
        number: message.sequence,
        id: Uuid::new_v5(&Uuid::NAMESPACE_OID, stored.as_bytes()),
        subject: header(SUBJECT).unwrap_or_default(),
        at: header(AT).and_then(|at| DateTime::parse_from_rfc3339(&at).ok()).map(|at| at.to_utc()),
        trace_id: header(TRACE).or_else(given),
        // Older builds kept them as they were.
        problems: MaskedProblems::from(problems.unwrap_or_default()).into(),
        headers: message.headers,
        payload: message.payload,
    }
}
