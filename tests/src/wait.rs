//! Waiting for a condition, level-triggered, with its last status when it never came true.

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::bail;

const BETWEEN: Duration = Duration::from_millis(50);

/// Asks again and again until `condition` gives `Ok`; an `Err` says how things stand. Fails after `limit`.
pub async fn wait_until<T, F>(what: &str, limit: Duration, condition: impl FnMut() -> F) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<Result<T, String>>>,
{
    ask(what, limit, condition, |_| BETWEEN).await
}

/// The same for what stays once it has come: the longer it takes, the less often it is asked for, which costs other tests their time.
pub async fn wait_for_rest<T, F>(what: &str, limit: Duration, condition: impl FnMut() -> F) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<Result<T, String>>>,
{
    ask(what, limit, condition, |waited| (waited / 20).clamp(BETWEEN, 5 * BETWEEN)).await
}

async fn ask<T, F>(
    what: &str,
    limit: Duration,
    mut condition: impl FnMut() -> F,
    pause: impl Fn(Duration) -> Duration,
) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<Result<T, String>>>,
{
    let started = Instant::now();
    loop {
        match condition().await? {
            Ok(value) => return Ok(value),
            Err(status) if started.elapsed() > limit => bail!("{what}: not within {limit:?}: {status}"),
            Err(_) => tokio::time::sleep(pause(started.elapsed())).await,
        }
    }
}
