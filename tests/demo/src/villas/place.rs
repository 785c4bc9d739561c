//! Where villas stand: towns, names, currencies, and how the price of a night goes through the year.

mod asia;
mod europe;

use rand::Rng as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use super::one_of;

/// The part of the world, and with it who sells the villa.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Region {
    /// Around the Mediterranean and the Algarve.
    Europe,
    /// South and South-East Asia.
    Asia,
}

/// One holiday region.
pub(super) struct Place {
    pub(super) area: &'static str,
    pub(super) region: Region,
    pub(super) state: &'static str,
    pub(super) country: &'static str,
    pub(super) time_zone: &'static str,
    pub(super) currency: &'static str,
    /// What the place is visited for, with its English article.
    pub(super) sights: [&'static str; 4],
    centre: (f64, f64),
    /// Whole currency units of a night with two bedrooms in an average month, and what prices are rounded to.
    two_bedrooms: i64,
    step: i64,
    streets: [&'static str; 4],
    towns: [(&'static str, &'static str); 4],
    prefixes: [&'static str; 2],
    names: [&'static str; 20],
}

const PLACES: usize = asia::PLACES.len() + europe::PLACES.len();
/// Minor units of a whole one: all four currencies have two digits.
const MINOR: i64 = 100;

impl Place {
    /// The place of a villa: neighbours in number stand in different places.
    pub(super) fn of(index: usize) -> &'static Self {
        let place = index % PLACES;
        // Odd ones in Europe, the rest in Asia, which has one more.
        if place % 2 == 1 { &europe::PLACES[place / 2] } else { &asia::PLACES[place / 2] }
    }

    pub(super) fn villa_name(&self, index: usize, rng: &mut StdRng) -> String {
        let round = index / PLACES;
        let word = self.names[round % self.names.len()];
        let prefix = self.prefixes[usize::from(rng.random_bool(0.4))];
        // Past the last name they are numbered, as house names are.
        match round / self.names.len() {
            0 => format!("{prefix} {word}"),
            again => format!("{prefix} {word} {}", again + 1),
        }
    }

    pub(super) fn property_type(&self, rng: &mut StdRng) -> &'static str {
        let own = match self.state {
            "Illes Balears" => "finca",
            "Toscana" => "farm_stay",
            "Provence-Alpes-Côte d'Azur" => "country_house",
            _ => "villa",
        };
        if rng.random_bool(0.25) { own } else { "villa" }
    }

    pub(super) fn town(&self, rng: &mut StdRng) -> (&'static str, &'static str) {
        one_of(&self.towns, rng)
    }

    pub(super) fn street(&self, rng: &mut StdRng) -> String {
        format!("{} {}", one_of(&self.streets, rng), rng.random_range(1..=148))
    }

    /// Within some kilometres of the centre, to about a metre.
    pub(super) fn coordinates(&self, rng: &mut StdRng) -> Value {
        let mut near = |degrees: f64| ((degrees + rng.random_range(-0.06..0.06)) * 1e5).round() / 1e5;
        json!({ "latitude": near(self.centre.0), "longitude": near(self.centre.1) })
    }

    /// The base price of a night in minor units.
    pub(super) fn nightly_minor(&self, bedrooms: u32, rng: &mut StdRng) -> i64 {
        let rooms = 60 + 20 * i64::from(bedrooms);
        self.rounded(self.two_bedrooms * MINOR * rooms / 100 * rng.random_range(75..=150) / 100)
    }

    /// A price in minor units, rounded as people write prices here, and never nothing.
    pub(super) fn rounded(&self, minor: i64) -> i64 {
        let step = self.step * MINOR;
        ((minor + step / 2) / step).max(1) * step
    }

    /// What a night of the month (0 is January) costs, in percent of the base price.
    pub(super) fn season_percent(&self, month: usize) -> i64 {
        match self.region {
            Region::Europe => [65, 65, 75, 90, 100, 130, 175, 175, 125, 90, 70, 75][month],
            Region::Asia => [125, 110, 100, 90, 80, 90, 130, 130, 90, 85, 100, 140][month],
        }
    }

    /// Whether the month is one in which nobody lets for a night or two.
    pub(super) fn is_peak(&self, month: usize) -> bool {
        self.season_percent(month) >= 130
    }
}
