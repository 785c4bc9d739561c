//! Messages about units as anybody may publish them, for the fuzz target `unit_message`. No part of the program.

use adapters::nats::Prefix;
use adapters::units::UnitSnapshot;
use async_nats::{HeaderMap, HeaderName, HeaderValue, Message};
use domain::unit::UnitChanged;
use serde_json::Value;

use super::decode::decode;

/// A message: its subject, then headers, one a line, then an empty line and the body. Without an empty line all of it is
/// the body.
pub fn message(bytes: &[u8]) {
    let end = bytes.windows(2).position(|pair| pair == b"\n\n");
    let (head, body) = end.map_or((&b""[..], bytes), |end| (&bytes[..end], &bytes[end + 2..]));
    let head = String::from_utf8_lossy(head);
    let mut lines = head.lines();
    let prefix = Prefix::default();
    let subject = lines.next().filter(|line| !line.is_empty()).map_or_else(|| subject_of(body, &prefix), str::to_owned);
    let mut headers = HeaderMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.trim().parse::<HeaderValue>()) {
            headers.insert(name, value);
        }
    }
    let message = Message {
        subject: subject.into(),
        reply: None,
        payload: body.to_vec().into(),
        headers: Some(headers),
        status: None,
        description: None,
        length: bytes.len(),
    };
    match decode(&prefix, &message).unit {
        Ok((unit, snapshot)) => {
            let body = serde_json::from_str(&snapshot.body).expect("a snapshot is JSON");
            let again = UnitChanged::from_value(body).expect("a snapshot is read again");
            assert_eq!(UnitSnapshot::of(&again).hash, snapshot.hash, "a snapshot keeps its address");
            assert_eq!(unit.raw, Value::Null, "what stands in the snapshot is not held twice");
        }
        Err(problems) => assert!(problems.iter().all(|one| !one.field.is_empty() && !one.reason.is_empty())),
    }
}

/// The subject that fits, so that bodies alone get as far as they can.
fn subject_of(body: &[u8], prefix: &Prefix) -> String {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let names = body["org_id"].as_str().zip(body["unit_id"].as_str());
    let names = names.and_then(|(org, unit)| Some((org.parse().ok()?, unit.parse().ok()?)));
    names.map_or_else(String::new, |(org, unit)| prefix.unit_changed(&org, &unit))
}

#[cfg(test)]
mod tests {
    #[test]
    fn whatever_comes_goes_through() {
        crate::variations::each("unit_message", super::message);
    }
}
