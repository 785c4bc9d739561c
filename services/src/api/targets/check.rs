//! The health check of a target, now.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use domain::ids::TargetId;
use domain::target::{Lifecycle, TargetError};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::read::visible;
use crate::api::Api;
use crate::api::by::By;
use crate::api::input::Id;
use crate::api::problem::{Problem, ProblemKind};
use crate::views::circuit::{self, OpenCircuit};
use crate::views::health::{HealthCheck, check_now};

/// In a process that stops, for the dispatcher of another one: the usual window, after which a slot is free.
const OTHERS: Duration = Duration::from_secs(10);

/// A check, and how the target stands after it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({ "health": "healthy", "check": { "check_id": "9a3f4b0e-6a4e-4a8e-9a53-3f3a0d9c2f11",
    "at": "2026-11-25T16:30:00Z", "asked_by": "ops@example.org", "created_by": "ops@example.org", "credential": "session",
    "credential_id": "0199a1f0-7c7b-7b52-9c0e-6c1d3f0a2b11", "calls": 1, "latency_ms": 84, "status": 200,
    "class": "accepted", "detail": null }, "circuit": null }))]
pub(crate) struct Checked {
    /// After the check, by the journal.
    health: String,
    /// The check.
    check: HealthCheck,
    /// After the check: where it is open, and when it is checked next by itself. A check that somebody asked for closes it where it is
    /// answered; where it fails, it leaves that time as it was.
    circuit: Option<OpenCircuit>,
}

/// The process is to stop, and no dispatcher of another one has told the end of a check since.
async fn stopped(api: &Api) {
    api.stopping().await;
    tokio::time::sleep(OTHERS).await;
}

/// Check a target now: one call to the channel, inside the target's window, for whose slot it waits up to 15 s. A check
/// that succeeds also says that refused credentials are good again, and closes an open circuit; one that fails counts as a failure more, and leaves
/// the circuit's own next check at its time.
#[utoipa::path(post, path = "/api/channels/targets/{target_id}/check", tag = "targets",
    params(("target_id" = Uuid, Path, description = "The target")),
    responses((status = 200, body = Checked), (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn check(State(api): State<Api>, by: By, Id(id): Id<Uuid>) -> Result<Json<Checked>, Problem> {
    let id = TargetId(id);
    let (target, _) = visible(&api, &by, id).await?;
    if target.lifecycle == Lifecycle::Deleted {
        return Err(TargetError::Deleted.into());
    }
    let actor = by.caller.actor();
    let made = tokio::select! {
        made = check_now(&api.inner.pool, id, &actor) => made?,
        () = stopped(&api) => {
            let stopping = "this process stops; the check is still wanted, see the target's health";
            return Err(ProblemKind::Unavailable.because(stopping).retry_after(5));
        }
    };
    let Some(check) = made else {
        let late = "no dispatcher has told the end of the check in time; it is still wanted, see the target's health";
        return Err(ProblemKind::TimedOut.because(late).retry_after(5));
    };
    let (target, _) = visible(&api, &by, id).await?;
    let circuit = circuit::open(&api.inner.pool, id).await?;
    Ok(Json(Checked { health: target.health.as_str().to_owned(), check, circuit }))
}
