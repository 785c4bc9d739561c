//! What would keep a previewed sync waiting: what an explanation says at the same moment of one that waits (`next` there), from the same
//! rows.

use std::ops::DerefMut;

use chrono::Utc;
use domain::ids::{ListingId, SyncId};
use domain::listing::Pending;
use domain::target::Target;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::views::circuit;
use crate::views::explain::history::History;
use crate::views::explain::next::{MAY_BE_ON_ITS_WAY, turn};
use crate::views::explain::now::{Waiting, now, windows};
use crate::views::history::NoHistory;
use crate::views::holds;
use crate::views::login;
use crate::views::moment::moment;
use crate::views::queue::{AFTER_ATTEMPT, LATER, UNDER_WAY};
use crate::views::windows::ScopeWindow;

/// Each in a few words. `waits` is the sync that waits, where that one is previewed. What no reader sees is read by `pool`.
pub(super) async fn held<C: DerefMut<Target = PgConnection>>(
    pool: &PgPool,
    reader: impl Future<Output = Result<C, sqlx::Error>>,
    history: &History,
    (id, target): (ListingId, &Target),
    waits: Option<&Pending>,
) -> Result<Vec<String>, NoHistory> {
    let mut reader = reader.await?;
    let row = now(&mut reader, id, target).await?;
    let holds = holds::of(&mut reader, id, target.target_id).await?;
    drop(reader);
    let mut held = holds.words_beside(circuit::open(pool, target.target_id).await?.as_ref());
    if held.is_empty() {
        held = not_free(pool, history, target, row, waits).await?;
    }
    let creation = history.listing.creation().filter(|creation| creation.settles_at() > Utc::now());
    held.extend(creation.map(|_| MAY_BE_ON_ITS_WAY.to_owned()));
    Ok(held)
}

/// What it would wait for although nobody has to let it go.
async fn not_free(
    pool: &PgPool,
    history: &History,
    target: &Target,
    row: Option<Waiting>,
    waits: Option<&Pending>,
) -> Result<Vec<String>, sqlx::Error> {
    let row = match row {
        Some(row) => Some(row.completed(pool, target.target_id).await?),
        None => None,
    };
    let mut reasons: Vec<String> = row.iter().filter_map(|row| attempt(history, row)).collect();
    let is_under_way = !reasons.is_empty();
    if let Some(circuit) = circuit::open(pool, target.target_id).await?.filter(|_| !is_under_way) {
        return Ok(vec![circuit.words()]);
    }
    // A sync that somebody would have to ask for is due at once, and has its turn by then.
    let own = row.as_ref().filter(|row| waits.is_some_and(|waits| waits.sync_id.0 == row.sync_id));
    if let Some(own) = own.filter(|_| !is_under_way) {
        reasons.extend((own.status == LATER).then(|| format!("its next attempt is due {}", moment(own.due_at))));
        reasons.extend(turn(own).filter(|_| own.status != LATER));
        reasons.extend(own.unattended.map(|unattended| unattended.words()));
    }
    let windows = windows(pool, target).await?;
    reasons.extend(windows.iter().filter(|window| window.is_closed()).map(ScopeWindow::words));
    if !is_under_way {
        reasons.extend(login::wait(pool, target.target_id).await?.map(|login| login.words()));
    }
    Ok(reasons)
}

/// The attempt that somebody makes at the listing.
fn attempt(history: &History, row: &Waiting) -> Option<String> {
    match row.status.as_str() {
        UNDER_WAY => Some(under_way(row.sync_id)),
        AFTER_ATTEMPT => {
            let stories = history.syncs.iter();
            let earlier = stories.rev().find(|story| Some(story.request.ordinal) == row.ordinal_in_hand());
            let SyncId(sync) = earlier.map(|story| story.request.sync_id)?;
            Some(under_way(sync))
        }
        _ => None,
    }
}

/// That an attempt of a sync is made right now.
pub(super) fn under_way(sync: Uuid) -> String {
    format!("an attempt of sync {sync} is under way")
}
