//! The channel has the last revision of every linked unit, each listing once, and nothing that was never linked.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use demo::compare::differences;
use serde_json::Value;

use crate::plan::PLACES;
use crate::workload::{UnitModel, listing_id};
use crate::world::World;

/// The sandbox takes photos in the background.
const PHOTOS: Duration = Duration::from_secs(1);
const FIRST_NIGHT: &str = "2031-03-01";
const LAST_NIGHT: &str = "2031-03-31";

pub(super) async fn check(world: &World, units: &[UnitModel]) -> anyhow::Result<Vec<String>> {
    tokio::time::sleep(PHOTOS).await;
    let mut wrong = Vec::new();
    let mut listings: BTreeMap<(u64, String), Vec<Value>> = BTreeMap::new();
    let accounts: BTreeSet<u64> = PLACES.iter().map(|place| place.account).collect();
    for account in accounts {
        for listing in world.sandbox.listings(account).await? {
            let reference = listing["internalListingName"].as_str().unwrap_or_default().to_owned();
            listings.entry((account, reference)).or_default().push(listing);
        }
    }
    let twice = listings.iter().filter(|(_, listings)| listings.len() > 1);
    wrong.extend(twice.map(|((account, name), all)| format!("{name} is {} times at account {account}", all.len())));
    let (mut known, mut compared) = (BTreeSet::new(), 0);
    for model in units {
        for place in &model.ever {
            let account = PLACES[*place].account;
            let reference = format!("{} {}", model.unit_id, listing_id(world, &model.unit_id, *place)?);
            known.insert((account, reference.clone()));
            if !model.linked.contains(place) {
                continue;
            }
            let Some(listing) = listings.get(&(account, reference.clone())).and_then(|found| found.first()) else {
                wrong.push(format!("{reference} is not at account {account}, revision {}", model.unit.revision));
                continue;
            };
            let id = listing["id"].as_u64().unwrap_or_default();
            let days = world.sandbox.nights(account, id, FIRST_NIGHT, LAST_NIGHT).await?;
            compared += 1;
            let differences = differences(&model.unit.body(), listing, &days);
            if let Some(first) = differences.first() {
                let revision = model.unit.revision;
                let count = differences.len();
                wrong.push(format!(
                    "{reference} (listing {id} of {account}) is not at revision {revision}: {count} fields differ: {first}"
                ));
            }
        }
    }
    if compared == 0 {
        wrong.push("no unit is linked and at the channel in the end: nothing was compared".to_owned());
    }
    let strangers = listings.keys().filter(|key| !known.contains(key));
    wrong.extend(strangers.map(|(account, name)| format!("{name:?} is at account {account} and was never linked")));
    Ok(wrong)
}
