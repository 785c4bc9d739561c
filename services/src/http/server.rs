//! Listening. Connections that say nothing are closed, so that thousands of them stop nobody: each after a while, and the oldest of them
//! at once where there is no room for another.
//!
//! A stop is told before it is made: readiness says no, every answer closes its connection, and whoever comes meanwhile is
//! served. To close a connection that rests would lose the request that is just on its way.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use rustix::net::sockopt::set_tcp_user_timeout;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use super::heads::PARSED_HEADERS;
use super::silent::{Newcomer, Silent};
use super::unhurried::Unhurried;
use crate::api::connection::Cut;

/// The longest that a request's head may take to arrive, and that a connection may rest between two.
const HEAD: Duration = Duration::from_secs(10);
/// The longest that a piece of an answer may wait until its reader takes it, in milliseconds. Whoever asks for much and reads
/// nothing would keep the connection for ever.
const UNREAD_MS: u32 = 30_000;
/// Connections that may wait to be accepted: what tokio asks the system for.
const QUEUE: usize = 1024;
/// The longest that a connection of which no request has come yet stays open for one after the stop. hyper would close it without a word,
/// and whoever has just connected sends at this moment.
const LAST_WORD: Duration = Duration::from_secs(1);
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
    if tokio::time::timeout(ENDING, server.end()).await.is_err() {
        tracing::warn!("requests that took too long were cut off at the stop");
    }
}

/// What all connections have.
struct Server {
    builder: Builder,
    router: Router,
    stop: CancellationToken,
    conversations: TaskTracker,
    connections: Arc<Semaphore>,
    silent: Silent,
}

impl Server {
    fn of(router: Router, most: usize) -> Self {
        let mut builder = Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(HEAD).max_headers(PARSED_HEADERS);
        let connections = Arc::new(Semaphore::new(most));
        let (stop, conversations) = (CancellationToken::new(), TaskTracker::new());
        Self { builder, router, stop, conversations, connections, silent: Silent::default() }
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

    /// Returns once every connection has ended.
    async fn end(&self) {
        self.stop.cancel();
        self.conversations.close();
        self.conversations.wait().await;
    }

    /// Answers what comes on a connection, in a task of its own. Only the last have no permit.
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
        let last = Arc::new(AtomicBool::new(false));
        let connection = self.builder.serve_connection(TokioIo::new(Unhurried::new(stream, last.clone())), service);
        let stop = self.stop.clone();
        self.conversations.spawn(async move {
            tokio::select! {
                () = until_ended(connection, &stop, &newcomer, &last) => {}
                () = cut.asked() => tracing::debug!("a connection was cut in the middle of an answer"),
                () = newcomer.closed() => tracing::debug!("a connection that said nothing made room for another"),
            }
            drop(permit);
        });
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

/// Until the connection has ended, by itself or by the stop.
async fn until_ended(
    connection: impl GracefulConnection<Error = hyper::Error>,
    stop: &CancellationToken,
    newcomer: &Newcomer,
    last: &AtomicBool,
) {
    tokio::pin!(connection);
    let told = async {
        stop.cancelled().await;
        if !newcomer.has_spoken() {
            tokio::time::sleep(LAST_WORD).await;
        }
    };
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = told => {
            last.store(true, Ordering::Relaxed);
            // A request that has arrived by now is read, so that its connection rests no more.
            match futures::poll!(connection.as_mut()) {
                Poll::Ready(ended) => ended,
                Poll::Pending => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error = %error, "a connection ended early");
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const ASKED: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

    async fn listening() -> (Server, TcpListener, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (Server::of(Router::new().route("/", get(async || "served")), 1), listener, client)
    }

    async fn is_served(mut client: TcpStream) {
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("served"), "{answer:?}");
    }

    /// One thread, so that what is spawned runs only once the stop was told.
    #[tokio::test]
    async fn who_has_connected_when_the_listener_closes_is_answered() {
        let (server, listener, mut client) = listening().await;
        client.write_all(ASKED).await.unwrap();
        server.converse_with_the_last(listener);
        server.end().await;
        is_served(client).await;
    }

    /// One thread, and nothing is awaited between the request and the stop: the runtime knows of neither.
    #[tokio::test]
    async fn a_request_that_has_arrived_on_a_connection_that_rests_is_answered() {
        for _ in 0..20 {
            let (server, listener, mut client) = listening().await;
            let (stream, from) = listener.accept().await.unwrap();
            server.converse(stream, from, server.room().await);
            client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
            let mut answer = Vec::new();
            while !answer.ends_with(b"served") {
                assert!(client.read_buf(&mut answer).await.unwrap() > 0, "the first is answered");
            }
            let mut client = client.into_std().unwrap();
            std::io::Write::write_all(&mut client, ASKED).unwrap();
            server.end().await;
            is_served(TcpStream::from_std(client).unwrap()).await;
        }
    }

    #[tokio::test]
    async fn who_sends_a_little_after_the_stop_is_answered_and_who_says_nothing_delays_it_a_second() {
        let (server, listener, mut client) = listening().await;
        let (stream, from) = listener.accept().await.unwrap();
        server.converse(stream, from, server.room().await);
        let silent = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, from) = listener.accept().await.unwrap();
        server.converse(stream, from, None);
        let late = async {
            tokio::time::sleep(LAST_WORD / 5).await;
            client.write_all(ASKED).await.unwrap();
            is_served(client).await;
        };
        let ended = tokio::time::timeout(LAST_WORD * 5, server.end());
        let (ended, ()) = tokio::join!(ended, late);
        ended.expect("whoever says nothing is not waited for");
        drop(silent);
    }
}
