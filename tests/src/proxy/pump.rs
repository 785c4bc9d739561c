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

/// The line as one connection has it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Side<'a> {
    line: &'a watch::Sender<Option<Line>>,
    /// It came when others were lost already.
    is_new: bool,
}

impl<'a> Side<'a> {
    /// Of a connection that comes now.
    pub(super) fn of(line: &'a watch::Sender<Option<Line>>) -> Self {
        Self { line, is_new: *line.borrow() == Some(Line::Lost) }
    }

    /// Returns as soon as the line is not silent.
    pub(super) async fn speaks(self) {
        let is_silent = |line: &Option<Line>| match line {
            Some(Line::Silent) => true,
            Some(Line::Lost) => !self.is_new,
            _ => false,
        };
        // The sender is borrowed, so the wait cannot fail.
        let _ = self.line.subscribe().wait_for(|line| !is_silent(line)).await;
    }
}

/// Carries until one of the ends closes.
pub(super) async fn forward(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    side: Side<'_>,
    at_end: AtEnd,
) {
    // Unbounded: the ends see each other's closing however much is on its way.
    let (sender, mut on_its_way) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    let read = async {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(read @ 1..) = from.read(&mut buffer).await {
            let late = match *side.line.borrow() {
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
            side.speaks().await;
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
