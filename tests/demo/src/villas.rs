//! About two hundred villas that never were, each made from its number alone: the same number, revision and day give
//! the same villa. Every body satisfies the unit contract (`nats/schemas/unit-changed.v1.json`).

pub mod calendar;
mod change;
mod place;
mod rooms;
mod small;
mod text;

use std::collections::HashMap;

use chrono::NaiveDate;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};

pub use change::Change;
pub use place::Region;
pub use small::small_villa;

use place::Place;

/// The organisation that lets the villas.
pub const ORG: &str = "tvl";
/// Its account.
pub const ACCOUNT: &str = "villas";

/// The unit of a villa: `villa-001` is number 0.
pub fn unit_id(index: usize) -> String {
    format!("villa-{:03}", index + 1)
}

/// The demo's own villas among the units that the service knows, in order: organisations and units may be added to a
/// running demo. An element for each villa that is known.
pub fn own(units: Vec<Value>, villas: usize) -> Vec<Value> {
    let is_ours = |body: &Value| body["org_id"] == ORG;
    let mut known: HashMap<String, Value> = units
        .into_iter()
        .filter(is_ours)
        .filter_map(|body| Some((body["unit_id"].as_str()?.to_owned(), body)))
        .collect();
    (0..villas).filter_map(|villa| known.remove(&unit_id(villa))).collect()
}

/// The part of the world that a villa stands in.
pub fn region(index: usize) -> Region {
    Place::of(index).region
}

/// The body of a villa's `unit.changed` message, with a calendar of 365 nights from `today`. Revision 1 is the villa as
/// it was built, and each later one has one change more.
pub fn villa(index: usize, revision: u64, today: NaiveDate) -> Value {
    let mut body = built(index, today);
    for number in 2..=revision {
        let seed = seed(index, number);
        Change::any(seed).apply(&mut body, seed);
    }
    body
}

/// The randomness of one revision of one villa.
fn seed(index: usize, revision: u64) -> u64 {
    (index as u64) << 32 | revision
}

fn built(index: usize, today: NaiveDate) -> Value {
    let place = Place::of(index);
    let rng = &mut StdRng::seed_from_u64(seed(index, 1));
    let unit_id = unit_id(index);
    let name = place.villa_name(index, rng);
    let bedrooms: u32 = one_of(&[2, 2, 3, 3, 3, 4, 4, 5, 6, 8], rng);
    let guests = bedrooms * 2 + rng.random_range(0..=1);
    let style = text::Style::of(place, &name, bedrooms, rng);
    let nightly = place.nightly_minor(bedrooms, rng);
    let (town, postal_code) = place.town(rng);
    let calendar = calendar::built(place, nightly, today, rng);
    let unit = json!({
        "name": style.names(),
        "summary": style.summary(),
        "description": style.description(rng),
        "default_locale": "en",
        "property_type": place.property_type(rng),
        "room_type": "entire_home",
        "capacity": {
            "guests": guests,
            "bedrooms": bedrooms,
            "bathrooms": rng.random_range(bedrooms.div_ceil(2)..=bedrooms + 1),
            "beds": rooms::beds(bedrooms, guests, rng),
        },
        "address": {
            "street": place.street(rng),
            "city": town,
            "state": place.state,
            "postal_code": postal_code,
            "country": place.country,
        },
        "coordinates": place.coordinates(rng),
        "time_zone": place.time_zone,
        "check_in": { "from": one_of(&["14:00", "15:00", "16:00"], rng), "until": one_of(&["20:00", "22:00"], rng) },
        "check_out": { "until": one_of(&["10:00", "11:00", "12:00"], rng) },
        "amenities": rooms::amenities(place.region, rng),
        "photos": rooms::photos(&unit_id, rng),
        "prices": prices(place, nightly, guests, rng),
        "stay_limits": { "minimum_nights": rng.random_range(2..=4), "maximum_nights": one_of(&[28, 60, 90], rng) },
        "cancellation_policy": one_of(&["flexible", "moderate", "moderate", "firm", "strict"], rng),
        "house_rules": style.house_rules(rng),
        "calendar": calendar,
    });
    json!({ "org_id": ORG, "account_id": ACCOUNT, "unit_id": unit_id, "revision": 1, "unit": unit })
}

fn prices(place: &Place, nightly: i64, guests: u32, rng: &mut StdRng) -> Value {
    let mut prices = json!({
        "currency": place.currency,
        "nightly": nightly,
        "cleaning_fee": place.rounded(nightly * rng.random_range(20..=60) / 100),
        "weekly_discount_percent": one_of(&[0.0, 5.0, 7.5, 10.0], rng),
        "monthly_discount_percent": one_of(&[12.0, 15.0, 22.5], rng),
    });
    if rng.random_bool(0.5) {
        prices["extra_guest_fee"] = json!(place.rounded(nightly * rng.random_range(4..=12) / 100));
        prices["guests_included"] = json!(guests - 2);
    }
    prices
}

fn one_of<T: Copy>(items: &[T], rng: &mut StdRng) -> T {
    *items.choose(rng).expect("something to choose from")
}

/// `count` of the items in a random order.
fn some<T: Copy>(items: &[T], count: usize, rng: &mut StdRng) -> Vec<T> {
    let mut items = items.to_vec();
    items.shuffle(rng);
    items.truncate(count);
    items
}
