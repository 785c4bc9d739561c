//! `target list`: the read model says which there are.

use clap::Args;
use clap::builder::PossibleValuesParser;
use domain::ids::{OrgId, TargetId};
use domain::target::Health;
use uuid::Uuid;

use super::shape::{KnownTarget, look};
use crate::cli::output::{Cell, optional, state, text};
use crate::cli::session::Session;
use crate::views::queue::PAUSED;
use crate::views::targets::{STATE, shown_health, states};

#[derive(Debug, Args)]
#[command(after_help = "Example, the ids of all targets that need new credentials:\n  \
    distribution target list --state needs_credentials --output json | jq -r '.[].target_id'")]
pub(in crate::cli) struct ListArgs {
    /// Of one organisation only
    #[arg(long)]
    org: Option<OrgId>,
    /// In one state only; all but the deleted ones by default
    #[arg(long, value_parser = PossibleValuesParser::new(states()))]
    state: Option<String>,
    /// Of one health only
    #[arg(long, value_parser = PossibleValuesParser::new(Health::ALL.map(Health::as_str)))]
    health: Option<String>,
    /// Deleted ones too
    #[arg(long, conflicts_with = "state")]
    deleted: bool,
}

fn list() -> String {
    format!(
        "SELECT target_id FROM channel_targets
         WHERE ($1::text IS NULL OR org_id = $1) AND ($2::text IS NULL OR health = $2)
            AND CASE WHEN $3::text IS NULL THEN $4 OR lifecycle <> 'deleted' ELSE ({STATE}) = $3 END
         ORDER BY org_id, name, target_id"
    )
}

const HEADER: [&str; 9] = ["target", "org", "name", "limit", "state", "health", "listings", "waiting", PAUSED];

impl ListArgs {
    pub(in crate::cli) async fn run(self, session: &Session) -> anyhow::Result<()> {
        let pool = session.postgres().await?;
        let org = self.org.as_ref().map(OrgId::as_str);
        let list = list();
        let ids = sqlx::query_scalar(&list).bind(org).bind(&self.health).bind(&self.state).bind(self.deleted);
        let ids: Vec<Uuid> = ids.fetch_all(&pool).await?;
        let ids: Vec<TargetId> = ids.into_iter().map(TargetId).collect();
        let targets = look(&pool, session.syncing(&pool).commands(), &ids).await?;
        if session.out.is_json() {
            return session.out.json(&targets);
        }
        if self.state.is_some() || self.health.is_some() {
            return session.out.table(&HEADER, targets.iter().map(cells).collect(), "there are no such targets");
        }
        let none = "there are no targets: `distribution target create --help` says how to make one, and a running \
            `distribution serve` lists it";
        session.out.table(&HEADER, targets.iter().map(cells).collect(), none)
    }
}

fn cells(row: &KnownTarget) -> Vec<Cell> {
    let (target, known) = (&row.target, &row.known);
    let listings = &known.listings;
    vec![
        text(target.target_id),
        text(&target.org_id),
        text(&target.name),
        text(target.rate_limit),
        state(target.state()),
        state(shown_health(target.health.as_str(), target.state())),
        text(listings.active + listings.paused + listings.target_deleted),
        optional((known.queue.waiting > 0).then_some(known.queue.waiting)),
        optional(known.paused()),
    ]
}
