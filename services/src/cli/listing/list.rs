//! `listing list`, from the read model.

use clap::{Args, ValueEnum};
use domain::ids::{OrgId, TargetId, UnitId};

use crate::cli::lag::note_lag;
use crate::cli::output::{Cell, note, optional, state, text, words};
use crate::cli::session::Session;
use crate::views::listings::{LISTINGS, Listing, TARGET_DELETED};
use crate::views::older_state::{of_newest, replayed};

#[derive(Debug, Clone, Copy, ValueEnum)]
enum State {
    /// It follows its unit
    Active,
    /// It records changes and holds its syncs
    Paused,
    /// Its target was deleted
    #[value(name = "target_deleted")]
    TargetDeleted,
    /// It was taken off
    Unlinked,
}

#[derive(Debug, Args)]
#[command(after_help = "Example, what a channel refused:\n  distribution listing list --output json | \
    jq '.[] | select(.rejected != []) | {unit_id, rejected}'")]
pub(in crate::cli) struct ListArgs {
    /// Of one organisation only
    #[arg(long)]
    org: Option<OrgId>,
    /// On one target only
    #[arg(long)]
    target: Option<TargetId>,
    /// Of one unit only
    #[arg(long)]
    unit: Option<UnitId>,
    /// In one state only; all but the unlinked ones by default
    #[arg(long, value_enum)]
    state: Option<State>,
    /// How many at most
    #[arg(long, short = 'n', default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..=100_000))]
    limit: i64,
}

/// One more than is asked for, so that it is known whether there are more.
fn list() -> String {
    format!(
        "SELECT * FROM ({LISTINGS}) AS l
         WHERE ($1::text IS NULL OR org_id = $1) AND ($2::uuid IS NULL OR target_id = $2)
            AND ($3::text IS NULL OR unit_id = $3)
            AND CASE WHEN $4::text IS NULL THEN state <> 'unlinked' ELSE state = $4 END
         ORDER BY org_id, unit_id, target_name, listing_id LIMIT $5 + 1"
    )
}

const HEADER: [&str; 8] = ["listing", "unit", "target", "state", "rev", "pending", "last", "at channel"];

impl ListArgs {
    pub(in crate::cli) async fn run(self, session: &Session) -> anyhow::Result<()> {
        let pool = session.postgres().await?;
        session.must_exist(&pool, self.target).await?;
        note_lag(&pool, "channel_listings").await?;
        let state = self.state.map(|state| match state {
            State::Active => "active",
            State::Paused => "paused",
            State::TargetDeleted => TARGET_DELETED,
            State::Unlinked => "unlinked",
        });
        let list = list();
        let query = sqlx::query_as(&list).bind(self.org.as_ref().map(OrgId::as_str)).bind(self.target.map(|id| id.0));
        let query = query.bind(self.unit.as_ref().map(UnitId::as_str)).bind(state).bind(self.limit);
        let mut listings: Vec<Listing> = query.fetch_all(&pool).await?;
        let shown = usize::try_from(self.limit)?;
        if listings.len() > shown {
            listings.truncate(shown);
            note(&format!("shown: the first {shown}; --limit gives more"));
        }
        if session.out.is_json() {
            return session.out.json(&listings);
        }
        let ids: Vec<_> = listings.iter().map(|listing| listing.listing_id).collect();
        let replayed = replayed(&mut *pool.acquire().await?, &ids).await?;
        let rows = listings.iter().map(|listing| cells(listing, replayed.get(&listing.listing_id).copied()));
        session.out.table(&HEADER, rows.collect(), "there are no such listings")
    }
}

fn standing(listing: &Listing) -> Cell {
    if listing.unit_elsewhere {
        return text(format!("{}, unit elsewhere", words(&listing.state)));
    }
    state(&listing.state)
}

fn cells(listing: &Listing, newest: Option<i64>) -> Vec<Cell> {
    vec![
        text(listing.listing_id),
        text(&listing.unit_id),
        optional(listing.target_name.as_ref()),
        standing(listing),
        optional(listing.revision.map(|revision| of_newest(revision, newest))),
        text(if listing.pending_sync_id.is_some() { "yes" } else { "-" }),
        listing.last_outcome.as_deref().map_or_else(|| text("-"), state),
        optional(listing.external_id.as_ref()),
    ]
}
