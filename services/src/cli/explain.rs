//! `explain`: why a listing stands as it does.

use adapters::nats::Nats;
use clap::Args;
use domain::ids::OrgId;
use serde_json::json;

use super::lag::note_lag;
use super::output::{note, optional, state, text};
use super::session::Session;
use crate::views::explain::find::{Found, find};
use crate::views::explain::{About, Explanation, explain};
use crate::views::listings::Listing;
use crate::views::unit_letters::of_unit;

#[derive(Debug, Args)]
#[command(
    after_help = "It tells of a sync, or of the one of a listing that waits or is the newest: which change by whom, \
    which fields differ, which calls with which answers, which rules applied, and what is next. Each sentence stands on \
    what was recorded. An id that several listings have lists them.\n\n\
    Example:\n  distribution explain villa-0042"
)]
pub(super) struct ExplainArgs {
    /// A listing, a sync, the id of a listing at its channel (one that it had before it was linked again, too), or a
    /// unit
    #[arg(value_name = "LISTING|SYNC|EXTERNAL-ID")]
    id: String,
}

impl ExplainArgs {
    pub(super) async fn run(self, session: &Session) -> anyhow::Result<()> {
        let pool = session.postgres().await?;
        note_lag(&pool, "sync_queue").await?;
        let syncing = session.syncing(&pool);
        let mut former = None;
        let (listing, sync) = match find(&pool, syncing.commands(), &self.id).await? {
            Found::Listing(listing) => (listing, None),
            Found::Sync(listing, sync) => (listing, Some(sync)),
            Found::Former(listing, had_it) => {
                former = Some(had_it.words(&self.id));
                (listing, None)
            }
            Found::Several(listings) => {
                let words = format!("{} is several listings; explain one of them:", self.id);
                return several(session, &listings, &words);
            }
            Found::SeveralFormer(listings) => {
                let had_it = "was the id of several listings at the channel before they were linked again";
                let words = format!("{} {had_it}; explain one of them:", self.id);
                return several(session, &listings, &words);
            }
        };
        let explained = explain(&syncing, &pool, pool.acquire(), listing, sync);
        // Where NATS is away that takes its time.
        let (explained, nats) = tokio::join!(explained, session.nats());
        let mut explanation = with_letters(explained?, nats).await;
        // Right behind what the listing is and has now.
        if let Some(former) = former {
            explanation.words.insert(1, former);
        }
        if session.out.is_json() {
            return session.out.json(&explanation);
        }
        session.out.line(&explanation.words.join("\n"))
    }
}

/// There is none to tell of before one of them is chosen.
fn several(session: &Session, listings: &[Listing], words: &str) -> anyhow::Result<()> {
    if session.out.is_json() {
        return session.out.json(&json!({ "listings": listings }));
    }
    let header = ["listing", "org", "unit", "target", "at the channel", "state"];
    let rows = listings.iter().map(|listing| {
        vec![
            text(listing.listing_id),
            text(&listing.org_id),
            text(&listing.unit_id),
            optional(listing.target_name.as_ref()),
            optional(listing.external_id.as_ref()),
            state(&listing.state),
        ]
    });
    session.out.line(words)?;
    session.out.table(&header, rows.collect(), "")
}

/// With the dead letters of its unit; an explanation is worth something without them, too.
async fn with_letters(explanation: Explanation, nats: anyhow::Result<Nats>) -> Explanation {
    let About { org_id, unit_id, .. } = &explanation.listing;
    let looked = async {
        let org: OrgId = org_id.parse()?;
        anyhow::Ok(of_unit(&nats?, &org, unit_id).await?)
    };
    let looked = looked.await;
    match looked {
        Ok(letters) => explanation.with_letters(letters),
        Err(error) => {
            note(&format!("dead letters were not looked through: {error}"));
            explanation
        }
    }
}
