//! Where a unit is: postal address, point on the earth, and the country codes of ISO 3166-1.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

use super::problem::Problems;
use crate::text::quoted;

/// The assigned alpha-2 codes of ISO 3166-1, sorted.
const COUNTRIES: &str = "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR \
    BS BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET \
    FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ \
    IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML \
    MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS \
    PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL \
    TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW";

/// Text that is no country code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} is not an ISO 3166-1 alpha-2 country code in capitals such as DE or ID", quoted(.0))]
pub struct InvalidCountry(pub String);

/// An ISO 3166-1 alpha-2 country code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country(&'static str);

impl Country {
    /// The two letters.
    pub fn code(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl FromStr for Country {
    type Err = InvalidCountry;

    fn from_str(code: &str) -> Result<Self, InvalidCountry> {
        let known = COUNTRIES.split(' ').filter(|known| !known.is_empty()).find(|known| *known == code);
        known.map(Self).ok_or_else(|| InvalidCountry(code.to_owned()))
    }
}

#[derive(Debug, Deserialize)]
#[serde(expecting = "an object with street, city, country and, where they exist, state and postal_code")]
pub(super) struct AddressWire {
    street: String,
    city: String,
    state: Option<String>,
    postal_code: Option<String>,
    country: String,
}

/// A postal address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Street and number.
    pub street: String,
    /// City, town or village.
    pub city: String,
    /// State, province or region, where the country uses one.
    pub state: Option<String>,
    /// Postal code, where the country uses one.
    pub postal_code: Option<String>,
    /// The country.
    pub country: Country,
}

impl Address {
    pub(super) fn check(wire: AddressWire, problems: &mut Problems) -> Option<Self> {
        let given = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
        for (field, text) in [("unit.address.street", &wire.street), ("unit.address.city", &wire.city)] {
            if text.trim().is_empty() {
                problems.add(field, "is blank; channels need it for a listing");
            }
        }
        let country = problems.parsed("unit.address.country", wire.country.parse());
        Some(Self {
            street: wire.street,
            city: wire.city,
            state: given(wire.state),
            postal_code: given(wire.postal_code),
            country: country?,
        })
    }
}

#[derive(Debug, Deserialize)]
#[serde(expecting = "an object with latitude and longitude")]
pub(super) struct CoordinatesWire {
    latitude: f64,
    longitude: f64,
}

/// A point in degrees (WGS 84).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Coordinates {
    /// Degrees north, -90 to 90.
    pub latitude: f64,
    /// Degrees east, -180 to 180.
    pub longitude: f64,
}

impl Coordinates {
    pub(super) fn check(wire: &CoordinatesWire, problems: &mut Problems) -> Self {
        let CoordinatesWire { latitude, longitude } = *wire;
        for (field, degrees, most) in
            [("unit.coordinates.latitude", latitude, 90.0), ("unit.coordinates.longitude", longitude, 180.0)]
        {
            if !(-most..=most).contains(&degrees) {
                problems.add(field, format!("is {degrees}; degrees must lie between -{most} and {most}"));
            }
        }
        Self { latitude, longitude }
    }
}
