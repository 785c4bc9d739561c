//! No window at the channel had more requests than its limit, wherever it begins.

use crate::plan::{ACCOUNT_LIMIT, PLACES, TARGET_LIMIT, WINDOW_MS};
use crate::world::World;

pub(super) async fn check(world: &World) -> anyhow::Result<Vec<String>> {
    let summary = world.sandbox.get(&format!("/summary?window_ms={WINDOW_MS}")).await?;
    let mut wrong = Vec::new();
    let accounts: std::collections::BTreeSet<u64> = PLACES.iter().map(|place| place.account).collect();
    for account in accounts {
        let shared = PLACES.iter().filter(|place| place.account == account).count() > 1;
        let limit = if shared { ACCOUNT_LIMIT } else { TARGET_LIMIT };
        let seen = &summary["accounts"][account.to_string()];
        if seen["worst_window"].as_u64().is_none_or(|worst| worst > u64::from(limit)) {
            let (worst, at) = (&seen["worst_window"], &seen["worst_window_at_us"]);
            wrong
                .push(format!("account {account} was called {worst} times within {WINDOW_MS} ms at {at}, not {limit}"));
        }
    }
    Ok(wrong)
}
