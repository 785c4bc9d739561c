//! Every night of the unit's calendar, all six of its terms.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::{Comparison, equal, major};
use crate::villas::calendar::nights;

impl Comparison<'_> {
    pub(super) fn nights(&mut self, days: &[Value]) {
        let days: HashMap<&str, &Value> = days.iter().filter_map(|day| Some((day["date"].as_str()?, day))).collect();
        let own = |field: &str| self.unit["stay_limits"][field].clone();
        let (base, shortest, longest) = (&self.unit["prices"]["nightly"], own("minimum_nights"), own("maximum_nights"));
        let mut wrong = Vec::new();
        for night in nights(self.body) {
            let date = night.date.to_string();
            let Some(day) = days.get(date.as_str()) else {
                wrong.push((format!("night {date}"), json!("a night"), Value::Null));
                continue;
            };
            let price = night.price.map_or_else(|| base.clone(), Value::from);
            let terms = [
                ("isAvailable", json!(night.available)),
                ("price", major(&price)),
                ("minimumStay", night.minimum_stay.map_or_else(|| shortest.clone(), Value::from)),
                ("maximumStay", night.maximum_stay.map_or_else(|| longest.clone(), Value::from)),
                ("closedOnArrival", json!(night.closed_to_arrival)),
                ("closedOnDeparture", json!(night.closed_to_departure)),
            ];
            for (field, wanted) in terms {
                if !equal(&wanted, &day[field]) {
                    wrong.push((format!("night {date} {field}"), wanted, day[field].clone()));
                }
            }
        }
        for (field, wanted, found) in wrong {
            self.differs(field, wanted, found);
        }
    }
}
