//! Which organisations have how many of a dispatcher's places for checks.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Those that have places, and how many.
#[derive(Debug, Clone, Default)]
pub(super) struct CheckPlaces(Arc<Mutex<HashMap<String, usize>>>);

/// A place, until it is dropped.
#[derive(Debug)]
pub(super) struct CheckPlace {
    places: CheckPlaces,
    org_id: String,
}

impl CheckPlaces {
    pub(super) fn taken(&self) -> HashMap<String, usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn take(&self, org_id: &str) -> CheckPlace {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(org_id.to_owned()).or_default() += 1;
        CheckPlace { places: self.clone(), org_id: org_id.to_owned() }
    }
}

impl Drop for CheckPlace {
    fn drop(&mut self) {
        let mut taken = self.places.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.org_id) {
            *count -= 1;
        }
        taken.retain(|_, count| *count > 0);
    }
}
