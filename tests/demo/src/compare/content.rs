//! Texts, capacity, address, prices, rules, amenities, beds and photos of a listing.

use std::collections::{BTreeMap, BTreeSet};

use domain::mapping::hostaway::tables::{AMENITIES, BED_TYPES, PROPERTY_TYPES, Row, find};
use serde_json::{Value, json};

use super::{Comparison, major};

impl Comparison<'_> {
    pub(super) fn content(&mut self, listing: &Value) {
        self.texts(listing);
        self.capacity(listing);
        self.place(listing);
        self.prices(listing);
        self.rules(listing);
        self.photos(&listing["listingImages"]);
    }

    /// The text in the unit's default locale.
    fn text(&self, field: &str) -> Value {
        let locale = self.unit["default_locale"].as_str().unwrap_or_default();
        self.unit[field][locale].clone()
    }

    fn texts(&mut self, listing: &Value) {
        for field in ["name", "externalListingName"] {
            self.same(field, self.text("name"), &listing[field]);
        }
        self.same("description", self.text("description"), &listing["description"]);
        self.same("airbnbSummary", self.text("summary"), &listing["airbnbSummary"]);
        self.same("houseRules", self.text("house_rules"), &listing["houseRules"]);
    }

    fn capacity(&mut self, listing: &Value) {
        let capacity = &self.unit["capacity"];
        self.same("propertyTypeId", id(PROPERTY_TYPES, &self.unit["property_type"]), &listing["propertyTypeId"]);
        self.same("roomType", self.unit["room_type"].clone(), &listing["roomType"]);
        self.same("personCapacity", capacity["guests"].clone(), &listing["personCapacity"]);
        self.same("bedroomsNumber", capacity["bedrooms"].clone(), &listing["bedroomsNumber"]);
        self.same("bathroomsNumber", capacity["bathrooms"].clone(), &listing["bathroomsNumber"]);
        let beds = rows(&capacity["beds"]);
        let count: u64 = beds.iter().filter_map(|bed| bed["quantity"].as_u64()).sum();
        self.same("bedsNumber", count, &listing["bedsNumber"]);
        let mut wanted: BTreeMap<u64, u64> = BTreeMap::new();
        for bed in beds {
            *wanted.entry(id(BED_TYPES, &bed["type"])).or_default() += bed["quantity"].as_u64().unwrap_or_default();
        }
        let found = rows(&listing["listingBedTypes"]).iter();
        let found: BTreeMap<u64, u64> =
            found.map(|row| (number(&row["bedTypeId"]), number(&row["quantity"]))).collect();
        if wanted != found {
            self.differs("listingBedTypes", json!(wanted), json!(found));
        }
        let wanted: BTreeSet<u64> = rows(&self.unit["amenities"]).iter().map(|code| id(AMENITIES, code)).collect();
        let found: Vec<u64> = rows(&listing["listingAmenities"]).iter().map(|row| number(&row["amenityId"])).collect();
        // A set here: its order says nothing, a repeat would.
        if found.len() != wanted.len() || found.iter().copied().collect::<BTreeSet<u64>>() != wanted {
            self.differs("listingAmenities", json!(wanted), json!(found));
        }
    }

    fn place(&mut self, listing: &Value) {
        let address = &self.unit["address"];
        let fields = [
            ("street", "street"),
            ("city", "city"),
            ("state", "state"),
            ("zipcode", "postal_code"),
            ("countryCode", "country"),
        ];
        for (theirs, ours) in fields {
            self.same(theirs, address[ours].clone(), &listing[theirs]);
        }
        let line = listing["address"].as_str().unwrap_or_default();
        for part in ["street", "city", "country"] {
            if !line.contains(address[part].as_str().unwrap_or_default()) {
                self.differs("address", address[part].clone(), listing["address"].clone());
            }
        }
        self.same("lat", self.unit["coordinates"]["latitude"].clone(), &listing["lat"]);
        self.same("lng", self.unit["coordinates"]["longitude"].clone(), &listing["lng"]);
        self.same("timeZoneName", self.unit["time_zone"].clone(), &listing["timeZoneName"]);
    }

    fn prices(&mut self, listing: &Value) {
        let prices = &self.unit["prices"];
        let fee = |minor: &Value| if minor.is_null() { json!(0) } else { major(minor) };
        let factor = |percent: &Value| 1.0 - percent.as_f64().unwrap_or_default() / 100.0;
        self.same("currencyCode", prices["currency"].clone(), &listing["currencyCode"]);
        self.same("price", major(&prices["nightly"]), &listing["price"]);
        self.same("cleaningFee", fee(&prices["cleaning_fee"]), &listing["cleaningFee"]);
        self.same("priceForExtraPerson", fee(&prices["extra_guest_fee"]), &listing["priceForExtraPerson"]);
        self.same("weeklyDiscount", factor(&prices["weekly_discount_percent"]), &listing["weeklyDiscount"]);
        self.same("monthlyDiscount", factor(&prices["monthly_discount_percent"]), &listing["monthlyDiscount"]);
        let included = match &prices["guests_included"] {
            Value::Null => &self.unit["capacity"]["guests"],
            guests => guests,
        };
        self.same("guestsIncluded", included.clone(), &listing["guestsIncluded"]);
    }

    /// The villas' times are whole hours, which is all that Hostaway takes.
    fn rules(&mut self, listing: &Value) {
        let hour = |time: &Value| {
            time.as_str().and_then(|time| time.get(..2)?.parse::<u8>().ok()).map_or(Value::Null, Value::from)
        };
        self.same("checkInTimeStart", hour(&self.unit["check_in"]["from"]), &listing["checkInTimeStart"]);
        if !self.unit["check_in"]["until"].is_null() {
            self.same("checkInTimeEnd", hour(&self.unit["check_in"]["until"]), &listing["checkInTimeEnd"]);
        }
        self.same("checkOutTime", hour(&self.unit["check_out"]["until"]), &listing["checkOutTime"]);
        self.same("minNights", self.unit["stay_limits"]["minimum_nights"].clone(), &listing["minNights"]);
        self.same("maxNights", self.unit["stay_limits"]["maximum_nights"].clone(), &listing["maxNights"]);
        self.same("cancellationPolicy", self.unit["cancellation_policy"].clone(), &listing["cancellationPolicy"]);
    }

    /// Which photos, in which order, with which captions.
    fn photos(&mut self, images: &Value) {
        let locale = self.unit["default_locale"].as_str().unwrap_or_default();
        let photo = |photo: &Value| json!([photo["url"], photo["captions"][locale]]);
        let wanted: Vec<Value> = rows(&self.unit["photos"]).iter().map(photo).collect();
        let mut images: Vec<&Value> = rows(images).iter().collect();
        images.sort_by_key(|image| image["sortOrder"].as_i64());
        let found: Vec<Value> = images.iter().map(|image| json!([image["sourceUrl"], image["caption"]])).collect();
        if wanted != found {
            self.differs("listingImages", json!(wanted), json!(found));
        }
    }
}

fn rows(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Hostaway's id of one of our codes; 0, which no row has, for a code that it does not know.
fn id(table: &'static [Row], code: &Value) -> u64 {
    find(table, code.as_str().unwrap_or_default()).map_or(0, |row| u64::from(row.id))
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}
