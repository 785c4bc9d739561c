//! Every listing and every night at the sandbox against the villas as they are now.

use std::collections::HashMap;

use demo::compare::{Difference, differences};
use demo::villas::calendar::nights;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};

use crate::run::Run;
use crate::targets::{CAST, role_of};

/// Calendars that are read at the same time.
const AT_ONCE: usize = 8;

/// What was found at the channel.
#[derive(Debug, Default)]
pub struct Found {
    /// Listings there, all accounts together.
    pub listings: usize,
    /// Where they are not as their unit says; a listing that is missing or one too many is one of them.
    pub differences: Vec<Difference>,
}

/// Compares all of it.
pub async fn compare(run: &Run) -> anyhow::Result<Found> {
    let mut found = Found::default();
    for (index, role) in CAST.iter().enumerate() {
        let listings = run.sandbox.listings(role.channel_account).await?;
        found.listings += listings.len();
        let mut by_unit: HashMap<&str, Vec<&Value>> = HashMap::new();
        for listing in &listings {
            by_unit.entry(unit_of(listing)).or_default().push(listing);
        }
        let bodies = (0..run.villas.len()).filter(|villa| role_of(*villa) == index).map(|villa| &run.villas[villa]);
        let pairs: Vec<(&Value, Vec<&Value>)> = bodies
            .map(|body| (body, by_unit.remove(body["unit_id"].as_str().unwrap_or_default()).unwrap_or_default()))
            .collect();
        found.differences.extend(by_unit.into_iter().map(|(unit, there)| count(unit, 0, there.len())));
        let compared: Vec<Vec<Difference>> = stream::iter(pairs)
            .map(|(body, there)| compare_one(run, role.channel_account, body, there))
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        found.differences.extend(compared.into_iter().flatten());
    }
    Ok(found)
}

async fn compare_one(run: &Run, account: u64, body: &Value, there: Vec<&Value>) -> anyhow::Result<Vec<Difference>> {
    let [listing] = there[..] else {
        return Ok(vec![count(body["unit_id"].as_str().unwrap_or_default(), 1, there.len())]);
    };
    let year = nights(body);
    let days = match (year.first(), year.last(), listing["id"].as_u64()) {
        (Some(first), Some(last), Some(id)) => {
            run.sandbox.days(account, id, &first.date.to_string(), &last.date.to_string()).await?
        }
        _ => Vec::new(),
    };
    Ok(differences(body, listing, &days))
}

/// The service writes the unit's id first into the name that only the channel's users see.
fn unit_of(listing: &Value) -> &str {
    listing["internalListingName"].as_str().unwrap_or_default().split(' ').next().unwrap_or_default()
}

fn count(unit: &str, wanted: usize, found: usize) -> Difference {
    let field = "listings at the channel".to_owned();
    Difference { unit_id: unit.to_owned(), field, wanted: json!(wanted), found: json!(found) }
}
