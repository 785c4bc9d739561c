//! What can be asked of a target.

use crate::channel::ChannelKind;
use crate::ids::{AccountId, OrgId, TargetId};
use crate::secret::SecretRef;
use crate::target::Health;
use crate::window::RateLimit;

/// A command to a [`ChannelTarget`](crate::target::ChannelTarget).
#[derive(Debug, Clone, PartialEq)]
pub enum TargetCommand {
    /// Make the target.
    Create(NewTarget),
    /// Change what is given, keep the rest.
    Configure(Configuration),
    /// Refer to another secret; the value itself is in the secret store.
    RotateCredential {
        /// Where the new secret is.
        credential: SecretRef,
    },
    /// Hold its syncs; changes go on being recorded and only the last one is sent after the resume.
    Pause {
        /// Why.
        reason: String,
    },
    /// Send again.
    Resume,
    /// Delete it softly: its events stay, its syncs end.
    Delete {
        /// Why.
        reason: String,
    },
    /// Note how the channel answers.
    ReportHealth {
        /// What was seen.
        health: Health,
        /// Why.
        reason: String,
        /// With which credentials it was seen ([`Target::credential_epoch`](crate::target::Target)): what older
        /// ones met says nothing of the target.
        credential_epoch: u32,
    },
}

/// Everything a new target needs.
#[derive(Debug, Clone, PartialEq)]
pub struct NewTarget {
    /// Its id.
    pub target_id: TargetId,
    /// The tenant.
    pub org_id: OrgId,
    /// The account inside it.
    pub account_id: AccountId,
    /// A name for people.
    pub name: String,
    /// Which channel.
    pub channel: ChannelKind,
    /// Root of the channel's API, e.g. `https://api.hostaway.com/v1`.
    pub base_url: String,
    /// The account's id at the channel.
    pub channel_account: String,
    /// Where the secret is.
    pub credential: SecretRef,
    /// The limit of this target.
    pub rate_limit: RateLimit,
    /// The limit of the account at the channel, where several targets share one.
    pub account_rate_limit: Option<RateLimit>,
}

/// A partial change of a target.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Configuration {
    /// A new name.
    pub name: Option<String>,
    /// A new API root.
    pub base_url: Option<String>,
    /// A new limit of the account; `Some(None)` removes it.
    pub account_rate_limit: Option<Option<RateLimit>>,
    /// A new limit of the target itself.
    pub rate_limit: Option<RateLimit>,
}
