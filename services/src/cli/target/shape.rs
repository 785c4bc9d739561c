//! A target as every answer shows it: itself by the journal, and what the read models count.

use chrono::{DateTime, Utc};
use domain::ids::TargetId;
use domain::target::Target;
use futures::{StreamExt, TryStreamExt};
use serde::Serialize;
use sqlx::{FromRow, PgPool};

use crate::cli::session::known_target;
use crate::cli::times::moment;
use crate::commands::Commands;
use crate::views::login::{self, LoginWait};
use crate::views::queue::{BEHIND_SINCE, IS_DUE, WAITING_FOR_TARGET, channel_pauses};

/// Loads under way at the same time; the journal reads them together.
const AT_ONCE: usize = 64;

/// A target with what is known of it.
#[derive(Debug, Serialize)]
pub(super) struct KnownTarget {
    #[serde(flatten)]
    pub(super) target: Target,
    /// `active`, `needs_credentials`, `paused` or `deleted`.
    state: &'static str,
    #[serde(flatten)]
    pub(super) known: Known,
}

/// What the read models know. The first fields are `None` until a projector has seen the target.
#[derive(Debug, FromRow, Serialize)]
pub(super) struct Known {
    pub(super) lifecycle_reason: Option<String>,
    created_by: Option<String>,
    created_at: Option<DateTime<Utc>>,
    updated_at: Option<DateTime<Utc>>,
    /// `account` or `egress`, where the channel has its calls paused.
    paused_scope: Option<String>,
    paused_until: Option<DateTime<Utc>>,
    /// The login that its due work waits for.
    #[sqlx(skip)]
    pub(super) login: Option<LoginWait>,
    #[sqlx(flatten)]
    pub(super) listings: Listings,
    #[sqlx(flatten)]
    pub(super) queue: Queue,
}

impl Known {
    /// What waits for a login lacks more than a slot of the window.
    fn tell(&mut self, login: Option<&LoginWait>) {
        self.login = login.copied();
        self.queue.due = if self.login.is_some() { 0 } else { self.queue.due };
    }

    /// What the channel has paused, and until when.
    pub(super) fn paused(&self) -> Option<String> {
        let (scope, until) = (self.paused_scope.as_ref()?, self.paused_until?);
        Some(format!("{scope} until {}", moment(until)))
    }
}

#[derive(Debug, FromRow, Serialize)]
pub(super) struct Listings {
    pub(super) active: i64,
    pub(super) paused: i64,
    /// Those that were on the target when it was deleted.
    pub(super) target_deleted: i64,
    pub(super) unlinked: i64,
}

#[derive(Debug, FromRow, Serialize)]
pub(super) struct Queue {
    pub(super) waiting: i64,
    /// A slot of the window is all that they lack.
    pub(super) due: i64,
    pub(super) under_way: i64,
    oldest_requested_at: Option<DateTime<Utc>>,
    /// Since when the channel has been behind for any of its listings.
    pub(super) behind_since: Option<DateTime<Utc>>,
}

fn known() -> String {
    format!(
        "SELECT t.lifecycle_reason, t.created_by, t.created_at, t.updated_at, p.paused_scope, p.paused_until, l.active,
             l.paused, l.target_deleted, l.unlinked, w.waiting, w.due, w.under_way, w.oldest_requested_at, w.behind_since
         FROM unnest($1::uuid[]) WITH ORDINALITY AS wanted (target_id, place)
         LEFT JOIN channel_targets AS t ON t.target_id = wanted.target_id
         LEFT JOIN dispatch_circuits AS o ON o.target_id = wanted.target_id AND o.opened > 0
         LEFT JOIN ({}) AS p ON p.target_id = wanted.target_id
         CROSS JOIN LATERAL (
             SELECT count(*) FILTER (WHERE state = 'active' AND t.lifecycle IS DISTINCT FROM 'deleted') AS active,
                 count(*) FILTER (WHERE state = 'paused' AND t.lifecycle IS DISTINCT FROM 'deleted') AS paused,
                 count(*) FILTER (WHERE state <> 'unlinked' AND t.lifecycle = 'deleted') AS target_deleted,
                 count(*) FILTER (WHERE state = 'unlinked') AS unlinked
             FROM channel_listings WHERE target_id = wanted.target_id
         ) AS l
         CROSS JOIN LATERAL (
             SELECT count(*) AS waiting, count(*) FILTER (WHERE {IS_DUE}) AS due,
                 count(d.listing_id) AS under_way, min(q.requested_at) AS oldest_requested_at,
                 min({BEHIND_SINCE}) AS behind_since
             FROM {WAITING_FOR_TARGET}
             WHERE q.target_id = wanted.target_id
         ) AS w
         ORDER BY wanted.place",
        channel_pauses()
    )
}

/// The targets in the order in which they are asked for; one that is not there is an error.
pub(super) async fn look(pool: &PgPool, commands: &Commands, ids: &[TargetId]) -> anyhow::Result<Vec<KnownTarget>> {
    let uuids: Vec<_> = ids.iter().map(|id| id.0).collect();
    let mut known: Vec<Known> = sqlx::query_as(&known()).bind(&uuids).fetch_all(pool).await?;
    let due = uuids.iter().zip(&known).filter(|(_, known)| known.queue.due > 0);
    let logins = login::waits(pool, &due.map(|(id, _)| *id).collect::<Vec<_>>()).await?;
    for (id, known) in uuids.iter().zip(&mut known) {
        known.tell(logins.get(id));
    }
    let targets: Vec<Target> =
        futures::stream::iter(ids).map(|id| known_target(commands, *id)).buffered(AT_ONCE).try_collect().await?;
    let with_known = targets.into_iter().zip(known);
    Ok(with_known.map(|(target, known)| KnownTarget { state: target.state(), target, known }).collect())
}
