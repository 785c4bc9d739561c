//! The list of all read models, in the order in which a batch is applied to them.

use std::sync::Arc;

use crate::projection::Projection;

/// Every read model. The queue is last: it touches the dispatchers' lanes, whose locks are to be held for a moment only.
pub fn all() -> Vec<Arc<dyn Projection>> {
    vec![
        Arc::new(crate::channel_targets::ChannelTargets),
        Arc::new(crate::channel_listings::ChannelListings),
        Arc::new(crate::outbound_audit::OutboundAudit),
        Arc::new(crate::target_health::TargetHealth),
        Arc::new(crate::sync_queue::SyncQueue),
    ]
}
