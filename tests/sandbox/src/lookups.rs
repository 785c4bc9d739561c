//! The static lookup tables (amenities, property and bed types, countries, ...): served as they stand in `data/` and
//! used to validate listings. Ids are the sandbox's own: the real ones are only shown to an authorised account.

use std::{
    collections::{HashMap, HashSet},
    sync::LazyLock,
};

use serde::Deserialize;
use serde_json::{Map, Value};

pub const AMENITIES: &str = include_str!("../data/amenities.json");
pub const PROPERTY_TYPES: &str = include_str!("../data/property-types.json");
pub const BED_TYPES: &str = include_str!("../data/bed-types.json");
pub const CANCELLATION_POLICIES: &str = include_str!("../data/cancellation-policies.json");
pub const CURRENCIES: &str = include_str!("../data/currencies.json");
pub const COUNTRIES: &str = include_str!("../data/countries.json");
pub const TIMEZONES: &str = include_str!("../data/timezones.json");
pub const LANGUAGES: &str = include_str!("../data/languages.json");

#[derive(Deserialize)]
struct Row {
    id: u64,
}

/// The tables as validation needs them.
pub struct Tables {
    pub amenities: HashSet<u64>,
    pub property_types: HashSet<u64>,
    pub bed_types: HashSet<u64>,
    pub currencies: HashSet<String>,
    pub timezones: HashSet<String>,
    pub countries: HashMap<String, String>,
}

static TABLES: LazyLock<Tables> = LazyLock::new(|| Tables {
    amenities: ids(AMENITIES),
    property_types: ids(PROPERTY_TYPES),
    bed_types: ids(BED_TYPES),
    currencies: keys(CURRENCIES),
    timezones: keys(TIMEZONES),
    countries: serde_json::from_str(COUNTRIES).expect("data/countries.json maps codes to names"),
});

pub fn tables() -> &'static Tables {
    &TABLES
}

fn ids(text: &str) -> HashSet<u64> {
    let rows: Vec<Row> = serde_json::from_str(text).expect("data files hold rows with an id");
    rows.into_iter().map(|row| row.id).collect()
}

fn keys(text: &str) -> HashSet<String> {
    let map: Map<String, Value> = serde_json::from_str(text).expect("data files hold maps");
    map.into_iter().map(|(key, _)| key).collect()
}
