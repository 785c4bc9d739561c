//! What a stay costs. Amounts are integers of the currency's minor unit; a fee that is absent is a fee that is not
//! charged, and a discount that is absent is none.

use serde::Deserialize;

use super::problem::Problems;
use crate::money::{Currency, Money};

/// Amounts above this many minor units are taken for a mistake; it also keeps them exact in a JSON number.
const MOST_MINOR: i64 = 1_000_000_000_000;

#[derive(Debug, Deserialize)]
#[serde(expecting = "an object with currency, nightly and, where they exist, fees and discounts")]
pub(super) struct PricesWire {
    currency: String,
    nightly: i64,
    cleaning_fee: Option<i64>,
    extra_guest_fee: Option<i64>,
    guests_included: Option<i64>,
    weekly_discount_percent: Option<f64>,
    monthly_discount_percent: Option<f64>,
}

/// The price of one night in minor units of the unit's currency, at least 1: a free night is taken for a mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NightlyPrice(i64);

impl NightlyPrice {
    /// The amount in minor units.
    pub fn minor(self) -> i64 {
        self.0
    }

    /// The amount with its currency.
    pub fn in_currency(self, currency: Currency) -> Money {
        Money { minor: self.0, currency }
    }

    pub(super) fn check(minor: i64, field: impl FnOnce() -> String, problems: &mut Problems) -> Option<Self> {
        amount(minor, 1, field, problems).map(Self)
    }
}

/// A discount: hundredths of a percent, from 0 to below 100 %.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Discount(u16);

impl Discount {
    /// What remains to be paid, as a factor: 10 % off is 0.9.
    pub fn factor(self) -> f64 {
        f64::from(10_000 - self.0) / 10_000.0
    }

    fn check(percent: f64, field: &str, problems: &mut Problems) -> Option<Self> {
        let hundredths = (percent * 100.0).round();
        if !(0.0..10_000.0).contains(&hundredths) || percent < 0.0 {
            problems.add(field, format!("is {percent}; a discount must be at least 0 and below 100 percent"));
            return None;
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to lie in 0..10000")]
        Some(Self(hundredths as u16))
    }
}

/// What a stay costs where the calendar says nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prices {
    /// The currency of every amount of the unit.
    pub currency: Currency,
    /// The base price of a night.
    pub nightly: NightlyPrice,
    /// Charged once per stay.
    pub cleaning_fee: Option<Money>,
    /// Charged per night for each guest beyond those included.
    pub extra_guest_fee: Option<Money>,
    /// How many guests the nightly price covers; absent: all of them.
    pub guests_included: Option<u16>,
    /// Off stays of a week and more.
    pub weekly_discount: Option<Discount>,
    /// Off stays of a month and more.
    pub monthly_discount: Option<Discount>,
}

impl Prices {
    pub(super) fn check(wire: &PricesWire, problems: &mut Problems) -> Option<Self> {
        let currency = problems.parsed("unit.prices.currency", wire.currency.parse::<Currency>());
        let nightly = NightlyPrice::check(wire.nightly, || "unit.prices.nightly".to_owned(), problems);
        let mut fee =
            |minor: Option<i64>, field: &str| minor.and_then(|minor| amount(minor, 0, || field.to_owned(), problems));
        let cleaning_fee = fee(wire.cleaning_fee, "unit.prices.cleaning_fee");
        let extra_guest_fee = fee(wire.extra_guest_fee, "unit.prices.extra_guest_fee");
        let guests_included = wire
            .guests_included
            .and_then(|guests| problems.within(guests, 1..=500, || "unit.prices.guests_included".to_owned()));
        let mut discount =
            |percent: Option<f64>, field: &str| percent.and_then(|percent| Discount::check(percent, field, problems));
        let weekly_discount = discount(wire.weekly_discount_percent, "unit.prices.weekly_discount_percent");
        let monthly_discount = discount(wire.monthly_discount_percent, "unit.prices.monthly_discount_percent");
        let currency = currency?;
        let money = |minor: i64| Money { minor, currency };
        Some(Self {
            currency,
            nightly: nightly?,
            cleaning_fee: cleaning_fee.map(money),
            extra_guest_fee: extra_guest_fee.map(money),
            guests_included,
            weekly_discount,
            monthly_discount,
        })
    }
}

fn amount(minor: i64, least: i64, field: impl FnOnce() -> String, problems: &mut Problems) -> Option<i64> {
    if (least..=MOST_MINOR).contains(&minor) {
        return Some(minor);
    }
    problems.add(field(), format!("is {minor} minor units; it must lie between {least} and {MOST_MINOR}"));
    None
}
