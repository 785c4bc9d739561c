//! What a sync waits for now: what holds it, its time, its turn, the windows that its calls fall under.

use std::ops::RangeInclusive;

use chrono::{DateTime, Utc};
use domain::ids::{ListingId, TargetId};
use domain::target::Target;
use serde::Serialize;
use sqlx::{FromRow, PgConnection, PgPool};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::views::circuit::{self, OpenCircuit};
use crate::views::login::{self, LoginWait};
use crate::views::moment::moment;
use crate::views::queue::{BY_ROW, Closed, DUE, IS_DONE, LOGIN, PAUSED, UNDER_WAY, WAITING, status};
use crate::views::unattended::{self, Unattended};
use crate::views::windows::{self, ScopeWindow};

/// Where a sync stands in the queue.
#[derive(Debug, FromRow, Serialize, ToSchema)]
pub struct Waiting {
    /// The sync.
    pub sync_id: Uuid,
    /// `under way`, `after an attempt` (of a sync whose place it took), `due` (it waits for a slot of the window),
    /// `later` (it is tried again at its time), `paused by the channel` (calls wait as the channel answered 429, at least until it is
    /// due), `waits for a login` (see `login`), or what holds it.
    pub status: String,
    /// When it is due.
    pub due_at: DateTime<Utc>,
    /// Listings of its target that have their turn before it.
    pub ahead: i64,
    /// The ordinal of the sync for which a dispatcher took the listing up and has it still. It works on that one or, where the
    /// queue was behind the journal, on a newer one.
    #[serde(skip)]
    pub taken_up_for: Option<i64>,
    /// The same of the first of those who took it up since the last attempt was told. They may be gone.
    #[serde(skip)]
    pub untold_from: Option<i64>,
    /// The same of the last of them.
    #[serde(skip)]
    pub untold_to: Option<i64>,
    /// That one's lease has run out, so that anybody may take it over.
    #[serde(skip)]
    pub is_let_go: bool,
    /// Whoever works on it took it over from an attempt that ended without a word.
    #[serde(skip)]
    pub is_heir: bool,
    /// A dispatcher was done with it as the queue shows it, and until then the queue has time to follow: nobody takes it up before.
    #[serde(skip)]
    pub done_until: Option<DateTime<Utc>>,
    /// Why the target is paused.
    pub target_reason: Option<String>,
    /// How the target answers, and why.
    pub health: Option<String>,
    /// Why, in the words that were recorded.
    pub health_reason: Option<String>,
    /// The circuit of its target, where it is open.
    #[sqlx(skip)]
    pub circuit: Option<OpenCircuit>,
    /// The login that it waits for, where the channel is not known to take its target's credentials, and those of others at that account
    /// are taken.
    #[sqlx(skip)]
    pub login: Option<LoginWait>,
    /// It is due, and nobody looks at its target.
    #[serde(skip)]
    #[sqlx(skip)]
    pub unattended: Option<Unattended>,
    /// The windows that its calls fall under; those of egress addresses are of all dispatchers.
    #[sqlx(skip)]
    pub windows: Vec<ScopeWindow>,
}

impl Waiting {
    /// What it waits for beside its time, each in a sentence, with the moment before which nothing comes of it.
    pub fn delays(&self) -> Vec<String> {
        match self.status.as_str() {
            // Whoever lets it go finds it held by that still.
            "circuit open" | "target paused" | "target unauthorised" | "listing paused" => {
                self.circuit.iter().map(|circuit| sentence(&circuit.words(), None)).collect()
            }
            DUE | PAUSED | LOGIN | UNDER_WAY => {
                let turn = (self.ahead > 0 && self.status != UNDER_WAY).then(|| {
                    let listings = if self.ahead == 1 { "listing has" } else { "listings have" };
                    format!("{} {listings} a turn before it on its target.", self.ahead)
                });
                let closed = self.windows.iter().filter(|window| window.is_closed());
                // Of one that the channel has paused, the words say until when.
                let next = |window: &ScopeWindow| window.next_free_at.filter(|_| window.paused_until.is_none());
                let closed = closed.map(|window| sentence(&window.words(), next(window)));
                let login = self.login.iter().map(|login| sentence(&login.words(), None));
                let unattended = self.unattended.iter().map(|unattended| sentence(&unattended.words(), None));
                turn.into_iter().chain(closed).chain(login).chain(unattended).collect()
            }
            _ => Vec::new(),
        }
    }
}

fn sentence(words: &str, not_before: Option<DateTime<Utc>>) -> String {
    let mut letters = words.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
    let until = not_before.map(|at| format!("; the next one comes back {}", moment(at))).unwrap_or_default();
    format!("{first}{}{until}.", letters.as_str())
}

fn waiting() -> String {
    format!(
        "SELECT q.sync_id, {BY_ROW}, q.due_at, d.ordinal AS taken_up_for, t.lifecycle_reason AS target_reason, h.health,
            h.reason AS health_reason,
            coalesce(untold.heir_of, untold.ordinal) AS untold_from, untold.ordinal AS untold_to,
            untold.listing_id IS NOT NULL AND d.listing_id IS NULL AS is_let_go,
            untold.heir_of IS NOT NULL AS is_heir, ended.lease_until AS done_until,
            (SELECT count(*) FROM sync_queue AS o
             WHERE o.target_id = q.target_id AND o.due_at <= now() AND o.rank < q.rank) AS ahead
         FROM {WAITING} LEFT JOIN target_health AS h ON h.target_id = q.target_id
         LEFT JOIN dispatch_leases AS untold ON untold.listing_id = q.listing_id AND NOT untold.done
         LEFT JOIN dispatch_leases AS ended ON ended.listing_id = q.listing_id AND {IS_DONE}
         WHERE q.listing_id = $1"
    )
}

/// Where a listing stands in the queue; `None` where it has nothing to send, as far as the queue knows. What no reader sees is left for
/// [`Waiting::completed`].
pub async fn now(
    reader: &mut PgConnection,
    listing: ListingId,
    target: &Target,
) -> Result<Option<Waiting>, sqlx::Error> {
    let found: Option<Waiting> = sqlx::query_as(&waiting()).bind(listing.0).fetch_optional(&mut *reader).await?;
    let Some(mut waiting) = found else { return Ok(None) };
    waiting.windows = own_windows(reader, target).await?;
    Ok(Some(waiting))
}

impl Waiting {
    /// The ordinal of the sync that the dispatcher took the listing up for.
    pub fn ordinal_in_hand(&self) -> Option<u64> {
        self.taken_up_for.and_then(|ordinal| u64::try_from(ordinal).ok())
    }

    /// The ordinals of the syncs for which somebody took the listing up and has not told yet how that ended.
    pub(super) fn untold(&self) -> Option<RangeInclusive<u64>> {
        let ordinal = |ordinal: Option<i64>| ordinal.and_then(|ordinal| u64::try_from(ordinal).ok());
        Some(ordinal(self.untold_from)?..=ordinal(self.untold_to)?)
    }

    /// With what is in rows that no reader sees: the next check of an open circuit, the addresses that everybody's calls leave from, logins
    /// that owners share, and whether anybody looks.
    pub async fn completed(mut self, pool: &PgPool, target: TargetId) -> Result<Self, sqlx::Error> {
        self.circuit = circuit::open(pool, target).await?;
        self.windows.extend(egress_windows(pool).await?);
        let paused_until = self.windows.iter().filter_map(|window| window.paused_until).max();
        // What is under way may have its token already.
        self.login = if self.status == DUE { login::wait(pool, target).await? } else { None };
        self.status = status(self.status, self.due_at, &Closed { paused_until, login: self.login });
        self.unattended = if self.status == DUE { unattended::of(pool, target).await? } else { None };
        Ok(self)
    }
}

/// The windows that calls of a target fall under, as its readers are told of them.
pub async fn windows(pool: &PgPool, target: &Target) -> Result<Vec<ScopeWindow>, sqlx::Error> {
    let mut all = own_windows(&mut *pool.acquire().await?, target).await?;
    all.extend(egress_windows(pool).await?);
    Ok(all)
}

/// Those of a target and of its account.
async fn own_windows(connection: &mut PgConnection, target: &Target) -> Result<Vec<ScopeWindow>, sqlx::Error> {
    windows::of_target(connection, target.target_id.0, &target.account_scope(), target.account_rate_limit).await
}

/// Those of the addresses that calls leave from.
async fn egress_windows(pool: &PgPool) -> Result<Vec<ScopeWindow>, sqlx::Error> {
    let egress = windows::of_egress(pool).await?;
    Ok(egress.into_iter().map(ScopeWindow::for_readers).collect())
}
