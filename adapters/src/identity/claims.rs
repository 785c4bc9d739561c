//! From claims to a grant. The names are configuration, because every provider has its own.

use std::collections::BTreeSet;

use domain::access::{AccessRole, Accounts};
use domain::ids::{AccountId, OrgId};
use serde_json::Value;

use super::grant::{Grant, is_subject};

/// Which claim says what. A name that begins with `/` is a JSON pointer, e.g. `/realm_access/roles`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimNames {
    /// Who it is: a text.
    pub subject: String,
    /// The organisation: a text.
    pub org: String,
    /// The accounts: a list of texts. Where the claim is missing, all of them: whoever reads claims has asked for every source of them.
    pub accounts: String,
    /// The roles: a list of texts, or one text. Names that are no role of ours are passed over.
    pub roles: String,
}

impl Default for ClaimNames {
    fn default() -> Self {
        Self {
            subject: "sub".to_owned(),
            org: "org_id".to_owned(),
            accounts: "account_ids".to_owned(),
            roles: "roles".to_owned(),
        }
    }
}

/// A claim that is not as it must be. Names the claim, and never shows more of the token than that.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClaimError {
    /// It is not there.
    #[error("the claim {0} is missing")]
    Missing(String),
    /// It is there and cannot be used.
    #[error("the claim {claim} is wrong: {reason}")]
    Invalid {
        /// Its name.
        claim: String,
        /// What it should be.
        reason: &'static str,
    },
    /// It gives no role that exists here.
    #[error("the claim {0} gives no role: it must have Owner, ChannelPublisher, Viewer or Analyst")]
    NoRole(String),
}

impl ClaimNames {
    /// Who the claims speak of. Each is taken from the first source that has it. Nothing is guessed: what is unclear gives no rights.
    pub(super) fn grant(&self, sources: &[Value]) -> Result<Grant, ClaimError> {
        Ok(Grant {
            subject: self.subject(sources)?,
            org_id: self.org(sources)?,
            accounts: self.accounts(sources)?,
            roles: self.roles(sources)?,
        })
    }

    /// Whether the claims say all of somebody: to which organisation they belong, what they may, and for which accounts.
    pub(super) fn are_in(&self, claims: &Value) -> bool {
        [&self.org, &self.accounts, &self.roles].into_iter().all(|name| claim(claims, name).is_some())
    }

    fn subject(&self, sources: &[Value]) -> Result<String, ClaimError> {
        let text = text(sources, &self.subject)?;
        let reason = "it must be one line of 1 to 200 characters, and not begin with service:";
        if is_subject(text) { Ok(text.to_owned()) } else { Err(invalid(&self.subject, reason)) }
    }

    fn org(&self, sources: &[Value]) -> Result<OrgId, ClaimError> {
        let reason = "it must be 1 to 64 of the characters A-Z a-z 0-9 _ -";
        OrgId::new(text(sources, &self.org)?).map_err(|_| invalid(&self.org, reason))
    }

    fn accounts(&self, sources: &[Value]) -> Result<Accounts, ClaimError> {
        let Some(value) = find(sources, &self.accounts) else { return Ok(Accounts::All) };
        let reason = "it must be a list of account ids; leave it out to mean all accounts";
        let wrong = || invalid(&self.accounts, reason);
        let mut accounts = BTreeSet::new();
        for entry in value.as_array().ok_or_else(wrong)? {
            let name = entry.as_str().ok_or_else(wrong)?;
            accounts.insert(AccountId::new(name).map_err(|_| wrong())?);
        }
        Ok(Accounts::Only(accounts))
    }

    fn roles(&self, sources: &[Value]) -> Result<BTreeSet<AccessRole>, ClaimError> {
        let value = find(sources, &self.roles).ok_or_else(|| ClaimError::Missing(self.roles.clone()))?;
        let names: Vec<&str> = match value {
            Value::String(one) => vec![one],
            Value::Array(many) => many.iter().filter_map(Value::as_str).collect(),
            _ => return Err(invalid(&self.roles, "it must be a list of role names")),
        };
        let roles: BTreeSet<AccessRole> = names.into_iter().filter_map(|name| name.parse().ok()).collect();
        if roles.is_empty() { Err(ClaimError::NoRole(self.roles.clone())) } else { Ok(roles) }
    }
}

fn find<'a>(sources: &'a [Value], name: &str) -> Option<&'a Value> {
    sources.iter().find_map(|claims| claim(claims, name))
}

fn claim<'a>(claims: &'a Value, name: &str) -> Option<&'a Value> {
    if name.starts_with('/') { claims.pointer(name) } else { claims.get(name) }
}

fn text<'a>(sources: &'a [Value], name: &str) -> Result<&'a str, ClaimError> {
    let value = find(sources, name).ok_or_else(|| ClaimError::Missing(name.to_owned()))?;
    value.as_str().ok_or_else(|| invalid(name, "it must be a text"))
}

fn invalid(claim: &str, reason: &'static str) -> ClaimError {
    ClaimError::Invalid { claim: claim.to_owned(), reason }
}
