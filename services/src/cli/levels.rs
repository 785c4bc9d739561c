//! `levels`: the service levels, and whether they hold.

use clap::Args;
use domain::ids::OrgId;

use super::failure::Failure;
use super::output::{Cell, state, text};
use super::session::Session;
use crate::views::service_levels::{self, Level};

#[derive(Debug, Args)]
pub(super) struct LevelsArgs {
    /// Of one organisation only
    #[arg(long)]
    org: Option<OrgId>,
}

impl LevelsArgs {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        let pool = session.postgres().await?;
        let far_lag_since = service_levels::far_lag_since(&pool).await?;
        let levels = service_levels::read(&mut *pool.acquire().await?, far_lag_since, self.org.as_ref(), None).await?;
        if session.out.is_json() {
            session.out.json(&levels)?;
        } else {
            let header = ["level", "now", "promise", "over", "observed", "holds"];
            session.out.table(&header, levels.levels.iter().map(cells).collect(), "")?;
        }
        if levels.levels.iter().any(|level| level.holds == Some(false)) {
            Err(Failure::CheckFailed.into())
        } else {
            Ok(())
        }
    }
}

fn cells(level: &Level) -> Vec<Cell> {
    let value = level.shown().unwrap_or_else(|| "no data".to_owned());
    let holds = match level.holds {
        None => "-",
        Some(true) => "yes",
        Some(false) => "NO",
    };
    vec![text(level.name), text(value), text(level.promise), text(level.window), text(level.observed), state(holds)]
}
