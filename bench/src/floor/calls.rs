//! The work in the service that no design can leave out: a unit is read, addressed and mapped once, and its call is made.

use std::sync::Arc;

use anyhow::ensure;
use domain::channel::{ChannelKind, Section};
use domain::ids::ListingId;
use futures::{StreamExt as _, TryStreamExt as _};
use serde_json::json;
use sqlx::Row as _;

use adapters::units::UnitSnapshot;

use crate::units::Messages;
use crate::world::World;

/// Calls that are under way at the same time: as many as the peer's.
const CONCURRENT: usize = 128;

/// Messages with the listings that they end at.
pub struct Calls {
    http: reqwest::Client,
    token: String,
    base: String,
    listings: Vec<(ListingId, String, Vec<u8>)>,
}

impl Calls {
    pub async fn of(world: &World, messages: &Messages, units: &[usize], revision: u64) -> anyhow::Result<Self> {
        let rows =
            sqlx::query("SELECT unit_id, listing_id, external_id FROM channel_listings WHERE external_id IS NOT NULL")
                .fetch_all(&world.pool)
                .await?;
        let places: std::collections::HashMap<String, (ListingId, String)> =
            rows.iter().map(|row| (row.get(0), (ListingId(row.get(1)), row.get(2)))).collect();
        let mut listings = Vec::with_capacity(units.len());
        for index in units {
            let (listing, external) = places[&crate::units::name(*index)].clone();
            listings.push((listing, external, serde_json::to_vec(&messages.unit(*index, revision))?));
        }
        let http = reqwest::Client::new();
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", "1"),
            ("client_secret", "secret"),
            ("scope", "general"),
        ];
        let answer = http.post(format!("{}/v1/accessTokens", world.channel.url)).form(&form).send().await?;
        let answer: serde_json::Value = answer.error_for_status()?.json().await?;
        let token = answer["access_token"].as_str().unwrap_or_default().to_owned();
        Ok(Self { http, token, base: format!("{}/v1/listings", world.channel.url), listings })
    }

    pub async fn make(self) -> anyhow::Result<()> {
        let shared = Arc::new((self.http, self.token, self.base));
        let calls = self.listings.into_iter().map(|(listing, external, message)| {
            let shared = shared.clone();
            async move {
                let unit = domain::unit::parse(&message).map_err(|invalid| anyhow::anyhow!(invalid.to_string()))?;
                std::hint::black_box(UnitSnapshot::of(&unit));
                let payload = domain::mapping::map(ChannelKind::Hostaway, &unit, &listing);
                let body = payload.sections.get(&Section::Content).map_or(json!({}), |content| content.body.clone());
                let (http, token, base) = &*shared;
                let answer = http.put(format!("{base}/{external}")).bearer_auth(token).json(&body).send().await?;
                ensure!(answer.status().is_success(), "the channel answered {}", answer.status());
                std::hint::black_box(answer.bytes().await?);
                Ok(())
            }
        });
        futures::stream::iter(calls).buffer_unordered(CONCURRENT).try_collect().await
    }
}
