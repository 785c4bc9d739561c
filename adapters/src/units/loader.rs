//! Grouped loads of snapshots. Of a large one a load tells the size alone: whoever wants it makes room first, and reads it by itself.

use std::collections::HashMap;
use std::sync::Arc;

use domain::hash::SnapshotHash;

use super::{UnitSnapshot, UnitStore};
use crate::grouped::{GroupedLoads, NotLoaded};

/// How many snapshots one statement reads at most.
const BATCH: usize = 64;
/// A larger one is none of them, in bytes of its text: most have some five thousand.
const READ_TOGETHER: usize = 32 * 1024;

/// A snapshot that there is.
#[derive(Debug, Clone)]
pub enum Found {
    /// All of it.
    Whole(Arc<UnitSnapshot>),
    /// It has so many bytes.
    Large(usize),
}

impl Found {
    /// The bytes of its text.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Whole(snapshot) => snapshot.body.len(),
            Self::Large(bytes) => *bytes,
        }
    }
}

/// Loads snapshots. Clones share one loader.
#[derive(Debug, Clone)]
pub struct SnapshotLoader(GroupedLoads<SnapshotHash, Option<Found>>);

impl SnapshotLoader {
    /// Over this store; its task lives as long as a clone of it does.
    pub fn new(units: UnitStore) -> Self {
        Self(GroupedLoads::new(BATCH, move |hashes: Vec<SnapshotHash>| {
            let units = units.clone();
            async move {
                let found = units.usual_by_hashes(&hashes, READ_TOGETHER).await?;
                let mut found: HashMap<SnapshotHash, Found> = found.into_iter().collect();
                Ok(hashes.iter().map(|hash| found.remove(hash)).collect())
            }
        }))
    }

    /// The snapshot with this address, if there is one.
    pub async fn load(&self, hash: SnapshotHash) -> Result<Option<Found>, NotLoaded> {
        self.0.load(hash).await
    }
}
