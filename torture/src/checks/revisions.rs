//! What arrives at a listing is what was asked for, in that order: its content, its photos, its rates, its nights. They go back to
//! an older revision of its unit only where somebody has sent a state of the past again.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use super::arrivals::Arrival;
use crate::plan::PLACES;
use crate::unit::{AVAILABILITY, CONTENT, IMAGES, RATES, Told, nights_of, photo_of, price_of, text_of};
use crate::workload::{UnitModel, listing_id};
use crate::world::World;

/// A sync that was asked for.
#[derive(Debug, Clone, Copy)]
struct Asked {
    /// When, in microseconds since the epoch.
    at_us: u64,
    /// What it sends.
    told: Told,
}

/// What was asked for of each listing, in order.
type Wishes = HashMap<Uuid, Vec<Asked>>;
/// Which of ours a listing at the channel is, by its account and its id there.
type Names = HashMap<(u64, String), Uuid>;

pub(super) async fn check(world: &World, arrivals: &[Arrival], units: &[UnitModel]) -> anyhow::Result<Vec<String>> {
    Ok(judge(arrivals, &names(world).await?, &wishes(world, units).await?))
}

async fn wishes(world: &World, units: &[UnitModel]) -> anyhow::Result<Wishes> {
    let mut of = HashMap::new();
    for model in units {
        for place in &model.ever {
            of.insert(listing_id(world, &model.unit_id, *place)?.0, model);
        }
    }
    let rows: Vec<(Uuid, i64, DateTime<Utc>)> =
        sqlx::query_as("SELECT listing_id, revision, requested_at FROM outbound_audit ORDER BY position")
            .fetch_all(&world.pool)
            .await?;
    let mut wishes = Wishes::new();
    for (listing, revision, at) in rows {
        let (revision, at_us) = (u64::try_from(revision)?, u64::try_from(at.timestamp_micros())?);
        let told = of.get(&listing).and_then(|model| model.unit.told_by(revision));
        wishes.entry(listing).or_default().extend(told.map(|told| Asked { at_us, told }));
    }
    Ok(wishes)
}

async fn names(world: &World) -> anyhow::Result<Names> {
    let accounts: BTreeSet<u64> = PLACES.iter().map(|place| place.account).collect();
    let mut names = Names::new();
    for account in accounts {
        for listing in world.sandbox.listings(account).await? {
            let ours = listing["internalListingName"].as_str().and_then(named);
            names.extend(ours.map(|ours| ((account, listing["id"].to_string()), ours)));
        }
    }
    Ok(names)
}

/// The listing that a name at the channel tells of.
fn named(name: &str) -> Option<Uuid> {
    name.rsplit(' ').next()?.parse().ok()
}

fn judge(arrivals: &[Arrival], names: &Names, wishes: &Wishes) -> Vec<String> {
    // Which of the wishes arrived last, by the first that it can have been; with the revision, and when.
    let mut last: HashMap<(Uuid, &str), (usize, u64, u64)> = HashMap::new();
    let (mut compared, mut wrong) = (0, Vec::new());
    for arrival in arrivals {
        let (Some(account), Some(body)) = (arrival.account, &arrival.body) else { continue };
        let Ok(body) = serde_json::from_str::<Value>(body) else { continue };
        let id = arrival.path.split('/').nth(3).unwrap_or_default();
        // A creation has no id yet.
        let ours = match arrival.purpose.as_str() {
            "create" => body["internalListingName"].as_str().and_then(named),
            _ => names.get(&(account, id.to_owned())).copied(),
        };
        let Some(ours) = ours else { continue };
        let asked = wishes.get(&ours).map_or(&[][..], Vec::as_slice);
        for (section, revision) in carried(&arrival.purpose, &body) {
            let Some(revision) = revision else { continue };
            compared += 1;
            let (from, before, at_us) = last.get(&(ours, section)).copied().unwrap_or_default();
            let is_it = |asked: &Asked| asked.at_us <= arrival.at_us && asked.told.contains(&(section, Some(revision)));
            match asked.iter().skip(from).position(is_it) {
                Some(further) => {
                    last.insert((ours, section), (from + further, revision, arrival.at_us));
                }
                None => wrong.push(format!(
                    "{section} of listing {ours} ({id} of account {account}): {revision} at {} ({}) after {before} at {at_us}",
                    arrival.at_us, arrival.ip
                )),
            }
        }
    }
    if compared == 0 {
        wrong.push("no call told the revision of a listing of ours: nothing was compared".to_owned());
    }
    wrong
}

/// The sections that a call carries, each with the revision that changed it last, where that can be told.
fn carried(purpose: &str, body: &Value) -> Vec<(&'static str, Option<u64>)> {
    match purpose {
        "create" | "content_put" => vec![(CONTENT, text_of(body)), (IMAGES, photo_of(body))],
        "calendar_put" => vec![(RATES, price_of(body)), (AVAILABILITY, nights_of(body))],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ours(number: u64) -> Uuid {
        Uuid::from_u128(number.into())
    }

    /// Listings 1 and 2 of account 1 are ours, and of both the same was asked for: at each time a revision of each section.
    fn wrong(asked: &[(u64, u64)], arrivals: &[Arrival]) -> Vec<String> {
        let told = |revision| [CONTENT, IMAGES, RATES, AVAILABILITY].map(|section| (section, Some(revision)));
        let asked: Vec<Asked> =
            asked.iter().map(|(at_us, revision)| Asked { at_us: *at_us, told: told(*revision) }).collect();
        let names = [1, 2].map(|number| ((1, number.to_string()), ours(number)));
        let wishes = [1, 2].map(|number| (ours(number), asked.clone()));
        judge(arrivals, &Names::from(names), &Wishes::from(wishes))
    }

    fn arrival(at_us: u64, listing: u64, body: &str) -> Arrival {
        Arrival {
            at_us,
            account: Some(1),
            ip: std::net::Ipv4Addr::LOCALHOST,
            purpose: "content_put".to_owned(),
            method: "PUT".to_owned(),
            path: format!("/v1/listings/{listing}"),
            query: String::new(),
            body: Some(body.to_owned()),
            request_id: None,
            status: Some(200),
        }
    }

    fn text(edition: u64) -> String {
        format!(r#"{{"description":"Edition {edition}. A house."}}"#)
    }

    const IN_ORDER: [(u64, u64); 5] = [(0, 1), (0, 2), (0, 3), (0, 4), (0, 7)];

    #[test]
    fn a_step_back_at_one_listing_is_seen_and_none_between_two() {
        let fine = [arrival(1, 1, &text(2)), arrival(2, 2, &text(1)), arrival(3, 1, &text(2)), arrival(4, 1, &text(3))];
        assert!(wrong(&IN_ORDER, &fine).is_empty());
        let back = [arrival(1, 1, &text(2)), arrival(2, 1, &text(1))];
        assert_eq!(wrong(&IN_ORDER, &back).len(), 1);
    }

    #[test]
    fn calls_of_which_nothing_can_be_read_are_no_order() {
        let unread = [arrival(1, 1, "half of"), arrival(2, 1, "{}"), arrival(3, 9, &text(1))];
        assert_eq!(wrong(&IN_ORDER, &unread).len(), 1);
        assert_eq!(wrong(&IN_ORDER, &[]).len(), 1);
        assert!(wrong(&IN_ORDER, &[&unread[..], &[arrival(4, 1, &text(1))]].concat()).is_empty());
    }

    #[test]
    fn a_state_of_the_past_arrives_where_it_was_asked_for_again_and_not_before() {
        let asked = [(1, 1), (2, 2), (10, 1), (20, 3)];
        let [first, second, third] = [1, 2, 3].map(text);
        let retried = [arrival(3, 1, &first), arrival(4, 1, &second), arrival(11, 1, &first), arrival(21, 1, &third)];
        assert!(wrong(&asked, &retried).is_empty());
        let stale = [arrival(4, 1, &second), arrival(9, 1, &first), arrival(12, 1, &first)];
        assert_eq!(wrong(&asked, &stale).len(), 1, "before it was asked for");
        let overtaken = [arrival(4, 1, &second), arrival(11, 1, &first), arrival(12, 1, &second)];
        assert_eq!(wrong(&asked, &overtaken).len(), 1, "what it took the place of came after it");
        assert_eq!(wrong(&asked, &[arrival(21, 1, &text(5))]).len(), 1, "nobody asked for it");
    }

    #[test]
    fn a_step_back_of_photos_and_from_a_creation_is_seen() {
        let photos = |revision: u64| {
            format!(
                r#"{{"listingImages":[{{"url":"https://photos.example.org/x/pool.jpg"}},{{"url":"https://photos.example.org/x/{revision}.jpg"}}]}}"#
            )
        };
        assert_eq!(wrong(&IN_ORDER, &[arrival(1, 1, &photos(7)), arrival(2, 1, &photos(4))]).len(), 1);
        assert!(wrong(&IN_ORDER, &[arrival(1, 1, &photos(4)), arrival(2, 1, &photos(7))]).is_empty());
        let name = format!("aurora-villa-0001 {}", ours(1));
        let body = json!({ "internalListingName": name, "description": "Edition 3." });
        let mut creation = arrival(1, 1, &body.to_string());
        (creation.purpose, creation.path) = ("create".to_owned(), "/v1/listings".to_owned());
        assert_eq!(wrong(&IN_ORDER, &[creation.clone(), arrival(2, 1, &text(2))]).len(), 1);
        assert!(wrong(&IN_ORDER, &[creation, arrival(2, 1, &text(3)), arrival(3, 1, &text(4))]).is_empty());
    }

    #[test]
    fn a_step_back_of_nights_is_seen_beside_rates_that_did_not_change() {
        // Each of the first ten nights is free where its bit of the revision is set.
        let nights = |revision: u64| {
            let rows: Vec<Value> = (0..10)
                .map(|place| {
                    let night = format!("2031-03-{:02}", place + 1);
                    json!({ "startDate": &night, "endDate": &night, "isAvailable": (revision >> place) & 1, "price": 10_000.01 })
                })
                .collect();
            let put = arrival(revision, 1, &json!(rows).to_string());
            Arrival { purpose: "calendar_put".to_owned(), path: "/v1/listings/1/calendarIntervals".to_owned(), ..put }
        };
        let asked = [(0, 1), (0, 3), (0, 7), (0, 12)];
        assert!(wrong(&asked, &[nights(3), nights(3), nights(12)]).is_empty());
        let wrong = wrong(&asked, &[nights(3), nights(12), nights(7)]);
        assert!(wrong.len() == 1 && wrong[0].starts_with("availability of listing "), "{wrong:?}");
    }
}
