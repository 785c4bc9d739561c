//! Grouped loads of snapshots.

use std::collections::HashMap;

use domain::hash::SnapshotHash;

use super::{UnitSnapshot, UnitStore};
use crate::grouped::{GroupedLoads, NotLoaded};

/// How many snapshots one statement reads at most: some of them have a megabyte.
const BATCH: usize = 64;

/// Loads snapshots. Clones share one loader.
#[derive(Debug, Clone)]
pub struct SnapshotLoader(GroupedLoads<SnapshotHash, Option<UnitSnapshot>>);

impl SnapshotLoader {
    /// Over this store; its task lives as long as a clone of it does.
    pub fn new(units: UnitStore) -> Self {
        Self(GroupedLoads::new(BATCH, move |hashes: Vec<SnapshotHash>| {
            let units = units.clone();
            async move {
                let found = units.by_hashes(&hashes).await?;
                let mut found: HashMap<SnapshotHash, UnitSnapshot> = found.into_iter().map(|s| (s.hash, s)).collect();
                Ok(hashes.iter().map(|hash| found.remove(hash)).collect())
            }
        }))
    }

    /// The snapshot with this address, if there is one.
    pub async fn load(&self, hash: SnapshotHash) -> Result<Option<UnitSnapshot>, NotLoaded> {
        self.0.load(hash).await
    }
}
