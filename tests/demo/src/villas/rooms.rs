//! What is in a villa: beds that fit its guests, amenities, and photos of them.

use rand::Rng as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use super::place::Region;
use super::{one_of, some};

/// What no villa here goes without.
const ALWAYS: [&str; 4] = ["wifi", "kitchen", "essentials", "hot_water"];

/// No two of these mean one thing at a channel.
pub(super) const AMENITIES: [&str; 40] = [
    "pool",
    "air_conditioning",
    "free_parking",
    "garden",
    "tv",
    "bbq",
    "dishwasher",
    "coffee_maker",
    "hair_dryer",
    "iron",
    "bed_linens",
    "towels",
    "washer",
    "terrace",
    "sun_loungers",
    "outdoor_shower",
    "outdoor_furniture",
    "patio",
    "high_chair",
    "crib",
    "first_aid_kit",
    "smoke_detector",
    "fire_extinguisher",
    "ceiling_fan",
    "safe",
    "fridge",
    "oven",
    "microwave",
    "kettle",
    "wine_glasses",
    "sound_system",
    "board_games",
    "books",
    "bicycles",
    "workspace",
    "private_entrance",
    "self_check_in",
    "hammock",
    "bathtub",
    "ev_charger",
];

const IN_EUROPE: [&str; 4] = ["heating", "fireplace", "ping_pong_table", "mountain_view"];
const IN_ASIA: [&str; 4] = ["mosquito_net", "breakfast", "concierge", "sea_view"];

/// What photos show: a word for the file, and captions in English and German.
const SHOTS: [(&str, &str, &str); 14] = [
    ("pool", "The pool at dusk", "Der Pool am Abend"),
    ("terrace", "Breakfast on the terrace", "Frühstück auf der Terrasse"),
    ("living-room", "The living room opens to the garden", "Das Wohnzimmer öffnet sich zum Garten"),
    ("kitchen", "A kitchen for cooks", "Eine Küche zum Kochen"),
    ("master-bedroom", "Master bedroom", "Das große Schlafzimmer"),
    ("second-bedroom", "Second bedroom", "Das zweite Schlafzimmer"),
    ("bathroom", "Bathroom with daylight", "Bad mit Tageslicht"),
    ("garden", "The garden in the morning", "Der Garten am Morgen"),
    ("view", "The view from upstairs", "Der Blick von oben"),
    ("dining", "Room for everyone at one table", "Alle an einem Tisch"),
    ("entrance", "The way in", "Der Eingang"),
    ("street", "Coming home", "Die Ankunft"),
    ("detail", "Made nearby", "Aus der Nachbarschaft"),
    ("night", "The house at night", "Das Haus bei Nacht"),
];

/// Every guest has a place to sleep; children's rooms have two beds.
pub(super) fn beds(bedrooms: u32, guests: u32, rng: &mut StdRng) -> Value {
    let large = one_of(&["king", "queen", "double"], rng);
    let twin_rooms = if bedrooms > 2 { rng.random_range(1..=2) } else { 0 };
    let mut beds = vec![json!({ "type": large, "quantity": bedrooms - twin_rooms })];
    if twin_rooms > 0 {
        beds.push(json!({ "type": "single", "quantity": twin_rooms * 2 }));
    }
    if guests > bedrooms * 2 {
        beds.push(json!({ "type": "sofa_bed", "quantity": 1 }));
    }
    Value::Array(beds)
}

/// 8 to 20 codes.
pub(super) fn amenities(region: Region, rng: &mut StdRng) -> Vec<&'static str> {
    let of_the_place = match region {
        Region::Europe => IN_EUROPE,
        Region::Asia => IN_ASIA,
    };
    let mut codes = ALWAYS.to_vec();
    codes.extend(some(&of_the_place, rng.random_range(1..=3), rng));
    let more = rng.random_range(3..=13);
    codes.extend(some(&AMENITIES, more, rng));
    codes
}

/// 8 to 14 photos, the pool first.
pub(super) fn photos(unit_id: &str, rng: &mut StdRng) -> Vec<Value> {
    let more = rng.random_range(7..=13);
    let shots = [0].into_iter().chain(some(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13], more, rng));
    shots.enumerate().map(|(place, shot)| photo(unit_id, place + 1, shot)).collect()
}

/// One photo: its number names the file, `shot` (taken round the list) what it shows.
pub(super) fn photo(unit_id: &str, number: usize, shot: usize) -> Value {
    let (word, english, german) = SHOTS[shot % SHOTS.len()];
    let url = format!("https://photos.example.org/{unit_id}/{number:02}-{word}.jpg");
    json!({ "url": url, "captions": { "en": english, "de": german } })
}
