//! Subjects and stream names. Nobody builds one elsewhere.

use std::fmt;
use std::str::FromStr;

use domain::audit::AuditEvent;
use domain::ids::{OrgId, UnitId};

use crate::event_store::StoredEvent;

/// What every stream name and subject begins with, so that several instances can share one server.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Prefix(Option<String>);

/// A prefix that does not fit into a stream name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a prefix: use 1 to 32 of a-z 0-9 -")]
pub struct InvalidPrefix(String);

impl FromStr for Prefix {
    type Err = InvalidPrefix;
    fn from_str(text: &str) -> Result<Self, InvalidPrefix> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        let plain = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if plain && text.len() <= 32 { Ok(Self(Some(text.to_owned()))) } else { Err(InvalidPrefix(text.to_owned())) }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_deref().unwrap_or_default())
    }
}

impl Prefix {
    /// A subject under this prefix.
    pub fn subject(&self, subject: &str) -> String {
        self.0.as_ref().map_or_else(|| subject.to_owned(), |prefix| format!("{prefix}.{subject}"))
    }

    /// A stream name under this prefix.
    pub fn stream(&self, name: &str) -> String {
        self.0.as_ref().map_or_else(|| name.to_owned(), |prefix| format!("{prefix}-{name}"))
    }

    /// The subject without this prefix.
    pub fn strip<'a>(&self, subject: &'a str) -> &'a str {
        match &self.0 {
            Some(prefix) => subject.strip_prefix(prefix.as_str()).and_then(|s| s.strip_prefix('.')).unwrap_or(subject),
            None => subject,
        }
    }

    /// Where a unit's changes are published: `supply.unit.changed.v1.{org}.{unit}`.
    pub fn unit_changed(&self, org: &OrgId, unit: &UnitId) -> String {
        self.subject(&format!("supply.unit.changed.v1.{org}.{unit}"))
    }

    /// Where a journal event is published: `channels.events.v1.{target|listing}.{org}.{aggregate}`.
    pub fn event(&self, event: &StoredEvent) -> String {
        let kind = if event.aggregate_type == "ChannelTarget" { "target" } else { "listing" };
        self.subject(&format!("channels.events.v1.{kind}.{}.{}", event.org_id, event.aggregate_id))
    }

    /// Where an audit event is published: `channels.audit.v1.{org}.{target}.{outcome}`.
    pub fn audit(&self, event: &AuditEvent) -> String {
        self.subject(&format!("channels.audit.v1.{}.{}.{}", event.org_id, event.target_id, event.outcome()))
    }

    /// Where unit messages go that could not be used: `channels.dead-letters.v1.unit.{org}`, without the organisation
    /// where the message names none.
    pub fn dead_letter_unit(&self, org: Option<&OrgId>) -> String {
        match org {
            Some(org) => self.subject(&format!("channels.dead-letters.v1.unit.{org}")),
            None => self.subject("channels.dead-letters.v1.unit"),
        }
    }

    /// Every dead letter.
    pub fn dead_letters(&self) -> String {
        self.subject("channels.dead-letters.v1.>")
    }

    /// Core NATS: the queue has new work.
    pub fn nudge_queue(&self) -> String {
        self.subject("channels.nudge.queue")
    }

    /// Core NATS: traces that are kept, as something of them failed.
    pub fn kept_traces(&self) -> String {
        self.subject("channels.traces.kept")
    }
}

/// The org and the unit that a unit-changed subject (without prefix) names.
pub fn parse_unit_changed(subject: &str) -> Option<(OrgId, UnitId)> {
    let (org, unit) = subject.strip_prefix("supply.unit.changed.v1.")?.split_once('.')?;
    Some((org.parse().ok()?, unit.parse().ok()?))
}
