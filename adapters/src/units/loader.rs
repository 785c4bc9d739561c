//! Grouped loads of snapshots: while one statement is under way the next requests gather, and go together.

use std::collections::HashMap;

use domain::hash::SnapshotHash;
use tokio::sync::{mpsc, oneshot};

use super::{UnitSnapshot, UnitStore};

/// How many snapshots one statement reads at most: some of them have a megabyte.
const BATCH: usize = 64;

type Loaded = Result<Option<UnitSnapshot>, String>;

struct Request {
    hash: SnapshotHash,
    reply: oneshot::Sender<Loaded>,
}

/// Loads snapshots. Clones share one loader.
#[derive(Debug, Clone)]
pub struct SnapshotLoader {
    requests: mpsc::Sender<Request>,
}

impl SnapshotLoader {
    /// Over this store; its task lives as long as a clone of it does.
    pub fn new(units: UnitStore) -> Self {
        let (requests, gathered) = mpsc::channel(1024);
        tokio::spawn(answer(units, gathered));
        Self { requests }
    }

    /// The snapshot with this address, if there is one. Fails with the database's words.
    pub async fn load(&self, hash: SnapshotHash) -> Loaded {
        let closed = || "the loader of snapshots has ended".to_owned();
        let (reply, answer) = oneshot::channel();
        self.requests.send(Request { hash, reply }).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }
}

async fn answer(units: UnitStore, mut requests: mpsc::Receiver<Request>) {
    let mut gathered = Vec::with_capacity(BATCH);
    while requests.recv_many(&mut gathered, BATCH).await > 0 {
        let hashes: Vec<SnapshotHash> = gathered.iter().map(|request| request.hash).collect();
        match units.by_hashes(&hashes).await {
            Ok(found) => {
                let found: HashMap<SnapshotHash, UnitSnapshot> = found.into_iter().map(|s| (s.hash, s)).collect();
                for request in gathered.drain(..) {
                    let _ = request.reply.send(Ok(found.get(&request.hash).cloned()));
                }
            }
            Err(error) => {
                for request in gathered.drain(..) {
                    let _ = request.reply.send(Err(error.to_string()));
                }
            }
        }
    }
}
