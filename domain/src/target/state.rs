//! The state of a target and its decisions. Pure: a command and the state give events or a refusal.

use serde::{Deserialize, Serialize};

use crate::channel::ChannelKind;
use crate::ids::{AccountId, OrgId, TargetId};
use crate::secret::SecretRef;
use crate::target::bounds::{checked_account, checked_name, checked_root, is_same_host};
use crate::target::{Configuration, Health, NewTarget, TargetCommand, TargetError, TargetEvent};
use crate::window::{RateLimit, Scope};

/// Where a target is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lifecycle {
    /// It sends.
    Active,
    /// It records changes and holds its syncs.
    Paused,
    /// It is gone for good; only its history stays.
    Deleted,
}

impl Lifecycle {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Active, Self::Paused, Self::Deleted];

    /// The name used in rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Deleted => "deleted",
        }
    }
}

/// A target as its events have left it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Target {
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
    /// Root of the channel's API.
    pub base_url: String,
    /// The account's id at the channel.
    pub channel_account: String,
    /// Where the secret is.
    pub credential: SecretRef,
    /// The limit of the target.
    pub rate_limit: RateLimit,
    /// The limit of its account at the channel.
    pub account_rate_limit: Option<RateLimit>,
    /// Where it is in its life.
    pub lifecycle: Lifecycle,
    /// How the channel answers.
    pub health: Health,
    /// How often the credentials were changed, said to be good again, or sent to another host than before.
    #[serde(default)]
    pub credential_epoch: u32,
}

/// The state of an active target whose credentials the channel refuses: nothing is sent until somebody does something.
pub const NEEDS_CREDENTIALS: &str = "needs_credentials";

impl Target {
    /// Whether it sends, and if not, why: its lifecycle, or `needs_credentials` where it is active and yet nothing is sent
    /// until a person does something.
    pub fn state(&self) -> &'static str {
        match (self.lifecycle, self.health) {
            (Lifecycle::Active, Health::Unauthorised) => NEEDS_CREDENTIALS,
            (lifecycle, _) => lifecycle.as_str(),
        }
    }

    /// The scope of the target's own limit.
    pub fn target_scope(&self) -> Scope {
        Scope::Target(self.target_id.to_string())
    }

    /// The scope of its account at the channel.
    pub fn account_scope(&self) -> Scope {
        Scope::account(self.channel, &self.base_url, &self.channel_account)
    }
}

/// The aggregate. `None` until it is created.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ChannelTarget {
    // The name in the aggregate's snapshots.
    #[serde(rename = "settings")]
    target: Option<Target>,
}

impl ChannelTarget {
    /// The target, a deleted one too; `None` where there never was one.
    pub fn target(&self) -> Option<&Target> {
        self.target.as_ref()
    }

    /// The target where it can still be used.
    pub fn live(&self) -> Result<&Target, TargetError> {
        let target = self.target.as_ref().ok_or(TargetError::NotFound)?;
        if target.lifecycle == Lifecycle::Deleted { Err(TargetError::Deleted) } else { Ok(target) }
    }

    /// Decides on a command.
    pub fn decide(&self, command: TargetCommand) -> Result<Vec<TargetEvent>, TargetError> {
        if let TargetCommand::Create(new) = command {
            return self.create(new);
        }
        let now = match self.live() {
            Err(TargetError::Deleted) if matches!(command, TargetCommand::Delete { .. }) => {
                return Err(TargetError::AlreadyDeleted);
            }
            other => other?,
        };
        let event = match command {
            TargetCommand::Create(_) => return Err(TargetError::AlreadyExists),
            TargetCommand::Configure(change) => return configure(now, change),
            TargetCommand::RotateCredential { credential } => Some(TargetEvent::CredentialRotated { credential }),
            TargetCommand::Pause { reason } => match now.lifecycle {
                Lifecycle::Paused => return Err(TargetError::AlreadyPaused),
                _ => Some(TargetEvent::TargetPaused { reason }),
            },
            TargetCommand::Resume => return resume(now),
            TargetCommand::Delete { reason } => Some(TargetEvent::TargetDeleted { reason }),
            TargetCommand::ReportHealth { credential_epoch, .. } if credential_epoch != now.credential_epoch => None,
            // Who refuses the credentials holds everything back: another failure says nothing of them, a success does.
            TargetCommand::ReportHealth { health, .. }
                if now.health == Health::Unauthorised && health != Health::Healthy =>
            {
                None
            }
            TargetCommand::ReportHealth { health, reason, .. } => {
                (health != now.health).then_some(TargetEvent::HealthChanged { from: now.health, to: health, reason })
            }
        };
        Ok(event.into_iter().collect())
    }

    fn create(&self, new: NewTarget) -> Result<Vec<TargetEvent>, TargetError> {
        if self.target.is_some() {
            return Err(TargetError::AlreadyExists);
        }
        let name = checked_name(&new.name)?;
        let base_url = checked_root(&new.base_url)?;
        let channel_account = checked_account(&new.channel_account)?;
        Ok(vec![TargetEvent::TargetCreated {
            target_id: new.target_id,
            org_id: new.org_id,
            account_id: new.account_id,
            name,
            channel: new.channel,
            base_url,
            channel_account,
            credential: new.credential,
            rate_limit: new.rate_limit,
            account_rate_limit: new.account_rate_limit,
        }])
    }

    /// Applies an event.
    pub fn evolve(&mut self, event: TargetEvent) {
        if let TargetEvent::TargetCreated {
            target_id,
            org_id,
            account_id,
            name,
            channel,
            base_url,
            channel_account,
            credential,
            rate_limit,
            account_rate_limit,
        } = event
        {
            self.target = Some(Target {
                target_id,
                org_id,
                account_id,
                name,
                channel,
                base_url,
                channel_account,
                credential,
                rate_limit,
                account_rate_limit,
                lifecycle: Lifecycle::Active,
                health: Health::Unknown,
                credential_epoch: 0,
            });
            return;
        }
        let Some(now) = self.target.as_mut() else { return };
        match event {
            TargetEvent::TargetCreated { .. } => {}
            TargetEvent::TargetConfigured { name, base_url, account_rate_limit } => {
                if !is_same_host(&now.base_url, &base_url) {
                    now.credential_epoch += 1;
                }
                now.name = name;
                now.base_url = base_url;
                now.account_rate_limit = account_rate_limit;
            }
            TargetEvent::RateLimitChanged { rate_limit } => now.rate_limit = rate_limit,
            TargetEvent::CredentialRotated { credential } => {
                now.credential = credential;
                now.health = Health::Unknown;
                now.credential_epoch += 1;
            }
            TargetEvent::TargetPaused { .. } => now.lifecycle = Lifecycle::Paused,
            TargetEvent::TargetResumed {} => now.lifecycle = Lifecycle::Active,
            TargetEvent::TargetDeleted { .. } => now.lifecycle = Lifecycle::Deleted,
            TargetEvent::HealthChanged { from, to, .. } => {
                now.health = to;
                if from == Health::Unauthorised {
                    now.credential_epoch += 1;
                }
            }
        }
    }
}

fn configure(now: &Target, change: Configuration) -> Result<Vec<TargetEvent>, TargetError> {
    // What stays was taken once, perhaps by other rules.
    let name = change.name.map_or_else(|| Ok(now.name.clone()), |name| checked_name(&name))?;
    let base_url = change.base_url.map_or_else(|| Ok(now.base_url.clone()), |url| checked_root(&url))?;
    let account_rate_limit = change.account_rate_limit.unwrap_or(now.account_rate_limit);
    let mut events = Vec::new();
    if (&name, &base_url, account_rate_limit) != (&now.name, &now.base_url, now.account_rate_limit) {
        // The word of the previous host, on which nothing of the new one may rest.
        if now.health != Health::Unknown && !is_same_host(&now.base_url, &base_url) {
            let reason = "its address leads to another host".to_owned();
            events.push(TargetEvent::HealthChanged { from: now.health, to: Health::Unknown, reason });
        }
        events.push(TargetEvent::TargetConfigured { name, base_url, account_rate_limit });
    }
    let rate_limit = change.rate_limit.filter(|rate_limit| *rate_limit != now.rate_limit);
    events.extend(rate_limit.map(|rate_limit| TargetEvent::RateLimitChanged { rate_limit }));
    Ok(events)
}

/// A resume lifts a pause, and it is also how an operator says "the credentials are good again".
fn resume(now: &Target) -> Result<Vec<TargetEvent>, TargetError> {
    let mut events = Vec::new();
    if now.lifecycle == Lifecycle::Paused {
        events.push(TargetEvent::TargetResumed {});
    }
    if now.health == Health::Unauthorised {
        let reason = "resumed by an operator".to_owned();
        events.push(TargetEvent::HealthChanged { from: now.health, to: Health::Unknown, reason });
    }
    if events.is_empty() { Err(TargetError::NotPaused) } else { Ok(events) }
}
