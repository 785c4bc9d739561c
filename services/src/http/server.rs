//! Listening. Connections that say nothing are closed, so that thousands of them stop nobody.
//!
//! A stop is told before it is made: readiness says no, every answer closes its connection, and whoever comes meanwhile is
//! served. To close a connection that rests would lose the request that is just on its way.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use rustix::net::sockopt::set_tcp_user_timeout;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::ServiceExt as _;

use super::heads::PARSED_HEADERS;

/// The longest that a request's head may take to arrive, and that a connection may rest between two.
const HEAD: Duration = Duration::from_secs(10);
/// The longest that a piece of an answer may wait until its reader takes it, in milliseconds. Whoever asks for much and reads
/// nothing would keep the connection for ever.
const UNREAD_MS: u32 = 30_000;
/// Connections at the same time; further ones wait in the system's queue.
const CONNECTIONS: usize = 20_000;
/// Connections that may wait to be accepted: what tokio asks the system for.
const QUEUE: usize = 1024;
/// The longest that requests under way may take after the stop.
const ENDING: Duration = Duration::from_secs(30);

/// Serves until `drained`: whoever comes after a stop is served for a while, as others may not know of it before.
pub(super) async fn serve(listener: TcpListener, router: Router, drained: impl Future<Output = ()>) {
    if let Ok(address) = listener.local_addr() {
        tracing::info!("the API listens at http://{address}; /api/docs describes it");
    }
    let connections = Arc::new(Semaphore::new(CONNECTIONS));
    let server = Server::of(router);
    tokio::pin!(drained);
    loop {
        let Ok(permit) = connections.clone().acquire_owned().await else { break };
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
        server.converse(stream, from, Some(permit));
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
}

impl Server {
    fn of(router: Router) -> Self {
        let mut builder = Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(HEAD).max_headers(PARSED_HEADERS);
        Self { builder, router, graceful: GracefulShutdown::new() }
    }

    /// Answers what comes on a connection, in a task of its own. Without a permit it is one of the last.
    fn converse(&self, stream: TcpStream, from: SocketAddr, permit: Option<OwnedSemaphorePermit>) {
        let _ = stream.set_nodelay(true);
        let _ = set_tcp_user_timeout(&stream, UNREAD_MS);
        let router = self.router.clone();
        let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(from));
            router.clone().oneshot(request)
        });
        let connection = self.builder.serve_connection(TokioIo::new(stream), service);
        match permit {
            Some(permit) => {
                let connection = self.graceful.watch(connection);
                tokio::spawn(async move {
                    ended(connection.await);
                    drop(permit);
                });
            }
            // Told of the stop before it has read anything, it would close without a word: it is only waited for.
            None => {
                let awaited = self.graceful.watcher();
                tokio::spawn(async move {
                    ended(connection.await);
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

fn ended(connection: hyper::Result<()>) {
    if let Err(error) = connection {
        tracing::debug!(error = %error, "a connection ended early");
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
        let server = Server::of(Router::new().route("/", get(async || "served")));
        server.converse_with_the_last(listener);
        server.graceful.shutdown().await;
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("served"), "{answer:?}");
    }
}
