//! Group commit: while statements are under way the next commits gather, and go together.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use sqlx::PgPool;
use tokio::sync::{mpsc, oneshot, watch};

use super::append::{Commit, Written, append};
use crate::telemetry::commits_written;

/// How many commits go into one statement at most.
const BATCH: usize = 512;
/// Statements that a journal has under way at most: while the disk works for one, the next is prepared and computed.
pub const STATEMENTS: usize = 2;
/// A second statement is for so many commits at least: fewer cost less with those that come next.
const WORTH_A_SECOND: usize = 16;

pub(super) struct CommitRequest {
    pub commit: Commit,
    pub reply: oneshot::Sender<Result<Written, Arc<sqlx::Error>>>,
}

/// An aggregate, by its type and id.
type Key = (&'static str, String);

/// Writes what comes, in batches of distinct aggregates, until every sender is gone.
pub(super) async fn write_commits(pool: PgPool, mut requests: mpsc::Receiver<CommitRequest>, head: watch::Sender<i64>) {
    let mut waiting: VecDeque<CommitRequest> = VecDeque::new();
    let mut gathered = Vec::with_capacity(BATCH);
    let mut under_way = FuturesUnordered::new();
    // Aggregates of the statements under way: whoever meets one of them would see the previous version.
    let mut busy: HashSet<Key> = HashSet::new();
    let mut open = true;
    while open || !waiting.is_empty() || !under_way.is_empty() {
        let enough = if under_way.is_empty() { 1 } else { WORTH_A_SECOND };
        if under_way.len() < STATEMENTS && waiting.len() >= enough {
            let batch = distinct(&mut waiting, &mut busy);
            if !batch.is_empty() {
                under_way.push(write(&pool, batch, &head));
                continue;
            }
        }
        tokio::select! {
            biased;
            Some(written) = under_way.next() => {
                for key in written {
                    busy.remove(&key);
                }
            }
            count = requests.recv_many(&mut gathered, BATCH), if open && waiting.len() < BATCH => open = count > 0,
        }
        waiting.extend(gathered.drain(..));
    }
}

/// Writes a batch and answers. Gives the aggregates that were written.
async fn write(pool: &PgPool, batch: Vec<CommitRequest>, head: &watch::Sender<i64>) -> Vec<Key> {
    let (commits, replies): (Vec<_>, Vec<_>) = batch.into_iter().map(|r| (r.commit, r.reply)).unzip();
    let answers = append(pool, &commits).await;
    commits_written(commits.len());
    if let Some(last) = answers.iter().flatten().flatten().flatten().max() {
        head.send_if_modified(|head| std::mem::replace(head, (*head).max(*last)) < *last);
    }
    if let Some(error) = answers.iter().find_map(|answer| answer.as_ref().err()) {
        let failed = answers.iter().filter(|answer| answer.is_err()).count();
        tracing::warn!(%error, failed, commits = commits.len(), "failed to append to the journal");
    }
    for (reply, answer) in replies.into_iter().zip(answers) {
        // A caller that went away meanwhile has no use for its answer.
        let _ = reply.send(answer);
    }
    commits.into_iter().map(|commit| (commit.aggregate_type, commit.aggregate_id)).collect()
}

/// Takes one commit per aggregate; a second one of the same aggregate waits for the statement after that, where it meets
/// the version that the first one made.
fn distinct(waiting: &mut VecDeque<CommitRequest>, busy: &mut HashSet<Key>) -> Vec<CommitRequest> {
    let mut batch = Vec::new();
    for _ in 0..waiting.len() {
        let Some(request) = waiting.pop_front() else { break };
        let key = (request.commit.aggregate_type, request.commit.aggregate_id.clone());
        if batch.len() < BATCH && busy.insert(key) {
            batch.push(request);
        } else {
            waiting.push_back(request);
        }
    }
    batch
}
