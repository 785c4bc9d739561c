//! `target`: accounts at channels. Changes go to the journal; lists come from the read models, which follow it while
//! `serve` runs.

mod change;
mod check;
mod create;
mod health;
mod list;
mod shape;
mod show;

use clap::{Args, Subcommand};
use domain::ids::TargetId;

use super::session::Session;

#[derive(Debug, Subcommand)]
pub(super) enum TargetCommand {
    /// Make a target; prints its id
    Create(create::CreateArgs),
    /// The targets
    List(list::ListArgs),
    /// One target: settings, limits, health, windows now, work that waits
    Show(TargetArg),
    /// Change its name, its address or its account's limit
    Configure(change::ConfigureArgs),
    /// Change its own limit
    RateLimit(change::RateLimitArgs),
    /// Refer to another secret
    RotateCredential(change::RotateArgs),
    /// Hold its syncs; changes go on being recorded, and the last one of each unit is sent after the resume
    Pause(change::ReasonArgs),
    /// Send again; also says that refused credentials are good again
    Resume(TargetArg),
    /// Delete it softly: its history stays, its syncs end, nothing at the channel is touched. Its secret goes with it
    /// where we keep it and no other target uses it
    Delete(change::DeleteArgs),
    /// Have it checked now, inside its window; the answer says how it answers
    Check(check::CheckArgs),
    /// How the channel answers, now and before: changes, and single checks
    Health(health::HealthArgs),
}

#[derive(Debug, Clone, Copy, Args)]
pub(super) struct TargetArg {
    /// The target
    #[arg(value_name = "TARGET")]
    target_id: TargetId,
}

impl TargetCommand {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        match self {
            Self::Create(args) => args.run(session).await,
            Self::List(args) => args.run(session).await,
            Self::Show(target) => show::show(session, target.target_id).await,
            Self::Configure(args) => args.run(session).await,
            Self::RateLimit(args) => args.run(session).await,
            Self::RotateCredential(args) => args.run(session).await,
            Self::Pause(args) => args.pause(session).await,
            Self::Resume(target) => change::resume(session, target.target_id).await,
            Self::Delete(args) => args.run(session).await,
            Self::Check(args) => args.run(session).await,
            Self::Health(args) => args.run(session).await,
        }
    }
}
