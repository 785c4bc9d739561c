//! How an event becomes messages: itself on CHANNELS, its audit events on AUDIT, each of a size that the server takes.

use adapters::event_store::StoredEvent;
use adapters::nats::Nats;
use adapters::nats::batch::BatchMessage;
use adapters::nats::in_journal::{IN_JOURNAL, InJournal};
use adapters::nats::topology::StreamKind;
use adapters::telemetry::{Kind, Stage, about_event, is_traced};
use async_nats::HeaderMap;
use domain::audit::{AuditEvent, audit_events};
use domain::recorded::{Position, Recorded};
use domain::text::traceparent;

use super::headers::{EVENT_ID, SOURCE};
use super::{POSITION, PREVIOUS_POSITION};

/// The messages of an event on a stream, in order; with the stage of its trace that ends when they are published.
pub(super) fn messages(
    nats: &Nats,
    kind: StreamKind,
    event: &StoredEvent,
    previous: Position,
    stages: &mut Vec<Stage>,
) -> anyhow::Result<Vec<BatchMessage>> {
    let told = told(kind, event)?;
    if told.audit.as_ref().is_some_and(Vec::is_empty) {
        return Ok(Vec::new());
    }
    let mut headers = HeaderMap::new();
    headers.insert(POSITION, event.position.to_string());
    headers.insert(PREVIOUS_POSITION, previous.0.to_string());
    if let Some(trace) = told.traceparent.as_deref().and_then(traceparent) {
        if is_traced() {
            let mut stage = Stage::begin(name(kind), Kind::Producer, Some(&trace));
            stage.set("messaging.system", "nats");
            // One that this build cannot read goes out all the same.
            let recorded = told.recorded.or_else(|| event.recorded().ok());
            for (name, value) in recorded.iter().flat_map(about_event) {
                stage.set(name, value);
            }
            headers.insert("traceparent", stage.traceparent().as_deref().unwrap_or(&trace));
            stages.push(stage);
        } else {
            headers.insert("traceparent", &*trace);
        }
    }
    let Some(audit) = told.audit else {
        headers.insert(EVENT_ID, event.event_id.to_string());
        let payload = serde_json::to_vec(event)?.into();
        return Ok(vec![fitting(nats, BatchMessage { subject: nats.prefix.event(event), headers, payload }, event)?]);
    };
    audit
        .into_iter()
        .map(|audit| {
            let mut headers = headers.clone();
            headers.insert("ce-specversion", "1.0");
            headers.insert("ce-id", audit.id.as_str());
            headers.insert("ce-type", "channels.audit.v1");
            headers.insert("ce-source", SOURCE);
            headers.insert("ce-time", audit.at.to_rfc3339());
            let payload = serde_json::to_vec(&audit)?.into();
            fitting(nats, BatchMessage { subject: nats.prefix.audit(&audit), headers, payload }, event)
        })
        .collect()
}

/// What a stream is told of an event.
struct Told {
    traceparent: Option<String>,
    /// Absent on CHANNELS: there it is the event itself that is told.
    audit: Option<Vec<AuditEvent>>,
    /// Where it had to be read.
    recorded: Option<Recorded>,
}

fn told(kind: StreamKind, event: &StoredEvent) -> anyhow::Result<Told> {
    if kind != StreamKind::Audit {
        // It goes out as it stands, also where this build cannot read what stands beside it.
        let traceparent = event.beside().ok().and_then(|beside| beside.traceparent);
        return Ok(Told { traceparent, audit: None, recorded: None });
    }
    if event.aggregate_type != "ChannelListing" {
        return Ok(Told { traceparent: None, audit: Some(Vec::new()), recorded: None });
    }
    let recorded = event.recorded()?;
    let audit = Some(audit_events(&recorded));
    Ok(Told { traceparent: recorded.metadata.traceparent.clone(), audit, recorded: Some(recorded) })
}

fn name(kind: StreamKind) -> &'static str {
    if kind == StreamKind::Audit { "publish to AUDIT" } else { "publish to CHANNELS" }
}

/// The message, or where its body is too large for the server one that says where the event is: a message that the
/// server never takes would hold back everything after it.
fn fitting(nats: &Nats, mut message: BatchMessage, event: &StoredEvent) -> anyhow::Result<BatchMessage> {
    let bytes = message.payload.len();
    if bytes > nats.room_for_body(&message.headers) {
        tracing::warn!(
            position = event.position,
            bytes,
            "an event is too large for a message; one that names it goes out"
        );
        message.headers.insert(IN_JOURNAL, bytes.to_string());
        message.payload = serde_json::to_vec(&InJournal::from(event))?.into();
    }
    Ok(message)
}
