//! `projections`: the read models, how far they are, and whether they say what the journal says.

use std::sync::Arc;

use adapters::event_store::PgEventLog;
use chrono::Utc;
use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use domain::counted::counted;
use projections::{Lag, Runner, TableDifference, audit_coverage};
use serde_json::json;
use sqlx::PgPool;

use super::failure::Failure;
use super::output::{Cell, state, text};
use super::session::Session;
use super::times::since;

#[derive(Debug, Subcommand)]
pub(super) enum ProjectionsCommand {
    /// The read models and how far each is behind the journal
    List,
    /// Make one again from the whole journal, beside the live one, and swap it in
    Rebuild(NameArg),
    /// Make one again beside the live one and compare the two row by row; exit with 1 if they differ
    Verify(NameArg),
    /// Compare the journal's sync jobs with the audit's rows; exit with 1 if one is missing
    Coverage,
}

#[derive(Debug, Args)]
pub(super) struct NameArg {
    /// The read model
    #[arg(value_parser = PossibleValuesParser::new(names()))]
    name: String,
}

fn names() -> Vec<&'static str> {
    projections::all().iter().map(|projection| projection.name()).collect()
}

/// A runner of every read model.
pub(super) fn runner(pool: &PgPool) -> Runner {
    Runner::new(pool.clone(), Arc::new(PgEventLog::new(pool.clone())), projections::all())
}

impl ProjectionsCommand {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        let pool = session.postgres().await?;
        match self {
            Self::List => list(session, &pool).await,
            Self::Rebuild(arg) => rebuild(session, &pool, &arg.name).await,
            Self::Verify(arg) => verify(session, &pool, &arg.name).await,
            Self::Coverage => coverage(session, &pool).await,
        }
    }
}

async fn list(session: &Session, pool: &PgPool) -> anyhow::Result<()> {
    let lags = runner(pool).lag().await?;
    if session.out.is_json() {
        let lags: Vec<_> = lags
            .iter()
            .map(|lag| {
                json!({ "name": lag.name, "position": lag.position, "behind_events": lag.behind_events,
                    "updated_at": lag.updated_at })
            })
            .collect();
        return session.out.json(&lags);
    }
    let cells = |lag: &Lag| -> Vec<Cell> {
        let updated = lag.updated_at.map_or_else(|| "never".to_owned(), |at| format!("{} ago", since(at, Utc::now())));
        vec![text(&lag.name), text(lag.position.0), text(lag.behind_events), text(updated)]
    };
    session.out.table(&["read model", "position", "events behind", "moved"], lags.iter().map(cells).collect(), "")
}

async fn rebuild(session: &Session, pool: &PgPool, name: &str) -> anyhow::Result<()> {
    let rebuilt = runner(pool).rebuild(name).await?;
    if session.out.is_json() {
        let (position, events) = (rebuilt.position, rebuilt.events);
        return session.out.json(&json!({ "name": name, "position": position, "events": events }));
    }
    session.out.line(&format!(
        "{name} is made anew from {}, up to {}",
        counted(rebuilt.events, "event"),
        rebuilt.position.0
    ))
}

async fn verify(session: &Session, pool: &PgPool, name: &str) -> anyhow::Result<()> {
    let tables = runner(pool).verify(name).await?;
    let equal = tables.iter().all(|table| table.missing == 0 && table.unexpected == 0);
    if session.out.is_json() {
        let tables: Vec<_> = tables
            .iter()
            .map(|t| json!({ "table": t.table, "missing": t.missing, "unexpected": t.unexpected }))
            .collect();
        session.out.json(&json!({ "name": name, "equal": equal, "tables": tables }))?;
    } else {
        let cells = |table: &TableDifference| -> Vec<Cell> {
            let equal = table.missing == 0 && table.unexpected == 0;
            let equal = state(if equal { "yes" } else { "NO" });
            vec![text(&table.table), text(table.missing), text(table.unexpected), equal]
        };
        session.out.table(&["table", "missing", "unexpected", "equal"], tables.iter().map(cells).collect(), "")?;
    }
    if equal { Ok(()) } else { Err(Failure::CheckFailed.into()) }
}

async fn coverage(session: &Session, pool: &PgPool) -> anyhow::Result<()> {
    let found = audit_coverage(pool).await?;
    let (jobs, rows, missing) = (found.jobs, found.rows, found.missing);
    if session.out.is_json() {
        let ids = &found.missing_sync_ids;
        session.out.json(&json!({ "jobs": jobs, "rows": rows, "missing": missing, "missing_sync_ids": ids }))?;
    } else {
        session.out.line(&format!(
            "{} in the journal, {} in the audit, {missing} missing",
            counted(jobs, "sync job"),
            counted(rows, "row")
        ))?;
        for id in &found.missing_sync_ids {
            session.out.line(&format!("missing  {id}"))?;
        }
    }
    if missing == 0 { Ok(()) } else { Err(Failure::CheckFailed.into()) }
}
