//! One direction of a connection: what comes in goes out later, in order.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::line::Line;

/// What becomes of what is on its way when its sender closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AtEnd {
    /// It arrives.
    Deliver,
    /// It is lost.
    Drop,
}

/// Returns as soon as the line is not silent.
pub(super) async fn until_it_speaks(line: &watch::Sender<Option<Line>>) {
    // The sender is borrowed, so the wait cannot fail.
    let _ = line.subscribe().wait_for(|line| *line != Some(Line::Silent)).await;
}

/// Carries until one of the ends closes.
pub(super) async fn forward(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    line: &watch::Sender<Option<Line>>,
    at_end: AtEnd,
) {
    // Unbounded: the ends see each other's closing however much is on its way.
    let (sender, mut on_its_way) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    let read = async {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(read @ 1..) = from.read(&mut buffer).await {
            let late = match *line.borrow() {
                Some(Line::Slow { ms }) => Duration::from_millis(ms),
                _ => Duration::ZERO,
            };
            if sender.send((Instant::now() + late, buffer[..read].to_vec())).is_err() {
                break;
            }
        }
        drop(sender);
        if at_end == AtEnd::Deliver {
            std::future::pending::<()>().await;
        }
    };
    let write = async {
        while let Some((at, bytes)) = on_its_way.recv().await {
            tokio::time::sleep_until(at).await;
            until_it_speaks(line).await;
            if to.write_all(&bytes).await.is_err() {
                break;
            }
        }
    };
    tokio::select! {
        () = read => {}
        () = write => {}
    }
}
