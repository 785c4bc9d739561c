//! What arrives at a listing never goes back to an older revision of its unit.

use std::collections::HashMap;

use serde_json::Value;

use super::arrivals::Arrival;
use crate::unit::{price_of, text_of};

pub(super) fn check(arrivals: &[Arrival]) -> Vec<String> {
    let mut newest: HashMap<(u64, &str, &str), (u64, u64)> = HashMap::new();
    let mut wrong = Vec::new();
    for arrival in arrivals {
        let (Some(account), Some(body)) = (arrival.account, &arrival.body) else { continue };
        let Ok(body) = serde_json::from_str::<Value>(body) else { continue };
        let (section, revision) = match arrival.purpose.as_str() {
            "content_put" => ("content", text_of(&body)),
            "calendar_put" => ("rates", price_of(&body)),
            _ => continue,
        };
        let listing = arrival.path.split('/').nth(3).unwrap_or_default();
        let Some(revision) = revision else { continue };
        let (before, at_us) = newest.entry((account, listing, section)).or_insert((revision, arrival.at_us));
        if revision < *before {
            wrong.push(format!(
                "{section} of listing {listing} of account {account}: {revision} at {} ({}) after {before} at {at_us}",
                arrival.at_us, arrival.ip
            ));
        }
        (*before, *at_us) = (revision, arrival.at_us);
    }
    wrong
}

#[cfg(test)]
mod tests {
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
}
