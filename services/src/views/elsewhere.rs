//! A listing whose unit belongs to another account now than those that it takes from. Nothing of what the unit is there is sent or
//! shown, and no event of the listing tells of it: here is what those are told who wonder why nothing comes.

use serde::Serialize;
use sqlx::PgConnection;
use utoipa::ToSchema;

/// Where the unit is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Elsewhere {
    /// The account that the unit belongs to now; `null` where whoever asks does not have that one.
    pub account_id: Option<String>,
}

const ACCOUNT: &str = "SELECT account_id FROM units WHERE org_id = $1 AND unit_id = $2";

impl Elsewhere {
    /// Of a unit that is elsewhere. The account is named to those who have it: Postgres shows its row to no other reader.
    pub async fn told_to(reader: &mut PgConnection, org: &str, unit: &str) -> Result<Self, sqlx::Error> {
        let account_id = sqlx::query_scalar(ACCOUNT).bind(org).bind(unit).fetch_optional(reader).await?;
        Ok(Self { account_id })
    }

    /// In plain words, with what helps.
    pub fn words(&self) -> String {
        let named = |id: &String| format!("account {id}");
        let account = self.account_id.as_ref().map_or_else(|| "another account".to_owned(), named);
        format!(
            "Its unit belongs to {account} now, and nothing of it is sent from there: unlink the listing, or move the unit \
             back; its newest state is sent then."
        )
    }
}
