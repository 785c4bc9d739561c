//! The watch of a process: what is new in the journal, and which topics that touches. It ends when nobody looks.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use sqlx::FromRow;
use tokio::time::{Instant, MissedTickBehavior};
use uuid::Uuid;

use super::topic::{Subject, Topic, parts};
use super::{Live, Now, Part, Sent};
use crate::api::by::By;
use crate::dashboard::Dashboard;

/// How often it looks.
const TURN: Duration = Duration::from_millis(500);
/// A topic is made anew at most once in this time, however fast things change.
const AT_FIRST: Duration = Duration::from_millis(900);
/// What takes longer than this keeps pages from being up to date.
const PATIENCE: Duration = Duration::from_secs(5);
/// Events that are looked at one by one; of more, every topic of all is touched.
const MOST: i64 = 2_000;

/// Up to where every read model is.
const SHOWN: &str = "SELECT coalesce(min(position), 0) FROM projection_checkpoints";

/// What changed between two positions.
const CHANGES: &str = "
SELECT DISTINCT org_id, account_id, aggregate_id::uuid AS id, (metadata ->> 'target_id')::uuid AS target_id
FROM (SELECT * FROM events WHERE position > $1 AND position <= $2 ORDER BY position LIMIT $3) AS e";

#[derive(Debug, FromRow)]
struct Change {
    org_id: String,
    account_id: String,
    id: Uuid,
    target_id: Option<Uuid>,
}

/// Looks until nobody does.
pub(super) async fn run(dashboard: Dashboard) {
    let mut turns = tokio::time::interval(TURN);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut shown = None;
    loop {
        turns.tick().await;
        let live = &dashboard.live;
        let looked_at = live.with_topics(|topics| {
            topics.watched.retain(|_, watched| watched.now.receiver_count() > 0);
            topics.running = !topics.watched.is_empty() && !live.is_over();
            topics.running
        });
        if !looked_at {
            return;
        }
        let began = Utc::now();
        match in_time(live, touched(&dashboard, shown)).await {
            Ok(position) => shown = Some(position),
            Err(error) => {
                tracing::warn!(error = %error, "live pages stand still");
                live.stand_still(began);
                continue;
            }
        }
        for due in due(&dashboard) {
            in_time(live, make(&dashboard, due)).await;
        }
    }
}

/// Does it to its end: a query that is dropped on its way would keep its connection all the same. Meanwhile those who look are
/// told that they see what was before.
async fn in_time<T>(live: &Live, work: impl Future<Output = T>) -> T {
    let began = Utc::now();
    let mut work = pin!(work);
    if let Ok(done) = tokio::time::timeout(PATIENCE, work.as_mut()).await {
        return done;
    }
    live.stand_still(began);
    work.await
}

/// Marks the topics that changed. Gives the position up to which they were looked through.
async fn touched(dashboard: &Dashboard, before: Option<i64>) -> Result<i64, sqlx::Error> {
    let shown: i64 = sqlx::query_scalar(SHOWN).fetch_one(dashboard.api.pool()).await?;
    let Some(before) = before.filter(|before| *before != shown) else { return Ok(shown) };
    // A rebuilt database begins anew; of very many changes everything is a part.
    let all = shown < before || shown - before > MOST;
    let changes: Vec<Change> = if all {
        Vec::new()
    } else {
        sqlx::query_as(CHANGES).bind(before).bind(shown).bind(MOST).fetch_all(dashboard.api.pool()).await?
    };
    dashboard.live.with_topics(|topics| {
        for (topic, watched) in &mut topics.watched {
            watched.touched |= all || changes.iter().any(|change| touches(topic, change));
        }
    });
    Ok(shown)
}

fn touches(topic: &Topic, change: &Change) -> bool {
    topic.sees(&change.org_id, &change.account_id)
        && match topic.subject {
            // Of which listing a sync is, its topic does not say: that it is made anew costs little.
            Subject::Overview | Subject::Sync(_) => true,
            Subject::Target(id) => change.id == id || change.target_id == Some(id),
            Subject::Listing(id) => change.id == id,
            Subject::DeadLetters => false,
        }
}

/// A topic to be made now.
struct Due {
    topic: Topic,
    by: By,
    /// Which time it is.
    nth: u64,
    /// Somebody waits for it, who gets it though nothing has changed.
    awaited: bool,
}

/// Those that are due. What is counted and taken here is so under one lock with whoever begins to look.
fn due(dashboard: &Dashboard) -> Vec<Due> {
    let now = Instant::now();
    dashboard.live.with_topics(|topics| {
        let mut due = Vec::new();
        for (topic, watched) in &mut topics.watched {
            let age = watched.made_at.map(|at| now.duration_since(at));
            let wait = if watched.touched { AT_FIRST } else { topic.subject.at_last() };
            if age.is_none_or(|age| age >= wait) {
                watched.touched = false;
                watched.made_at = Some(now);
                watched.begun += 1;
                let awaited = std::mem::take(&mut watched.awaited);
                due.push(Due { topic: topic.clone(), by: watched.by.clone(), nth: watched.begun, awaited });
            }
        }
        due
    })
}

async fn make(dashboard: &Dashboard, Due { topic, by, nth, awaited }: Due) {
    let began = Utc::now();
    let made = match parts(dashboard, &by, topic.subject).await {
        Ok(made) => made.iter().map(Part::event).collect::<Vec<Sent>>(),
        Err(problem) => {
            tracing::debug!(detail = problem.detail, "a live page cannot be made");
            dashboard.live.with_topics(|topics| {
                if let Some(watched) = topics.watched.get(&topic) {
                    watched.stands_still(began);
                }
            });
            return;
        }
    };
    dashboard.live.with_topics(|topics| {
        if let Some(watched) = topics.watched.get(&topic) {
            watched.now.send_if_modified(|now| {
                let marks = |parts: &[Sent]| parts.iter().map(|part| part.mark).collect::<HashSet<_>>();
                let changed = awaited || now.stale_since.is_some() || marks(&now.parts) != marks(&made);
                *now = Now { parts: Arc::new(made), stale_since: None, nth };
                changed
            });
        }
    });
}
