//! NATS at the start. Who starts while it is away works without it, as who has lost it does, and sets it up when it is there.

use std::time::Duration;

use adapters::event_store::PgEventLog;
use adapters::nats::Nats;
use adapters::nats::topology::{self, TopologyError};
use anyhow::Context as _;
use async_nats::connection::State;
use async_nats::{ConnectError, ConnectErrorKind};
use sqlx::PgPool;
use tokio::time::Instant;
use uuid::Uuid;

use crate::config::Connections;

/// From one look whether it is there to the next.
const LOOK: Duration = Duration::from_millis(500);
/// A start waits so long for its streams before it answers probes meanwhile.
const SOON: Duration = Duration::from_secs(3);
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

/// Makes the streams, as those of this database's journal; gives whether that is done, or waits for NATS: for a cluster without a leader as for
/// one that is away. An error where they are another database's.
pub(super) async fn claim(nats: &Nats, pool: &PgPool) -> anyhow::Result<bool> {
    own(nats, pool).await?;
    make(nats).await
}

/// The same where that is done soon. `None` where it is not, as NATS lets whoever asks a cluster without a leader wait: then it is begun anew.
pub(super) async fn claim_at_once(nats: &Nats, pool: &PgPool) -> anyhow::Result<Option<bool>> {
    own(nats, pool).await?;
    if let Ok(made) = tokio::time::timeout(SOON, make(nats)).await {
        return made.map(Some);
    }
    tracing::warn!("{ASKED}: a cluster without a leader lets whoever asks wait. Probes are answered meanwhile");
    Ok(None)
}

/// From now on streams of another database are refused.
async fn own(nats: &Nats, pool: &PgPool) -> anyhow::Result<()> {
    nats.of_journal(identity(pool).await.context("failed to look up which journal this is")?);
    Ok(())
}

async fn make(nats: &Nats) -> anyhow::Result<bool> {
    if nats.client.connection_state() != State::Connected {
        return Ok(false);
    }
    let longest_s = topology::PATIENCE.as_secs();
    tracing::info!(longest_s, "asks JetStream for the streams, and waits so long at most for an answer");
    match nats.ensure_streams().await {
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

/// Where it was away, makes the streams once it is there. Ends only where they are another database's.
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
                Err(foreign @ TopologyError::Foreign(_)) => return foreign.into(),
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
