//! Who asks: a service with its token, on connections that are kept. As it would sit on another machine, it has threads of its own, which
//! come before all others where the system allows it: else what is measured would be how long the measuring waits for a core.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use domain::ids::TargetId;
use serde_json::json;
use thread_priority::unix::{RealtimeThreadSchedulePolicy, set_thread_priority_and_policy, thread_native_id};
use thread_priority::{ThreadPriority, ThreadPriorityValue, ThreadSchedulePolicy};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

use crate::ours::Service;
use crate::process::Patience;
use crate::tools;
use crate::units::ORG;
use crate::world::World;

/// What the requests took, in milliseconds from the time at which each was to leave.
#[derive(Debug, Default)]
pub struct Answers {
    pub reads: Vec<f64>,
    pub writes: Vec<f64>,
}

/// A caller of the API.
pub struct Callers {
    inner: Arc<Inner>,
    /// `None` once it is dropped.
    threads: Option<Runtime>,
}

impl Drop for Callers {
    fn drop(&mut self) {
        if let Some(threads) = self.threads.take() {
            threads.shutdown_background();
        }
    }
}

/// The thread at hand comes before all that have no such right. Whether the system allows it.
pub fn come_first() -> bool {
    let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
    ThreadPriorityValue::try_from(1_u8).is_ok_and(|lowest| {
        set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Crossplatform(lowest), policy).is_ok()
    })
}

struct Inner {
    client: reqwest::Client,
    base: String,
    token: String,
    targets: Vec<TargetId>,
    listings: Vec<uuid::Uuid>,
}

impl Callers {
    /// With a token that the command line signs.
    pub async fn new(
        world: &World,
        service: &Service,
        address: SocketAddr,
        targets: &[TargetId],
    ) -> anyhow::Result<Self> {
        let listens = async || Ok(TcpStream::connect(address).await.is_ok());
        service.process.until(Patience::START, "listening", listens).await?;
        let base = format!("http://{address}");
        let token = std::process::Command::new(tools::program("distribution")?)
            .args(["token", "--subject", "bench", "--org", ORG, "--role", "owner"])
            .envs(world.environment()?)
            .output()?;
        ensure!(token.status.success(), "no token: {}", String::from_utf8_lossy(&token.stderr));
        let token = String::from_utf8(token.stdout)?.trim().to_owned();
        let listings = sqlx::query_scalar("SELECT listing_id FROM channel_listings ORDER BY listing_id LIMIT 1000")
            .fetch_all(&world.pool)
            .await?;
        let client = reqwest::Client::builder().timeout(Duration::from_secs(30)).build()?;
        let inner = Inner { client, base, token, targets: targets.to_vec(), listings };
        let first = || {
            come_first();
        };
        let mut threads = Builder::new_multi_thread();
        let threads = threads.worker_threads(2).thread_name("callers").on_thread_start(first).enable_all().build()?;
        Ok(Self { inner: Arc::new(inner), threads: Some(threads) })
    }

    /// Asks at this pace for so long; every answer must be good.
    pub async fn ask(&self, pace: u32, writes: u32, time: Duration) -> anyhow::Result<Answers> {
        let threads = self.threads.as_ref().context("its threads are there until it goes")?;
        threads.spawn(self.inner.clone().ask(pace, writes, time)).await?
    }
}

impl Inner {
    async fn ask(self: Arc<Self>, pace: u32, writes: u32, time: Duration) -> anyhow::Result<Answers> {
        let mut ticks = tokio::time::interval(Duration::from_secs(1) / pace.max(1));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
        let mut asked = JoinSet::new();
        let count = u64::from(pace) * time.as_secs();
        for number in 0..usize::try_from(count)? {
            let due = ticks.tick().await.into_std();
            let inner = self.clone();
            // Spread evenly: every request whose share of the writes is full is one.
            let share = usize::try_from(writes)?;
            let writes = (number * share) % 100 < share;
            asked.spawn(async move { inner.request(number, writes, due).await });
        }
        let mut answers = Answers::default();
        while let Some(asked) = asked.join_next().await {
            let (writes, took) = asked??;
            if writes { answers.writes.push(took) } else { answers.reads.push(took) }
        }
        Ok(answers)
    }

    async fn request(&self, number: usize, writes: bool, due: Instant) -> anyhow::Result<(bool, f64)> {
        let listing = self.listings[number * 7 % self.listings.len()];
        // In turns, for reads and writes alike: nobody writes one target again and again.
        let target = self.targets[number / 5 % self.targets.len()];
        let request = if writes {
            let path = format!("{}/api/channels/targets/{target}", self.base);
            self.client.patch(path).json(&json!({ "name": format!("target {number}") }))
        } else {
            let path = match number % 5 {
                0 => "/api/channels/targets?limit=20".to_owned(),
                1 => format!("/api/channels/listings/{listing}"),
                2 => format!("/api/channels/listings/{listing}/history?limit=20"),
                3 => format!("/api/channels/audit?target_id={target}&limit=20"),
                _ => format!("/api/channels/queue?target_id={target}&limit=20"),
            };
            self.client.get(format!("{}{path}", self.base))
        };
        let answer = request.bearer_auth(&self.token).send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        ensure!(status.is_success(), "{status}: {text}");
        Ok((writes, due.elapsed().as_secs_f64() * 1_000.0))
    }
}
