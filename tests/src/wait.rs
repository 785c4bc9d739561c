//! Waiting for a condition, level-triggered, with its last status when it never came true.

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::bail;

/// Asks again and again until `condition` gives `Ok`; an `Err` says how things stand. Fails after `limit`.
pub async fn wait_until<T, F>(what: &str, limit: Duration, mut condition: impl FnMut() -> F) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<Result<T, String>>>,
{
    let started = Instant::now();
    loop {
        match condition().await? {
            Ok(value) => return Ok(value),
            Err(status) if started.elapsed() > limit => bail!("{what}: not within {limit:?}: {status}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}
