//! Live changes, one after the other: a villa changes, the change is published, and the sandbox tells when it arrived.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use chrono::Utc;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::postgres;
use crate::run::Run;

/// After so long a change is no longer waited for.
const PATIENCE: Duration = Duration::from_secs(40);

/// A change that has not arrived.
#[derive(Debug)]
struct Waiting {
    villa: usize,
    words: String,
    published: Instant,
    published_us: u64,
}

/// What became of a change.
#[derive(Debug)]
pub struct Followed {
    /// Which villa.
    pub villa: usize,
    /// What happened to it.
    pub words: String,
    /// How long it took until its first call arrived; `None` when it did not within a while.
    pub latency: Option<Duration>,
}

/// Changes under way.
#[derive(Debug)]
pub struct Trickle {
    rng: StdRng,
    /// Account and listing at the channel, by unit.
    listings: HashMap<String, (u64, String)>,
    waiting: Vec<Waiting>,
}

impl Trickle {
    /// Once every villa has its listing at the channel.
    pub async fn new(run: &Run, seed: u64) -> anyhow::Result<Self> {
        let accounts: HashMap<_, _> =
            run.targets.iter().map(|target| (target.target_id, target.role().channel_account)).collect();
        let known = |row: postgres::Listing| Some((row.unit_id, (*accounts.get(&row.target_id)?, row.external_id?)));
        let listings = postgres::listings(&run.pool).await?.into_iter().filter_map(known).collect();
        Ok(Self { rng: StdRng::seed_from_u64(seed), listings, waiting: Vec::new() })
    }

    /// Changes some villa and publishes it; none while all of them are under way.
    pub async fn change(&mut self, run: &mut Run) -> anyhow::Result<()> {
        let free: Vec<usize> =
            (0..run.villas.len()).filter(|villa| self.waiting.iter().all(|waiting| waiting.villa != *villa)).collect();
        if free.is_empty() {
            return Ok(());
        }
        let villa = free[self.rng.random_range(0..free.len())];
        let published_us = u64::try_from(Utc::now().timestamp_micros())?;
        let published = Instant::now();
        let words = run.change(villa, None).await?;
        self.waiting.push(Waiting { villa, words, published, published_us });
        Ok(())
    }

    /// Those that have arrived, and those that are given up, since it was last asked.
    pub async fn look(&mut self, run: &Run) -> anyhow::Result<Vec<Followed>> {
        let Some(since_us) = self.waiting.iter().map(|waiting| waiting.published_us).min() else {
            return Ok(Vec::new());
        };
        let arrivals = run.sandbox.arrivals(since_us).await?;
        let mut followed = Vec::new();
        let mut still = Vec::new();
        for waiting in self.waiting.drain(..) {
            let unit_id = run.villas[waiting.villa]["unit_id"].as_str().context("a body has a unit_id")?;
            let (account, id) = self.listings.get(unit_id).context("a villa has its listing at the channel")?;
            let path = format!("/v1/listings/{id}");
            let carries = |arrival: &&crate::sandbox::Arrival| {
                let of_listing =
                    arrival.path.strip_prefix(&path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
                of_listing
                    && arrival.account == Some(*account)
                    && arrival.method == "PUT"
                    && arrival.status == Some(200)
                    && arrival.at_us >= waiting.published_us
            };
            let latency = arrivals
                .iter()
                .find(carries)
                .map(|arrival| Duration::from_micros(arrival.at_us - waiting.published_us));
            if latency.is_some() || waiting.published.elapsed() > PATIENCE {
                followed.push(Followed { villa: waiting.villa, words: waiting.words, latency });
            } else {
                still.push(waiting);
            }
        }
        self.waiting = still;
        Ok(followed)
    }

    /// How many are under way.
    pub fn under_way(&self) -> usize {
        self.waiting.len()
    }
}
