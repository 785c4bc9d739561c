//! Accepts connections and serves them until told to stop. The HTTP engine is driven directly, because a framework's
//! handler always answers, and the sandbox must be able not to.

use std::{pin::pin, sync::Arc, time::Duration};

use anyhow::Context as _;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::{rt::TokioIo, server::graceful::GracefulShutdown, service::TowerToHyperService};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::{
    gate,
    routes::router,
    state,
    world::{Config, Shared, World},
};

/// How long calls under way may take after the stop; hanging ones are dropped then.
const GRACE: Duration = Duration::from_secs(1);

/// A sandbox that knows what it starts with, and does not serve yet.
pub struct Sandbox(Shared);

impl Sandbox {
    /// Takes up the state file, where one is configured and there. Fails with its path when it cannot be used.
    pub fn open(config: Config) -> anyhow::Result<Self> {
        Ok(Self(Arc::new(World::open(config)?)))
    }

    /// Serves on `listener` until `shutdown` resolves; calls under way get one second to end. Then the state file is
    /// written.
    pub async fn serve(self, listener: TcpListener, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
        let Self(world) = self;
        let mut keeper = JoinSet::new();
        keeper.spawn(state::keep(world.clone()));
        accept(&world, listener, shutdown).await;
        keeper.shutdown().await;
        let _ended_in_time = tokio::time::timeout(GRACE, world.imported()).await;
        tokio::task::spawn_blocking(move || world.save()).await.context("the state file's writer has died")?
    }
}

/// Opens a sandbox and serves it on `listener` until `shutdown` resolves.
pub async fn serve(config: Config, listener: TcpListener, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
    Sandbox::open(config)?.serve(listener, shutdown).await
}

async fn accept(world: &Shared, listener: TcpListener, shutdown: impl Future<Output = ()>) {
    let routes = TowerToHyperService::new(router(world.clone()));
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut shutdown => break,
        };
        while connections.try_join_next().is_some() {}
        // Errors of one connection (reset before accept, too many files) must not end the server.
        let Ok((stream, peer)) = accepted else {
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        };
        connections.spawn(graceful.watch(connection(stream, world.clone(), routes.clone(), peer.ip())));
    }
    drop(listener);
    let _ended_in_time = tokio::time::timeout(GRACE, graceful.shutdown()).await;
    connections.shutdown().await;
}

fn connection(
    stream: TcpStream,
    world: Shared,
    routes: gate::Routes,
    peer: std::net::IpAddr,
) -> impl hyper_util::server::graceful::GracefulConnection<Error = hyper::Error> {
    // Answers are small: without this they wait for the client's delayed acknowledgement.
    let _not_fatal = stream.set_nodelay(true);
    let service = service_fn(move |request| gate::handle(world.clone(), routes.clone(), peer, request));
    http1::Builder::new().header_read_timeout(None).serve_connection(TokioIo::new(stream), service)
}
