//! How many guests a unit takes, and where they sleep.

use serde::Deserialize;

use super::code::OpenCode;
use super::problem::Problems;

/// More guests, rooms or beds than this in one unit are taken for a mistake.
const MOST: u16 = 500;

#[derive(Debug, Deserialize)]
#[serde(expecting = "an object with guests, bedrooms, bathrooms and beds")]
pub(super) struct CapacityWire {
    guests: i64,
    bedrooms: i64,
    bathrooms: i64,
    beds: Vec<BedsWire>,
}

#[derive(Debug, Deserialize)]
#[serde(expecting = "an object with type and quantity")]
struct BedsWire {
    #[serde(rename = "type")]
    kind: String,
    quantity: i64,
}

/// What a unit offers its guests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capacity {
    /// How many guests may stay, at least one.
    pub guests: u16,
    /// Bedrooms; 0 for a studio.
    pub bedrooms: u16,
    /// Bathrooms.
    pub bathrooms: u16,
    /// Beds by type.
    pub beds: Vec<Beds>,
}

/// Some beds of one type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beds {
    /// The type of bed, an open code such as `king`.
    pub kind: OpenCode,
    /// How many, at least one.
    pub quantity: u16,
}

impl Capacity {
    /// All beds together.
    pub fn bed_count(&self) -> u32 {
        self.beds.iter().map(|beds| u32::from(beds.quantity)).sum()
    }

    pub(super) fn check(wire: CapacityWire, problems: &mut Problems) -> Option<Self> {
        let guests = problems.within(wire.guests, 1..=MOST, || "unit.capacity.guests".to_owned());
        let bedrooms = problems.within(wire.bedrooms, 0..=MOST, || "unit.capacity.bedrooms".to_owned());
        let bathrooms = problems.within(wire.bathrooms, 0..=MOST, || "unit.capacity.bathrooms".to_owned());
        let mut beds = Vec::with_capacity(wire.beds.len());
        for (index, bed) in wire.beds.into_iter().enumerate() {
            let field = || format!("unit.capacity.beds[{index}].quantity");
            if let Some(quantity) = problems.within(bed.quantity, 1..=MOST, field) {
                beds.push(Beds { kind: OpenCode::new(bed.kind), quantity });
            }
        }
        Some(Self { guests: guests?, bedrooms: bedrooms?, bathrooms: bathrooms?, beds })
    }
}
