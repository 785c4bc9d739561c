//! What NATS says for the metrics. What it does not answer stays as it was said last.

use std::fmt::Display;
use std::time::Duration;

use adapters::nats::Nats;
use adapters::nats::topology::StreamKind;
use adapters::telemetry::Untaken;

use crate::relay::StreamEnd;

/// The longest wait for an answer: what Postgres says is shown after it.
const PATIENCE: Duration = Duration::from_secs(5);

/// What was said last.
#[derive(Debug, Default)]
pub(super) struct Streams {
    /// `None` until NATS has said it.
    pub channels: Option<StreamEnd>,
    pub audit: Option<StreamEnd>,
    pub dead_letters: u64,
    pub untaken: Untaken,
}

impl Streams {
    /// Asks anew. Gives whether all of it was answered.
    pub(super) async fn look(&mut self, nats: &Nats) -> bool {
        let (channels, audit, dead_letters, untaken) = tokio::join!(
            answer(StreamEnd::of(nats, StreamKind::Channels)),
            answer(StreamEnd::of(nats, StreamKind::Audit)),
            answer(nats.dead_letter_count()),
            answer(untaken(nats)),
        );
        let all = channels.is_some() && audit.is_some() && dead_letters.is_some() && untaken.is_some();
        self.channels = channels.or(self.channels);
        self.audit = audit.or(self.audit);
        self.dead_letters = dead_letters.unwrap_or(self.dead_letters);
        self.untaken = untaken.unwrap_or(self.untaken);
        all
    }
}

/// `None` where none comes in time.
async fn answer<T, E: Display>(asked: impl Future<Output = Result<T, E>>) -> Option<T> {
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Ok(answer)) => Some(answer),
        Ok(Err(error)) => {
            tracing::debug!(error = %error, "NATS cannot be asked now");
            None
        }
        Err(_) => {
            tracing::debug!("NATS does not answer now");
            None
        }
    }
}

async fn untaken(nats: &Nats) -> anyhow::Result<Untaken> {
    if let Some(state) = nats.intake_state().await? {
        return Ok(Untaken { waiting: state.waiting, unanswered: state.unanswered, dropped: state.dropped });
    }
    // No intake ever ran: the first one begins with all that is kept.
    let waiting = nats.stream(StreamKind::Units).await?.cached_info().state.messages;
    Ok(Untaken { waiting, ..Untaken::default() })
}
