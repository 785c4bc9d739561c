//! One message that is sent until it is acknowledged, or until its time is over. Its id keeps it from being stored twice.

use std::error::Error as _;

use adapters::nats::topology::UNAVAILABLE;
use async_nats::HeaderMap;
use async_nats::jetstream::context::{PublishAckFuture, PublishError, PublishErrorKind};
use async_nats::jetstream::{self, Context, ErrorCode};
use bytes::Bytes;
use tokio::time::{Duration, Instant, sleep_until, timeout_at};

/// A cluster that elects a leader is waited for so long. That takes it seconds.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// From one try to the next.
pub(super) const AGAIN: Duration = Duration::from_millis(250);
/// A try from before is still on its way through the cluster.
const IN_PROCESS: ErrorCode = ErrorCode::STREAM_DUPLICATE_MESSAGE_CONFLICT;
/// What is not answered so long after it was sent went to a server that is gone.
const ANSWER: Duration = Duration::from_secs(5);

/// Whoever stops waiting for it, goes on with it later.
type Acknowledgement = <PublishAckFuture as IntoFuture>::IntoFuture;

pub(super) struct Sending {
    subject: String,
    /// With its id.
    headers: HeaderMap,
    body: Bytes,
    /// Of the try that is under way, and until when it is waited for: many are under way, and only the first of them is looked at.
    answer: Option<(Acknowledgement, Instant)>,
    tries: u32,
    /// Whoever stops waiting for the next try, and comes back, waits for the rest of it.
    again_at: Instant,
    failing_since: Option<Instant>,
    /// A try had no answer.
    may_be_stored: bool,
}

/// Not acknowledged.
#[derive(Debug)]
pub(super) struct Unsent {
    /// The end of the last try.
    pub(super) error: PublishError,
    /// A later try may be taken.
    pub(super) may_pass: bool,
    /// A try had no answer.
    pub(super) may_be_stored: bool,
}

impl Sending {
    pub(super) fn new(subject: String, headers: HeaderMap, body: Bytes) -> Self {
        let again_at = Instant::now();
        Self { subject, headers, body, answer: None, tries: 0, again_at, failing_since: None, may_be_stored: false }
    }

    /// Sends it, and does not wait for its acknowledgement.
    pub(super) async fn begin(&mut self, jetstream: &Context) -> Result<(), Unsent> {
        let (subject, headers, body) = (self.subject.clone(), self.headers.clone(), self.body.clone());
        self.tries += 1;
        match jetstream.publish_with_headers(subject, headers, body).await {
            Ok(sent) => self.answer = Some((sent.into_future(), Instant::now() + ANSWER)),
            Err(error) => self.failed(error)?,
        }
        Ok(())
    }

    /// Returns when it is acknowledged. Whoever gives this up in between goes on with it later.
    pub(super) async fn settle(&mut self, jetstream: &Context) -> Result<(), Unsent> {
        loop {
            if let Some((answer, until)) = &mut self.answer {
                let answered = timeout_at(*until, answer).await;
                self.answer = None;
                match answered.unwrap_or_else(|_| Err(PublishError::new(PublishErrorKind::TimedOut))) {
                    Ok(_) => return Ok(()),
                    Err(error) => self.failed(error)?,
                }
            }
            // What failed behind another one is taken at once when that one was.
            if self.tries > 1 {
                sleep_until(self.again_at).await;
            }
            self.begin(jetstream).await?;
        }
    }

    /// An error where it is not to be sent again.
    fn failed(&mut self, error: PublishError) -> Result<(), Unsent> {
        let (may_pass, is_answered) = judge(&error);
        self.may_be_stored |= !is_answered;
        self.again_at = Instant::now() + AGAIN;
        let since = *self.failing_since.get_or_insert_with(Instant::now);
        if may_pass && since.elapsed() < PATIENCE {
            return Ok(());
        }
        Err(Unsent { error, may_pass, may_be_stored: self.may_be_stored })
    }
}

/// Whether a later try may be taken, and whether it is known that this one was not.
fn judge(error: &PublishError) -> (bool, bool) {
    match error.kind() {
        // Nobody listens, as in an election.
        PublishErrorKind::StreamNotFound => (true, true),
        PublishErrorKind::TimedOut | PublishErrorKind::BrokenPipe => (true, false),
        PublishErrorKind::Other => match error.source().and_then(|cause| cause.downcast_ref::<jetstream::Error>()) {
            Some(answer) if answer.error_code() == IN_PROCESS => (true, false),
            Some(answer) => (answer.code() == UNAVAILABLE, true),
            None => (false, false),
        },
        _ => (false, true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_sent_again_and_what_is_not_stored_is_known() {
        let answered = |code: usize, error: u64| {
            let text = serde_json::json!({ "code": code, "err_code": error, "description": "no" });
            let answer = serde_json::from_value::<jetstream::Error>(text).expect("as the server writes it");
            judge(&PublishError::with_source(PublishErrorKind::Other, answer))
        };
        assert_eq!(answered(503, 10_008), (true, true), "no leader");
        assert_eq!(answered(409, 10_158), (true, false), "the one from before is on its way");
        assert_eq!(answered(400, 10_054), (false, true), "too large");
        let failed = |kind| judge(&PublishError::new(kind));
        assert_eq!(failed(PublishErrorKind::StreamNotFound), (true, true));
        assert_eq!(failed(PublishErrorKind::TimedOut), (true, false));
        assert_eq!(failed(PublishErrorKind::MaxPayloadExceeded), (false, true));
    }
}
