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

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum DecisionError {
    /// The letter is not there, or cannot be sent again, or NATS failed.
    #[error(transparent)]
    Letter(#[from] DeadLetterError),
    /// The decision could not be written down.
    #[error("failed to write the decision down: {0}")]
    Journal(#[from] sqlx::Error),
}

const DECIDE: &str = "
INSERT INTO dead_letter_decisions (number, decision, org_id, subject, body, problems, decided_by, credential, decision_id)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";

/// Writes a decision down and carries it out.
pub async fn decide(
    pool: &PgPool,
    nats: &Nats,
    letter: &DeadLetter,
    decision: Decision,
    by: &Actor,
) -> Result<(), DecisionError> {
    if decision == Decision::Replay && !letter.is_whole() {
        return Err(DeadLetterError::Cut(letter.number).into());
    }
    let name = match decision {
        Decision::Replay => "replayed",
        Decision::Discard => "discarded",
    };
    let query = sqlx::query(DECIDE).bind(i64::try_from(letter.number).unwrap_or(i64::MAX)).bind(name);
    let query = query.bind(letter.org().map(|org| org.to_string())).bind(&letter.subject);
    let query = query.bind(Sha256::digest(letter.payload()).to_vec()).bind(sqlx::types::Json(&letter.problems));
    let credential = match &by.credential_id {
        Some(id) => format!("{} {id}", by.credential),
        None => by.credential.clone(),
    };
    query.bind(&by.name).bind(credential).bind(Uuid::now_v7()).execute(pool).await?;
    match decision {
        Decision::Replay => nats.replay_dead_letter(letter).await?,
        Decision::Discard => nats.discard_dead_letter(letter).await?,
    }
    tracing::info!(number = letter.number, decision = name, by = by.name, "dead letter");
    Ok(())
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
}

const DECIDED: &str = "
SELECT decision_id, number, decision, org_id, subject, encode(body, 'hex') AS body_sha256, problems, decided_by, credential,
    decided_at
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
        // Builds of before wrote them down as they were.
        let problems: Vec<Problem> = serde_json::from_value(row.problems.take()).unwrap_or_default();
        row.problems = json!(MaskedProblems::from(problems).as_slice());
    }
    Ok(rows)
}
