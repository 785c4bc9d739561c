//! NATS at the start. Who starts while it is away works without it, as who has lost it does, and sets it up when it is there.

use std::time::Duration;

use adapters::nats::Nats;
use async_nats::connection::State;
use async_nats::{ConnectError, ConnectErrorKind};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::Connections;

/// From one look whether it is there to the next.
const LOOK: Duration = Duration::from_millis(500);
/// That it is still away is told again after so long.
const AGAIN: Duration = Duration::from_secs(10);

/// A connection with its streams. Where NATS is away both come later, by a task of `tasks`; where it answers and refuses, an
/// error.
pub(super) async fn reach(
    connections: &Connections,
    tasks: &mut JoinSet<()>,
    stop: &CancellationToken,
) -> anyhow::Result<Nats> {
    match connections.nats().await {
        Ok(nats) => {
            nats.ensure_streams().await?;
            Ok(nats)
        }
        Err(error) if is_away(&error) => {
            tracing::error!(reason = %error.root_cause(), "NATS is away (NATS_URL): what needs it waits, all else goes on");
            let nats = connections.nats_later().await?;
            tasks.spawn(set_up(nats.clone(), stop.clone()));
            Ok(nats)
        }
        Err(error) => Err(error),
    }
}

/// Whether it may be there in a while with nothing changed here.
fn is_away(error: &anyhow::Error) -> bool {
    let kind = error.downcast_ref::<ConnectError>().map(ConnectError::kind);
    matches!(kind, Some(ConnectErrorKind::Io | ConnectErrorKind::TimedOut | ConnectErrorKind::Dns))
}

/// Makes the streams once it is there.
async fn set_up(nats: Nats, stop: CancellationToken) {
    let mut told_at = Instant::now();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
        if nats.client.connection_state() == State::Connected {
            match nats.ensure_streams().await {
                Ok(()) => {
                    tracing::info!("NATS is there, and so are its streams");
                    return;
                }
                Err(error) => tracing::warn!(error = %error, "NATS is there, and its streams cannot be made"),
            }
        } else if told_at.elapsed() > AGAIN {
            tracing::error!("NATS is still away: what needs it waits, all else goes on");
            told_at = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

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
