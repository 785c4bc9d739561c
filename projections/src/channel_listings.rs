//! `channel_listings`: every listing as its events have left it, unlinked ones too.

mod fold;
mod refused;
mod rows;

use async_trait::async_trait;
use domain::recorded::{ChannelEvent, Recorded};
use sqlx::PgConnection;

use crate::error::Error;
use crate::projection::{Ended, Projection};

/// The projection.
pub struct ChannelListings;

#[async_trait]
impl Projection for ChannelListings {
    fn name(&self) -> &'static str {
        "channel_listings"
    }

    fn tables(&self) -> &'static [&'static str] {
        &["channel_listings"]
    }

    fn is_by_listing(&self) -> bool {
        true
    }

    async fn apply(&self, connection: &mut PgConnection, batch: &[Recorded]) -> Result<Vec<Ended>, Error> {
        let of_listings = |event: &&Recorded| matches!(event.event, ChannelEvent::Listing(_));
        let events: Vec<&Recorded> = batch.iter().filter(of_listings).collect();
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let rows = rows::load(connection, &events).await?;
        let changes = fold::fold(self.name(), rows, &events)?;
        rows::store(connection, &changes.upserts).await?;
        Ok(Vec::new())
    }
}
