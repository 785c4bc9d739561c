//! Who asks, and what for: the caller of a request, the roles that there are, and what each role may do. Pure: who a
//! caller is was found out before.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ids::{AccountId, OrgId};
use crate::metadata::Actor;

/// What somebody is in an organisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum AccessRole {
    /// May do everything in the organisation.
    Owner,
    /// Links units, asks for syncs and retries, and reads.
    ChannelPublisher,
    /// Reads.
    Viewer,
    /// Reads the audit and the histories of targets and listings, nothing else.
    Analyst,
}

impl AccessRole {
    /// Every role, the mightiest first.
    pub const ALL: [Self; 4] = [Self::Owner, Self::ChannelPublisher, Self::Viewer, Self::Analyst];

    /// The name in tokens, sessions and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "Owner",
            Self::ChannelPublisher => "ChannelPublisher",
            Self::Viewer => "Viewer",
            Self::Analyst => "Analyst",
        }
    }
}

impl fmt::Display for AccessRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no role: Owner, ChannelPublisher, Viewer and Analyst are the ones there are")]
pub struct UnknownRole(pub String);

impl FromStr for AccessRole {
    type Err = UnknownRole;
    /// Takes the name in any case, with or without a hyphen: `channel-publisher` as well as `ChannelPublisher`.
    fn from_str(name: &str) -> Result<Self, UnknownRole> {
        let plain: String = name.chars().filter(|c| !matches!(c, '-' | '_')).collect();
        let found = Self::ALL.into_iter().find(|role| role.as_str().eq_ignore_ascii_case(&plain));
        found.ok_or_else(|| UnknownRole(name.chars().take(80).collect()))
    }
}

/// What a request wants to do. One route, one permission. The routes of each are a table of the API, `services/src/api/policy.rs`; from that
/// and from [`Permission::roles`] the tables in `services/API.md` are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Permission {
    /// See targets with their settings and their health, and the service levels.
    #[serde(rename = "targets:read")]
    ReadTargets,
    /// Create, configure, pause, resume and delete targets, rotate their credentials, check them.
    #[serde(rename = "targets:write")]
    WriteTargets,
    /// See listings, why they stand as they do, what would be sent, and the queue.
    #[serde(rename = "listings:read")]
    ReadListings,
    /// Link and unlink units.
    #[serde(rename = "listings:link")]
    LinkListings,
    /// Ask for syncs, retries, replays and looks for drift; pause and resume listings.
    #[serde(rename = "listings:sync")]
    SyncListings,
    /// See and export the outbound audit, and see who did what to targets and listings, and who had them looked at.
    #[serde(rename = "audit:read")]
    ReadAudit,
    /// See messages that could not be used.
    #[serde(rename = "dead-letters:read")]
    ReadDeadLetters,
    /// Send such messages again, or throw them away.
    #[serde(rename = "dead-letters:write")]
    WriteDeadLetters,
}

impl Permission {
    /// Every permission.
    pub const ALL: [Self; 8] = [
        Self::ReadTargets,
        Self::WriteTargets,
        Self::ReadListings,
        Self::LinkListings,
        Self::SyncListings,
        Self::ReadAudit,
        Self::ReadDeadLetters,
        Self::WriteDeadLetters,
    ];

    /// The name in answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReadTargets => "targets:read",
            Self::WriteTargets => "targets:write",
            Self::ReadListings => "listings:read",
            Self::LinkListings => "listings:link",
            Self::SyncListings => "listings:sync",
            Self::ReadAudit => "audit:read",
            Self::ReadDeadLetters => "dead-letters:read",
            Self::WriteDeadLetters => "dead-letters:write",
        }
    }

    /// The policy: which roles have this permission. The only place that says so.
    pub fn roles(self) -> &'static [AccessRole] {
        use AccessRole::{Analyst, ChannelPublisher, Owner, Viewer};
        match self {
            Self::ReadTargets | Self::ReadListings => &[Owner, ChannelPublisher, Viewer],
            Self::LinkListings | Self::SyncListings => &[Owner, ChannelPublisher],
            Self::ReadAudit => &[Owner, ChannelPublisher, Viewer, Analyst],
            Self::ReadDeadLetters => &[Owner, ChannelPublisher, Viewer],
            Self::WriteTargets | Self::WriteDeadLetters => &[Owner],
        }
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The accounts of the organisation that a caller may see and change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Accounts {
    /// All of them, also those that come later.
    All,
    /// These. Nothing else of the organisation exists for the caller.
    Only(BTreeSet<AccountId>),
}

impl Accounts {
    /// Whether an account is one of them.
    pub fn contain(&self, account: &AccountId) -> bool {
        match self {
            Self::All => true,
            Self::Only(accounts) => accounts.contains(account),
        }
    }
}

/// How a caller has proved who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CredentialKind {
    /// A token of the identity provider.
    ServiceToken,
    /// A token that this service has signed itself.
    LocalToken,
    /// A session in a browser.
    Session,
}

impl CredentialKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::ServiceToken, Self::LocalToken, Self::Session];

    /// The name in the journal.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ServiceToken => "service_token",
            Self::LocalToken => "local_token",
            Self::Session => "session",
        }
    }
}

/// Who a request comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The subject that the credential names, e.g. `ops@example.org` or `pricing-service`.
    pub subject: String,
    /// The only organisation that exists for this caller.
    pub org_id: OrgId,
    /// Which of its accounts.
    pub accounts: Accounts,
    /// What the caller is there.
    pub roles: BTreeSet<AccessRole>,
    /// How that was proved.
    pub credential: CredentialKind,
    /// Which credential: the id of a token or of a session, never a secret.
    pub credential_id: String,
}

impl Caller {
    /// Whether one of the caller's roles has a permission.
    pub fn may(&self, permission: Permission) -> bool {
        permission.roles().iter().any(|role| self.roles.contains(role))
    }

    /// Whether rows of an organisation and account exist for the caller.
    pub fn sees(&self, org: &OrgId, account: &AccountId) -> bool {
        self.org_id == *org && self.accounts.contain(account)
    }

    /// What stands beside the events of this caller's commands.
    pub fn actor(&self) -> Actor {
        Actor {
            name: self.subject.clone(),
            credential: self.credential.as_str().to_owned(),
            credential_id: Some(self.credential_id.clone()),
        }
    }
}
