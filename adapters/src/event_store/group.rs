//! Group commit and grouped loads: while one statement is under way the next requests gather, and go together.

use std::collections::{HashMap, HashSet, VecDeque};

use sqlx::PgPool;
use tokio::sync::{mpsc, oneshot, watch};

use super::append::{Commit, Written, append};
use super::load::{Loaded, StreamRequest, load_streams};

/// How many commits or loads go into one statement at most.
const BATCH: usize = 512;

pub(super) struct CommitRequest {
    pub commit: Commit,
    pub reply: oneshot::Sender<Result<Written, String>>,
}

pub(super) struct LoadRequest {
    pub stream: StreamRequest,
    pub reply: oneshot::Sender<Result<Loaded, String>>,
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

/// Answers loads in batches until every sender is gone.
pub(super) async fn answer_loads(pool: PgPool, mut requests: mpsc::Receiver<LoadRequest>) {
    let mut gathered = Vec::with_capacity(BATCH);
    while requests.recv_many(&mut gathered, BATCH).await > 0 {
        // Many ask for the same at once: the listings of a target all ask for the target.
        let mut waiting: HashMap<StreamRequest, Vec<oneshot::Sender<_>>> = HashMap::new();
        for request in gathered.drain(..) {
            waiting.entry(request.stream).or_default().push(request.reply);
        }
        let (streams, replies): (Vec<_>, Vec<_>) = waiting.into_iter().unzip();
        match load_streams(&pool, &streams).await {
            Ok(loaded) => {
                for (replies, loaded) in replies.into_iter().zip(loaded) {
                    for (reply, loaded) in replies.into_iter().zip(std::iter::repeat(loaded)) {
                        let _ = reply.send(Ok(loaded));
                    }
                }
            }
            Err(error) => {
                tracing::warn!(error = %error, "failed to load from the journal");
                for reply in replies.into_iter().flatten() {
                    let _ = reply.send(Err(error.to_string()));
                }
            }
        }
    }
}
