//! `target check`: has a target checked now, by a running dispatcher and inside the target's window.

use adapters::dispatch::BY_CIRCUIT;
use clap::Args;
use domain::ids::TargetId;
use domain::target::TargetError;
use serde_json::json;

use crate::cli::failure::Failure;
use crate::cli::session::{Session, known_target};
use crate::cli::times::moment;
use crate::views::by::with;
use crate::views::circuit::{self, OUT_OF_TURN, OpenCircuit};
use crate::views::health::{HealthCheck, check_now};

#[derive(Debug, Args)]
#[command(after_help = "Exit code 1 where the target does not answer, or refuses the credentials.\n\n\
    Example:\n  distribution target check 0199…")]
pub(in crate::cli) struct CheckArgs {
    /// The target
    #[arg(value_name = "TARGET")]
    target_id: TargetId,
}

impl CheckArgs {
    pub(in crate::cli) async fn run(self, session: &Session) -> anyhow::Result<()> {
        let pool = session.postgres().await?;
        let (id, syncing) = (self.target_id, session.syncing(&pool));
        let target = syncing.commands().load_target(id).await?;
        target.live().map_err(|error: TargetError| Failure::Refused(format!("target {id}: {error}")))?;
        let Some(check) = check_now(&pool, id, &session.actor).await? else {
            let reason = "no dispatcher has told the end of the check in time: is one running? `distribution doctor`";
            return Err(Failure::Refused(reason.to_owned()).into());
        };
        let health = known_target(syncing.commands(), id).await?.health;
        let circuit = circuit::open(&pool, id).await?;
        if session.out.is_json() {
            session.out.json(&json!({ "target_id": id, "health": health, "check": check, "circuit": circuit }))?;
        } else {
            session.out.record(&[
                ("target", id.to_string()),
                ("health", health.as_str().to_owned()),
                ("check", check.class.clone()),
                ("at", moment(check.at)),
                ("by", with(&check.created_by, check.credential.as_deref(), check.credential_id.as_deref())),
                ("took", check.latency_ms.map(|ms| format!("{ms} ms")).unwrap_or_default()),
                ("status", check.status.map(|status| status.to_string()).unwrap_or_default()),
                ("detail", check.detail.clone().unwrap_or_default()),
                ("circuit", circuit.map(|open| words(&open, &check)).unwrap_or_default()),
            ])?;
        }
        if check.class == "accepted" { Ok(()) } else { Err(Failure::CheckFailed.into()) }
    }
}

/// A circuit that is open after a check. One that it had come to itself, when somebody asked, was its own.
fn words(open: &OpenCircuit, check: &HealthCheck) -> String {
    let is_its_own = check.asked_by == BY_CIRCUIT;
    let left = if is_its_own { String::new() } else { format!("; {OUT_OF_TURN}") };
    format!("open: {}{left}", open.words())
}
