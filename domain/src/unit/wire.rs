//! The body as it arrives: shapes only, no meaning. Structure is checked by serde with the path of the first thing
//! that does not fit; fields this version does not know are passed over.

use serde::Deserialize;
use serde_json::Value;

use super::arrival::{CheckInWire, CheckOutWire};
use super::calendar::CalendarRangeWire;
use super::capacity::CapacityWire;
use super::photo::PhotoWire;
use super::place::{AddressWire, CoordinatesWire};
use super::prices::PricesWire;
use super::problem::InvalidUnit;
use super::stay::StayLimitsWire;
use super::text::TextWire;

#[derive(Debug, Deserialize)]
#[serde(expecting = "an object with org_id, account_id, unit_id, revision and unit")]
pub(super) struct UnitChangedWire {
    pub(super) org_id: String,
    pub(super) account_id: String,
    pub(super) unit_id: String,
    pub(super) revision: u64,
    pub(super) unit: UnitWire,
}

#[derive(Debug, Deserialize)]
#[serde(expecting = "an object, the whole unit")]
pub(super) struct UnitWire {
    pub(super) name: TextWire,
    pub(super) summary: Option<TextWire>,
    pub(super) description: TextWire,
    pub(super) default_locale: String,
    pub(super) property_type: String,
    pub(super) room_type: String,
    pub(super) capacity: CapacityWire,
    pub(super) address: AddressWire,
    pub(super) coordinates: CoordinatesWire,
    pub(super) time_zone: String,
    pub(super) check_in: CheckInWire,
    pub(super) check_out: CheckOutWire,
    pub(super) amenities: Vec<String>,
    pub(super) photos: Vec<PhotoWire>,
    pub(super) prices: PricesWire,
    pub(super) stay_limits: StayLimitsWire,
    pub(super) cancellation_policy: String,
    pub(super) house_rules: Option<TextWire>,
    pub(super) calendar: Vec<CalendarRangeWire>,
}

/// The shape of a body, or the one place where it breaks.
pub(super) fn read(body: &Value) -> Result<UnitChangedWire, InvalidUnit> {
    if let Some(path) = nul_path(body) {
        let reason = "holds the character U+0000, which PostgreSQL's JSON cannot store; leave it out";
        let path = path.trim_start_matches('.');
        return Err(InvalidUnit::one(if path.is_empty() { "body" } else { path }, reason));
    }
    if let Ok(read) = UnitChangedWire::deserialize(body) {
        return Ok(read);
    }
    // Once more, to know where it breaks: to keep track of that costs as much as the reading.
    serde_path_to_error::deserialize(body).map_err(|error| {
        let path = error.path().to_string();
        structural_problem(&path, &error.inner().to_string())
    })
}

/// The shape of a text that was taken in before, without a tree of it; `None` where that is not plainly good.
pub(super) fn read_text(body: &[u8]) -> Option<UnitChangedWire> {
    const NUL: &[u8] = b"\\u0000";
    if body.windows(NUL.len()).any(|escape| escape == NUL) {
        return None;
    }
    serde_json::from_slice(body).ok()
}

/// Serde names the parent of a missing field; whoever reads the dead letter wants the field itself.
fn structural_problem(path: &str, message: &str) -> InvalidUnit {
    let parent = if path == "." { "" } else { path };
    if let Some(name) = message.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`')) {
        let field = if parent.is_empty() { name.to_owned() } else { format!("{parent}.{name}") };
        return InvalidUnit::one(field, "is missing; the contract requires it");
    }
    let plain = without_text(message)
        .replace("expected i64", "expected a whole number")
        .replace("expected u64", "expected a whole number from 0")
        .replace("expected f64", "expected a number");
    InvalidUnit::one(if parent.is_empty() { "body" } else { parent }, plain)
}

/// What a text says is not told where none belongs: it may be long, and about somebody.
fn without_text(message: &str) -> String {
    match (message.find("string \""), message.rfind("\", expected ")) {
        (Some(from), Some(until)) if from < until => format!("{}a text{}", &message[..from], &message[until + 1..]),
        _ => message.to_owned(),
    }
}

/// Where a NUL stands, in known fields or unknown ones: the whole body is stored.
fn nul_path(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => text.contains('\0').then(String::new),
        Value::Array(items) => {
            items.iter().enumerate().find_map(|(index, item)| Some(format!("[{index}]{}", nul_path(item)?)))
        }
        Value::Object(fields) => fields.iter().find_map(|(name, value)| {
            if name.contains('\0') {
                return Some(format!(".{}", name.escape_default()));
            }
            Some(format!(".{name}{}", nul_path(value)?))
        }),
        _ => None,
    }
}
