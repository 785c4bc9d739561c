//! Says why Postgres cannot be asked, as those who wait for a connection only know that they waited; and notices that its host went
//! without a word. Who waits for an answer on a connection to that one waits for ever: sqlx sets no time-out on its sockets.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use adapters::postgres::{Unasked, answers};
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, PgPool};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::slots::boot_instant::BootInstant;

/// From one question to the next.
const LOOK: Duration = Duration::from_secs(2);
/// The longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// The same reason is told again after so long.
const AGAIN: Duration = Duration::from_secs(60);
/// The connection from before is asked more often than anybody looks, so that one look without an answer says something.
const ASKED_EACH: Duration = Duration::from_secs(1);
/// A look counts for so long at most, as this process may have been frozen in it.
const LONGEST_LOOK: Duration = Duration::from_secs(6);
/// From one look to the next this process or its host stood still, if it took so long. Postgres ends sessions that do so after 25 s.
const STOOD_STILL: Duration = Duration::from_secs(20);
/// No host is there anew so soon, and a network that was cut for less has lost no session.
const REBOOTED: Duration = Duration::from_secs(12);
/// What the process does where Postgres was lost without a word.
pub(super) const LOST: &str = "its host went without a word, and this process ends to be started again";

/// Asks for as long as the process lives. Where Postgres answers, but not on connections from before, for `longest` or after a silence
/// that they did not outlive, something may be under way that comes to no end: then all is `in_vain`.
pub(super) async fn watch(pool: PgPool, longest: Duration, in_vain: CancellationToken) {
    let mut told: Option<(Unasked, Instant)> = None;
    let mut before = Before::new(longest);
    let mut looked_at = BootInstant::now();
    loop {
        let answer = answers(&pool, PATIENCE).await;
        let others_answer = answer.is_ok();
        tell(answer, &mut told);
        let passed = looked_at.elapsed();
        looked_at = BootInstant::now();
        if before.is_lost(&pool, others_answer, passed).await {
            tracing::error!("Postgres answers, but no longer on connections from before: {LOST}");
            in_vain.cancel();
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn tell(answer: Result<(), Unasked>, told: &mut Option<(Unasked, Instant)>) {
    match answer {
        Ok(()) => {
            if told.take().is_some() {
                tracing::info!("Postgres answers again");
            }
        }
        Err(reason) if told.as_ref().is_none_or(|(last, at)| *last != reason || at.elapsed() > AGAIN) => {
            tracing::error!(%reason, "Postgres cannot be asked: all work waits for it");
            *told = Some((reason, Instant::now()));
        }
        Err(_) => {}
    }
}

/// A connection that is asked again and again, and for nothing else: it waits behind no lock and no work, so its silence is that of
/// every connection of its time.
struct Before {
    /// Who asks; none before the first connection, and after the last one ended. It goes with this.
    asks: JoinSet<sqlx::Error>,
    answers: Arc<AtomicU64>,
    /// Only more answers than these say something new.
    seen: u64,
    silence: Silence,
}

impl Before {
    fn new(longest: Duration) -> Self {
        Self { asks: JoinSet::new(), answers: Arc::default(), seen: 0, silence: Silence::new(longest) }
    }

    /// Whether it is lost, and all of its time with it. One that ended in order is followed by another.
    async fn is_lost(&mut self, pool: &PgPool, others_answer: bool, passed: Duration) -> bool {
        let stood_still = passed > STOOD_STILL;
        let answers = self.answers.load(Ordering::Relaxed);
        let word = match self.asks.try_join_next() {
            Some(Ok(error)) if is_without_a_word(&error) => Word::Gone,
            Some(_) => Word::Ended,
            None if self.asks.is_empty() => Word::Unasked,
            None if stood_still || answers <= self.seen => Word::Nothing,
            None => Word::Answered,
        };
        // The answer that comes next may be to a question of before the standstill.
        self.seen = if stood_still { answers + 1 } else { self.seen.max(answers) };
        // What passed while nobody here could ask says nothing of Postgres.
        let since = if stood_still { Duration::ZERO } else { passed.min(LONGEST_LOOK) };
        let lost = self.silence.is_loss(word, stood_still, others_answer, since);
        if self.asks.is_empty()
            && others_answer
            && let Ok(Ok(connection)) = tokio::time::timeout(PATIENCE, pool.connect_options().connect()).await
        {
            self.asks.spawn(ask(connection, self.answers.clone()));
        }
        lost
    }
}

/// Until it ends.
async fn ask(mut connection: PgConnection, answers: Arc<AtomicU64>) -> sqlx::Error {
    loop {
        if let Err(error) = connection.ping().await {
            return error;
        }
        answers.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(ASKED_EACH).await;
    }
}

/// A server that ends, or is killed, closes its connections: its host does that. One that comes up anew knows none of them, and what
/// nobody acknowledges the system gives up after a quarter of an hour.
fn is_without_a_word(error: &sqlx::Error) -> bool {
    use ErrorKind::{ConnectionReset, HostUnreachable, NetworkUnreachable, TimedOut};
    let sqlx::Error::Io(error) = error else { return false };
    matches!(error.kind(), ConnectionReset | HostUnreachable | NetworkUnreachable | TimedOut)
}

/// What came of the connection from before since the last look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Answered,
    Nothing,
    /// In order: others have heard of that, too.
    Ended,
    /// Only who sent something has heard of that.
    Gone,
    Unasked,
}

#[derive(Debug)]
struct Silence {
    /// It may be so long while others are answered.
    longest: Duration,
    /// For how long nothing had come.
    long: Duration,
    /// For how long others were answered meanwhile.
    beside: Duration,
    /// It came to an end out of order.
    gone: bool,
}

impl Silence {
    fn new(longest: Duration) -> Self {
        Self { longest, long: Duration::ZERO, beside: Duration::ZERO, gone: false }
    }

    /// Whether what is under way on connections from before is lost. A reset without a long silence before it is no sign of that: it is
    /// what a proxy may do, and who kills a session, and nobody has waited long by then. Who stood still was silent himself.
    fn is_loss(&mut self, word: Word, stood_still: bool, others_answer: bool, since: Duration) -> bool {
        match word {
            Word::Nothing => {
                self.long += since;
                self.beside += if others_answer { since } else { Duration::ZERO };
            }
            Word::Gone if stood_still || self.long >= REBOOTED => self.gone = true,
            Word::Answered | Word::Ended | Word::Gone => *self = Self::new(self.longest),
            Word::Unasked => {}
        }
        others_answer && (self.gone || self.beside >= self.longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After how many of these looks all is lost.
    fn lost_at(looks: impl IntoIterator<Item = (Word, bool)>) -> Option<usize> {
        let mut silence = Silence::new(Duration::from_secs(60));
        looks.into_iter().position(|(word, others_answer)| silence.is_loss(word, false, others_answer, LOOK))
    }

    #[test]
    fn who_is_silent_for_a_minute_beside_others_that_are_answered_is_lost() {
        assert_eq!(lost_at([(Word::Nothing, true); 100]), Some(29));
        let away = std::iter::repeat_n((Word::Nothing, false), 1_000);
        assert_eq!(lost_at(away.clone()), None, "nobody is answered: it is away, and may come back");
        assert_eq!(lost_at(away.clone().chain([(Word::Nothing, true); 29])), None);
        assert_eq!(lost_at(away.chain([(Word::Answered, true)]).chain([(Word::Nothing, true); 29])), None);
    }

    #[test]
    fn a_reset_after_a_silence_is_a_loss_as_soon_as_others_are_answered() {
        let silent = |looks| std::iter::repeat_n((Word::Nothing, false), looks);
        let rebooted = [(Word::Gone, false), (Word::Unasked, false), (Word::Unasked, true)];
        assert_eq!(lost_at(silent(6).chain(rebooted)), Some(8));
        assert_eq!(lost_at(silent(5).chain(rebooted)), None, "a proxy that stood for ten seconds");
        let at_once = [(Word::Answered, true), (Word::Gone, true), (Word::Unasked, true), (Word::Answered, true)];
        assert_eq!(lost_at(at_once), None, "nothing was lost in a silence");
        assert_eq!(lost_at([(Word::Nothing, true), (Word::Ended, true), (Word::Unasked, true)]), None);
        let mut suspended = Silence::new(Duration::from_secs(60));
        assert!(suspended.is_loss(Word::Gone, true, true, LOOK), "what came meanwhile is lost");
    }

    #[test]
    fn an_end_that_somebody_told_is_no_loss() {
        let io = |kind: ErrorKind| sqlx::Error::Io(kind.into());
        assert!(is_without_a_word(&io(ErrorKind::ConnectionReset)) && is_without_a_word(&io(ErrorKind::TimedOut)));
        assert!(!is_without_a_word(&io(ErrorKind::UnexpectedEof)) && !is_without_a_word(&sqlx::Error::WorkerCrashed));
    }
}
