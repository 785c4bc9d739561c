//! What a listing's page knows beside what a reader sees.

use chrono::{DateTime, Utc};
use domain::ids::{ListingId, TargetId};
use domain::listing::ChannelListing;
use domain::target::ChannelTarget;

use crate::api::Api;
use crate::api::problem::Problem;
use crate::views::circuit::{self, OpenCircuit};
use crate::views::listings::Listing;
use crate::views::read_model_lag;

/// What the journal, and rows that no reader sees, tell of a listing. It is asked for before a reader is opened: where each page holds one
/// connection and waits for a second, all wait.
pub(super) struct Known {
    /// The listing as it is there: the queue may be behind.
    pub(super) journal: ChannelListing,
    pub(super) target: ChannelTarget,
    pub(super) circuit: Option<OpenCircuit>,
    /// Since when the read models lag.
    pub(super) lag_since: Option<DateTime<Utc>>,
}

impl Known {
    pub(super) async fn of(api: &Api, listing: &Listing) -> Result<Self, Problem> {
        let (id, target_id) = (ListingId(listing.listing_id), TargetId(listing.target_id));
        let commands = api.syncing().commands();
        let (journal, target) = (commands.load_listing(id).await?, commands.load_target(target_id).await?);
        let circuit = circuit::open(api.pool(), target_id).await?;
        Ok(Self { journal, target, circuit, lag_since: read_model_lag::since(api.pool()).await? })
    }
}
