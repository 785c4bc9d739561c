//! The unit contract: the body of `supply.unit.changed.v1.{org}.{unit}` and what it must satisfy. `nats/schemas` holds
//! the same contract as JSON Schema; here it becomes types, and everything after this module may rely on them.

mod arrival;
mod calendar;
mod capacity;
mod code;
#[cfg(any(test, fuzzing))]
pub mod fuzz_door;
mod kind;
mod night;
mod photo;
mod place;
mod prices;
mod problem;
mod revision;
mod shape;
mod stay;
mod text;
mod wire;

use chrono_tz::Tz;
use serde_json::Value;

pub use arrival::{CheckIn, CheckOut, InvalidTime, LocalTime};
pub use calendar::{Calendar, CalendarRange};
pub use capacity::{Beds, Capacity};
pub use code::OpenCode;
pub use kind::{CancellationPolicy, RoomType, UnknownWord};
pub use night::{InvalidNight, Night, NightRange};
pub use photo::Photo;
pub use place::{Address, Coordinates, Country, InvalidCountry};
pub use prices::{Discount, NightlyPrice, Prices};
pub use problem::{InvalidUnit, Problem};
pub use revision::{InvalidRevision, Revision};
pub use stay::StayLimits;
pub use text::{InvalidLocale, Locale, LocalizedText};

use crate::ids::{AccountId, OrgId, UnitId};
use crate::text::quoted;
use problem::Problems;
use wire::{UnitChangedWire, UnitWire};

/// Bodies above this many bytes are refused: NATS takes 1 MB with headers, and a snapshot is kept for ever.
pub const LARGEST_BODY: usize = 900_000;

/// A change of a unit: whose it is, its revision, and the whole unit.
#[derive(Debug, Clone, PartialEq)]
pub struct UnitChanged {
    /// The organisation.
    pub org_id: OrgId,
    /// The account within it.
    pub account_id: AccountId,
    /// The unit.
    pub unit_id: UnitId,
    /// Grows with each change of the unit.
    pub revision: Revision,
    /// The unit as it is now.
    pub unit: Unit,
    /// The body as it was received, with the fields that this version does not know; null where its text stands for it. As a tree it
    /// takes some ten times as much memory, and for small objects in it a hundred times.
    pub raw: Value,
}

/// Everything about a unit that a channel may want.
#[derive(Debug, Clone, PartialEq)]
pub struct Unit {
    /// The name; the default locale has one.
    pub name: LocalizedText,
    /// A short description.
    pub summary: Option<LocalizedText>,
    /// The description; the default locale has one.
    pub description: LocalizedText,
    /// The locale that a channel with one language gets.
    pub default_locale: Locale,
    /// What kind of building it is.
    pub property_type: OpenCode,
    /// What of it is let.
    pub room_type: RoomType,
    /// Guests, rooms, beds.
    pub capacity: Capacity,
    /// The postal address.
    pub address: Address,
    /// The point on the earth.
    pub coordinates: Coordinates,
    /// The time zone of check-in and check-out.
    pub time_zone: Tz,
    /// When guests may arrive.
    pub check_in: CheckIn,
    /// When guests must have left.
    pub check_out: CheckOut,
    /// Amenities, open codes.
    pub amenities: Vec<OpenCode>,
    /// Photos in order.
    pub photos: Vec<Photo>,
    /// Prices where the calendar says nothing else.
    pub prices: Prices,
    /// Stay limits where the calendar says nothing else.
    pub stay_limits: StayLimits,
    /// What a cancellation costs.
    pub cancellation_policy: CancellationPolicy,
    /// House rules.
    pub house_rules: Option<LocalizedText>,
    /// What is different on which nights.
    pub calendar: Calendar,
}

/// Reads and checks the body of a message.
///
/// # Errors
/// Every problem that was found: one where the body is too large or no JSON, all places where its shape breaks, or else
/// all values that are wrong.
pub fn parse(body: &[u8]) -> Result<UnitChanged, InvalidUnit> {
    if body.len() > LARGEST_BODY {
        let reason = format!("has {} bytes; {LARGEST_BODY} are the most, so send fewer texts or ranges", body.len());
        return Err(InvalidUnit::one("body", reason));
    }
    UnitChanged::from_value(json(body)?)
}

fn json(body: &[u8]) -> Result<Value, InvalidUnit> {
    serde_json::from_slice(body).map_err(|error| InvalidUnit::one("body", format!("is not JSON in UTF-8: {error}")))
}

impl UnitChanged {
    /// Reads a stored snapshot, without `raw`.
    ///
    /// # Errors
    /// As [`Self::from_value`], and where it is no JSON.
    pub fn from_json(body: &[u8]) -> Result<Self, InvalidUnit> {
        match wire::read_text(body) {
            Some(wire) => Self::checked(wire, Value::Null),
            // As a message is read, to say where it breaks.
            None => Self::from_value(json(body)?).map(|unit| Self { raw: Value::Null, ..unit }),
        }
    }

    /// Checks a body that is JSON already.
    ///
    /// # Errors
    /// All places where its shape breaks, or else all values that are wrong.
    pub fn from_value(raw: Value) -> Result<Self, InvalidUnit> {
        let wire = wire::read(&raw).map_err(|first| shape::all_findings(&raw, first))?;
        Self::checked(wire, raw)
    }

    fn checked(wire: UnitChangedWire, raw: Value) -> Result<Self, InvalidUnit> {
        let UnitChangedWire { org_id, account_id, unit_id, revision, unit } = wire;
        let mut problems = Problems::default();
        let org_id = problems.parsed("org_id", OrgId::new(org_id));
        let account_id = problems.parsed("account_id", AccountId::new(account_id));
        let unit_id = problems.parsed("unit_id", UnitId::new(unit_id));
        let revision = problems.parsed("revision", Revision::new(revision));
        let unit = check_unit(unit, &mut problems);
        let checked = (|| Some((org_id?, account_id?, unit_id?, revision?, unit?)))();
        let (org_id, account_id, unit_id, revision, unit) = problems.finish(checked)?;
        Ok(Self { org_id, account_id, unit_id, revision, unit, raw })
    }
}

/// Every check runs, in the order of the contract's fields, before any of them can end the reading.
fn check_unit(wire: UnitWire, problems: &mut Problems) -> Option<Unit> {
    let default_locale = problems.parsed("unit.default_locale", wire.default_locale.parse::<Locale>());
    let default = default_locale.as_ref();
    let name = LocalizedText::check_with_default(wire.name, default, "unit.name", problems);
    let summary = wire.summary.and_then(|text| LocalizedText::check(text, "unit.summary", problems));
    let description = LocalizedText::check_with_default(wire.description, default, "unit.description", problems);
    let room_type = problems.parsed("unit.room_type", wire.room_type.parse());
    let capacity = Capacity::check(wire.capacity, problems);
    let address = Address::check(wire.address, problems);
    let coordinates = Coordinates::check(&wire.coordinates, problems);
    let time_zone = check_time_zone(&wire.time_zone, problems);
    let check_in = CheckIn::check(&wire.check_in, problems);
    let check_out = CheckOut::check(&wire.check_out, problems);
    let photos = Photo::check_all(wire.photos, problems);
    let prices = Prices::check(&wire.prices, problems);
    let stay_limits = StayLimits::check(&wire.stay_limits, problems);
    let cancellation_policy = problems.parsed("unit.cancellation_policy", wire.cancellation_policy.parse());
    let house_rules = wire.house_rules.and_then(|text| LocalizedText::check(text, "unit.house_rules", problems));
    let calendar = Calendar::check(&wire.calendar, stay_limits, problems);
    Some(Unit {
        name: name?,
        summary,
        description: description?,
        default_locale: default_locale?,
        property_type: OpenCode::new(wire.property_type),
        room_type: room_type?,
        capacity: capacity?,
        address: address?,
        coordinates,
        time_zone: time_zone?,
        check_in: check_in?,
        check_out: check_out?,
        amenities: wire.amenities.into_iter().map(OpenCode::new).collect(),
        photos,
        prices: prices?,
        stay_limits: stay_limits?,
        cancellation_policy: cancellation_policy?,
        house_rules,
        calendar,
    })
}

fn check_time_zone(name: &str, problems: &mut Problems) -> Option<Tz> {
    let zone = name.parse::<Tz>().ok();
    if zone.is_none() {
        let reason = format!("is {}, which is no IANA time zone such as Europe/Berlin", quoted(name));
        problems.add("unit.time_zone", reason);
    }
    zone
}
