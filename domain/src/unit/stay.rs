//! How long a stay may be. A minimum is never above its maximum.

use serde::Deserialize;

use super::problem::Problems;

/// The longest stay any channel takes, in nights (Hostaway's and Airbnb's bound).
pub(super) const LONGEST_STAY: u16 = 1125;

#[derive(Debug, Deserialize)]
#[serde(expecting = "an object with minimum_nights and maximum_nights")]
pub(super) struct StayLimitsWire {
    minimum_nights: i64,
    maximum_nights: i64,
}

/// The shortest and the longest stay, in nights, where the calendar says nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StayLimits {
    /// The shortest stay, at least 1.
    pub minimum_nights: u16,
    /// The longest stay, at least the shortest.
    pub maximum_nights: u16,
}

impl StayLimits {
    pub(super) fn check(wire: &StayLimitsWire, problems: &mut Problems) -> Option<Self> {
        let minimum =
            problems.within(wire.minimum_nights, 1..=LONGEST_STAY, || "unit.stay_limits.minimum_nights".into());
        let maximum =
            problems.within(wire.maximum_nights, 1..=LONGEST_STAY, || "unit.stay_limits.maximum_nights".into());
        let limits = Self { minimum_nights: minimum?, maximum_nights: maximum? };
        if limits.minimum_nights > limits.maximum_nights {
            let (least, most) = (limits.minimum_nights, limits.maximum_nights);
            problems
                .add("unit.stay_limits.minimum_nights", format!("is {least}, above maximum_nights, which is {most}"));
            return None;
        }
        Some(limits)
    }
}
