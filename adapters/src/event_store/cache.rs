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
        let entry = self.entries.get(&(aggregate_type, id.to_owned()))?;
        entry.downcast_ref::<(i64, A)>().cloned()
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
