//! What holds of every body of a unit message: it is refused with reasons, or says the same whenever it is read again and
//! can be sent to a channel. For the fuzz target `unit`, which needs nothing but the domain. No part of the program.

use super::{UnitChanged, parse};
use crate::canonical::canonical_json;
use crate::channel::ChannelKind;
use crate::ids::{ListingId, TargetId};
use crate::mapping;

/// Reads a body and looks at what comes out.
pub fn read(body: &[u8]) {
    match parse(body) {
        Ok(unit) => {
            let text = canonical_json(&unit.raw);
            let again = serde_json::from_str(&text).ok().and_then(|raw| UnitChanged::from_value(raw).ok());
            let again = again.expect("a snapshot is a body, too");
            assert_eq!(canonical_json(&again.raw), text, "and has the same address");
            let read = UnitChanged::from_json(text.as_bytes()).expect("a snapshot is read again");
            assert_eq!(read.unit, unit.unit, "a snapshot says the same");
            map(&unit);
        }
        Err(invalid) => {
            assert!(!invalid.problems.is_empty());
            assert!(invalid.problems.iter().all(|one| !one.field.is_empty() && !one.reason.is_empty()));
        }
    }
}

/// Whatever a unit says, a payload comes out of it that a channel can be sent, and that is the same each time.
fn map(unit: &UnitChanged) {
    let listing =
        ListingId::of(TargetId("0199f0f0-0000-7000-8000-000000000000".parse().expect("an id")), &unit.unit_id);
    for kind in ChannelKind::ALL {
        let payload = mapping::map(kind, unit, &listing);
        assert_eq!(payload, mapping::map(kind, unit, &listing));
        for section in payload.sections.values() {
            assert!(section.body.as_array().is_none_or(|rows| !rows.is_empty()), "an empty list deletes");
        }
        let bodies = payload.bodies();
        assert!(mapping::differences(kind, &bodies, &bodies).is_empty(), "nothing differs from itself");
        assert!(mapping::staying(kind, &bodies, &bodies).is_empty(), "and nothing is left out of it");
    }
}

#[cfg(test)]
mod tests {
    /// Of messages with a head the whole is a body here, which is none.
    #[test]
    fn whatever_comes_is_refused_or_can_be_sent() {
        crate::variations::each("unit_message", super::read);
    }
}
