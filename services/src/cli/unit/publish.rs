//! `unit publish`: every line is checked against the contract before it is sent.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use domain::counted::counted;
use domain::ids::{OrgId, UnitId};
use domain::unit::{self, Problem};
use serde::Serialize;
use serde_json::Value;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, BufReader};

use super::publishing::Publishing;
use super::waiting::{Left, Wanted, wait};
use crate::cli::failure::Failure;
use crate::cli::output::note;
use crate::cli::session::Session;

#[derive(Debug, Args)]
#[command(after_help = "Each line is the body of a message on supply.unit.changed.v1.{org}.{unit}; \
    nats/schemas/unit-changed.v1.json is the contract.\n\
    A line that breaks it is reported with its number, field and reason, is not sent, and makes the exit code 1;\n\
    the other lines are sent all the same.\n\n\
    Examples:\n  distribution unit publish changes.ndjson --wait 30\n  \
    jq -c . one-unit.json | distribution unit publish -")]
pub(in crate::cli) struct PublishArgs {
    /// A file of one JSON message per line, or - for stdin
    #[arg(value_name = "FILE.ndjson")]
    file: PathBuf,
    /// Then wait so many seconds at most until the service has taken every unit's newest revision
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    wait: Option<u64>,
    /// Send bad lines too, so far as they name an org and a unit: they end as dead letters
    #[arg(long)]
    unchecked: bool,
}

/// What became of the file.
#[derive(Debug, Default, Serialize)]
struct Report {
    published: u64,
    units: usize,
    bad_lines: usize,
    bad: Vec<BadLine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_taken: Option<Vec<Left>>,
}

#[derive(Debug, Serialize)]
struct BadLine {
    line: u64,
    sent: bool,
    problems: Vec<Problem>,
}

impl PublishArgs {
    pub(in crate::cli) async fn run(self, session: &Session) -> anyhow::Result<()> {
        let lines = self.open().await?;
        // Before anything is sent: a wait that cannot begin is known at once.
        let pool = if self.wait.is_some() { Some(session.postgres().await?) } else { None };
        let mut publishing = Publishing::open(session).await?;
        let mut report = Report::default();
        let wanted = self.publish(session, lines, &mut publishing, &mut report).await?;
        publishing.finish().await?;
        report.published = publishing.acknowledged;
        report.units = wanted.len();
        if let (Some(pool), Some(seconds)) = (pool, self.wait) {
            report.not_taken = Some(wait(&pool, wanted, Duration::from_secs(seconds)).await?);
        }
        report.print(session)
    }

    async fn open(&self) -> anyhow::Result<Box<dyn AsyncBufRead + Unpin + Send>> {
        if self.file.as_os_str() == "-" {
            return Ok(Box::new(BufReader::new(tokio::io::stdin())));
        }
        let file = tokio::fs::File::open(&self.file).await;
        Ok(Box::new(BufReader::new(file.with_context(|| self.file.display().to_string())?)))
    }

    /// The newest revision of each unit that was sent.
    async fn publish(
        &self,
        session: &Session,
        mut lines: Box<dyn AsyncBufRead + Unpin + Send>,
        publishing: &mut Publishing<'_>,
        report: &mut Report,
    ) -> anyhow::Result<Wanted> {
        let mut wanted = BTreeMap::new();
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            let read = publishing.meanwhile(lines.read_until(b'\n', &mut line)).await?;
            if read.context("failed to read the file")? == 0 {
                break;
            }
            let body = line.trim_ascii();
            if body.is_empty() {
                continue;
            }
            match unit::parse(body) {
                Ok(unit) => {
                    publishing.publish(&unit.org_id, &unit.unit_id, body.to_vec()).await?;
                    let newest = wanted.entry((unit.org_id, unit.unit_id)).or_insert(0);
                    *newest = unit.revision.get().max(*newest);
                }
                Err(invalid) => {
                    let address = if self.unchecked { address(body) } else { None };
                    if let Some((org, unit)) = &address {
                        publishing.publish(org, unit, body.to_vec()).await?;
                    }
                    let bad = BadLine { line: number, sent: address.is_some(), problems: invalid.problems };
                    if !session.out.is_json() {
                        bad.say();
                    }
                    report.bad.push(bad);
                }
            }
        }
        report.bad_lines = report.bad.len();
        Ok(wanted)
    }
}

/// Where a body belongs that is otherwise wrong.
fn address(body: &[u8]) -> Option<(OrgId, UnitId)> {
    let body: Value = serde_json::from_slice(body).ok()?;
    Some((body.get("org_id")?.as_str()?.parse().ok()?, body.get("unit_id")?.as_str()?.parse().ok()?))
}

impl BadLine {
    fn say(&self) {
        let sent = if self.sent { " (sent all the same)" } else { "" };
        for problem in &self.problems {
            note(&format!("line {}: {problem}{sent}", self.line));
        }
    }
}

impl Report {
    fn print(&self, session: &Session) -> anyhow::Result<()> {
        let left = self.not_taken.as_deref().unwrap_or_default();
        if session.out.is_json() {
            session.out.json(self)?;
        } else {
            session.out.line(&format!(
                "{} of {} published",
                counted(self.published, "message"),
                counted(self.units, "unit")
            ))?;
            if self.bad_lines > 0 {
                session.out.line(&format!("{} cannot be used", counted(self.bad_lines, "line")))?;
            }
            for left in left.iter().take(20) {
                note(&format!("not taken yet: {left}"));
            }
            match (&self.not_taken, left.len()) {
                (Some(_), 0) => session.out.line("all taken by the service")?,
                (Some(_), n) => session.out.line(&format!(
                    "{} not taken in time: does `distribution serve` run? See `distribution dead-letters list`",
                    counted(n, "unit")
                ))?,
                (None, _) => {}
            }
        }
        if self.bad_lines == 0 && left.is_empty() { Ok(()) } else { Err(Failure::CheckFailed.into()) }
    }
}
