//! A secret was put in its place, and the command that it was for did not say that it is done: what is made of it, and what the caller is told.

use std::time::Duration;

use domain::ids::TargetId;
use domain::recorded::Position;
use domain::target::TargetError;
use tokio::time::timeout;
use tracing::Instrument as _;

use crate::api::Api;
use crate::api::problem::{Problem, ProblemKind};
use crate::commands::CommandError;
use crate::credentials::pending::{End, PendingSecret};

/// Whoever asked waits no longer for what can be done later.
const PATIENCE: Duration = Duration::from_secs(5);

/// After its command has failed. Gives the place of the event where the journal has it all the same, and the turn, unless it is still needed.
pub(super) async fn undone<T: Send + 'static>(
    api: &Api,
    pending: &PendingSecret,
    error: CommandError<TargetError>,
    turn: T,
) -> (Result<Position, Problem>, Option<T>) {
    let (end, turn) = resolved(api, pending, turn).await;
    (told(pending, end, error), turn)
}

fn told(pending: &PendingSecret, end: Option<End>, error: CommandError<TargetError>) -> Result<Position, Problem> {
    let was_refused = matches!(error, CommandError::Moved { .. } | CommandError::Refused(_) | CommandError::Conflict);
    match end {
        Some(End::Recorded(position)) => Ok(position),
        Some(end @ (End::TakenBack | End::Left)) if matches!(error, CommandError::Unavailable(_)) => {
            let what = if end == End::TakenBack { "it was taken back" } else { pending.left() };
            tracing::warn!(error = %error, "the journal did not take the event of a secret: {what}");
            let nothing = "the journal could not be reached, and nothing was changed; try again";
            Err(ProblemKind::Unavailable.because(nothing).retry_after(1))
        }
        // Of a deleted target it went with that.
        None | Some(End::Open) if was_refused && (end.is_none() || !matches!(error, CommandError::Refused(_))) => {
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
pub(super) async fn given_up(api: &Api, pending: &PendingSecret, problem: Problem) -> Problem {
    let target = api.inner.syncing.commands().load_target(TargetId(pending.target_id)).await;
    match target.map(|target| target.live().err()) {
        Ok(Some(deleted @ TargetError::Deleted)) => deleted.into(),
        _ => problem,
    }
}

/// What was begun runs to its end: stopped in between, it could take something back in the turn of somebody else.
async fn resolved<T: Send + 'static>(api: &Api, pending: &PendingSecret, turn: T) -> (Option<End>, Option<T>) {
    let (api, pending) = (api.clone(), pending.clone());
    let resolving = async move {
        let ended = api.inner.vault.resolve(&api.inner.pool, &pending).await;
        (ended.inspect_err(|error| pending.tell_still(error)).ok(), turn)
    };
    match timeout(PATIENCE, tokio::spawn(resolving.in_current_span())).await {
        Ok(Ok((end, turn))) => (end, Some(turn)),
        _ => (None, None),
    }
}
