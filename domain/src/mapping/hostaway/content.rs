//! The listing object without photos: the body of create and of the partial update. Since an omitted or null field
//! keeps its old value at Hostaway, a fee or discount that the unit does not have is sent as "none", not left out.

use serde_json::{Map, Value, json};

use super::hours::{Towards, whole_hour};
use super::reference;
use super::rejections::Rejections;
use super::vocabulary::{amenities, beds, property_type};
use crate::ids::ListingId;
use crate::money::Money;
use crate::unit::{Address, Discount, RoomType, Unit, UnitChanged};

/// The listing object in Hostaway's fields.
pub(super) fn listing(change: &UnitChanged, listing: &ListingId, rejections: &mut Rejections) -> Value {
    let unit = &change.unit;
    let mut fields = Fields(Map::new());
    fields.set("internalListingName", reference(&change.unit_id, listing));
    texts(unit, &mut fields);
    kind_and_capacity(unit, &mut fields, rejections);
    place(unit, &mut fields);
    prices(unit, &mut fields);
    rules(unit, &mut fields, rejections);
    Value::Object(fields.0)
}

struct Fields(Map<String, Value>);

impl Fields {
    fn set(&mut self, field: &str, value: impl Into<Value>) {
        self.0.insert(field.to_owned(), value.into());
    }

    /// `None` leaves the field out: Hostaway keeps what it has.
    fn set_some(&mut self, field: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.set(field, value);
        }
    }
}

fn texts(unit: &Unit, fields: &mut Fields) {
    let locale = &unit.default_locale;
    let name = unit.name.best(locale);
    fields.set("name", name);
    fields.set("externalListingName", name);
    fields.set("description", unit.description.best(locale));
    fields.set_some("airbnbSummary", unit.summary.as_ref().map(|text| text.best(locale)));
    fields.set_some("houseRules", unit.house_rules.as_ref().map(|text| text.best(locale)));
}

fn kind_and_capacity(unit: &Unit, fields: &mut Fields, rejections: &mut Rejections) {
    let capacity = &unit.capacity;
    // The contract does not tell who shares the bathroom; only a shared room is taken to share it.
    let bathroom = if unit.room_type == RoomType::SharedRoom { "shared" } else { "private" };
    fields.set("propertyTypeId", property_type(&unit.property_type, rejections));
    fields.set("roomType", unit.room_type.as_str());
    fields.set("bathroomType", bathroom);
    fields.set("personCapacity", capacity.guests);
    fields.set("bedroomsNumber", capacity.bedrooms);
    fields.set("bathroomsNumber", capacity.bathrooms);
    fields.set_some("bedsNumber", Some(capacity.bed_count()).filter(|beds| *beds > 0));
    fields.set_some("listingBedTypes", beds(&capacity.beds, rejections));
    fields.set_some("listingAmenities", amenities(&unit.amenities, rejections));
}

fn place(unit: &Unit, fields: &mut Fields) {
    let address = &unit.address;
    fields.set("address", address_line(address));
    fields.set("street", address.street.as_str());
    fields.set("city", address.city.as_str());
    fields.set_some("state", address.state.as_deref());
    fields.set_some("zipcode", address.postal_code.as_deref());
    fields.set("countryCode", address.country.code());
    fields.set("lat", unit.coordinates.latitude);
    fields.set("lng", unit.coordinates.longitude);
    fields.set("timeZoneName", unit.time_zone.name());
}

/// `Kai 4, 20457 Hamburg, DE`: one line, as people write it.
fn address_line(address: &Address) -> String {
    let mut line = format!("{}, ", address.street);
    if let Some(code) = &address.postal_code {
        line.push_str(code);
        line.push(' ');
    }
    line.push_str(&address.city);
    if let Some(state) = &address.state {
        line.push_str(", ");
        line.push_str(state);
    }
    line.push_str(", ");
    line.push_str(address.country.code());
    line
}

fn prices(unit: &Unit, fields: &mut Fields) {
    let prices = &unit.prices;
    let fee = |fee: Option<Money>| fee.map_or(0.0, Money::major);
    let factor = |discount: Option<Discount>| discount.map_or(1.0, Discount::factor);
    fields.set("currencyCode", prices.currency.code());
    fields.set("price", prices.nightly.in_currency(prices.currency).major());
    fields.set("cleaningFee", fee(prices.cleaning_fee));
    fields.set("priceForExtraPerson", fee(prices.extra_guest_fee));
    fields.set("guestsIncluded", prices.guests_included.unwrap_or(unit.capacity.guests));
    fields.set("weeklyDiscount", factor(prices.weekly_discount));
    fields.set("monthlyDiscount", factor(prices.monthly_discount));
}

fn rules(unit: &Unit, fields: &mut Fields, rejections: &mut Rejections) {
    let from = whole_hour(unit.check_in.from, Towards::Later, "unit.check_in.from", rejections);
    let until = unit.check_in.until.map(|until| whole_hour(until, Towards::Earlier, "unit.check_in.until", rejections));
    let out = whole_hour(unit.check_out.until, Towards::Earlier, "unit.check_out.until", rejections);
    fields.set("checkInTimeStart", from);
    fields.set_some("checkInTimeEnd", until);
    fields.set("checkOutTime", out);
    fields.set("minNights", unit.stay_limits.minimum_nights);
    fields.set("maxNights", unit.stay_limits.maximum_nights);
    fields.set("cancellationPolicy", json!(unit.cancellation_policy.as_str()));
}
