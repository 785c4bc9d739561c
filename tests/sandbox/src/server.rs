//! Accepts connections and serves them until told to stop. The HTTP engine is driven directly, because a framework's
//! handler always answers, and the sandbox must be able not to.

use std::{pin::pin, sync::Arc, time::Duration};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::{rt::TokioIo, server::graceful::GracefulShutdown, service::TowerToHyperService};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::{
    gate,
    routes::router,
    world::{Config, Shared, World},
};

/// How long calls under way may take after the stop; hanging ones are dropped then.
const GRACE: Duration = Duration::from_secs(1);

/// Serves the sandbox on `listener` until `shutdown` resolves; calls under way get one second to end.
pub async fn serve(config: Config, listener: TcpListener, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
    let world: Shared = Arc::new(World::new(config));
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
    Ok(())
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
