//! The one statement that writes the journal.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::value::RawValue;
use sqlx::PgPool;
use uuid::Uuid;

use super::FENCE;
use super::version::{Version, sequence_of};

/// An event that waits to be written.
#[derive(Debug)]
pub(super) struct NewEvent {
    pub event_id: Uuid,
    pub event_type: String,
    pub event_version: String,
    pub payload: Box<RawValue>,
}

/// The events of one command.
#[derive(Debug)]
pub(super) struct Commit {
    pub aggregate_type: &'static str,
    pub aggregate_id: String,
    /// The version that the command saw; none of a new aggregate.
    pub seen: Option<Version>,
    pub org_id: String,
    pub account_id: String,
    pub metadata: Arc<RawValue>,
    pub events: Vec<NewEvent>,
}

/// The positions of a commit's events, in order; `None` where another commit was faster.
pub(super) type Written = Option<Vec<i64>>;

#[derive(Default)]
struct Columns<'a> {
    commit: Vec<i32>,
    event_id: Vec<Uuid>,
    sequence: Vec<i64>,
    event_type: Vec<&'a str>,
    event_version: Vec<&'a str>,
    payload: Vec<&'a str>,
}

/// Appends commits of distinct aggregates in one autocommit statement; each gets an answer of its own.
///
/// The guard lets a commit through whole or not at all: the aggregate's last event has to be the one that the command saw.
/// Whatever the database refuses fails the statement: two processes that raced past the guard and met at the unique key, or
/// one commit with a value that it cannot store. Then each is written by itself, so that nobody pays for another one's fault.
pub(super) async fn append(pool: &PgPool, commits: &[Commit]) -> Vec<Result<Written, Arc<sqlx::Error>>> {
    match append_batch(pool, commits).await {
        Ok(written) => written.into_iter().map(Ok).collect(),
        Err(error) if error.as_database_error().is_some() && commits.len() > 1 => {
            tracing::debug!(error = %error, commits = commits.len(), "commits are written one by one");
            append_each(pool, commits).await
        }
        Err(error) => {
            let error = Arc::new(error);
            commits.iter().map(|_| refusal(&error)).collect()
        }
    }
}

async fn append_each(pool: &PgPool, commits: &[Commit]) -> Vec<Result<Written, Arc<sqlx::Error>>> {
    let mut answers = Vec::with_capacity(commits.len());
    for commit in commits {
        match append_batch(pool, std::slice::from_ref(commit)).await {
            Ok(written) => answers.extend(written.into_iter().map(Ok)),
            Err(error) => {
                let error = Arc::new(error);
                answers.push(refusal(&error));
                if concerns_all(&error) {
                    // No use in waiting for the database once per commit.
                    answers.resize_with(commits.len(), || refusal(&error));
                    break;
                }
            }
        }
    }
    answers
}

fn refusal(error: &Arc<sqlx::Error>) -> Result<Written, Arc<sqlx::Error>> {
    if is_race(error) { Ok(None) } else { Err(error.clone()) }
}

/// The next commit would fare no better: the database is gone, or it has no time, no room or no lock for us. By the classes of
/// SQLSTATE: connection, transaction state, resources, object state (locks), operator intervention (time-outs), system.
fn concerns_all(error: &sqlx::Error) -> bool {
    let Some(error) = error.as_database_error() else { return true };
    error.code().is_some_and(|code| ["08", "25", "53", "55", "57", "58"].iter().any(|class| code.starts_with(class)))
}

/// As migration 0052 refuses the event of a secret that was given up. It is no race: once more would be refused alike.
pub(super) fn is_given_up(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(sqlx::error::DatabaseError::constraint) == Some("secret_given_up")
}

/// Unique violation, serialization failure or deadlock: somebody else was faster.
fn is_race(error: &sqlx::Error) -> bool {
    if is_given_up(error) {
        return false;
    }
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| matches!(code.as_ref(), "23505" | "40001" | "40P01"))
}

async fn append_batch(pool: &PgPool, commits: &[Commit]) -> Result<Vec<Written>, sqlx::Error> {
    let mut columns = Columns::default();
    for (index, commit) in (0_i32..).zip(commits) {
        for (offset, event) in (1_i64..).zip(&commit.events) {
            columns.commit.push(index);
            columns.event_id.push(event.event_id);
            columns.sequence.push(sequence_of(commit.seen) + offset);
            columns.event_type.push(&event.event_type);
            columns.event_version.push(&event.event_version);
            columns.payload.push(event.payload.get());
        }
    }
    let types: Vec<&str> = commits.iter().map(|c| c.aggregate_type).collect();
    let ids: Vec<&str> = commits.iter().map(|c| c.aggregate_id.as_str()).collect();
    let last: Vec<Option<Uuid>> = commits.iter().map(|c| c.seen.map(|seen| seen.event_id)).collect();
    let orgs: Vec<&str> = commits.iter().map(|c| c.org_id.as_str()).collect();
    let accounts: Vec<&str> = commits.iter().map(|c| c.account_id.as_str()).collect();
    let metadata: Vec<&str> = commits.iter().map(|c| c.metadata.get()).collect();
    let rows = sqlx::query!(
        r#"
        WITH fence AS MATERIALIZED (
            SELECT pg_advisory_xact_lock_shared($1)
        ), commits AS MATERIALIZED (
            SELECT (c.ordinal - 1)::int AS commit, c.aggregate_type, c.aggregate_id, c.org_id, c.account_id,
                   c.metadata::json AS metadata
            FROM fence
            CROSS JOIN unnest($2::text[], $3::text[], $4::uuid[], $5::text[], $6::text[], $7::text[])
                WITH ORDINALITY AS c (aggregate_type, aggregate_id, last_event, org_id, account_id, metadata, ordinal)
            WHERE c.last_event IS NOT DISTINCT FROM (
                SELECT e.event_id FROM events e
                WHERE e.aggregate_type = c.aggregate_type AND e.aggregate_id = c.aggregate_id
                ORDER BY e.sequence DESC LIMIT 1)
        )
        INSERT INTO events
            (event_id, org_id, account_id, aggregate_type, aggregate_id, sequence, event_type, event_version, payload,
             metadata)
        SELECT u.event_id, c.org_id, c.account_id, c.aggregate_type, c.aggregate_id, u.sequence, u.event_type,
               u.event_version, u.payload::json, c.metadata
        FROM unnest($8::int[], $9::uuid[], $10::bigint[], $11::text[], $12::text[], $13::text[])
            WITH ORDINALITY AS u (commit, event_id, sequence, event_type, event_version, payload, ordinal)
        JOIN commits c ON c.commit = u.commit
        ORDER BY u.ordinal
        RETURNING position, event_id
        "#,
        FENCE,
        &types as &[&str],
        &ids as &[&str],
        &last as &[Option<Uuid>],
        &orgs as &[&str],
        &accounts as &[&str],
        &metadata as &[&str],
        &columns.commit,
        &columns.event_id,
        &columns.sequence,
        &columns.event_type as &[&str],
        &columns.event_version as &[&str],
        &columns.payload as &[&str],
    )
    .fetch_all(pool)
    .await?;
    let positions: HashMap<Uuid, i64> = rows.into_iter().map(|row| (row.event_id, row.position)).collect();
    Ok(commits
        .iter()
        .map(|commit| commit.events.iter().map(|e| positions.get(&e.event_id).copied()).collect())
        .collect())
}
