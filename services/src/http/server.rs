//! Listening. Connections that say nothing are closed, so that thousands of them stop nobody: each after a while, and the oldest of them
//! at once where there is no room for another.
//!
//! A stop is told before it is made: readiness says no, every answer closes its connection, and whoever comes meanwhile is
//! served. To close a connection that rests would lose the request that is just on its way.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use rustix::net::sockopt::set_tcp_user_timeout;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::ServiceExt as _;

use super::heads::PARSED_HEADERS;
use super::silent::{Newcomer, Silent};
use crate::api::connection::Cut;

/// The longest that a request's head may take to arrive, and that a connection may rest between two.
const HEAD: Duration = Duration::from_secs(10);
/// The longest that a piece of an answer may wait until its reader takes it, in milliseconds. Whoever asks for much and reads
/// nothing would keep the connection for ever.
const UNREAD_MS: u32 = 30_000;
/// Connections that may wait to be accepted: what tokio asks the system for.
const QUEUE: usize = 1024;
/// The longest that requests under way may take after the stop.
const ENDING: Duration = Duration::from_secs(30);

/// Serves until `drained`: whoever comes after a stop is served for a while, as others may not know of it before. There are at most so many
/// connections at the same time.
pub(super) async fn serve(listener: TcpListener, router: Router, most: usize, drained: impl Future<Output = ()>) {
    if let Ok(address) = listener.local_addr() {
        tracing::info!("the API listens at http://{address}; /api/docs describes it");
    }
    let server = Server::of(router, most);
    tokio::pin!(drained);
    loop {
        let accepted = tokio::select! {
            () = &mut drained => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Of file descriptors there may be none for a moment.
                tracing::warn!(error = %error, "failed to accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let permit = tokio::select! {
            () = &mut drained => None,
            permit = server.room() => permit,
        };
        let ends = permit.is_none();
        server.converse(stream, from, permit);
        if ends {
            break;
        }
    }
    server.converse_with_the_last(listener);
    if tokio::time::timeout(ENDING, server.graceful.shutdown()).await.is_err() {
        tracing::warn!("requests that took too long were cut off at the stop");
    }
}

/// What all connections have.
struct Server {
    builder: Builder,
    router: Router,
    graceful: GracefulShutdown,
    connections: Arc<Semaphore>,
    silent: Silent,
}

impl Server {
    fn of(router: Router, most: usize) -> Self {
        let mut builder = Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(HEAD).max_headers(PARSED_HEADERS);
        let connections = Arc::new(Semaphore::new(most));
        Self { builder, router, graceful: GracefulShutdown::new(), connections, silent: Silent::default() }
    }

    /// A place for one more. Where there is none, one that has said nothing makes room; where all have spoken, the first that ends.
    async fn room(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(permit) = self.connections.clone().try_acquire_owned() {
            return Some(permit);
        }
        let freed = self.connections.clone().acquire_owned();
        tokio::pin!(freed);
        while let Some(rest) = self.silent.close_oldest() {
            tokio::select! {
                permit = &mut freed => return permit.ok(),
                () = tokio::time::sleep(rest) => {}
            }
        }
        freed.await.ok()
    }

    /// Answers what comes on a connection, in a task of its own. Without a permit it is one of the last.
    fn converse(&self, stream: TcpStream, from: SocketAddr, permit: Option<OwnedSemaphorePermit>) {
        let _ = stream.set_nodelay(true);
        let _ = set_tcp_user_timeout(&stream, UNREAD_MS);
        let newcomer = Arc::new(self.silent.add());
        let (router, speaker, cut) = (self.router.clone(), newcomer.clone(), Cut::default());
        let for_requests = cut.clone();
        let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(from));
            request.extensions_mut().insert(for_requests.clone());
            answer(speaker.clone(), router.clone(), request)
        });
        let connection = self.builder.serve_connection(TokioIo::new(stream), service);
        match permit {
            Some(permit) => {
                let connection = self.graceful.watch(connection);
                tokio::spawn(async move {
                    tokio::select! {
                        () = until_cut(connection, &cut) => {}
                        () = newcomer.closed() => tracing::debug!("a connection that said nothing made room for another"),
                    }
                    drop(permit);
                });
            }
            // Told of the stop before it has read anything, it would close without a word: it is only waited for.
            None => {
                let awaited = self.graceful.watcher();
                tokio::spawn(async move {
                    until_cut(connection, &cut).await;
                    drop(awaited);
                });
            }
        }
    }

    /// Closes the listener, which resets the connections that nobody has accepted yet: there is to be none.
    fn converse_with_the_last(&self, listener: TcpListener) {
        let Ok(listener) = listener.into_std() else { return };
        for _ in 0..QUEUE {
            let Ok((stream, from)) = listener.accept() else { return };
            if let Ok(stream) = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream)) {
                self.converse(stream, from, None);
            }
        }
    }
}

async fn answer(newcomer: Arc<Newcomer>, router: Router, request: Request<Incoming>) -> Result<Response, Infallible> {
    if !newcomer.speaks() {
        // The connection goes at this moment, and the request with it.
        std::future::pending::<()>().await;
    }
    router.oneshot(request).await
}

/// Until the connection has ended, by itself or because a request of its has cut it.
async fn until_cut(connection: impl Future<Output = hyper::Result<()>>, cut: &Cut) {
    tokio::select! {
        ended = connection => {
            if let Err(error) = ended {
                tracing::debug!(error = %error, "a connection ended early");
            }
        }
        () = cut.asked() => tracing::debug!("a connection was cut in the middle of an answer"),
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// One thread, so that what is spawned runs only once the stop was told.
    #[tokio::test]
    async fn who_has_connected_when_the_listener_closes_is_answered() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
        let server = Server::of(Router::new().route("/", get(async || "served")), 1);
        server.converse_with_the_last(listener);
        server.graceful.shutdown().await;
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("served"), "{answer:?}");
    }
}
