//! A slot for a call that belongs to no sync: of a check, or of a read for a comparison. It is taken from the same tables and by
//! the same arithmetic as those of a gate's round.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use adapters::dispatch::{Claims, Round};
use domain::channel::Section;
use domain::window::Scope;
use tokio::time::Instant;

use super::START_GRACE;
use super::allocation::allocate;
use super::granted::Granted;
use super::waiting::Urgencies;

/// One slot of the one lane that the round is over, for a call of so long from this address. Where there is none now, the round
/// is dropped unwritten, so that nobody's plan for the lane changes.
pub(super) async fn take(
    mut round: Round<'_>,
    urgency: Section,
    egress: &str,
    call_timeout: Duration,
) -> Result<Option<Granted>, sqlx::Error> {
    let lanes = std::mem::take(&mut round.lanes);
    let Some(lane) = lanes.first() else { return Ok(None) };
    let egress = Scope::Egress(egress.to_owned()).to_string();
    let scopes: Vec<String> = lane.shared_scopes().chain([egress.as_str()]).map(str::to_owned).collect();
    let mut shared = round.shared_scopes(&scopes).await?;
    let waiting = BTreeMap::from([(lane.target_id, Urgencies::from([(urgency, 1)]))]);
    let allocation = allocate(&lanes, &waiting, &mut shared, &egress, &HashMap::new(), 0);
    let Some(grant) = allocation.grants.into_iter().next() else { return Ok(None) };
    // Before the grant is written: what this clock says is over is over in the table too.
    let at = Instant::now();
    let claims = Claims { holds: vec![grant.hold.clone()], ..Claims::default() };
    round.write(&claims, START_GRACE + call_timeout, Duration::ZERO).await?;
    Ok(Some(Granted { hold: grant.hold, at }))
}
