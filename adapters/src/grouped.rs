//! Grouped loads: while one statement is under way the next requests gather, and go together. What several ask for at
//! once is loaded once.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

/// Requests that may wait before whoever asks next waits too.
const WAITING: usize = 4096;

/// Why nothing was loaded.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NotLoaded {
    /// The loads have ended.
    #[error("nothing is loaded any more")]
    Closed,
    /// The database failed, for all that went together.
    #[error("{0}")]
    Failed(Arc<sqlx::Error>),
}

struct Request<K, V> {
    key: K,
    reply: oneshot::Sender<Result<V, Arc<sqlx::Error>>>,
}

/// Loads values by their keys. Clones share one task, which lives as long as one of them does.
#[derive(Debug)]
pub(crate) struct GroupedLoads<K, V> {
    requests: mpsc::Sender<Request<K, V>>,
}

impl<K, V> Clone for GroupedLoads<K, V> {
    fn clone(&self) -> Self {
        Self { requests: self.requests.clone() }
    }
}

impl<K, V> GroupedLoads<K, V>
where
    K: Eq + Hash + Send + 'static,
    V: Clone + Send + 'static,
{
    /// `load` gets up to `batch` keys, each of them once, and gives a value for each, in order.
    pub(crate) fn new<L, F>(batch: usize, load: L) -> Self
    where
        L: Fn(Vec<K>) -> F + Send + 'static,
        F: Future<Output = Result<Vec<V>, sqlx::Error>> + Send,
    {
        let (requests, gathering) = mpsc::channel(WAITING);
        tokio::spawn(async move { answer(batch, load, gathering).await });
        Self { requests }
    }

    pub(crate) async fn load(&self, key: K) -> Result<V, NotLoaded> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(Request { key, reply }).await.map_err(|_| NotLoaded::Closed)?;
        answer.await.map_err(|_| NotLoaded::Closed)?.map_err(NotLoaded::Failed)
    }
}

async fn answer<K, V, L, F>(batch: usize, load: L, mut requests: mpsc::Receiver<Request<K, V>>)
where
    K: Eq + Hash,
    V: Clone,
    L: Fn(Vec<K>) -> F,
    F: Future<Output = Result<Vec<V>, sqlx::Error>>,
{
    let mut gathered = Vec::with_capacity(batch);
    while requests.recv_many(&mut gathered, batch).await > 0 {
        let mut waiting: HashMap<K, Vec<oneshot::Sender<_>>> = HashMap::new();
        for request in gathered.drain(..) {
            waiting.entry(request.key).or_default().push(request.reply);
        }
        let (keys, replies): (Vec<K>, Vec<_>) = waiting.into_iter().unzip();
        // A caller that went away meanwhile has no use for its answer.
        match load(keys).await {
            Ok(values) => {
                for (replies, value) in replies.into_iter().zip(values) {
                    for (reply, value) in replies.into_iter().zip(std::iter::repeat(value)) {
                        let _ = reply.send(Ok(value));
                    }
                }
            }
            Err(error) => {
                let error = Arc::new(error);
                for reply in replies.into_iter().flatten() {
                    let _ = reply.send(Err(error.clone()));
                }
            }
        }
    }
}
