//! A bounded cache of hot aggregates. What comes out of it is brought up to date from the journal before it is used, or, by a
//! hasty journal, used as it is: then the append checks the version, and who is not served so is served in the first way. Both
//! ask for the last event by its id, which a journal that was put back to an earlier state has no more. So an entry that is
//! stale, or of what was lost then, costs a few events or a second run, never a wrong decision.

use std::any::Any;
use std::sync::Arc;

use quick_cache::sync::Cache;

use super::version::Version;

type Key = (&'static str, String);

/// An aggregate as it is at a version.
pub(super) type State<A> = (Option<Version>, A);

pub(super) struct AggregateCache {
    entries: Cache<Key, Arc<dyn Any + Send + Sync>>,
}

impl AggregateCache {
    pub(super) fn new(capacity: usize) -> Self {
        Self { entries: Cache::new(capacity) }
    }

    pub(super) fn get<A: Clone + 'static>(&self, aggregate_type: &'static str, id: &str) -> Option<State<A>> {
        self.look::<A, _>(aggregate_type, id, Clone::clone)
    }

    /// What is seen in a state with its version, which is not copied for that.
    pub(super) fn look<A: 'static, T>(
        &self,
        aggregate_type: &'static str,
        id: &str,
        look: impl FnOnce(&State<A>) -> T,
    ) -> Option<T> {
        let entry = self.entries.get(&(aggregate_type, id.to_owned()))?;
        entry.downcast_ref::<State<A>>().map(look)
    }

    pub(super) fn put<A: Send + Sync + 'static>(&self, aggregate_type: &'static str, id: &str, state: State<A>) {
        self.entries.insert((aggregate_type, id.to_owned()), Arc::new(state));
    }

    pub(super) fn forget(&self, aggregate_type: &'static str, id: &str) {
        self.entries.remove(&(aggregate_type, id.to_owned()));
    }

    pub(super) fn clear(&self) {
        self.entries.clear();
    }
}
