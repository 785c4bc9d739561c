//! Who asks: a service with its token, on connections that are kept.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use domain::ids::TargetId;
use serde_json::json;
use tokio::net::TcpStream;
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
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Asks at this pace for so long; every answer must be good.
    pub async fn ask(&self, pace: u32, writes: u32, time: Duration) -> anyhow::Result<Answers> {
        let mut ticks = tokio::time::interval(Duration::from_secs(1) / pace.max(1));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
        let mut asked = JoinSet::new();
        let count = u64::from(pace) * time.as_secs();
        for number in 0..usize::try_from(count)? {
            let due = ticks.tick().await.into_std();
            let inner = self.inner.clone();
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
}

impl Inner {
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
