//! The windows of a target as the limiter sees them: the rows that it works with itself.

use chrono::{DateTime, Utc};
use domain::counted::agreeing;
use domain::window::{RateLimit, Scope};
use serde::Serialize;
use sqlx::{FromRow, PgConnection, PgPool};
use utoipa::ToSchema;
use uuid::Uuid;

use super::moment::moment;

/// What is told in the place of an account's figures: anybody can name any account, with a secret that is made up.
const WITHHELD: &str =
    "how much of it is in use is not told until the channel is known to take the target's credentials";

/// A window, as the limiter sees it.
#[derive(Debug, Clone, FromRow, Serialize, ToSchema)]
pub struct ScopeWindow {
    /// `target`, `account` or `egress`.
    // For whoever runs the service with the key of the scope behind a colon.
    pub scope: String,
    /// Requests that it admits; `null` where there is no limit. Where all else is `withheld`, what the target itself asks for.
    pub requests: Option<i32>,
    /// Its length in milliseconds.
    pub window_ms: Option<i32>,
    /// Slots that are taken; `null` of the address that calls leave from while it is not full, as those of all organisations take them, and
    /// where it is `withheld`.
    // More than it admits for a while after it was lowered; without a limit calls take none.
    pub in_use: Option<i64>,
    /// When the next one comes back, if its call tells nothing earlier.
    pub next_free_at: Option<DateTime<Utc>>,
    /// Until when the channel has it paused.
    pub paused_until: Option<DateTime<Utc>>,
    /// Why nothing is told of how the account stands: the channel is not known to take the target's credentials there now, so that it
    /// may be somebody else's. `null` where all is told.
    #[sqlx(skip)]
    pub withheld: Option<&'static str>,
}

impl ScopeWindow {
    /// That of an account, for whoever may not be told how it stands: what the target itself asks for there.
    fn withheld(own: Option<RateLimit>) -> Self {
        let whole = |number: u32| i32::try_from(number).ok();
        Self {
            scope: "account".to_owned(),
            requests: own.and_then(|limit| whole(limit.requests())),
            window_ms: own.and_then(|limit| whole(limit.window_ms())),
            in_use: None,
            next_free_at: None,
            paused_until: None,
            withheld: Some(WITHHELD),
        }
    }

    /// What kind of scope it is of: `target`, `account` or `egress`.
    pub fn kind(&self) -> &str {
        self.scope.split(':').next().unwrap_or_default()
    }

    /// The same for readers of one organisation. The key of its scope is not told to them, and of an address, where everybody's calls
    /// leave from, no more than whether it is full or paused.
    #[must_use]
    pub fn for_readers(self) -> Self {
        let scope = self.kind().to_owned();
        if scope != "egress" {
            return Self { scope, ..self };
        }
        let in_use = self.requests.map(i64::from).filter(|_| self.is_full());
        let next_free_at = self.next_free_at.filter(|_| in_use.is_some());
        Self { scope, in_use, next_free_at, ..self }
    }

    /// Every slot is taken.
    pub fn is_full(&self) -> bool {
        self.requests.zip(self.in_use).is_some_and(|(requests, in_use)| in_use >= i64::from(requests))
    }

    /// Nothing can start here now.
    pub fn is_closed(&self) -> bool {
        self.paused_until.is_some() || self.is_full()
    }

    /// How it stands, in words.
    pub fn words(&self) -> String {
        let scope = self.kind();
        if let Some(why) = self.withheld {
            return format!("of the window of the {scope}, {why}");
        }
        match (self.paused_until, self.requests, self.in_use) {
            (Some(until), ..) => format!("the channel has the {scope} paused until {}", moment(until)),
            (None, Some(of), Some(used)) if self.is_full() => {
                format!("the window of the {scope} is full: {used} of {of} slots are taken")
            }
            (None, Some(of), Some(used)) => {
                format!("{used} of {of} slots of the {scope} {} taken", agreeing(used, "is", "are"))
            }
            (None, Some(_), None) => format!("the window of the {scope} is not full"),
            (None, None, _) => format!("the {scope} has no limit"),
        }
    }
}

/// Of some scopes. One that is not limited has its row, too: a channel can pause it.
fn windows(which: &str) -> String {
    format!(
        "SELECT r.scope, r.requests, r.window_ms,
            count(s.slot) FILTER (WHERE s.free_at > now()) AS in_use,
            min(s.free_at) FILTER (WHERE s.free_at > now() AND isfinite(s.free_at)) AS next_free_at,
            CASE WHEN r.paused_until > now() AND isfinite(r.paused_until) THEN r.paused_until END AS paused_until
         FROM rate_scopes AS r LEFT JOIN rate_slots AS s ON s.scope = r.scope
         WHERE {which} GROUP BY r.scope ORDER BY r.scope DESC"
    )
}

/// Those of these scopes in which a call was made before.
pub async fn of(connection: &mut PgConnection, scopes: &[String]) -> Result<Vec<ScopeWindow>, sqlx::Error> {
    sqlx::query_as(&windows("r.scope = ANY($1)")).bind(scopes).fetch_all(connection).await
}

/// Those of a target and of its account, as the target's readers are told of them. `own_limit` is what the target asks for at its account:
/// whoever is not known to have that sees nothing else of it, be it read as a reader or as the owner of the tables.
pub async fn of_target(
    connection: &mut PgConnection,
    target: Uuid,
    account: &Scope,
    own_limit: Option<RateLimit>,
) -> Result<Vec<ScopeWindow>, sqlx::Error> {
    let taken = sqlx::query_scalar("SELECT credentials_are_taken($1)").bind(target);
    let is_taken: bool = taken.fetch_one(&mut *connection).await?;
    let mut scopes = vec![Scope::Target(target.to_string()).to_string()];
    if is_taken {
        scopes.push(account.to_string());
    }
    let known = of(connection, &scopes).await?.into_iter().map(ScopeWindow::for_readers);
    Ok(known.chain((!is_taken).then(|| ScopeWindow::withheld(own_limit))).collect())
}

/// Those of the addresses that calls leave from, where one has a limit or is paused: they are of all organisations, so that no reader
/// sees their rows. [`ScopeWindow::for_readers`] leaves of them what may be told.
pub async fn of_egress(pool: &PgPool) -> Result<Vec<ScopeWindow>, sqlx::Error> {
    let limited =
        "r.scope LIKE 'egress:%' AND (r.requests IS NOT NULL OR r.paused_until > now() AND isfinite(r.paused_until))";
    sqlx::query_as(&windows(limited)).fetch_all(pool).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_address_readers_learn_no_more_than_whether_it_is_full_or_paused() {
        let at = |s| DateTime::from_timestamp(s, 0);
        let window = |scope: &str, in_use| ScopeWindow {
            scope: scope.to_owned(),
            requests: Some(20),
            window_ms: Some(4_000),
            in_use: Some(in_use),
            next_free_at: at(5),
            paused_until: at(9),
            withheld: None,
        };
        let told = |scope, in_use| {
            let told = window(scope, in_use).for_readers();
            (told.scope.clone(), told.in_use, told.next_free_at, told.is_full(), told.paused_until)
        };
        assert_eq!(told("egress:default", 7), ("egress".to_owned(), None, None, false, at(9)));
        assert_eq!(told("egress:default", 23), ("egress".to_owned(), Some(20), at(5), true, at(9)));
        assert_eq!(told("target:1", 7), ("target".to_owned(), Some(7), at(5), false, at(9)));
        let open = ScopeWindow { paused_until: None, ..window("egress:default", 7) }.for_readers();
        assert!(!open.is_closed() && open.words() == "the window of the egress is not full", "{}", open.words());
    }

    #[test]
    fn of_an_account_that_may_be_somebody_elses_the_own_limit_alone_is_told() {
        for (own, requests, window_ms) in [(RateLimit::new(7, 900).ok(), Some(7), Some(900)), (None, None, None)] {
            let told = ScopeWindow::withheld(own);
            assert_eq!((told.requests, told.window_ms, told.in_use), (requests, window_ms, None));
            assert!(!told.is_closed() && told.words().contains("is not told until"), "{}", told.words());
        }
    }
}
