//! `listing history`: a listing's events, from the journal itself.

use adapters::event_store::{PgEventLog, StoredEvent};
use anyhow::Context;
use clap::Args;
use cqrs_es::Aggregate;
use domain::ids::ListingId;
use domain::listing::{ChannelListing, ListingError};
use domain::recorded::ChannelEvent;
use domain::target::TargetEvent;
use serde::Serialize;

use super::summary::{cancelling, summary};
use crate::cli::output::{Cell, note, text};
use crate::cli::session::Session;
use crate::cli::times::moment;
use crate::views::by::by;
use crate::views::history::{EndWithTarget, ended_with_target};

/// As many as are told at once.
const MOST: i64 = 100_000;

#[derive(Debug, Args)]
#[command(after_help = "The deletion of its target is told with it, as that ends what waits.\n\n\
    With --output json each event comes whole, payload and metadata, as on stream CHANNELS, and names who did it as the audit does: \
    created_by, credential, credential_id.")]
pub(in crate::cli) struct HistoryArgs {
    /// The listing
    #[arg(value_name = "LISTING")]
    listing_id: ListingId,
    /// How many events at most: the newest ones, in order
    #[arg(long, short = 'n', default_value_t = 50, value_parser = clap::value_parser!(i64).range(1..=MOST))]
    limit: i64,
}

impl HistoryArgs {
    pub(in crate::cli) async fn run(self, session: &Session) -> anyhow::Result<()> {
        let pool = session.postgres().await?;
        let log = PgEventLog::new(pool.clone());
        let mut events = log.newest_of(ChannelListing::TYPE, &self.listing_id.to_string(), self.limit).await?;
        // The sequence of a listing's newest event is the number of its events.
        let Some(mut all) = events.last().map(|newest| newest.sequence) else {
            let refused = anyhow::Error::new(ListingError::NotFound);
            return Err(refused).with_context(|| format!("listing {}", self.listing_id));
        };
        let end = ended_with_target(&mut *pool.acquire().await?, self.listing_id.0).await?;
        if let Some(end) = &end {
            let at = events.partition_point(|event| event.position < end.deletion.position);
            events.insert(at, end.deletion.clone());
            all += 1;
            if usize::try_from(self.limit).is_ok_and(|most| events.len() > most) {
                events.remove(0);
            }
        }
        if session.out.is_json() {
            return session.out.json(&events.iter().map(Told::of).collect::<Vec<_>>());
        }
        let rows = events.iter().map(|event| cells(event, end.as_ref())).collect();
        session.out.table(&["position", "at", "event", "by", "what"], rows, "")?;
        if all > self.limit {
            note(&format!("shown: the newest {} of {all} events; --limit {} gives more", self.limit, all.min(MOST)));
        }
        Ok(())
    }
}

/// An event with who did it, in the words of the audit; absent where this build cannot read that.
#[derive(Debug, Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    event: &'a StoredEvent,
    created_by: Option<String>,
    credential: Option<String>,
    credential_id: Option<String>,
}

impl<'a> Told<'a> {
    fn of(event: &'a StoredEvent) -> Self {
        let actor = event.beside().ok().map(|beside| beside.actor);
        Self {
            event,
            created_by: actor.as_ref().map(|actor| actor.name.clone()),
            credential: actor.as_ref().map(|actor| actor.credential.clone()),
            credential_id: actor.and_then(|actor| actor.credential_id),
        }
    }
}

/// `end` is how the listing ended with its target.
fn cells(event: &StoredEvent, end: Option<&EndWithTarget>) -> Vec<Cell> {
    let by = text(event.beside().map(|beside| by(&beside)).unwrap_or_default());
    let head = vec![text(event.position), text(moment(event.recorded_at)), text(&event.event_type), by];
    let what = match event.recorded() {
        Ok(recorded) => match recorded.event {
            ChannelEvent::Listing(mut what) => {
                if let Some(end) = end {
                    end.as_audited(recorded.position.0, &mut what);
                }
                summary(&what)
            }
            ChannelEvent::Target(TargetEvent::TargetDeleted { reason }) => {
                cancelling(end.map(|end| &end.cancelled[..]).unwrap_or_default(), &reason)
            }
            ChannelEvent::Target(_) => String::new(),
        },
        Err(error) => error.to_string(),
    };
    head.into_iter().chain([text(what)]).collect()
}
