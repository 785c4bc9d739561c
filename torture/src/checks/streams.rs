//! The streams have the whole journal, in order and once, and no organisation's messages tell of another.

use std::collections::HashSet;
use std::time::Duration;

use adapters::nats::Nats;
use adapters::nats::topology::StreamKind;
use anyhow::Context as _;
use async_nats::jetstream::Message;
use async_nats::jetstream::consumer::{DeliverPolicy, pull::OrderedConfig};
use futures::StreamExt as _;
use serde_json::Value;
use services::relay::{POSITION, PREVIOUS_POSITION, position_header};
use uuid::Uuid;

use super::isolation::strangers_in;
use crate::plan::ORGS;
use crate::world::World;

const TO_READ: Duration = Duration::from_secs(60);

pub(super) async fn check(world: &World, nats: &Nats) -> anyhow::Result<Vec<String>> {
    let mut wrong = Vec::new();
    let channels = read(nats, StreamKind::Channels).await?;
    wrong.extend(events(world, &channels).await?);
    let audit = read(nats, StreamKind::Audit).await?;
    wrong.extend(attempts(world, &audit).await?);
    let units = read(nats, StreamKind::Units).await?;
    wrong.extend(channels.iter().chain(&audit).chain(&units).filter_map(stranger));
    for letter in read(nats, StreamKind::DeadLetters).await? {
        wrong.push(format!("a good message is a dead letter: {} {:?}", letter.subject, letter.headers));
    }
    Ok(wrong)
}

async fn read(nats: &Nats, kind: StreamKind) -> anyhow::Result<Vec<Message>> {
    let stream = nats.stream(kind).await?;
    let count = usize::try_from(stream.cached_info().state.messages)?;
    if count == 0 {
        return Ok(Vec::new());
    }
    let config = OrderedConfig { deliver_policy: DeliverPolicy::All, ..OrderedConfig::default() };
    let messages = stream.create_consumer(config).await?.messages().await?;
    let all = messages.take(count).collect::<Vec<_>>();
    let all = tokio::time::timeout(TO_READ, all).await.with_context(|| format!("{kind:?} cannot be read"))?;
    all.into_iter().map(|message| message.map_err(Into::into)).collect()
}

/// Each event once, in the order of the journal, and each says where the one before it stands.
async fn events(world: &World, messages: &[Message]) -> anyhow::Result<Vec<String>> {
    let journal: Vec<i64> =
        sqlx::query_scalar("SELECT position FROM events ORDER BY position").fetch_all(&world.pool).await?;
    let header = |message: &Message, name| position_header(message.headers.as_ref(), name).unwrap_or_default().0;
    let stream: Vec<i64> = messages.iter().map(|message| header(message, POSITION)).collect();
    let mut wrong = Vec::new();
    if journal != stream {
        let at = journal.iter().zip(&stream).position(|(journal, stream)| journal != stream);
        wrong.push(format!(
            "CHANNELS has {} events and the journal {}; they differ from number {at:?} on",
            stream.len(),
            journal.len()
        ));
    }
    let breaks = messages.windows(2).filter(|pair| header(&pair[1], PREVIOUS_POSITION) != header(&pair[0], POSITION));
    let breaks = breaks.count();
    if breaks > 0 {
        wrong.push(format!("CHANNELS: {breaks} events name another one before them than the one that is there"));
    }
    Ok(wrong)
}

/// Each call that the audit has is in the stream once.
async fn attempts(world: &World, messages: &[Message]) -> anyhow::Result<Vec<String>> {
    let (mut calls, mut ids, mut wrong) = (HashSet::new(), HashSet::new(), Vec::new());
    for message in messages {
        let body: Value = serde_json::from_slice(&message.payload)?;
        if !ids.insert(body["id"].as_str().unwrap_or_default().to_owned()) {
            wrong.push(format!("AUDIT has {} twice", body["id"]));
        }
        calls.extend(body["call"]["request_id"].as_str().and_then(|id| id.parse::<Uuid>().ok()));
    }
    let rows: Vec<Uuid> = sqlx::query_scalar("SELECT request_id FROM outbound_attempts").fetch_all(&world.pool).await?;
    let missing = rows.iter().filter(|id| !calls.contains(*id)).count();
    if missing > 0 || rows.len() != calls.len() {
        wrong.push(format!("AUDIT has {} calls of {}; {missing} are missing", calls.len(), rows.len()));
    }
    Ok(wrong)
}

fn stranger(message: &Message) -> Option<String> {
    let org = ORGS.iter().position(|org| message.subject.split('.').any(|token| token == *org))?;
    let strangers = strangers_in(org, &String::from_utf8_lossy(&message.payload));
    strangers.map(|stranger| format!("a message of {} at {} tells of {stranger}", ORGS[org], message.subject))
}
