//! Group commit: while one statement is under way the next commits gather, and go together.

use std::collections::{HashSet, VecDeque};

use sqlx::PgPool;
use tokio::sync::{mpsc, oneshot, watch};

use super::append::{Commit, Written, append};
use crate::telemetry::commits_written;

/// How many commits go into one statement at most.
const BATCH: usize = 512;

pub(super) struct CommitRequest {
    pub commit: Commit,
    pub reply: oneshot::Sender<Result<Written, String>>,
}

/// Writes what comes, in batches of distinct aggregates, until every sender is gone.
pub(super) async fn write_commits(pool: PgPool, mut requests: mpsc::Receiver<CommitRequest>, head: watch::Sender<i64>) {
    let mut waiting: VecDeque<CommitRequest> = VecDeque::new();
    let mut gathered = Vec::with_capacity(BATCH);
    loop {
        if waiting.is_empty() && requests.recv_many(&mut gathered, BATCH).await == 0 {
            return;
        }
        while gathered.len() < BATCH
            && let Ok(request) = requests.try_recv()
        {
            gathered.push(request);
        }
        waiting.extend(gathered.drain(..));
        let batch = distinct(&mut waiting);
        let (commits, replies): (Vec<_>, Vec<_>) = batch.into_iter().map(|r| (r.commit, r.reply)).unzip();
        let answers = append(&pool, &commits).await;
        commits_written(commits.len());
        if let Some(last) = answers.iter().flatten().flatten().flatten().max() {
            head.send_if_modified(|head| std::mem::replace(head, (*head).max(*last)) < *last);
        }
        if let Some(error) = answers.iter().find_map(|answer| answer.as_ref().err()) {
            let failed = answers.iter().filter(|answer| answer.is_err()).count();
            tracing::warn!(error, failed, commits = commits.len(), "failed to append to the journal");
        }
        for (reply, answer) in replies.into_iter().zip(answers) {
            // A caller that went away meanwhile has no use for its answer.
            let _ = reply.send(answer);
        }
    }
}

/// Takes one commit per aggregate; a second one of the same aggregate waits for the next statement, where it meets
/// the version that the first one made.
fn distinct(waiting: &mut VecDeque<CommitRequest>) -> Vec<CommitRequest> {
    let mut seen = HashSet::new();
    let mut batch = Vec::new();
    for _ in 0..waiting.len() {
        let Some(request) = waiting.pop_front() else { break };
        let key = (request.commit.aggregate_type, request.commit.aggregate_id.clone());
        if batch.len() < BATCH && seen.insert(key) {
            batch.push(request);
        } else {
            waiting.push_back(request);
        }
    }
    batch
}
