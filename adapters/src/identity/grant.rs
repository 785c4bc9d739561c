//! Who somebody was found to be, before it is said by which credential.

use std::collections::BTreeSet;

use domain::access::{AccessRole, Accounts, Caller, CredentialKind};
use domain::ids::{AccountId, OrgId};
use domain::text::line;

/// The longest subject, in characters.
const LONGEST_SUBJECT: usize = 200;

/// A subject, and what it is in its organisation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The name, e.g. `ops@example.org` or `pricing-service`.
    pub subject: String,
    /// The only organisation that exists for it.
    pub org_id: OrgId,
    /// Which of its accounts.
    pub accounts: Accounts,
    /// What it is there; at least one role.
    pub roles: BTreeSet<AccessRole>,
}

impl Grant {
    /// The caller that proves it by a credential.
    pub fn caller(self, credential: CredentialKind, credential_id: String) -> Caller {
        let Self { subject, org_id, accounts, roles } = self;
        Caller { subject, org_id, accounts, roles, credential, credential_id }
    }

    /// The roles as they are kept.
    pub(super) fn role_names(&self) -> Vec<String> {
        self.roles.iter().map(|role| role.as_str().to_owned()).collect()
    }

    /// The accounts as they are kept and told; all of them is nothing.
    pub(super) fn account_names(&self) -> Option<Vec<String>> {
        match &self.accounts {
            Accounts::All => None,
            Accounts::Only(accounts) => Some(accounts.iter().map(|account| account.as_str().to_owned()).collect()),
        }
    }
}

/// A grant as a row holds it.
pub(super) struct StoredGrant {
    pub(super) subject: String,
    pub(super) org_id: String,
    pub(super) roles: Vec<String>,
    pub(super) account_ids: Option<Vec<String>>,
}

impl StoredGrant {
    /// Checks the row: what cannot be read gives no rights.
    pub(super) fn read(self) -> Result<Grant, sqlx::Error> {
        let wrong = |error: Box<dyn std::error::Error + Send + Sync>| sqlx::Error::Decode(error);
        let org_id = OrgId::new(self.org_id).map_err(|error| wrong(error.into()))?;
        let roles: Result<BTreeSet<AccessRole>, _> = self.roles.iter().map(|role| role.parse()).collect();
        let accounts = match self.account_ids {
            None => Accounts::All,
            Some(names) => {
                let accounts: Result<BTreeSet<AccountId>, _> = names.into_iter().map(AccountId::new).collect();
                Accounts::Only(accounts.map_err(|error| wrong(error.into()))?)
            }
        };
        Ok(Grant { subject: self.subject, org_id, accounts, roles: roles.map_err(|error| wrong(error.into()))? })
    }
}

/// Whether a text can stand for somebody in the journal and in logs. `service:` is how parts of this service are named.
pub(super) fn is_subject(text: &str) -> bool {
    !text.starts_with("service:") && line(text, LONGEST_SUBJECT) == Ok(text)
}
