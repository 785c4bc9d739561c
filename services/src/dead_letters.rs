//! What people decide about dead letters: it stands in a journal of its own before it is done.

use adapters::masking::MaskedProblems;
use adapters::nats::Nats;
use adapters::nats::dead_letters::{DeadLetter, DeadLetterError};
use chrono::{DateTime, Utc};
use domain::ids::OrgId;
use domain::metadata::Actor;
use domain::unit::Problem;
use serde::Serialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use sqlx::{FromRow, PgConnection, PgPool};
use utoipa::ToSchema;
use uuid::Uuid;

/// What is to become of a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It is published once more where it came from.
    Replay,
    /// It is taken off the stream for good.
    Discard,
}

impl Decision {
    fn name(self) -> &'static str {
        match self {
            Self::Replay => "replayed",
            Self::Discard => "discarded",
        }
    }
}

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum DecisionError {
    /// The letter is not there, or cannot be sent again, or NATS failed.
    #[error(transparent)]
    Letter(#[from] DeadLetterError),
    /// Somebody else is at it.
    #[error("somebody is deciding about dead letter {0} at this moment: see what became of it")]
    UnderWay(u64),
    /// The decision could not be written down.
    #[error("failed to write the decision down: {0}")]
    Journal(#[from] sqlx::Error),
}

/// Who decides what about which letter.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'a> {
    /// The letter.
    pub letter: &'a DeadLetter,
    /// What is to become of it.
    pub decision: Decision,
    /// Who decides.
    pub by: &'a Actor,
    /// What the request's `Idempotency-Key` stands for.
    pub causation_id: Option<Uuid>,
}

/// What a wish meets.
enum Met {
    /// It is written down under this id, and nobody else decides meanwhile.
    Nobody(Uuid),
    /// A decision that is under way.
    UnderWay,
    /// One that is done.
    Done,
}

/// Gives up a decision that a process has begun which died, or an earlier attempt of this request: it has come to its end, whatever it did.
const GIVE_UP: &str = "
UPDATE dead_letter_decisions SET done = false
WHERE letter_id = $1 AND done IS NULL AND (held_until <= clock_timestamp() OR causation_id = $2)";

/// It is held for longer than NATS may take for all that is asked of it.
const DECIDE: &str = "
INSERT INTO dead_letter_decisions (number, decision, org_id, subject, body, problems, decided_by, credential, decision_id,
    letter_id, causation_id, held_until)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, clock_timestamp() + interval '30 seconds')
ON CONFLICT (letter_id) WHERE done IS NOT FALSE DO NOTHING";

const DONE_BEFORE: &str =
    "SELECT coalesce(bool_or(done), false) FROM dead_letter_decisions WHERE letter_id = $1 AND done IS NOT FALSE";

const CAME_BACK: &str = "UPDATE dead_letter_decisions SET letter_id = NULL WHERE letter_id = $1 AND done";

const DONE: &str = "UPDATE dead_letter_decisions SET done = true WHERE decision_id = $1";

const CAME_TO_NOTHING: &str = "UPDATE dead_letter_decisions SET done = false WHERE decision_id = $1";

/// Nobody knows whether it is done; whoever asks next finds out.
const LET_GO: &str = "UPDATE dead_letter_decisions SET held_until = clock_timestamp() WHERE decision_id = $1";

/// Writes a decision down and carries it out. Of several about one letter at the same time one is written down.
pub async fn decide(pool: &PgPool, nats: &Nats, wish: Wish<'_>) -> Result<(), DecisionError> {
    let Wish { letter, decision, by, .. } = wish;
    if decision == Decision::Replay && !letter.is_whole() {
        return Err(DeadLetterError::Cut(letter.number).into());
    }
    let decision_id = write_down_once(pool, nats, wish).await?;
    let carried_out = match decision {
        Decision::Replay => nats.replay_dead_letter(letter).await,
        Decision::Discard => nats.discard_dead_letter(letter).await,
    };
    let ended = match &carried_out {
        Ok(()) => DONE,
        Err(DeadLetterError::NotFound(_)) => CAME_TO_NOTHING,
        Err(_) => LET_GO,
    };
    if let Err(error) = sqlx::query(ended).bind(decision_id).execute(pool).await {
        // Whether the letter is still there says the same to whoever asks again.
        tracing::warn!(number = letter.number, error = %error, "failed to write down what became of a dead letter");
    }
    carried_out?;
    tracing::info!(number = letter.number, decision = decision.name(), by = by.name, "dead letter");
    Ok(())
}

async fn write_down_once(pool: &PgPool, nats: &Nats, wish: Wish<'_>) -> Result<Uuid, DecisionError> {
    let letter = wish.letter;
    let mut met = write_down(pool, wish).await?;
    if matches!(met, Met::Done) {
        let now = nats.dead_letter(letter.number).await?;
        if now.id() != letter.id() {
            return Err(DeadLetterError::NotFound(letter.number).into());
        }
        // A NATS that crashed has forgotten that it was taken off.
        sqlx::query(CAME_BACK).bind(letter.id()).execute(pool).await?;
        met = write_down(pool, wish).await?;
    }
    match met {
        Met::Nobody(decision_id) => Ok(decision_id),
        Met::UnderWay | Met::Done => Err(DecisionError::UnderWay(letter.number)),
    }
}

async fn write_down(pool: &PgPool, wish: Wish<'_>) -> Result<Met, sqlx::Error> {
    let Wish { letter, decision, by, causation_id } = wish;
    let decision_id = Uuid::now_v7();
    let credential = match &by.credential_id {
        Some(id) => format!("{} {id}", by.credential),
        None => by.credential.clone(),
    };
    let query = sqlx::query(DECIDE).bind(i64::try_from(letter.number).unwrap_or(i64::MAX)).bind(decision.name());
    let query = query.bind(letter.org().map(|org| org.to_string())).bind(&letter.subject);
    let query = query.bind(Sha256::digest(letter.payload()).to_vec()).bind(sqlx::types::Json(&letter.problems));
    let query = query.bind(&by.name).bind(credential).bind(decision_id).bind(letter.id()).bind(causation_id);
    let mut transaction = pool.begin().await?;
    sqlx::query(GIVE_UP).bind(letter.id()).bind(causation_id).execute(&mut *transaction).await?;
    let written = query.execute(&mut *transaction).await?.rows_affected() == 1;
    transaction.commit().await?;
    if written {
        return Ok(Met::Nobody(decision_id));
    }
    let done: bool = sqlx::query_scalar(DONE_BEFORE).bind(letter.id()).fetch_one(pool).await?;
    Ok(if done { Met::Done } else { Met::UnderWay })
}

/// What a request has decided.
#[derive(Debug, FromRow)]
struct OfRequest {
    decision_id: Uuid,
    number: i64,
    letter_id: Option<Uuid>,
    done: Option<bool>,
}

const OF_REQUEST: &str = "
SELECT decision_id, number, letter_id, done FROM dead_letter_decisions
WHERE causation_id = $1 ORDER BY decision_id DESC LIMIT 1";

/// Whether a request whose answer was lost has decided about a dead letter, and that is done.
pub async fn is_done(pool: &PgPool, nats: &Nats, causation_id: Uuid) -> Result<bool, DecisionError> {
    let decided: Option<OfRequest> = sqlx::query_as(OF_REQUEST).bind(causation_id).fetch_optional(pool).await?;
    let Some(decided) = decided else { return Ok(false) };
    if let Some(done) = decided.done {
        return Ok(done);
    }
    // It takes the letter off as the last thing, and nobody else did it, or this one had been given up.
    let gone = match nats.dead_letter(u64::try_from(decided.number).unwrap_or_default()).await {
        Ok(letter) => Some(letter.id()) != decided.letter_id,
        Err(DeadLetterError::NotFound(_)) => true,
        Err(error) => return Err(error.into()),
    };
    if gone {
        sqlx::query(DONE).bind(decided.decision_id).execute(pool).await?;
    }
    Ok(gone)
}

/// A decision about a dead letter.
#[derive(Debug, FromRow, Serialize, ToSchema)]
#[expect(missing_docs, reason = "the columns of the table")]
pub struct Decided {
    pub decision_id: Uuid,
    /// The letter's number in the stream.
    pub number: i64,
    /// `replayed` or `discarded`.
    pub decision: String,
    pub org_id: Option<String>,
    /// Where the message had been published.
    pub subject: String,
    /// SHA-256 of its body, in hexadecimal.
    pub body_sha256: String,
    /// What was wrong with it: a list of field and reason.
    #[schema(value_type = Vec<Object>)]
    pub problems: serde_json::Value,
    pub decided_by: String,
    /// The kind of credential, and which one it was.
    pub credential: String,
    pub decided_at: DateTime<Utc>,
    /// Whether the letter left the stream by it; null while it is under way, and where nobody knows.
    pub done: Option<bool>,
}

const DECIDED: &str = "
SELECT decision_id, number, decision, org_id, subject, encode(body, 'hex') AS body_sha256, problems, decided_by, credential,
    decided_at, done
FROM dead_letter_decisions
WHERE ($1::text IS NULL OR org_id = $1) AND ($2::uuid IS NULL OR decision_id < $2) ORDER BY decision_id DESC LIMIT $3";

/// What was decided, the newest first; with an organisation, about its letters.
pub async fn decided(
    connection: &mut PgConnection,
    org: Option<&OrgId>,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Decided>, sqlx::Error> {
    let rows = sqlx::query_as(DECIDED).bind(org.map(OrgId::as_str)).bind(before).bind(limit);
    let mut rows: Vec<Decided> = rows.fetch_all(connection).await?;
    for row in &mut rows {
        // Older builds wrote them down as they were.
        let problems: Vec<Problem> = serde_json::from_value(row.problems.take()).unwrap_or_default();
        row.problems = json!(MaskedProblems::from(problems).as_slice());
    }
    Ok(rows)
}
