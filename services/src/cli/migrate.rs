//! `migrate`: forward only.

use adapters::postgres::{GIVES_WAY_AFTER, newest_migration, odd_migrations, pending_migrations};
use clap::Args;
use serde_json::json;

use super::failure::Failure;
use super::output::note;
use super::session::Session;
use crate::schema::bring_up_to_date;

#[derive(Debug, Args)]
#[command(
    after_help = "`serve` does this at its start too, unless --no-migrate is given. A migration that waits for a \
    lock, as behind a backup, lets others through after a few seconds, says on stderr what it waits for, and tries \
    again. A schema that a newer build has migrated is left as it is.\n\n\
    Example, in a deployment's check:\n  distribution migrate --check || echo 'the schema is behind'"
)]
pub(super) struct MigrateArgs {
    /// Change nothing; exit with 1 if something is pending
    #[arg(long)]
    check: bool,
}

impl MigrateArgs {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        let pool = session.postgres_of_any_schema().await?;
        let pending = pending_migrations(&pool).await?;
        // Before it migrates: a migration may end the sessions that rest.
        let newer = odd_migrations(&pool).await?.newer;
        if !self.check {
            let tell = |waits_for: &str| {
                let patience = GIVES_WAY_AFTER.as_secs();
                let how = format!("it lets others through after {patience} s each time, and tries again");
                note(&format!("waits for {waits_for}; {how}"));
            };
            bring_up_to_date(&pool, tell).await?;
        }
        let (applied, left) = if self.check { (Vec::new(), pending) } else { (pending, Vec::new()) };
        if session.out.is_json() {
            session.out.json(&json!({ "applied": applied, "pending": left, "newer": newer }))?;
        } else {
            let lines = applied.iter().map(|name| format!("applied  {name}"));
            let lines = lines.chain(left.iter().map(|name| format!("pending  {name}")));
            let known = newest_migration();
            let beyond =
                |version: i64| format!("the schema is newer than this build: {version}; this build knows {known}");
            let lines: Vec<String> = lines.chain(newer.map(beyond)).collect();
            let none = "the schema is up to date".to_owned();
            session.out.line(&if lines.is_empty() { none } else { lines.join("\n") })?;
        }
        if left.is_empty() { Ok(()) } else { Err(Failure::CheckFailed.into()) }
    }
}
