//! Reading for one caller: a transaction of the role `distribution_reader`, for which Postgres itself hides the rows of
//! other organisations and accounts (`migrations/0010_row_level_security.sql`). Handlers filter as well.

use std::ops::{Deref, DerefMut};

use adapters::postgres::{PLANNED_FREELY, begin_with};
use domain::access::{Accounts, Caller};
use domain::ids::AccountId;
use sqlx::{PgConnection, PgPool, Postgres, Transaction};
use uuid::Uuid;

const FIRST: &str = "SELECT FROM events WHERE aggregate_type = $1 AND aggregate_id = $2 AND sequence = 1";

/// A transaction that sees what its caller may see, and changes nothing.
#[derive(Debug)]
pub struct Reader(Transaction<'static, Postgres>);

impl Reader {
    /// Opens one. It ends when it is dropped.
    pub async fn open(pool: &PgPool, caller: &Caller) -> Result<Self, sqlx::Error> {
        let accounts = match &caller.accounts {
            Accounts::All => "*".to_owned(),
            Accounts::Only(accounts) => accounts.iter().map(AccountId::as_str).collect::<Vec<_>>().join(","),
        };
        // Names of organisations and accounts have no other characters than A-Z a-z 0-9 _ -, so they need no quoting.
        let settings = format!(
            "BEGIN READ ONLY; SET LOCAL ROLE distribution_reader; SET LOCAL statement_timeout = '10s';
             {PLANNED_FREELY};
             SET LOCAL distribution.org = '{}'; SET LOCAL distribution.accounts = '{accounts}'",
            caller.org_id
        );
        begin_with(pool, settings).await.map(Self)
    }

    /// Whether the journal has an aggregate that the caller may see.
    pub async fn knows(&mut self, aggregate_type: &str, id: Uuid) -> Result<bool, sqlx::Error> {
        let query = sqlx::query(FIRST).bind(aggregate_type).bind(id.to_string());
        query.fetch_optional(&mut **self).await.map(|found| found.is_some())
    }
}

impl Deref for Reader {
    type Target = PgConnection;
    fn deref(&self) -> &PgConnection {
        &self.0
    }
}

impl DerefMut for Reader {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.0
    }
}

/// The accounts of a filter: `None` for all of them.
pub(crate) fn account_filter(caller: &Caller) -> Option<Vec<String>> {
    match &caller.accounts {
        Accounts::All => None,
        Accounts::Only(accounts) => Some(accounts.iter().map(ToString::to_string).collect()),
    }
}
