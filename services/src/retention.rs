//! How long the rows stay that only tell of the past of targets: checks, calls of looks for drift, openings of circuits. The role
//! health takes the old ones away; migrations/README.md says who deletes everything else.

use std::time::Duration;

use adapters::dispatch::DispatchStore;

use crate::views::{circuit, health};

/// How often old ones are taken away.
pub(crate) const SWEEP: Duration = Duration::from_secs(600);

/// Takes away those that nobody is told of any more.
pub(crate) async fn sweep(store: &DispatchStore) -> Result<(), sqlx::Error> {
    store.forget_checks(health::KEPT_FOR).await?;
    store.forget_drift_calls(health::KEPT_FOR).await?;
    store.forget_openings(circuit::KNOWN_FOR).await?;
    Ok(())
}
