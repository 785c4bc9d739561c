//! `log-level`: what every process logs, changed while they run.

use clap::Args;
use serde_json::json;

use super::failure::Failure;
use super::output::note;
use super::session::Session;
use super::times::moment;
use crate::telemetry::{change_level, checked_level, level};

#[derive(Debug, Args)]
#[command(after_help = "It is followed within two seconds, and outlasts restarts until it is reset.\n\n\
    Examples:\n  distribution log-level services::dispatcher=debug\n  distribution log-level --reset")]
pub(super) struct LogLevelArgs {
    /// A filter as of RUST_LOG; where it names no level for the rest, that is as serve has it by default. Without one, what is set is shown
    #[arg(conflicts_with = "reset")]
    filter: Option<String>,
    /// Every process logs by its own RUST_LOG again
    #[arg(long)]
    reset: bool,
}

impl LogLevelArgs {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        let pool = session.postgres().await?;
        let mut unknown = Vec::new();
        if let Some(filter) = &self.filter {
            let usage = |error: anyhow::Error| Failure::Usage { field: "filter", reason: error.to_string() };
            let checked = checked_level(filter).map_err(usage)?;
            change_level(&pool, Some(&checked.filter), &session.actor).await?;
            unknown = checked.unknown;
        } else if self.reset {
            change_level(&pool, None, &session.actor).await?;
        }
        let now = level(&pool).await?;
        if session.out.is_json() {
            return session.out.json(&json!({ "log_level": now, "unknown_targets": unknown }));
        }
        for target in unknown {
            note(&format!(
                "warning: the service logs nothing as {target}: of a library that may be right, else it is a typo"
            ));
        }
        match now {
            Some(now) => {
                let since = moment(now.changed_at);
                session.out.line(&format!("{} (set by {} at {since})", now.filter, now.changed_by))
            }
            None => session.out.line("every process logs by its own RUST_LOG"),
        }
    }
}
