//! What stands beside every event: whose data it is, who did it, and what caused it.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::ids::{AccountId, OrgId, TargetId, UnitId};
use crate::text::line;

/// Who did something, and by which credential.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Actor {
    /// The name of a person or a service, e.g. `ops@example.org` or `service:dispatcher`.
    pub name: String,
    /// The kind of credential: `cli`, `service`, `service_token`, `local_token`, `session`.
    pub credential: String,
    /// Which token or session it was; never a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential_id: Option<String>,
}

impl Actor {
    /// A part of this service acting by itself.
    pub fn service(role: &str) -> Self {
        Self { name: format!("service:{role}"), credential: "service".to_owned(), credential_id: None }
    }

    /// A person at the command line.
    pub fn cli(user: &str) -> Self {
        Self { name: user.to_owned(), credential: "cli".to_owned(), credential_id: None }
    }
}

/// The most characters of a source.
pub const LONGEST_SOURCE: usize = 200;

/// What anybody may call itself who publishes unit changes (CloudEvents: `source`), as events carry it: one line of at most
/// [`LONGEST_SOURCE`] characters, in which everything can be seen. Another one is none: a part of a name is no name.
pub fn source(text: &str) -> Option<&str> {
    line(text, LONGEST_SOURCE).ok()
}

/// Metadata of a command's events. cqrs-es carries it as a map of strings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// The tenant.
    pub org_id: OrgId,
    /// The account inside it.
    pub account_id: AccountId,
    /// The target concerned.
    pub target_id: TargetId,
    /// The unit concerned, on events of a listing.
    pub unit_id: Option<UnitId>,
    /// Who did it.
    pub actor: Actor,
    /// Who had asked for it, where a part of this service acts on that wish.
    pub on_behalf_of: Option<String>,
    /// What published the unit change that led to it, as it names itself: see [`source`].
    pub source: Option<String>,
    /// The same for everything that one outside request set off.
    pub correlation_id: Uuid,
    /// The message or event that led to this command.
    pub causation_id: Option<Uuid>,
    /// W3C trace context.
    pub traceparent: Option<String>,
}

const ORG: &str = "org_id";
const ACCOUNT: &str = "account_id";
const TARGET: &str = "target_id";
const UNIT: &str = "unit_id";
const ACTOR: &str = "actor";
const ON_BEHALF_OF: &str = "on_behalf_of";
const SOURCE: &str = "source";
const CREDENTIAL: &str = "credential";
const CREDENTIAL_ID: &str = "credential_id";
const CORRELATION: &str = "correlation_id";
const CAUSATION: &str = "causation_id";
const TRACEPARENT: &str = "traceparent";

/// Metadata that lacks a field or has a malformed one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("event metadata: {0} is missing or malformed")]
pub struct InvalidMetadata(pub &'static str);

/// The map as it is stored. What another build has added is passed over.
#[derive(Deserialize)]
struct Written {
    org_id: Option<String>,
    account_id: Option<String>,
    target_id: Option<String>,
    unit_id: Option<String>,
    actor: Option<String>,
    credential: Option<String>,
    credential_id: Option<String>,
    on_behalf_of: Option<String>,
    source: Option<String>,
    correlation_id: Option<String>,
    causation_id: Option<String>,
    traceparent: Option<String>,
}

impl Metadata {
    /// The map that cqrs-es passes along.
    pub fn to_map(&self) -> HashMap<String, String> {
        let mut map = HashMap::from([
            (ORG.to_owned(), self.org_id.to_string()),
            (ACCOUNT.to_owned(), self.account_id.to_string()),
            (TARGET.to_owned(), self.target_id.to_string()),
            (ACTOR.to_owned(), self.actor.name.clone()),
            (CREDENTIAL.to_owned(), self.actor.credential.clone()),
            (CORRELATION.to_owned(), self.correlation_id.to_string()),
        ]);
        if let Some(id) = &self.actor.credential_id {
            map.insert(CREDENTIAL_ID.to_owned(), id.clone());
        }
        if let Some(unit) = &self.unit_id {
            map.insert(UNIT.to_owned(), unit.to_string());
        }
        if let Some(name) = &self.on_behalf_of {
            map.insert(ON_BEHALF_OF.to_owned(), name.clone());
        }
        if let Some(source) = &self.source {
            map.insert(SOURCE.to_owned(), source.clone());
        }
        if let Some(id) = self.causation_id {
            map.insert(CAUSATION.to_owned(), id.to_string());
        }
        if let Some(trace) = &self.traceparent {
            map.insert(TRACEPARENT.to_owned(), trace.clone());
        }
        map
    }

    /// Reads the map back from its JSON.
    pub fn from_json(json: &str) -> Result<Self, InvalidMetadata> {
        let written: Written = serde_json::from_str(json).map_err(|_| InvalidMetadata("one of its texts"))?;
        Ok(Self {
            org_id: read(written.org_id, ORG)?,
            account_id: read(written.account_id, ACCOUNT)?,
            target_id: there(written.target_id, TARGET)?.parse().map_err(|_| InvalidMetadata(TARGET))?,
            unit_id: written.unit_id.and_then(|unit| unit.try_into().ok()),
            actor: Actor {
                name: there(written.actor, ACTOR)?,
                credential: there(written.credential, CREDENTIAL)?,
                credential_id: written.credential_id,
            },
            on_behalf_of: written.on_behalf_of,
            source: written.source,
            correlation_id: there(written.correlation_id, CORRELATION)?
                .parse()
                .map_err(|_| InvalidMetadata(CORRELATION))?,
            causation_id: written.causation_id.and_then(|id| id.parse().ok()),
            traceparent: written.traceparent,
        })
    }
}

fn there(text: Option<String>, field: &'static str) -> Result<String, InvalidMetadata> {
    text.ok_or(InvalidMetadata(field))
}

fn read<T: TryFrom<String>>(text: Option<String>, field: &'static str) -> Result<T, InvalidMetadata> {
    there(text, field)?.try_into().map_err(|_| InvalidMetadata(field))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_back(map: &HashMap<String, String>) -> Result<Metadata, InvalidMetadata> {
        Metadata::from_json(&serde_json::to_string(map).expect("a map of texts"))
    }

    #[test]
    fn a_source_is_kept_and_what_was_written_without_one_is_read() {
        let mut metadata = Metadata {
            org_id: "sunstay".parse().expect("a name"),
            account_id: "bali".parse().expect("a name"),
            target_id: TargetId(Uuid::from_u128(7)),
            unit_id: Some("villa-0042".parse().expect("a name")),
            actor: Actor::service("intake"),
            on_behalf_of: None,
            source: Some("urn:sunstay:bookings".to_owned()),
            correlation_id: Uuid::from_u128(9),
            causation_id: None,
            traceparent: None,
        };
        let mut map = metadata.to_map();
        assert_eq!(read_back(&map).as_ref(), Ok(&metadata));
        map.remove(SOURCE);
        metadata.source = None;
        assert_eq!((read_back(&map).as_ref(), &metadata.to_map()), (Ok(&metadata), &map));
        map.insert("of_another_build".to_owned(), "more".to_owned());
        assert_eq!(read_back(&map).as_ref(), Ok(&metadata));
        map.insert(TARGET.to_owned(), "no id".to_owned());
        assert_eq!(read_back(&map), Err(InvalidMetadata(TARGET)));
        map.remove(ORG);
        assert_eq!(read_back(&map), Err(InvalidMetadata(ORG)));
    }

    #[test]
    fn a_source_is_one_short_line_or_none() {
        assert_eq!(source(" urn:sunstay:bookings "), Some("urn:sunstay:bookings"));
        let long = "x".repeat(LONGEST_SOURCE + 1);
        for text in ["", " ", "two\nlines", "turned\u{202e}", &long] {
            assert_eq!(source(text), None, "{text:?}");
        }
        assert_eq!(source(&long[1..]), Some(&long[1..]));
    }
}
