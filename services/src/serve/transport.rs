//! NATS at the start. Who starts while it is away works without it, as who has lost it does, and sets it up when it is there.

use std::time::Duration;

use adapters::event_store::PgEventLog;
use adapters::nats::Nats;
use adapters::nats::topology::TopologyError;
use anyhow::Context as _;
use async_nats::connection::State;
use async_nats::{ConnectError, ConnectErrorKind};
use sqlx::PgPool;
use tokio::time::Instant;
use uuid::Uuid;

use crate::config::Connections;
use crate::schema::Schema;

/// From one look whether it is there to the next.
const LOOK: Duration = Duration::from_millis(500);
/// A start waits so long for its streams before it answers probes meanwhile.
const SOON: Duration = Duration::from_secs(3);
/// And so long for all that it asks JetStream before it serves without them.
const LONGEST: Duration = Duration::from_secs(15);
/// Why nothing has begun then.
pub(super) const ASKED: &str = "JetStream is asked for the streams and has not answered yet";
/// Postgres is asked again for so long.
const PATIENCE: Duration = Duration::from_secs(30);
/// That it is still away is told again after so long.
const AGAIN: Duration = Duration::from_secs(10);

/// A connection. Where NATS is away it is made later; where it answers and refuses, an error.
pub(super) async fn reach(connections: &Connections) -> anyhow::Result<Nats> {
    match connections.nats().await {
        Err(error) if is_away(&error) => {
            tracing::error!(reason = %error.root_cause(), "NATS is away (NATS_URL): what needs it waits, all else goes on");
            connections.nats_later().await
        }
        reached => reached,
    }
}

/// What comes of this soon. `None` where nothing does, as NATS lets whoever asks a cluster without a leader wait: roles wait then, too, and it goes
/// on when it is awaited again.
pub(super) async fn soon(
    making: impl Future<Output = anyhow::Result<bool>>,
    schema: &Schema,
) -> anyhow::Result<Option<bool>> {
    if let Ok(made) = tokio::time::timeout(SOON, making).await {
        return made.map(Some);
    }
    tracing::warn!("{ASKED}: it is slow, or its cluster has no leader. Probes are answered meanwhile");
    schema.hold(ASKED);
    Ok(None)
}

/// From now on streams of another database are refused, and those that are made are this one's.
pub(super) async fn own(nats: &Nats, pool: &PgPool) -> anyhow::Result<()> {
    nats.of_journal(identity(pool).await.context("failed to look up which journal this is")?);
    Ok(())
}

/// Makes the streams; gives whether that is done, or waits for NATS: for a cluster without a leader as for one that is away. An error where
/// they are another database's.
pub(super) async fn make(nats: &Nats) -> anyhow::Result<bool> {
    if nats.client.connection_state() != State::Connected {
        return Ok(false);
    }
    let longest_s = LONGEST.as_secs();
    tracing::info!(longest_s, "asks JetStream for the streams, and waits so long at most for its answers");
    let late = |_| TopologyError::Away { name: "the streams".to_owned(), reason: "not answered in time".to_owned() };
    match tokio::time::timeout(LONGEST, nats.ensure_streams()).await.map_err(late).flatten() {
        Ok(()) => Ok(true),
        Err(error @ TopologyError::Away { .. }) => {
            let away = "NATS is there, and its JetStream is not ready: what needs it waits, all else goes on";
            tracing::error!(error = %error, "{away} (ON_CALL.md, NATS is there and JetStream is not)");
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

/// A migration may have ended the sessions that rested, and Postgres may be away for a moment.
async fn identity(pool: &PgPool) -> Result<Uuid, sqlx::Error> {
    let (log, began) = (PgEventLog::new(pool.clone()), Instant::now());
    loop {
        match log.identity().await {
            Err(sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut) if began.elapsed() < PATIENCE => {
                tokio::time::sleep(LOOK).await;
            }
            known => return known,
        }
    }
}

/// Whether it may be there in a while with nothing changed here.
fn is_away(error: &anyhow::Error) -> bool {
    let kind = error.downcast_ref::<ConnectError>().map(ConnectError::kind);
    matches!(kind, Some(ConnectErrorKind::Io | ConnectErrorKind::TimedOut | ConnectErrorKind::Dns))
}

/// Where it was away, makes the streams once it is there. Ends only where they are another database's, or are to be on more servers than there
/// are, as a start does.
pub(super) async fn set_up(nats: &Nats, has_streams: bool) -> anyhow::Error {
    if has_streams {
        return std::future::pending().await;
    }
    let mut told_at = Instant::now();
    loop {
        tokio::time::sleep(LOOK).await;
        if nats.client.connection_state() == State::Connected {
            match nats.ensure_streams().await {
                Ok(()) => {
                    tracing::info!("NATS is there, and so are its streams");
                    return std::future::pending().await;
                }
                Err(lasting @ (TopologyError::Foreign(_) | TopologyError::TooManyCopies { .. })) => {
                    return lasting.into();
                }
                Err(error) if told_at.elapsed() > AGAIN => {
                    tracing::error!(error = %error, "NATS is there, and its streams cannot be made");
                    told_at = Instant::now();
                }
                Err(_) => {}
            }
        } else if told_at.elapsed() > AGAIN {
            tracing::error!("NATS is still away: what needs it waits, all else goes on");
            told_at = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_refuses_is_not_away() {
        let failed = |kind| Err::<(), _>(ConnectError::new(kind)).context("cannot reach NATS").expect_err("it failed");
        assert!(
            [ConnectErrorKind::Io, ConnectErrorKind::TimedOut, ConnectErrorKind::Dns].map(failed).iter().all(is_away)
        );
        let refused =
            [ConnectErrorKind::AuthorizationViolation, ConnectErrorKind::Authentication, ConnectErrorKind::Tls];
        assert!(!refused.map(failed).iter().any(is_away));
        assert!(!is_away(&anyhow::anyhow!("NATS_URL is no address")));
    }
}
