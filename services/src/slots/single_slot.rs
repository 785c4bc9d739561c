//! A slot for a call that belongs to no sync: of a check, or of a read for a comparison. It is taken from the same tables and by
//! the same arithmetic as those of a gate's round.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use adapters::dispatch::{Claims, Round, strangers_rule};
use domain::window::Scope;

use super::allocation::{allocate, strangers_wait};
use super::boot_instant::BootInstant;
use super::granted::Granted;
use super::hold;
use super::waiting::{Wish, Wishes};

/// What one look gave.
#[derive(Debug)]
pub(crate) enum Look {
    /// The slot.
    Granted(Granted),
    /// There is none now.
    NotNow,
    /// There is none now for a stranger that wants it for a token, as others had those for strangers, and not for so long, at least.
    /// Each look costs those whose account it is, too.
    NotNowForStranger(Duration),
}

/// What is told of [`Look::NotNowForStranger`].
pub(crate) fn told_to_strangers() -> String {
    format!("{}: none came free; ask again", strangers_rule())
}

/// One slot of the one lane that the round is over, for a call of so long from this address. Where there is none now, the round
/// is dropped unwritten, so that nobody's plan for the lane changes.
pub(crate) async fn take(
    mut round: Round<'_>,
    wish: Wish,
    egress: &str,
    call_timeout: Duration,
) -> Result<Look, sqlx::Error> {
    let lanes = std::mem::take(&mut round.lanes);
    let Some(lane) = lanes.first() else { return Ok(Look::NotNow) };
    let egress = Scope::Egress(egress.to_owned()).to_string();
    let scopes: Vec<String> =
        lane.shared_scopes_of(wish.for_token).chain([egress.as_str()]).map(str::to_owned).collect();
    let mut shared = round.shared_scopes(&scopes).await?;
    let waiting = BTreeMap::from([(lane.target_id, Wishes::from([(wish, 1)]))]);
    let allocation = allocate(&lanes, &waiting, &mut shared, &egress, &HashMap::new(), 0);
    let Some(grant) = allocation.grants.into_iter().next() else {
        let wait = if wish.for_token { strangers_wait(lane, &shared) } else { None };
        return Ok(wait.map_or(Look::NotNow, Look::NotNowForStranger));
    };
    // Before the grant is written: what this clock says is over is over in the table too.
    let at = BootInstant::now();
    let claims = Claims { holds: vec![grant.hold.clone()], ..Claims::default() };
    round.write(&claims, hold(call_timeout), Duration::ZERO).await?;
    Ok(Look::Granted(Granted { hold: grant.hold, at }))
}
