//! Units whose sections tell which revision last changed them, so that an arrival at the channel shows what it carries.

use demo::villas::small_villa;
use serde_json::{Value, json};

/// A part of a unit that a revision changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// Its description: content.
    Text,
    /// The price of some nights: rates.
    Price,
    /// Which nights are free: availability.
    Nights,
    /// One photo more: images.
    Photo,
}

impl Change {
    /// All of them, nights twice: they change most.
    pub const ALL: [Self; 5] = [Self::Text, Self::Price, Self::Nights, Self::Nights, Self::Photo];
}

/// What the prices of marked nights begin at, in minor units; the base price is below.
const MARKED: u64 = 1_000_000;
const PHOTOS: usize = 6;

/// The sections of which calls tell a revision.
pub const CONTENT: &str = "content";
/// The same.
pub const IMAGES: &str = "photos";
/// The same.
pub const RATES: &str = "rates";
/// The same.
pub const AVAILABILITY: &str = "availability";

/// So many nights, the first of the calendar, tell the revision that changed them last: each is free where its bit is set. No
/// unit of a run comes to a revision of so many bits.
const NIGHTS: usize = 10;

/// One of them.
fn night(place: usize) -> String {
    format!("2031-03-{:02}", place + 1)
}

/// A unit as its publisher knows it.
#[derive(Debug, Clone)]
pub struct Unit {
    org: &'static str,
    unit_id: String,
    /// Its newest revision; 0 before the first.
    pub revision: u64,
    text: u64,
    price: u64,
    nights: u64,
    photos: Vec<u64>,
    /// What each of its revisions tells.
    past: Vec<Told>,
}

/// Which revision changed each section last, as far as calls tell it; photos once there are some of a revision.
pub type Told = [(&'static str, Option<u64>); 4];

impl Unit {
    /// One that was never published.
    pub fn new(org: &'static str, unit_id: String) -> Self {
        Self { org, unit_id, revision: 0, text: 1, price: 1, nights: 1, photos: Vec::new(), past: Vec::new() }
    }

    /// Its next revision.
    pub fn change(&mut self, change: Change) {
        self.revision += 1;
        match change {
            Change::Text => self.text = self.revision,
            Change::Price => self.price = self.revision,
            Change::Nights => self.nights = self.revision,
            Change::Photo => {
                self.photos.push(self.revision);
                let over = self.photos.len().saturating_sub(PHOTOS);
                self.photos.drain(..over);
            }
        }
        self.past.push([
            (CONTENT, Some(self.text)),
            (IMAGES, self.photos.last().copied()),
            (RATES, Some(self.price)),
            (AVAILABILITY, Some(self.nights)),
        ]);
    }

    /// What a revision of it tells; `None` where there is none.
    pub fn told_by(&self, revision: u64) -> Option<Told> {
        let place = usize::try_from(revision.checked_sub(1)?).ok()?;
        self.past.get(place).copied()
    }

    /// The message of its newest revision.
    pub fn body(&self) -> Value {
        let mut body = small_villa(self.org, &self.unit_id, 1);
        body["revision"] = json!(self.revision);
        let unit = &mut body["unit"];
        unit["description"]["en"] = json!(format!("Edition {}. A house of {}.", self.text, self.org));
        unit["calendar"][2]["nightly_price"] = json!(MARKED + self.price);
        let marked = (0..NIGHTS).map(|place| {
            let (night, free) = (night(place), (self.nights >> place) & 1 == 1);
            json!({ "first_night": &night, "last_night": &night, "available": free })
        });
        // They are the nights of its first range.
        let rest = unit["calendar"].as_array().into_iter().flatten().skip(1).cloned();
        let calendar: Value = marked.chain(rest).collect();
        unit["calendar"] = calendar;
        for revision in &self.photos {
            let url = format!("https://photos.example.org/{}/{revision}.jpg", self.unit_id);
            unit["photos"].as_array_mut().into_iter().for_each(|photos| photos.push(json!({ "url": url })));
        }
        body
    }
}

/// The revision that last changed the content that a call carries.
pub fn text_of(body: &Value) -> Option<u64> {
    let text = body["description"].as_str()?.strip_prefix("Edition ")?;
    text.split('.').next()?.parse().ok()
}

/// The revision that last changed the photos that a call carries; `None` where none was ever added.
pub fn photo_of(body: &Value) -> Option<u64> {
    let urls = body["listingImages"].as_array()?.iter().filter_map(|photo| photo["url"].as_str());
    urls.filter_map(|url| url.rsplit('/').next()?.strip_suffix(".jpg")?.parse().ok()).max()
}

/// Minor units of a price that is written in major ones: `100`, `100.0`, `100.01`.
fn minor(price: &Value) -> Option<u64> {
    let text = price.to_string();
    let (major, cents) = text.split_once('.').unwrap_or((&text, ""));
    format!("{major}{cents:0<2}").parse().ok()
}

/// The revision that last changed which nights are free, of a call that carries all of those that tell it.
pub fn nights_of(body: &Value) -> Option<u64> {
    let intervals = body.as_array().map_or(std::slice::from_ref(body), Vec::as_slice);
    let is_free = |night: &str| {
        let covers = |interval: &&Value| {
            let (first, last) = (interval["startDate"].as_str(), interval["endDate"].as_str());
            first.is_some_and(|first| first <= night) && last.is_some_and(|last| night <= last)
        };
        intervals.iter().find(covers)?["isAvailable"].as_u64()
    };
    (0..NIGHTS).try_fold(0, |revision, place| Some(revision | (is_free(&night(place))? << place)))
}

/// The revision that last changed the rates that a call carries.
pub fn price_of(body: &Value) -> Option<u64> {
    match body {
        Value::Object(fields) => {
            let own = fields.get("price").and_then(minor).and_then(|minor| minor.checked_sub(MARKED));
            fields.values().filter_map(price_of).chain(own).max()
        }
        Value::Array(items) => items.iter().filter_map(price_of).max(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use domain::channel::{ChannelKind, Section};
    use domain::ids::{ListingId, TargetId};
    use domain::mapping::map;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_unit_tells_what_changed_its_sections_last() {
        let mut unit = Unit::new("aurora", "aurora-villa-0001".to_owned());
        for change in [Change::Text, Change::Nights, Change::Price, Change::Text, Change::Photo] {
            unit.change(change);
        }
        let body = unit.body();
        assert_eq!(body["revision"], 5);
        let told = |revision| unit.told_by(revision).map(|told| told.map(|(_, revision)| revision));
        assert_eq!(told(3), Some([Some(1), None, Some(3), Some(2)]));
        assert_eq!((told(5), told(0), told(6)), (Some([Some(4), Some(5), Some(3), Some(2)]), None, None));
        let known = domain::unit::parse(body.to_string().as_bytes()).expect("it is a unit");
        let listing = ListingId::of(TargetId(Uuid::nil()), &known.unit_id);
        let payload = map(ChannelKind::Hostaway, &known, &listing);
        let [availability, rates] = [Section::Availability, Section::Rates].map(|one| &payload.sections[&one].body);
        assert_eq!((nights_of(availability), nights_of(rates)), (Some(2), None));
        let mut both = availability.clone();
        for interval in both.as_array_mut().into_iter().flatten() {
            interval["price"] = json!(120);
        }
        assert_eq!(nights_of(&both), Some(2));
        assert_eq!(nights_of(&availability[0]), None, "a part of them tells nothing");
        assert_eq!(text_of(&json!({ "description": body["unit"]["description"]["en"] })), Some(4));
        assert_eq!(price_of(&json!([{ "price": 100.01 }, { "price": 10_000.03 }])), Some(3));
        assert_eq!(body["unit"]["photos"].as_array().map(Vec::len), Some(2));
        assert_eq!(photo_of(&json!({ "listingImages": body["unit"]["photos"] })), Some(5));
        assert_eq!(photo_of(&json!({ "listingImages": [{ "url": "https://photos.example.org/x/pool.jpg" }] })), None);
    }
}
