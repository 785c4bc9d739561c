//! What arrives at a listing never goes back to an older revision of its unit: its content, its photos, its rates, its nights.

use std::collections::HashMap;

use serde_json::Value;

use super::arrivals::Arrival;
use crate::unit::{nights_of, photo_of, price_of, text_of};

/// The revision that an arrival carried last, and when.
type Seen = (u64, u64);

pub(super) fn check(arrivals: &[Arrival]) -> Vec<String> {
    let mut newest: HashMap<(u64, String, &str), Seen> = HashMap::new();
    // A creation has no listing yet, but the name by which it is known from its next call on.
    let mut created: HashMap<(u64, String, &str), Seen> = HashMap::new();
    let mut wrong = Vec::new();
    for arrival in arrivals {
        let (Some(account), Some(body)) = (arrival.account, &arrival.body) else { continue };
        let Ok(body) = serde_json::from_str::<Value>(body) else { continue };
        let listing = arrival.path.split('/').nth(3).unwrap_or_default();
        let name = body["internalListingName"].as_str().unwrap_or_default();
        for (section, revision) in carried(&arrival.purpose, &body) {
            let Some(revision) = revision else { continue };
            let seen = (revision, arrival.at_us);
            if arrival.purpose == "create" {
                created.insert((account, name.to_owned(), section), seen);
                continue;
            }
            let first = created.remove(&(account, name.to_owned(), section)).unwrap_or(seen);
            let last = newest.entry((account, listing.to_owned(), section)).or_insert(first);
            let (before, at_us) = std::mem::replace(last, seen);
            if revision < before {
                wrong.push(format!(
                    "{section} of listing {listing} of account {account}: {revision} at {} ({}) after {before} at {at_us}",
                    arrival.at_us, arrival.ip
                ));
            }
        }
    }
    wrong
}

/// The sections that a call carries, each with the revision that changed it last, where that can be told.
fn carried(purpose: &str, body: &Value) -> Vec<(&'static str, Option<u64>)> {
    match purpose {
        "create" | "content_put" => vec![("content", text_of(body)), ("photos", photo_of(body))],
        "calendar_put" => vec![("rates", price_of(body)), ("availability", nights_of(body))],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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

    #[test]
    fn a_step_back_at_one_listing_is_seen_and_none_between_two() {
        let text = |edition: u64| format!(r#"{{"description":"Edition {edition}. A house."}}"#);
        let fine = [arrival(1, 1, &text(2)), arrival(2, 2, &text(1)), arrival(3, 1, &text(2)), arrival(4, 1, &text(3))];
        assert!(check(&fine).is_empty());
        let back = [arrival(1, 1, &text(2)), arrival(2, 1, &text(1))];
        assert_eq!(check(&back).len(), 1);
    }

    #[test]
    fn a_step_back_of_photos_and_from_a_creation_is_seen() {
        let photos = |revision: u64| {
            format!(
                r#"{{"listingImages":[{{"url":"https://photos.example.org/x/pool.jpg"}},{{"url":"https://photos.example.org/x/{revision}.jpg"}}]}}"#
            )
        };
        assert_eq!(check(&[arrival(1, 1, &photos(7)), arrival(2, 1, &photos(4))]).len(), 1);
        assert!(check(&[arrival(1, 1, &photos(4)), arrival(2, 1, &photos(7))]).is_empty());
        let named = |edition: u64| format!(r#"{{"internalListingName":"x","description":"Edition {edition}."}}"#);
        let mut creation = arrival(1, 1, &named(3));
        (creation.purpose, creation.path) = ("create".to_owned(), "/v1/listings".to_owned());
        assert_eq!(check(&[creation.clone(), arrival(2, 1, &named(2))]).len(), 1);
        assert!(check(&[creation, arrival(2, 1, &named(3)), arrival(3, 1, &named(4))]).is_empty());
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
        assert!(check(&[nights(3), nights(3), nights(12)]).is_empty());
        let wrong = check(&[nights(3), nights(12), nights(7)]);
        assert!(wrong.len() == 1 && wrong[0].starts_with("availability of listing 1"), "{wrong:?}");
    }
}
