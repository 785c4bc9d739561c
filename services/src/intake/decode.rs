//! From a NATS message to a unit, or to the list of what is wrong with it.

use std::borrow::Cow;

use adapters::nats::Prefix;
use adapters::nats::subject::parse_unit_changed;
use adapters::telemetry::{Kind, Stage};
use adapters::units::UnitSnapshot;
use async_nats::{HeaderMap, Message};
use domain::ids::{OrgId, UnitId};
use domain::metadata;
use domain::text::quoted;
use domain::unit::{self, Problem, UnitChanged};
use serde_json::Value;
use uuid::Uuid;

/// The CloudEvents type of a unit change.
const TYPE: &str = "supply.unit.changed.v1";
/// What NATS adds where a consumer gives out headers alone: how many bytes the body has.
const SIZE: &str = "Nats-Msg-Size";

/// A message, read.
#[derive(Debug)]
pub(super) struct Incoming {
    /// The tenant and the unit that the subject names, for the tally and the log.
    pub named: Option<(OrgId, UnitId)>,
    /// The unit, without its raw body, and its snapshot; or what is wrong.
    pub unit: Result<(UnitChanged, UnitSnapshot), Vec<Problem>>,
    /// The stream has its body, and it came without.
    pub without_body: bool,
    /// Made from the CloudEvents id, so that a redelivery has the same.
    pub correlation_id: Uuid,
    /// What published it, as it names itself.
    pub source: Option<String>,
    /// Its part of the trace that it came with, or that begins here. It ends when the message is answered.
    pub stage: Stage,
}

fn problem(field: &str, reason: impl Into<String>) -> Problem {
    Problem { field: field.to_owned(), reason: reason.into() }
}

/// Reads a message. CloudEvents headers may be absent, but those that are there must be right.
pub(super) fn decode(prefix: &Prefix, message: &Message) -> Incoming {
    let subject = prefix.strip(&message.subject);
    let named = parse_unit_changed(subject);
    let header = |name: &str| header(message.headers.as_ref(), name);
    let mut problems = Vec::new();
    if let Some(version) = header("ce-specversion").filter(|version| version != "1.0") {
        problems.push(problem("header ce-specversion", format!("{}; this service takes 1.0", quoted(&version))));
    }
    if let Some(other) = header("ce-type").filter(|other| other != TYPE) {
        problems.push(problem("header ce-type", format!("{}; on this subject it is {TYPE}", quoted(&other))));
    }
    let unit = unit::parse(&message.payload);
    match (&named, &unit) {
        (None, _) => problems.push(problem("subject", "the last two tokens must be identifiers of an org and a unit")),
        (Some((org, unit_id)), Ok(unit)) => {
            if org != &unit.org_id {
                problems.push(problem("org_id", format!("{}, but the subject says {org}", unit.org_id)));
            }
            if unit_id != &unit.unit_id {
                problems.push(problem("unit_id", format!("{}, but the subject says {unit_id}", unit.unit_id)));
            }
        }
        (Some(_), Err(_)) => {}
    }
    let correlation_id = header("ce-id").map_or_else(
        || Uuid::new_v5(&Uuid::NAMESPACE_OID, &message.payload),
        |id| Uuid::parse_str(&id).unwrap_or_else(|_| Uuid::new_v5(&Uuid::NAMESPACE_URL, id.as_bytes())),
    );
    let unit = match unit {
        Ok(mut unit) if problems.is_empty() => {
            let snapshot = UnitSnapshot::of(&unit);
            // All of it stands in the snapshot's text: the trees of a whole batch would be what takes most memory here.
            unit.raw = Value::Null;
            Ok((unit, snapshot))
        }
        Ok(_) => Err(problems),
        Err(invalid) => {
            problems.extend(invalid.problems);
            Err(problems)
        }
    };
    // Of a trace that cannot be joined only the trace is lost, so a malformed one counts as absent.
    let traceparent = header("traceparent").and_then(|text| domain::text::traceparent(&text).map(Cow::into_owned));
    let mut stage = Stage::begin("take a unit change in", Kind::Consumer, traceparent.as_deref());
    stage.set("messaging.system", "nats");
    stage.set("messaging.destination.name", subject.to_owned());
    if let Some((org_id, unit_id)) = &named {
        stage.set("distribution.org.id", org_id.to_string());
        stage.set("distribution.unit.id", unit_id.to_string());
    }
    // Nor does the change depend on what published it.
    let source = header("ce-source").and_then(|text| metadata::source(&text).map(str::to_owned));
    Incoming { named, unit, without_body: is_without_body(message), correlation_id, source, stage }
}

/// Whether its body was kept back.
pub(super) fn is_without_body(message: &Message) -> bool {
    let bytes = header(message.headers.as_ref(), SIZE).and_then(|bytes| bytes.parse::<u64>().ok());
    message.payload.is_empty() && bytes.is_some_and(|bytes| bytes > 0)
}

fn header(headers: Option<&HeaderMap>, name: &str) -> Option<String> {
    headers?.get(name).map(|value| value.as_str().to_owned())
}
