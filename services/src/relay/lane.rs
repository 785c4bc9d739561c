//! One stream that the relay writes: where its tail is, and how events become its messages.

use adapters::event_store::{PgEventLog, StoredEvent};
use adapters::nats::Nats;
use adapters::nats::batch::{BatchError, BatchMessage, MAX_BATCH};
use adapters::nats::topology::StreamKind;
use async_nats::HeaderMap;
use domain::audit::audit_events;
use domain::recorded::Position;

use super::{POSITION, PREVIOUS_POSITION, position_header};

/// Events that are read at once.
const READ: i64 = 500;

pub(super) struct Lane<'a> {
    nats: &'a Nats,
    log: PgEventLog,
    kind: StreamKind,
    /// The sequence of the stream's last message.
    last_sequence: u64,
    /// Everything up to here is in the stream.
    position: Position,
    /// When the stream that this lane knows was made; another time means another stream.
    created_at: i128,
}

impl<'a> Lane<'a> {
    /// Opens a stream at its tail. An empty one begins where its retention begins.
    pub(super) async fn open(nats: &'a Nats, log: &PgEventLog, kind: StreamKind) -> anyhow::Result<Self> {
        let stream = nats.ensure_stream(kind).await?;
        let info = stream.cached_info();
        let last_sequence = info.state.last_sequence;
        let created_at = info.created.unix_timestamp_nanos();
        let tail = if info.state.messages == 0 {
            None
        } else {
            // A tail that cannot be read now is no empty stream: its whole retention would be published again.
            let last = stream.get_raw_message(last_sequence).await?;
            position_header(Some(&last.headers), POSITION)
        };
        let position = match tail {
            Some(position) => position,
            None => log.before_age(info.config.max_age.as_secs_f64()).await?,
        };
        tracing::info!(stream = %info.config.name, position = position.0, "the relay is at the tail of its stream");
        Ok(Self { nats, log: log.clone(), kind, last_sequence, position, created_at })
    }

    pub(super) fn position(&self) -> Position {
        self.position
    }

    /// Sees a stream that was deleted, made anew or cut behind our back, even while nothing is to be published.
    pub(super) async fn check_tail(&mut self) -> anyhow::Result<()> {
        let stream = self.nats.stream(self.kind).await?;
        let info = stream.cached_info();
        anyhow::ensure!(
            info.created.unix_timestamp_nanos() == self.created_at && info.state.last_sequence == self.last_sequence,
            "stream {} is not the one that was written",
            info.config.name
        );
        Ok(())
    }

    /// Publishes everything up to a settled position. On a lost tail it is opened anew, and goes on from there.
    pub(super) async fn publish_up_to(&mut self, settled: Position) -> anyhow::Result<()> {
        while self.position < settled {
            let events = self.log.stored(self.position, settled, READ).await?;
            let Some(last) = events.last().map(|event| event.position) else {
                // Positions of appends that were rolled back.
                self.position = settled;
                return Ok(());
            };
            let mut batch = Vec::new();
            let mut previous = self.position;
            for event in events {
                let at = Position(event.position);
                let messages = self.messages(event, previous)?;
                if batch.len() + messages.len() > MAX_BATCH {
                    self.publish(std::mem::take(&mut batch), previous).await?;
                }
                batch.extend(messages);
                previous = at;
            }
            self.publish(batch, Position(last)).await?;
        }
        Ok(())
    }

    async fn publish(&mut self, batch: Vec<BatchMessage>, up_to: Position) -> anyhow::Result<()> {
        if !batch.is_empty() {
            match self.nats.publish_batch(self.last_sequence, batch).await {
                Ok(sequence) => self.last_sequence = sequence,
                Err(error @ (BatchError::Fenced { .. } | BatchError::Unknown(_))) => {
                    tracing::warn!(error = %error, "the relay reads the tail of its stream again");
                    return Err(error.into());
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.position = up_to;
        Ok(())
    }

    fn messages(&self, event: StoredEvent, previous: Position) -> anyhow::Result<Vec<BatchMessage>> {
        let mut headers = HeaderMap::new();
        headers.insert(POSITION, event.position.to_string());
        headers.insert(PREVIOUS_POSITION, previous.0.to_string());
        if let Some(trace) = event.metadata.get("traceparent") {
            headers.insert("traceparent", trace.as_str());
        }
        if self.kind == StreamKind::Channels {
            headers.insert("Event-Id", event.event_id.to_string());
            let payload = serde_json::to_vec(&event)?.into();
            return Ok(vec![BatchMessage { subject: self.nats.prefix.event(&event), headers, payload }]);
        }
        if event.aggregate_type != "ChannelListing" {
            return Ok(Vec::new());
        }
        let audits = audit_events(&event.into_recorded()?);
        audits
            .into_iter()
            .map(|audit| {
                let mut headers = headers.clone();
                headers.insert("ce-specversion", "1.0");
                headers.insert("ce-id", audit.id.as_str());
                headers.insert("ce-type", "channels.audit.v1");
                headers.insert("ce-source", "distribution");
                headers.insert("ce-time", audit.at.to_rfc3339());
                let payload = serde_json::to_vec(&audit)?.into();
                Ok(BatchMessage { subject: self.nats.prefix.audit(&audit), headers, payload })
            })
            .collect()
    }
}
