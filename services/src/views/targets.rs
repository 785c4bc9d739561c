//! How targets stand, by their rows in the read model.

use domain::target::{Lifecycle, NEEDS_CREDENTIALS};

/// What a target can be, as [`domain::target::Target::state`] says it.
pub fn states() -> [&'static str; 4] {
    let [active, paused, deleted] = Lifecycle::ALL.map(Lifecycle::as_str);
    [active, NEEDS_CREDENTIALS, paused, deleted]
}

/// The health of a target in this state, as it is shown: nobody asks how one answers that is deleted.
pub fn shown_health<'a>(health: &'a str, state: &'a str) -> &'a str {
    if state == Lifecycle::Deleted.as_str() { state } else { health }
}

/// The state of a row of `channel_targets`.
pub const STATE: &str =
    "CASE WHEN lifecycle = 'active' AND health = 'unauthorised' THEN 'needs_credentials' ELSE lifecycle END";
