//! A bounded cache of hot aggregates. What comes out of it is brought up to date from the journal before it is used, or, by a
//! hasty journal, used as it is: then the append checks the version, and who is not served so is served in the first way. So a
//! stale entry costs a few events or a second run, never a wrong decision.

use std::any::Any;
use std::sync::Arc;

use quick_cache::sync::Cache;

type Key = (&'static str, String);

pub(super) struct AggregateCache {
    entries: Cache<Key, Arc<dyn Any + Send + Sync>>,
}

impl AggregateCache {
    pub(super) fn new(capacity: usize) -> Self {
        Self { entries: Cache::new(capacity) }
    }

    pub(super) fn get<A: Clone + 'static>(&self, aggregate_type: &'static str, id: &str) -> Option<(i64, A)> {
        self.look::<A, _>(aggregate_type, id, Clone::clone)
    }

    /// What is seen in a state with its sequence, which is not copied for that.
    pub(super) fn look<A: 'static, T>(
        &self,
        aggregate_type: &'static str,
        id: &str,
        look: impl FnOnce(&(i64, A)) -> T,
    ) -> Option<T> {
        let entry = self.entries.get(&(aggregate_type, id.to_owned()))?;
        entry.downcast_ref::<(i64, A)>().map(look)
    }

    pub(super) fn put<A: Send + Sync + 'static>(
        &self,
        aggregate_type: &'static str,
        id: &str,
        sequence: i64,
        state: A,
    ) {
        self.entries.insert((aggregate_type, id.to_owned()), Arc::new((sequence, state)));
    }

    pub(super) fn forget(&self, aggregate_type: &'static str, id: &str) {
        self.entries.remove(&(aggregate_type, id.to_owned()));
    }
}
