//! What can be looked at live, and by whom alike.

use std::collections::BTreeSet;
use std::str::FromStr;
use std::time::Duration;

use domain::access::{Accounts, Caller, Permission};
use domain::ids::OrgId;
use uuid::Uuid;

use crate::api::audit;
use crate::api::by::By;
use crate::api::input::Id;
use crate::api::problem::{Problem, ProblemKind};
use crate::dashboard::live::Part;
use crate::dashboard::{Dashboard, dead_letters, lag, listing, overview, sync, target};
use crate::views::read_model_lag;
use axum::extract::State;

/// A page with live parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Subject {
    Overview,
    Target(Uuid),
    Listing(Uuid),
    Sync(Uuid),
    DeadLetters,
}

impl FromStr for Subject {
    type Err = Problem;
    fn from_str(text: &str) -> Result<Self, Problem> {
        let wrong = || Problem::field("topic", "is overview, dead-letters, target:ID, listing:ID or sync:ID");
        if text == "overview" {
            return Ok(Self::Overview);
        }
        if text == "dead-letters" {
            return Ok(Self::DeadLetters);
        }
        let (kind, id) = text.split_once(':').ok_or_else(wrong)?;
        let id = id.parse().map_err(|_| wrong())?;
        match kind {
            "target" => Ok(Self::Target(id)),
            "listing" => Ok(Self::Listing(id)),
            "sync" => Ok(Self::Sync(id)),
            _ => Err(wrong()),
        }
    }
}

impl Subject {
    fn needs(self) -> Permission {
        match self {
            Self::Overview | Self::Target(_) => Permission::ReadTargets,
            Self::Listing(_) => Permission::ReadListings,
            Self::Sync(_) => Permission::ReadAudit,
            Self::DeadLetters => Permission::ReadDeadLetters,
        }
    }

    /// Whether it is about one thing, which may be there or not.
    pub(super) fn is_of_one(self) -> bool {
        !matches!(self, Self::Overview | Self::DeadLetters)
    }

    /// What changes without an event is looked at again after so long.
    pub(super) fn at_last(self) -> Duration {
        match self {
            // No event tells of a letter or a decision.
            Self::DeadLetters => Duration::from_millis(1_400),
            Self::Overview | Self::Target(_) | Self::Listing(_) | Self::Sync(_) => Duration::from_secs(5),
        }
    }
}

/// A subject as callers of these rights see it: they share what is made of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Topic {
    pub subject: Subject,
    pub org: OrgId,
    accounts: Option<BTreeSet<String>>,
    permissions: Vec<Permission>,
}

impl Topic {
    /// The topic of a caller, who must be allowed to see it.
    pub(super) fn of(subject: Subject, caller: &Caller) -> Result<Self, Problem> {
        let needed = subject.needs();
        if !caller.may(needed) {
            return Err(ProblemKind::Forbidden.because(format!("this needs {needed}")));
        }
        let accounts = match &caller.accounts {
            Accounts::All => None,
            Accounts::Only(accounts) => Some(accounts.iter().map(ToString::to_string).collect()),
        };
        let permissions = Permission::ALL.into_iter().filter(|permission| caller.may(*permission)).collect();
        Ok(Self { subject, org: caller.org_id.clone(), accounts, permissions })
    }

    /// Whether something of this organisation and account is seen in it.
    pub(super) fn sees(&self, org: &str, account: &str) -> bool {
        self.org.as_str() == org && self.accounts.as_ref().is_none_or(|accounts| accounts.contains(account))
    }
}

/// The parts of a subject, as its page makes them, and what every page has.
pub(super) async fn parts(dashboard: &Dashboard, by: &By, subject: Subject) -> Result<Vec<Part>, Problem> {
    let api = &dashboard.api;
    let mut parts = match subject {
        Subject::Overview => overview::parts(dashboard, by).await?,
        Subject::DeadLetters => dead_letters::parts(api, by).await?,
        Subject::Target(id) => target::live(api, by, id).await?,
        Subject::Listing(id) => listing::live(dashboard, by, id).await?,
        Subject::Sync(id) => {
            let found = audit::get(State(api.clone()), by.clone(), Id(id)).await?.0;
            sync::parts(dashboard, by, &found, sync::Fields::First).await?
        }
    };
    parts.push(lag::part(read_model_lag::since(api.pool()).await?));
    Ok(parts)
}
