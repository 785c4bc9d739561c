//! What is served over HTTP, on one listener: the API, and the dashboard, which works through it. What every request passes,
//! wherever it goes, is put together in [`router`].

mod heads;
mod in_time;
mod refusals;
mod router;
mod server;
mod silent;
mod unhurried;
mod unread;

use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::api::Api;
use crate::dashboard::Dashboard;

pub use router::router;

/// The longest that a look for drift may take after the stop: its call, and what is written down of it.
const ENDING: Duration = Duration::from_secs(30);

/// Serves until `stop`, so many connections at the same time; for at most `drain` after it whoever still comes is served, until others know of
/// the stop. Requests under way end first, and so does what was begun for those who have left. Before the schema is there only probes are
/// answered, and nobody has to hear of a stop.
pub async fn run(
    api: Api,
    dashboard: Dashboard,
    listener: TcpListener,
    most: usize,
    stop: CancellationToken,
    drain: Duration,
) {
    let served = router(&api, dashboard);
    if api.schema().waits_for().is_none() {
        api.open().await;
    }
    let looking = api.clone();
    let drained = async {
        stop.cancelled().await;
        if looking.is_open() {
            tokio::time::sleep(drain).await;
        }
    };
    let beside = async move {
        if !api.is_open() {
            api.schema().there().await;
            api.open().await;
        }
        tokio::join!(api.watch_transport(), api.sweep(), api.sweep_secrets(), api.take_back_secrets());
    };
    tokio::spawn(stop.child_token().run_until_cancelled_owned(beside));
    server::serve(listener, served, most, drained).await;
    if tokio::time::timeout(ENDING, looking.end_looks()).await.is_err() {
        tracing::warn!("looks for drift that took too long were cut off at the stop: their calls are in no row");
    }
}
