//! Event versions. A stored event is never edited: when a shape changes, its version grows and an upcaster here lifts
//! the old one while it is read. The golden files in `tests/golden/events` hold every version ever written.

use cqrs_es::persist::EventUpcaster;

/// The upcasters in the order they apply. Every event is still in its first version.
pub fn upcasters() -> Vec<Box<dyn EventUpcaster>> {
    Vec::new()
}
