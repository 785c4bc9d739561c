//! A secret was put in its place, and the command that it was for did not say that it is done: what is made of it, and what the caller is told.

use std::time::Duration;

use domain::ids::TargetId;
use domain::recorded::Position;
use domain::target::TargetError;
use tokio::time::timeout;

use crate::api::Api;
use crate::api::problem::{Problem, ProblemKind};
use crate::commands::CommandError;
use crate::credentials::pending::{End, Pending};

/// Whoever asked waits no longer for what can be done later.
const PATIENCE: Duration = Duration::from_secs(5);

/// After its command has failed. Gives the place of the event where the journal has it all the same.
pub(super) async fn undone(
    api: &Api,
    pending: &Pending,
    error: CommandError<TargetError>,
) -> Result<Position, Problem> {
    let was_refused = matches!(error, CommandError::Moved { .. } | CommandError::Refused(_) | CommandError::Conflict);
    match resolved(api, pending).await {
        Some(End::Recorded(position)) => Ok(position),
        Some(End::TakenBack | End::Left) if matches!(error, CommandError::Unavailable(_)) => {
            tracing::warn!(error = %error, "a secret was taken back, as the journal did not take its event");
            let nothing = "the journal could not be reached, and nothing was changed; try again";
            Err(ProblemKind::Unavailable.because(nothing).retry_after(1))
        }
        None if was_refused => {
            let problem = Problem::from(error);
            let later = "the new secret could not be taken back yet, which is tried again until it is";
            Err(Problem { detail: format!("{}; {later}", problem.detail), ..problem })
        }
        // It is told as it is. Where nobody knows, the row is left, and says by whom.
        _ => Err(Problem::from(error)),
    }
}

/// After its keeper has failed, which may have taken it, or may take it yet: it is taken back a minute later, or with the next turn. What the
/// caller is told then, unless its target is gone.
pub(super) async fn given_up(api: &Api, pending: &Pending, problem: Problem) -> Problem {
    let target = api.inner.syncing.commands().load_target(TargetId(pending.target_id)).await;
    match target.map(|target| target.live().err()) {
        Ok(Some(deleted @ TargetError::Deleted)) => deleted.into(),
        _ => problem,
    }
}

async fn resolved(api: &Api, pending: &Pending) -> Option<End> {
    match timeout(PATIENCE, api.inner.vault.resolve(&api.inner.pool, pending)).await {
        Ok(Ok(end)) => Some(end),
        Ok(Err(error)) => {
            pending.tell_still(&error);
            None
        }
        // Whatever it was at, it is done again.
        Err(_) => None,
    }
}
