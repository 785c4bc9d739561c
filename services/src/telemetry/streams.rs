//! What NATS says for the metrics. What it does not answer stays as it was said last.

use std::fmt::Display;
use std::time::Duration;

use adapters::event_store::PgEventLog;
use adapters::nats::Nats;
use adapters::nats::topology::StreamKind;
use adapters::telemetry::Untaken;
use domain::recorded::Position;

use crate::relay::{POSITION, position_header};

/// The longest wait for an answer: what Postgres says is shown after it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where a stream of the relay ends.
#[derive(Debug, Clone, Copy, Default)]
pub(super) enum Tail {
    /// NATS has not said it yet, or somebody else wrote there last.
    #[default]
    Unknown,
    /// With this event of the journal.
    At(Position),
    /// It is empty, and keeps what is as young as this.
    Empty { kept: Duration },
}

impl Tail {
    /// Up to where the journal is published. Of an empty stream a relay publishes what it would keep.
    pub(super) async fn position(self, log: &PgEventLog) -> Result<Option<Position>, sqlx::Error> {
        match self {
            Self::Unknown => Ok(None),
            Self::At(position) => Ok(Some(position)),
            Self::Empty { kept } => log.before_age(kept.as_secs_f64()).await.map(Some),
        }
    }
}

/// What was said last.
#[derive(Debug, Default)]
pub(super) struct Streams {
    pub channels: Tail,
    pub audit: Tail,
    pub dead_letters: u64,
    pub untaken: Untaken,
}

impl Streams {
    /// Asks anew. Gives whether all of it was answered.
    pub(super) async fn look(&mut self, nats: &Nats) -> bool {
        let (channels, audit, dead_letters, untaken) = tokio::join!(
            answer(tail(nats, StreamKind::Channels)),
            answer(tail(nats, StreamKind::Audit)),
            answer(nats.dead_letter_count()),
            answer(untaken(nats)),
        );
        let all = channels.is_some() && audit.is_some() && dead_letters.is_some() && untaken.is_some();
        self.channels = channels.unwrap_or(self.channels);
        self.audit = audit.unwrap_or(self.audit);
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

async fn tail(nats: &Nats, kind: StreamKind) -> anyhow::Result<Tail> {
    let stream = nats.stream(kind).await?;
    let info = stream.cached_info();
    if info.state.messages == 0 {
        return Ok(Tail::Empty { kept: info.config.max_age });
    }
    let last = stream.get_raw_message(info.state.last_sequence).await?;
    Ok(position_header(Some(&last.headers), POSITION).map_or(Tail::Unknown, Tail::At))
}

async fn untaken(nats: &Nats) -> anyhow::Result<Untaken> {
    if let Some(state) = nats.intake_state().await? {
        return Ok(Untaken { waiting: state.waiting, unanswered: state.unanswered, dropped: state.dropped });
    }
    // No intake ever ran: the first one begins with all that is kept.
    let waiting = nats.stream(StreamKind::Units).await?.cached_info().state.messages;
    Ok(Untaken { waiting, ..Untaken::default() })
}
