//! The topics that are looked at, and how many look.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::topic::Topic;
use super::{Sent, watch as watching};
use crate::api::by::By;
use crate::api::problem::{Problem, ProblemKind};
use crate::dashboard::Dashboard;
use crate::dashboard::levels::Levels;

/// Streams of one process at the same time.
const VIEWERS: usize = 2_000;

/// The parts of a topic as they are now.
pub(super) type Parts = Arc<Vec<Sent>>;

/// A topic that somebody looks at.
#[derive(Debug)]
pub(super) struct Watched {
    /// Whose eyes it is made for: those of whoever came first, and all who look have the same rights.
    pub by: By,
    pub parts: watch::Sender<Parts>,
    /// When it was made last.
    pub made_at: Option<Instant>,
    /// Something of it has changed since.
    pub touched: bool,
}

#[derive(Debug, Default)]
pub(super) struct Topics {
    pub watched: HashMap<Topic, Watched>,
    /// The watch runs while somebody looks.
    pub running: bool,
}

/// The live pages of a process. Clones share everything.
#[derive(Debug, Clone)]
pub struct Live {
    topics: Arc<Mutex<Topics>>,
    viewers: Arc<Semaphore>,
    ended: CancellationToken,
    pub(in crate::dashboard) levels: Levels,
}

/// One who looks.
#[derive(Debug)]
pub(super) struct Look {
    pub parts: watch::Receiver<Parts>,
    pub ended: CancellationToken,
    _place: OwnedSemaphorePermit,
}

impl Live {
    /// Pages that are live until `ended`: then every stream ends, so that a stop does not wait for them.
    pub fn until(ended: CancellationToken) -> Self {
        Self { topics: Arc::default(), viewers: Arc::new(Semaphore::new(VIEWERS)), ended, levels: Levels::default() }
    }

    pub(super) fn with_topics<T>(&self, act: impl FnOnce(&mut Topics) -> T) -> T {
        act(&mut self.topics.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Begins to look at a topic.
    pub(super) fn look(&self, dashboard: &Dashboard, topic: Topic, by: By) -> Result<Look, Problem> {
        let full = |_| ProblemKind::Unavailable.because("too many look live; reload the page instead").retry_after(30);
        let place = self.viewers.clone().try_acquire_owned().map_err(full)?;
        let mut parts = self.with_topics(|topics| {
            if !topics.running {
                topics.running = true;
                tokio::spawn(watching::run(dashboard.clone()));
            }
            let fresh = || Watched { by, parts: watch::Sender::new(Parts::default()), made_at: None, touched: true };
            topics.watched.entry(topic).or_insert_with(fresh).parts.subscribe()
        });
        // What was made between the page and its stream is news to this viewer.
        parts.mark_changed();
        Ok(Look { parts, ended: self.ended.clone(), _place: place })
    }

    /// Whether it is over.
    pub(super) fn is_over(&self) -> bool {
        self.ended.is_cancelled()
    }
}
