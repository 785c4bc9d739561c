//! The relay: from the journal to NATS, in order, each event once in a stream's life.
//!
//! One relay is active (a session advisory lock), others stand by. A stream's own tail is the checkpoint, so a NATS
//! that lost its tail rewinds the relay by itself, and a zombie is stopped by the fence on the stream's last sequence.

mod headers;
mod messages;
mod stream_end;
mod stream_writer;
mod tail;

use std::time::Duration;

use adapters::event_store::{PgEventLog, StoredEvent};
use adapters::leader::Leadership;
use adapters::nats::Nats;
use adapters::nats::batch::MAX_BATCH;
use adapters::nats::topology::StreamKind;
use async_trait::async_trait;
use domain::recorded::Position;
use sqlx::PgPool;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub use headers::{POSITION, PREVIOUS_POSITION, event_id, position_header};
pub use stream_end::StreamEnd;
use stream_writer::StreamWriter;

use crate::leading::{LeadingRole, lead_in_turn};

/// The longest wait for new events: the guarantee behind every hint.
const POLL: Duration = Duration::from_millis(25);
/// Events that are read at once, for all streams: as many as one batch can be.
const READ: i64 = MAX_BATCH as i64;
/// Reads between two looks at the leadership and the tails, so that a stop has its end.
const READS: usize = 10;

/// The relay role.
#[derive(Debug)]
pub struct Relay {
    pool: PgPool,
    log: PgEventLog,
    nats: Nats,
    appended: watch::Receiver<i64>,
}

impl Relay {
    /// A relay from this journal to this NATS. `appended` tells when this process appends.
    pub fn new(pool: PgPool, nats: Nats, appended: watch::Receiver<i64>) -> Self {
        Self { log: PgEventLog::new(pool.clone()), pool, nats, appended }
    }

    /// The lock that the one that works holds, of all that publish to the same streams.
    pub(crate) fn lock(nats: &Nats) -> String {
        format!("relay {}", nats.prefix)
    }

    /// Works until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let (pool, lock) = (self.pool.clone(), Self::lock(&self.nats));
        lead_in_turn(self, &pool, &lock, &stop).await;
    }
}

#[async_trait]
impl LeadingRole for Relay {
    const NAME: &'static str = "relay";

    async fn lead(&mut self, leadership: &mut Leadership, stop: &CancellationToken) -> anyhow::Result<()> {
        let nats = self.nats.clone();
        let mut writers = [
            StreamWriter::open(&nats, &self.log, StreamKind::Channels).await?,
            StreamWriter::open(&nats, &self.log, StreamKind::Audit).await?,
        ];
        let mut checked_at = tokio::time::Instant::now();
        let mut settled = Position::default();
        let mut known = Position::default();
        loop {
            // Once more after the stop, and no further: what other processes append meanwhile is the next relay's.
            let last_pass = stop.is_cancelled();
            // What this process has appended needs no look.
            let appended = Position(*self.appended.borrow());
            let is_news = appended > known.max(settled);
            known = appended;
            if is_news || self.log.head().await? > settled {
                settled = self.log.settled_position().await?;
            }
            let mut ahead = None;
            for _ in 0..READS {
                if writers.iter().all(|writer| writer.rests_at(settled)) {
                    break;
                }
                ahead = self.publish_next(&mut writers, settled, ahead).await?;
            }
            // The failure of one stream comes when the other had its turn.
            for writer in &mut writers {
                writer.failure()?;
            }
            let more = writers.iter().any(|writer| writer.place().position < settled);
            if checked_at.elapsed() > Duration::from_secs(2) {
                checked_at = tokio::time::Instant::now();
                anyhow::ensure!(leadership.is_held().await, "the session that holds the role ended");
                for writer in &mut writers {
                    writer.check_tail().await?;
                }
            }
            if last_pass {
                return Ok(());
            }
            if !more {
                self.wait().await;
            }
        }
    }
}

impl Relay {
    /// The next events, to each stream that lacks them. Streams that stand at the same place share what is read, and
    /// what follows is read meanwhile; one that cannot go on does not hold up the other.
    async fn publish_next(
        &self,
        writers: &mut [StreamWriter<'_>; 2],
        settled: Position,
        ahead: Option<Chunk>,
    ) -> anyhow::Result<Option<Chunk>> {
        let [one, other] = writers;
        if one.place() != other.place() {
            let of_one = self.next(one.place(), settled).await?;
            let of_other = self.next(other.place(), settled).await?;
            tokio::join!(one.publish_events(&of_one), other.publish_events(&of_other));
            return Ok(None);
        }
        let next = match ahead.filter(|ahead| ahead.after == one.place()) {
            Some(ahead) => ahead,
            None => self.next(one.place(), settled).await?,
        };
        let (ahead, (), ()) =
            tokio::join!(self.next(next.up_to, settled), one.publish_events(&next), other.publish_events(&next));
        ahead.map(Some)
    }

    /// Events after a place, and up to where they are all.
    ///
    /// The last one before them is read once more. Where it is not there, the journal was put back to an earlier state: what it has
    /// further back is published nowhere, however far it has come again since.
    async fn next(&self, after: Place, settled: Position) -> anyhow::Result<Chunk> {
        if after.position >= settled {
            return Ok(Chunk { after, events: Vec::new(), up_to: after });
        }
        // Of one that is out in part nothing is behind it yet.
        let last = after.last.filter(|(at, _)| *at <= after.position);
        let (from, count) = match last {
            Some((at, _)) => (Position(at.0 - 1), READ + 1),
            None => (after.position, READ),
        };
        let mut events = self.log.stored(from, settled, count).await?;
        if let Some(last) = last {
            let first = events.first().map(|event| (Position(event.position), event.event_id));
            anyhow::ensure!(first == Some(last), "the journal was put back to before position {}", last.0.0);
            events.remove(0);
        }
        // Without events there were only positions of appends that were rolled back.
        let up_to = match events.last() {
            None => Place { position: settled, ..after },
            Some(event) => {
                let position = Position(event.position);
                Place { position, last: Some((position, event.event_id)) }
            }
        };
        Ok(Chunk { after, events, up_to })
    }

    /// Until this process has appended, or for a short while.
    async fn wait(&mut self) {
        let changed = tokio::time::timeout(POLL, self.appended.changed()).await;
        if matches!(changed, Ok(Err(_))) {
            tokio::time::sleep(POLL).await;
        }
    }
}

/// Up to where a stream has the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    position: Position,
    /// The last event that is known to be there, where one is.
    last: Option<(Position, Uuid)>,
}

/// A part of the journal.
struct Chunk {
    after: Place,
    events: Vec<StoredEvent>,
    /// With the events everything up to here is known.
    up_to: Place,
}
