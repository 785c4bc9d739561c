//! What has happened to a target. These shapes are a promise: see `upcast`.

use cqrs_es::DomainEvent;
use serde::{Deserialize, Serialize};

use crate::channel::ChannelKind;
use crate::ids::{AccountId, OrgId, TargetId};
use crate::secret::SecretRef;
use crate::window::RateLimit;

/// How a channel answers for a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// No call has been made since it was created, its credentials changed, or its address leads to another host.
    #[default]
    Unknown,
    /// It answers.
    Healthy,
    /// It answers with faults.
    Degraded,
    /// It does not answer.
    Unreachable,
    /// It refuses the credentials; nothing is sent until they change or a check succeeds.
    Unauthorised,
}

impl Health {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Unknown, Self::Healthy, Self::Degraded, Self::Unreachable, Self::Unauthorised];

    /// The name used in JSON and in rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Unreachable => "unreachable",
            Self::Unauthorised => "unauthorised",
        }
    }
}

/// An event of a [`ChannelTarget`](crate::target::ChannelTarget).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of the commands of the same name")]
pub enum TargetEvent {
    TargetCreated {
        target_id: TargetId,
        org_id: OrgId,
        account_id: AccountId,
        name: String,
        channel: ChannelKind,
        base_url: String,
        channel_account: String,
        credential: SecretRef,
        rate_limit: RateLimit,
        account_rate_limit: Option<RateLimit>,
    },
    TargetConfigured {
        name: String,
        base_url: String,
        account_rate_limit: Option<RateLimit>,
    },
    RateLimitChanged {
        rate_limit: RateLimit,
    },
    CredentialRotated {
        credential: SecretRef,
    },
    TargetPaused {
        reason: String,
    },
    TargetResumed {},
    TargetDeleted {
        reason: String,
    },
    HealthChanged {
        from: Health,
        to: Health,
        reason: String,
    },
}

impl TargetEvent {
    /// The event's type as it is stored.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::TargetCreated { .. } => "TargetCreated",
            Self::TargetConfigured { .. } => "TargetConfigured",
            Self::RateLimitChanged { .. } => "RateLimitChanged",
            Self::CredentialRotated { .. } => "CredentialRotated",
            Self::TargetPaused { .. } => "TargetPaused",
            Self::TargetResumed {} => "TargetResumed",
            Self::TargetDeleted { .. } => "TargetDeleted",
            Self::HealthChanged { .. } => "HealthChanged",
        }
    }
}

impl DomainEvent for TargetEvent {
    fn event_type(&self) -> String {
        self.type_name().to_owned()
    }

    fn event_version(&self) -> String {
        "1.0".to_owned()
    }
}
