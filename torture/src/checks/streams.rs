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

use super::isolation::Marks;
use crate::plan::ORGS;
use crate::world::World;

const TO_READ: Duration = Duration::from_secs(60);

pub(super) async fn check(world: &World, nats: &Nats) -> anyhow::Result<Vec<String>> {
    let marks = Marks::of(world);
    let mut wrong = Vec::new();
    let channels = read(nats, StreamKind::Channels).await?;
    wrong.extend(events(world, &channels).await?);
    let audit = read(nats, StreamKind::Audit).await?;
    wrong.extend(audited(world, &audit).await?);
    let units = read(nats, StreamKind::Units).await?;
    wrong.extend(channels.iter().chain(&audit).chain(&units).filter_map(|message| stranger(message, &marks)));
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

async fn events(world: &World, messages: &[Message]) -> anyhow::Result<Vec<String>> {
    let journal: Vec<i64> =
        sqlx::query_scalar("SELECT position FROM events ORDER BY position").fetch_all(&world.pool).await?;
    let header = |message: &Message, name| position_header(message.headers.as_ref(), name).unwrap_or_default().0;
    let stream: Vec<(i64, i64)> =
        messages.iter().map(|message| (header(message, PREVIOUS_POSITION), header(message, POSITION))).collect();
    Ok(disorder(&journal, &stream))
}

/// Each event once, in the order of the journal, and each says where the one before it stands.
fn disorder(journal: &[i64], stream: &[(i64, i64)]) -> Vec<String> {
    let mut wrong = Vec::new();
    let at = journal.iter().zip(stream).position(|(journal, (_, stream))| journal != stream);
    if at.is_some() || journal.len() != stream.len() {
        wrong.push(format!(
            "CHANNELS has {} events and the journal {}; they differ from number {at:?} on",
            stream.len(),
            journal.len()
        ));
    }
    let breaks = stream.windows(2).filter(|pair| pair[1].0 != pair[0].1).count();
    if breaks > 0 {
        wrong.push(format!("CHANNELS: {breaks} events name another one before them than the one that is there"));
    }
    wrong
}

async fn audited(world: &World, messages: &[Message]) -> anyhow::Result<Vec<String>> {
    let bodies: Vec<Value> =
        messages.iter().map(|message| serde_json::from_slice(&message.payload)).collect::<Result<_, _>>()?;
    let calls: Vec<Uuid> =
        sqlx::query_scalar("SELECT request_id FROM outbound_attempts").fetch_all(&world.pool).await?;
    let jobs: Vec<Uuid> = sqlx::query_scalar("SELECT sync_id FROM outbound_audit").fetch_all(&world.pool).await?;
    Ok(untold(&bodies, &calls, &jobs))
}

/// Each message is there once, each call that the audit has is told, and of each job that it ended. A job that was accepted
/// after all has two ends.
fn untold(bodies: &[Value], calls: &[Uuid], jobs: &[Uuid]) -> Vec<String> {
    let (mut ids, mut wrong) = (HashSet::new(), Vec::new());
    for body in bodies {
        if !ids.insert(body["id"].as_str().unwrap_or_default()) {
            wrong.push(format!("AUDIT has {} twice", body["id"]));
        }
    }
    let uuid = |value: &Value| value.as_str().and_then(|id| id.parse::<Uuid>().ok());
    // An attempt that was told twice has its calls in two messages.
    let told: HashSet<Uuid> = bodies.iter().filter_map(|body| uuid(&body["call"]["request_id"])).collect();
    let ended = bodies.iter().filter(|body| body["kind"] == "finished");
    let ended: HashSet<Uuid> = ended.filter_map(|body| uuid(&body["sync_id"])).collect();
    let missing = calls.iter().filter(|id| !told.contains(*id)).count();
    if missing > 0 || told.len() != calls.len() {
        wrong.push(format!("AUDIT has {} calls of {}; {missing} are missing", told.len(), calls.len()));
    }
    let missing = jobs.iter().filter(|id| !ended.contains(*id)).count();
    if missing > 0 || ended.len() != jobs.len() {
        wrong.push(format!("AUDIT has the end of {} jobs of {}; {missing} are missing", ended.len(), jobs.len()));
    }
    wrong
}

fn stranger(message: &Message, marks: &Marks) -> Option<String> {
    let org = ORGS.iter().position(|org| message.subject.split('.').any(|token| token == *org))?;
    let stranger = marks.strangers_in(org, &String::from_utf8_lossy(&message.payload))?;
    Some(format!("a message of {} at {} tells of {stranger}", ORGS[org], message.subject))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_hole_a_repeat_and_a_wrong_order_of_events_are_seen() {
        let journal = [1, 2, 4];
        assert!(disorder(&journal, &[(0, 1), (1, 2), (2, 4)]).is_empty());
        assert_eq!(disorder(&journal, &[(0, 1), (1, 2)]).len(), 1, "the last one is missing");
        assert_eq!(disorder(&journal, &[(0, 1), (2, 4)]).len(), 2, "a hole");
        assert_eq!(disorder(&journal, &[(0, 1), (1, 2), (1, 2), (2, 4)]).len(), 2, "one comes twice");
        assert_eq!(disorder(&journal, &[(0, 1), (2, 4), (1, 2)]).len(), 2, "two have changed places");
        assert_eq!(disorder(&journal, &[(0, 1), (0, 2), (2, 4)]).len(), 1, "one names another before it");
    }

    #[test]
    fn a_call_or_an_end_that_audit_lacks_or_has_twice_is_seen() {
        let [call, job, other] = [1, 2, 3].map(Uuid::from_u128);
        let attempt = json!({ "id": "e:0", "kind": "attempt", "sync_id": job, "call": { "request_id": call } });
        let end =
            |id: &str, sync: Uuid| json!({ "id": id, "kind": "finished", "sync_id": sync, "outcome": "accepted" });
        let whole = [attempt.clone(), end("e:1", job)];
        assert!(untold(&whole, &[call], &[job]).is_empty());
        assert!(untold(&[attempt.clone(), end("e:1", job), end("f:0", job)], &[call], &[job]).is_empty());
        assert_eq!(untold(&whole[..1], &[call], &[job]).len(), 1, "the end is missing");
        assert_eq!(untold(&whole[1..], &[call], &[job]).len(), 1, "the call is missing");
        assert_eq!(untold(&whole, &[], &[job]).len(), 1, "the audit lacks a call");
        assert_eq!(untold(&whole, &[call], &[job, other]).len(), 1, "another job has no end");
        assert_eq!(untold(&[attempt.clone(), attempt, end("e:1", job)], &[call], &[job]).len(), 1, "one comes twice");
    }
}
