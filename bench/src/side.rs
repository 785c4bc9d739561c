//! The two sides, driven alike: a backlog that is drained as fast as it goes, and changes at a pace whose way to the
//! channel is timed.

mod ours;
mod theirs;

use std::time::Duration;

use clap::Args;
use domain::window::RateLimit;
pub use ours::Ours;
pub use theirs::Theirs;

use crate::drain::Drained;
use crate::world::World;

/// How both sides are set up where no window is ever full.
#[derive(Debug, Clone, Args)]
pub struct SetUp {
    /// Runs of each side
    #[arg(long, default_value_t = 3)]
    pub repeat: usize,

    /// Targets that our listings are on
    #[arg(long, default_value_t = 20)]
    pub targets: usize,

    /// The limit of each target: so wide that no window is ever full
    #[arg(long, default_value = "64/100ms")]
    pub limit: RateLimit,

    /// Jobs that the peer's worker has under way at the same time
    #[arg(long, default_value_t = 128)]
    pub peer_concurrency: usize,
}

/// Whose turn it is.
#[derive(Debug, Clone, Copy)]
pub enum Turn {
    /// The service's.
    Ours,
    /// The peer's.
    Theirs,
}

/// Both in the order of this round. Nobody always comes second, after what the other has left.
pub fn turns(round: usize) -> [Turn; 2] {
    if round % 2 == 1 { [Turn::Ours, Turn::Theirs] } else { [Turn::Theirs, Turn::Ours] }
}

/// A side with its process running.
pub trait Side {
    /// Changes these units and waits until all is written down. Nothing is measured: it warms up.
    async fn warm(&self, world: &World, units: &[usize], revision: u64) -> anyhow::Result<()>;

    /// Measures how long it takes for changes of these units.
    async fn drain(&self, world: &World, units: &[usize], revision: u64) -> anyhow::Result<Drained>;

    /// Changes one unit after the other at a pace. Gives the time from change to call of each, in milliseconds.
    async fn paced(&self, world: &World, units: &[usize], gap: Duration, revision: u64) -> anyhow::Result<Vec<f64>>;

    /// Ends its process.
    async fn stop(self) -> anyhow::Result<()>;
}

/// Gives out revisions, each higher than all before.
#[derive(Debug)]
pub struct Revisions(u64);

impl Revisions {
    /// The units are there with their first one.
    pub fn new() -> Self {
        Self(1)
    }

    /// The next.
    pub fn next(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }
}

/// So many units, spread over all.
pub fn spread(count: usize, all: usize) -> Vec<usize> {
    let count = count.clamp(1, all.max(1));
    let step = (all / count).max(1);
    (0..count).map(|index| index * step).collect()
}

/// The time between two stamps in milliseconds; a call of another change may have been earlier.
fn milliseconds(from_us: u64, to_us: u64) -> Option<f64> {
    let micros = u32::try_from(to_us.checked_sub(from_us)?).ok()?;
    Some(f64::from(micros) / 1_000.0)
}
