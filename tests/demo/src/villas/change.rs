//! What happens to a villa: bookings, prices, texts, photos. Each change raises the revision and, but for the internal
//! note, alters what the channel must show.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};

use super::calendar::{Night, nights, set_nights};
use super::one_of;
use super::rooms::{AMENITIES, photo};

/// A kind of change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Change {
    /// Free nights are taken.
    Booking,
    /// Taken nights become free.
    Cancellation,
    /// Some weeks get another price.
    SeasonPrice,
    /// The base price and the cleaning fee.
    BasePrice,
    /// Some weeks get another minimum stay.
    MinimumStay,
    /// A sentence more, or less, in the description.
    Description,
    /// One photo more.
    Photo,
    /// One amenity more, or less.
    Amenity,
    /// A field that no channel gets: what is sent does not change.
    InternalNote,
}

/// As often as they happen.
const LIVELY: [Change; 10] = [
    Change::Booking,
    Change::Booking,
    Change::Booking,
    Change::SeasonPrice,
    Change::SeasonPrice,
    Change::Cancellation,
    Change::MinimumStay,
    Change::Description,
    Change::Photo,
    Change::Amenity,
];

const SENTENCES: [&str; 4] = [
    "New this year: the outdoor kitchen has a pizza oven.",
    "The pool was retiled in spring and is heated on request.",
    "Two bicycles stand in the shed, helmets included.",
    "There is a charger for electric cars at the gate.",
];

impl Change {
    /// One of those that reach the channel, as often as they happen.
    pub fn any(seed: u64) -> Self {
        one_of(&LIVELY, &mut StdRng::seed_from_u64(seed))
    }

    /// Changes a body, raises its revision by one, and says in words what happened.
    pub fn apply(self, body: &mut Value, seed: u64) -> String {
        let rng = &mut StdRng::seed_from_u64(seed ^ 0x5eed);
        let revision = body["revision"].as_u64().unwrap_or_default() + 1;
        body["revision"] = json!(revision);
        match self {
            Self::Booking => set_available(body, false, rng),
            Self::Cancellation => set_available(body, true, rng),
            Self::SeasonPrice => season_price(body, rng),
            Self::BasePrice => base_price(body),
            Self::MinimumStay => minimum_stay(body, rng),
            Self::Description => description(body, rng),
            Self::Photo => more_photos(body, rng),
            Self::Amenity => amenity(body, rng),
            Self::InternalNote => {
                body["unit"]["internal"] = json!({ "note": format!("seen by the housekeeper, revision {revision}") });
                "internal note, nothing for the channel".to_owned()
            }
        }
    }
}

/// Three to nine nights in a row whose availability is the other one; a base price where there are none.
fn set_available(body: &mut Value, available: bool, rng: &mut StdRng) -> String {
    let mut year = nights(body);
    let starts: Vec<usize> = (0..year.len()).filter(|at| year[*at].available != available).collect();
    let Some(start) = starts.choose(rng).copied() else { return base_price(body) };
    let wanted = rng.random_range(3..=9);
    let mut end = start;
    while end < year.len() && end - start < wanted && year[end].available != available {
        year[end].available = available;
        end += 1;
    }
    set_nights(body, &year);
    let what = if available { "cancelled" } else { "booked" };
    format!("{what}: {} nights from {}", end - start, year[start].date)
}

/// Some weeks of the calendar; `None` for a unit without one.
fn weeks<'a>(year: &'a mut [Night], rng: &mut StdRng) -> Option<&'a mut [Night]> {
    let start = rng.random_range(0..year.len().checked_sub(14)?.max(1));
    let end = (start + rng.random_range(14..=28)).min(year.len());
    Some(&mut year[start..end])
}

fn season_price(body: &mut Value, rng: &mut StdRng) -> String {
    let base = body["unit"]["prices"]["nightly"].as_i64().unwrap_or(10_000);
    let percent = one_of(&[85, 90, 95, 106, 112, 120], rng);
    let mut year = nights(body);
    let Some(weeks) = weeks(&mut year, rng) else { return base_price(body) };
    for night in weeks.iter_mut() {
        night.price = Some((night.price.unwrap_or(base) * percent / 100).max(1));
    }
    let words = format!("price {:+} % for {} nights from {}", percent - 100, weeks.len(), weeks[0].date);
    set_nights(body, &year);
    words
}

fn base_price(body: &mut Value) -> String {
    let prices = &mut body["unit"]["prices"];
    for field in ["nightly", "cleaning_fee"] {
        if let Some(minor) = prices[field].as_i64() {
            prices[field] = json!(minor + (minor / 20).max(1));
        }
    }
    "base price and cleaning fee +5 %".to_owned()
}

fn minimum_stay(body: &mut Value, rng: &mut StdRng) -> String {
    let own = body["unit"]["stay_limits"]["minimum_nights"].as_i64().unwrap_or(1);
    let mut year = nights(body);
    let Some(weeks) = weeks(&mut year, rng) else { return base_price(body) };
    // Between 2 and 8, and never what the first of these nights has.
    let nights = 2 + (weeks[0].minimum_stay.unwrap_or(own) - 1).rem_euclid(7);
    for night in weeks.iter_mut() {
        night.minimum_stay = Some(nights);
    }
    let words = format!("minimum stay {nights} for {} nights from {}", weeks.len(), weeks[0].date);
    set_nights(body, &year);
    words
}

fn description(body: &mut Value, rng: &mut StdRng) -> String {
    let sentence = one_of(&SENTENCES, rng);
    let text = body["unit"]["description"]["en"].as_str().unwrap_or_default();
    let addition = format!("\n\n{sentence}");
    let (text, words) = if text.contains(&addition) {
        (text.replace(&addition, ""), "description: a sentence less")
    } else {
        (format!("{text}{addition}"), "description: a sentence more")
    };
    body["unit"]["description"]["en"] = json!(text);
    words.to_owned()
}

/// The new one goes in second place, so that the order of the others changes too.
fn more_photos(body: &mut Value, rng: &mut StdRng) -> String {
    let unit_id = body["unit_id"].as_str().unwrap_or_default().to_owned();
    let revision = body["revision"].as_u64().unwrap_or_default();
    let photos = body["unit"]["photos"].as_array_mut().expect("a unit of the contract has photos");
    let mut new = photo(&unit_id, photos.len() + 1, rng.random_range(0..14));
    new["url"] = json!(format!("https://photos.example.org/{unit_id}/r{revision}-new.jpg"));
    photos.insert(photos.len().min(1), new);
    if photos.len() > 20 {
        photos.pop();
    }
    format!("photo added, {} in all", photos.len())
}

fn amenity(body: &mut Value, rng: &mut StdRng) -> String {
    let code = one_of(&AMENITIES, rng);
    let codes = body["unit"]["amenities"].as_array_mut().expect("a unit of the contract has amenities");
    match codes.iter().position(|known| known == code) {
        // One always stays: without any, nothing would be sent for them.
        Some(at) if codes.len() > 1 => {
            codes.remove(at);
            format!("amenity gone: {code}")
        }
        _ => {
            codes.push(json!(code));
            format!("amenity new: {code}")
        }
    }
}
