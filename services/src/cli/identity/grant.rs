//! Whom a link or a token is for.

use adapters::identity::Grant;
use clap::Args;
use domain::access::{AccessRole, Accounts};
use domain::ids::{AccountId, OrgId};

#[derive(Debug, Args)]
pub(super) struct GrantArgs {
    /// The organisation; no other one exists for whoever uses it
    #[arg(long, value_name = "ORG")]
    org: OrgId,

    /// An account that may be seen, repeatable; all of the organisation by default
    #[arg(long = "account", value_name = "ACCOUNT")]
    accounts: Vec<AccountId>,

    /// What may be done: owner, channel-publisher, viewer or analyst; repeatable
    #[arg(long = "role", value_name = "ROLE", required = true)]
    roles: Vec<AccessRole>,
}

impl GrantArgs {
    pub(super) fn of(self, subject: String) -> Grant {
        let accounts =
            if self.accounts.is_empty() { Accounts::All } else { Accounts::Only(self.accounts.into_iter().collect()) };
        Grant { subject, org_id: self.org, accounts, roles: self.roles.into_iter().collect() }
    }
}

/// A name that stands in the journal.
pub(super) fn subject(text: &str) -> Result<String, String> {
    let text = super::super::arguments::person(text)?;
    if text.starts_with("service:") {
        return Err("service: is how parts of this service are named; take another name".to_owned());
    }
    if text.chars().count() > 200 { Err("use at most 200 characters".to_owned()) } else { Ok(text) }
}
