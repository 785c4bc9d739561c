//! The listing's scalar fields as documented (table of 2026-10-05): name, kind of value, and whether a client may
//! write or read it. A field that is not here is unknown to Hostaway and is ignored silently.

use std::{collections::BTreeMap, sync::LazyLock};

use serde::{Deserialize as _, Deserializer, de::Error as _};
use serde_json::{Number, Value, json};

use crate::lookups::{Tables, tables};

/// What values a field takes.
#[derive(Clone, Copy)]
pub enum Kind {
    Text,
    Int,
    Float,
    /// 0 or 1; JSON booleans are tolerated.
    Flag,
    /// One of the newer fields that are real JSON booleans.
    Bool,
    /// Whole hour 0-23 in the listing's own zone.
    Hour,
    /// Factor or rating within the bounds.
    Within(f64, f64),
    Date,
    OneOf(&'static [&'static str]),
    Country,
    Currency,
    TimeZone,
    PropertyType,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Write,
    /// Accepted and ignored: the answer is still a success.
    ReadOnly,
    /// Kept, never returned by the public API.
    WriteOnly,
}

#[derive(Clone, Copy)]
pub struct Field {
    pub kind: Kind,
    pub access: Access,
}

type Group = (Access, Kind, &'static [&'static str]);

const GROUPS: &[Group] = &[
    (Access::Write, Kind::Text, TEXTS),
    (Access::Write, Kind::Int, INTS),
    (Access::Write, Kind::Float, FLOATS),
    (Access::Write, Kind::Flag, &["instantBookable", "airbnbBookingLeadTimeAllowRequestToBook"]),
    (Access::Write, Kind::Bool, BOOLS),
    (Access::Write, Kind::Hour, &["checkInTimeStart", "checkInTimeEnd", "checkOutTime"]),
    (Access::Write, Kind::Within(0.0, 5.0), &["starRating"]),
    (Access::Write, Kind::Within(-90.0, 90.0), &["lat"]),
    (Access::Write, Kind::Within(-180.0, 180.0), &["lng"]),
    (Access::Write, Kind::Date, &["propertyLicenseIssueDate", "propertyLicenseExpirationDate"]),
    (Access::Write, Kind::OneOf(&["entire_home", "private_room", "shared_room"]), &["roomType"]),
    (Access::Write, Kind::OneOf(&["private", "shared"]), &["bathroomType"]),
    // Anything else is rejected since 2026-09-10.
    (Access::Write, Kind::OneOf(&["flexible", "moderate", "firm", "strict", "no_refund"]), &["cancellationPolicy"]),
    (Access::Write, Kind::Country, &["countryCode"]),
    (Access::Write, Kind::Currency, &["currencyCode"]),
    (Access::Write, Kind::TimeZone, &["timeZoneName"]),
    (Access::Write, Kind::PropertyType, &["propertyTypeId"]),
    (Access::WriteOnly, Kind::Flag, &["applyPropertyRentTaxToFees", "isRentalAgreementActive"]),
    (Access::WriteOnly, Kind::Text, &["listingAgreementText"]),
    (Access::ReadOnly, Kind::Text, READ_ONLY),
];

const TEXTS: &[&str] = &[
    "name",
    "externalListingName",
    "internalListingName",
    "description",
    "address",
    "publicAddress",
    "street",
    "city",
    "state",
    "zipcode",
    "houseRules",
    "keyPickup",
    "specialInstruction",
    "doorSecurityCode",
    "wifiUsername",
    "wifiPassword",
    "cleannessStatus",
    "cleaningInstruction",
    "cleannessStatusUpdatedOn",
    "contactName",
    "contactSurName",
    "contactPhone1",
    "contactPhone2",
    "contactLanguage",
    "contactEmail",
    "contactAddress",
    "invoicingContactName",
    "invoicingContactSurName",
    "invoicingContactPhone1",
    "invoicingContactPhone2",
    "invoicingContactLanguage",
    "invoicingContactEmail",
    "invoicingContactAddress",
    "invoicingContactCity",
    "invoicingContactZipcode",
    "invoicingContactCountry",
    "language",
    "airbnbName",
    "airbnbSummary",
    "airbnbSpace",
    "airbnbAccess",
    "airbnbInteraction",
    "airbnbNeighborhoodOverview",
    "airbnbTransit",
    "airbnbNotes",
    "homeawayPropertyName",
    "homeawayPropertyHeadline",
    "homeawayPropertyDescription",
    "bookingcomPropertyName",
    "bookingcomPropertyRoomName",
    "bookingcomPropertyDescription",
    "marriottListingName",
    "propertyLicenseNumber",
    "propertyLicenseType",
];

const INTS: &[&str] = &[
    "personCapacity",
    "guestsIncluded",
    "maxChildrenAllowed",
    "maxInfantsAllowed",
    "maxPetsAllowed",
    "bedroomsNumber",
    "bedsNumber",
    "bathroomsNumber",
    "guestBathroomsNumber",
    "squareMeters",
    "minNights",
    "maxNights",
    "instantBookableLeadTime",
    "allowSameDayBooking",
    "sameDayBookingLeadTime",
    "airbnbBookingLeadTime",
    "cancellationPolicyId",
    "airbnbCancellationPolicyId",
];

const FLOATS: &[&str] = &[
    "price",
    "priceForExtraPerson",
    "cleaningFee",
    "weeklyDiscount",
    "monthlyDiscount",
    "refundableDamageDeposit",
    "propertyRentTax",
    "guestPerPersonPerNightTax",
    "guestStayTax",
    "guestNightlyTax",
    "airbnbPetFeeAmount",
];

const BOOLS: &[&str] =
    &["bookingcomPropertyRegisteredInVcs", "bookingcomPropertyHasVat", "bookingcomPropertyDeclaresRevenue"];

/// `id`, `country`, `thumbnailUrl`, `specialStatus`, `insertedOn` and `latestActivityOn` are computed by the view.
const READ_ONLY: &[&str] = &[
    "bookingCancellationPolicyId",
    "marriottCancellationPolicyId",
    "vrboCancellationPolicyId",
    "averageReviewRating",
    "averageNightlyPrice",
    "airbnbListingUrl",
    "vrboListingUrl",
    "googleVrListingUrl",
    "expediaListingUrl",
    "bookingEngineUrls",
    "bookingEngineLeadTime",
    "insuranceEligibilityStatus",
    "checkinFee",
    "isDepositStayCollected",
    "attachment",
    "airbnbExportStatus",
    "vrboExportStatus",
    "bookingExportStatus",
    "airbnbMarkup",
    "bookingComMarkup",
    "vrboMarkup",
    "expediaMarkup",
    "directMarkup",
];

static FIELDS: LazyLock<BTreeMap<&'static str, Field>> = LazyLock::new(|| {
    let rows = GROUPS.iter().flat_map(|&(access, kind, names)| names.iter().map(move |name| (*name, access, kind)));
    rows.map(|(name, access, kind)| (name, Field { kind, access })).collect()
});

pub fn all() -> &'static BTreeMap<&'static str, Field> {
    &FIELDS
}

/// Stored values by their fields, from the state file.
pub fn named<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<&'static str, Value>, D::Error> {
    let named = |(name, value): (String, Value)| match FIELDS.get_key_value(name.as_str()) {
        Some((name, _)) => Ok((*name, value)),
        None => Err(D::Error::custom(format!("{name:?} is not a field of a listing"))),
    };
    BTreeMap::<String, Value>::deserialize(from)?.into_iter().map(named).collect()
}

/// Needed before a listing can become complete, and so be activated for channel sync (`yes*` in the documentation).
pub const COMPLETE: &[&str] = &["address", "price", "currencyCode", "priceForExtraPerson", "guestsIncluded"];

impl Kind {
    /// The value as it is stored, or why it is refused.
    pub fn read(self, value: &Value) -> Result<Value, String> {
        match self {
            Self::Text => text(value).map(Value::from),
            Self::Int => number(value)?.as_i64().map(Value::from).ok_or_else(|| "must be a whole number".to_owned()),
            Self::Float => number(value).map(Value::Number),
            Self::Flag => flag(value).map(|on| json!(u8::from(on))),
            Self::Bool => flag(value).map(Value::from),
            Self::Hour => hour(value),
            Self::Within(low, high) => within(value, low, high),
            Self::Date => text(value)?
                .parse::<chrono::NaiveDate>()
                .map(|date| json!(date))
                .map_err(|_| "must be a date (YYYY-MM-DD)".to_owned()),
            Self::OneOf(options) => one_of(value, |text| options.contains(&text), &options.join(", ")),
            Self::Country => known(value, "ISO 3166 country code", |t, text| t.countries.contains_key(text)),
            Self::Currency => known(value, "ISO 4217 currency code", |t, text| t.currencies.contains(text)),
            Self::TimeZone => known(value, "time zone name", |t, text| t.timezones.contains(text)),
            Self::PropertyType => match number(value)?.as_u64() {
                Some(id) if tables().property_types.contains(&id) => Ok(json!(id)),
                _ => Err("is not a known property type".to_owned()),
            },
        }
    }
}

fn text(value: &Value) -> Result<&str, String> {
    value.as_str().ok_or_else(|| "must be a string".to_owned())
}

/// Numbers sometimes travel as strings, in both directions; a whole float counts as an integer.
fn number(value: &Value) -> Result<Number, String> {
    let number = match value {
        Value::Number(number) => Some(number.clone()),
        Value::String(text) => text.parse::<Number>().ok(),
        _ => None,
    };
    let number = number.ok_or_else(|| "must be a number".to_owned())?;
    match number.as_f64() {
        Some(float) if !number.is_i64() && float.fract() == 0.0 && float.abs() < 9e15 => {
            Ok(format!("{float:.0}").parse::<Number>().unwrap_or(number))
        }
        _ => Ok(number),
    }
}

fn flag(value: &Value) -> Result<bool, String> {
    match value {
        Value::Bool(on) => Ok(*on),
        _ => match number(value)?.as_u64() {
            Some(0) => Ok(false),
            Some(1) => Ok(true),
            _ => Err("must be 0 or 1".to_owned()),
        },
    }
}

fn hour(value: &Value) -> Result<Value, String> {
    number(value)?.as_u64().filter(|hour| *hour < 24).map(Value::from).ok_or_else(|| "must be an hour, 0 to 23".into())
}

fn within(value: &Value, low: f64, high: f64) -> Result<Value, String> {
    let number = number(value)?;
    match number.as_f64() {
        Some(float) if (low..=high).contains(&float) => Ok(Value::Number(number)),
        _ => Err(format!("must be between {low} and {high}")),
    }
}

fn one_of(value: &Value, allowed: impl Fn(&str) -> bool, options: &str) -> Result<Value, String> {
    match text(value)? {
        text if allowed(text) => Ok(json!(text)),
        _ => Err(format!("must be one of: {options}")),
    }
}

fn known(value: &Value, what: &str, allowed: impl Fn(&Tables, &str) -> bool) -> Result<Value, String> {
    match text(value)? {
        text if allowed(tables(), text) => Ok(json!(text)),
        text => Err(format!("{text:?} is not a known {what}")),
    }
}
