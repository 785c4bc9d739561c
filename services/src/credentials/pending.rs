//! Values of secrets without their events. The API puts a value in the place of a secret before the journal has the event of it; a row says so
//! first: whose value, for which target, and as what its keeper has it. With the event the row goes. Where the event is lost, the row says
//! what is to be taken back, whoever does that: the process that meant it, one that wants to put another value there, or the sweep of any
//! API process, after a crash, too.
//!
//! Whether the event came is decided once. Whoever decides locks the row and asks the journal; where there is no event the row is void, and
//! Postgres refuses it from then on (migration 0052): a commit that waited somewhere cannot come after all. Only then the value is taken
//! back. All of it may be done twice.

use adapters::postgres::begin_with;
use adapters::secrets::{SecretError, SecretStore};
use chrono::{DateTime, SecondsFormat, Utc};
use domain::ids::TargetId;
use domain::metadata::Metadata;
use domain::recorded::Position;
use domain::secret::SecretRef;
use sqlx::{FromRow, PgPool};
use uuid::Uuid;

use super::turn::{NoTurn, Turn};
use super::{Forgotten, forget};

/// What a change whose end is not known, or that came to none, is called among the visits of its target.
pub const TOLD: [&str; 3] = ["secret_pending", "secret_taken_back", "secret_left"];

/// What a value is put there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A target that is to be made.
    Create,
    /// Another value at the same place.
    Rotate,
    /// A place of its own, to which the target does not refer yet.
    Move,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Rotate => "rotate",
            Self::Move => "move",
        }
    }
}

/// A value that is put there, or about to be, and has no event yet.
#[derive(Debug, Clone, FromRow)]
pub struct Pending {
    /// What its event is found by.
    pub change_id: Uuid,
    /// As what its keeper has the value.
    pub put_id: Uuid,
    /// Where it is kept.
    pub secret: String,
    /// Of which target.
    pub target_id: Uuid,
    /// What for.
    pub kind: String,
    /// When it was begun.
    pub at: DateTime<Utc>,
    /// By whom.
    pub created_by: String,
    /// The kind of credential.
    pub credential: String,
    /// Which one.
    pub credential_id: Option<String>,
}

/// What became of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The journal has its event, here.
    Recorded(Position),
    /// It has not and never will; what held before holds.
    TakenBack,
    /// The same, and there was nothing to take back: the value was never put there, another one took its place, or none held before.
    Left,
}

const COLUMNS: &str = "change_id, put_id, secret, target_id, kind, at, created_by, credential, credential_id";

/// A request that is made once more with its `Idempotency-Key` has the same id, and its event may come again.
const ANNOUNCE: &str = "
INSERT INTO pending_secrets (change_id, put_id, secret, target_id, org_id, account_id, kind, created_by, credential, credential_id)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (change_id) DO UPDATE SET put_id = excluded.put_id, secret = excluded.secret, kind = excluded.kind, state = 'pending',
    at = clock_timestamp(), created_by = excluded.created_by, credential = excluded.credential, credential_id = excluded.credential_id";

/// Who decides waits for an append that is at the row, and no longer than this: it is tried again.
const BEGIN: &str = "BEGIN; SET LOCAL lock_timeout = '5s'";

const EVENT: &str = "
SELECT position FROM events
WHERE aggregate_type = 'ChannelTarget' AND aggregate_id = $1
    AND event_type = CASE WHEN $3 THEN 'TargetCreated' ELSE 'CredentialRotated' END AND ($3 OR metadata ->> 'causation_id' = $2)
ORDER BY sequence DESC LIMIT 1";

const VOID: &str =
    "UPDATE pending_secrets SET state = 'void' WHERE change_id = $1 AND put_id = $2 AND state = 'pending'";
const END: &str = "UPDATE pending_secrets SET state = $3 WHERE change_id = $1 AND put_id = $2 AND state = 'void'";
const FORGET: &str = "DELETE FROM pending_secrets WHERE change_id = $1 AND put_id = $2";

/// Which of them have come to no end.
const OPEN: &str = "state IN ('pending', 'void')";
/// A request is over by then, and so are its calls of a keeper; the row of one that is not is decided about all the same, soundly.
const OVERDUE: &str = "state = 'void' OR (state = 'pending' AND at < clock_timestamp() - interval '1 minute')";

/// Says that a value is about to be put there, as the change whose event this stands beside: a rotation's has its causation id.
pub async fn announce(
    pool: &PgPool,
    kind: Kind,
    secret: &SecretRef,
    change_id: Uuid,
    metadata: &Metadata,
) -> Result<Pending, sqlx::Error> {
    let (target, actor) = (metadata.target_id.0, &metadata.actor);
    let pending = Pending {
        change_id,
        put_id: Uuid::now_v7(),
        secret: secret.to_string(),
        target_id: target,
        kind: kind.as_str().to_owned(),
        at: Utc::now(),
        created_by: actor.name.clone(),
        credential: actor.credential.clone(),
        credential_id: actor.credential_id.clone(),
    };
    let row = sqlx::query(ANNOUNCE).bind(pending.change_id).bind(pending.put_id).bind(&pending.secret).bind(target);
    let row = row.bind(metadata.org_id.as_str()).bind(metadata.account_id.as_str()).bind(&pending.kind);
    let row = row.bind(&pending.created_by).bind(&pending.credential).bind(pending.credential_id.as_deref());
    row.execute(pool).await?;
    Ok(pending)
}

/// Those of a target that have come to no end.
pub async fn of_target(pool: &PgPool, target: TargetId) -> Result<Vec<Pending>, sqlx::Error> {
    let open = format!("SELECT {COLUMNS} FROM pending_secrets WHERE target_id = $1 AND {OPEN} ORDER BY at");
    sqlx::query_as(&open).bind(target.0).fetch_all(pool).await
}

/// Those that should have come to their end by now, of all targets.
pub async fn overdue(pool: &PgPool) -> Result<Vec<Pending>, sqlx::Error> {
    let overdue = format!("SELECT {COLUMNS} FROM pending_secrets WHERE {OVERDUE} ORDER BY at");
    sqlx::query_as(&overdue).fetch_all(pool).await
}

/// Ends those of a target, whose turn this is: afterwards what is kept for it is what the journal says.
pub async fn end_all(pool: &PgPool, secrets: &dyn SecretStore, target: TargetId) -> anyhow::Result<()> {
    for pending in of_target(pool, target).await? {
        let end = pending.resolve(pool, secrets).await?;
        pending.tell(end);
    }
    Ok(())
}

/// Ends what should have come to its end by now. What cannot be ended is told to the operator, and tried again.
pub async fn sweep(pool: &PgPool, secrets: &dyn SecretStore) -> Result<(), sqlx::Error> {
    for pending in overdue(pool).await? {
        let turn = match Turn::take(pool, TargetId(pending.target_id)).await {
            Ok(turn) => turn,
            // Somebody is at it.
            Err(NoTurn::Taken) => continue,
            Err(NoTurn::Database(error)) => return Err(error),
        };
        let ended = match pending.is_open(pool).await {
            Ok(true) => pending.resolve(pool, secrets).await.map(|end| pending.tell(end)),
            Ok(false) => Ok(()),
            Err(error) => Err(error.into()),
        };
        turn.end().await;
        if let Err(error) = ended {
            pending.tell_still(&error);
            // Of many that fail alike the log has one line; what AWS says of one secret says nothing of the others.
            if !matches!(error.downcast_ref(), Some(SecretError::Unusable { .. })) {
                break;
            }
        }
    }
    Ok(())
}

impl Pending {
    /// The journal has its event.
    pub async fn settle(&self, pool: &PgPool, secrets: &dyn SecretStore) -> anyhow::Result<()> {
        if self.kind == Kind::Rotate.as_str() {
            let secret: SecretRef = self.secret.parse()?;
            match secrets.settle(&secret, self.put_id).await {
                // Gone with its target.
                Ok(()) | Err(SecretError::Missing { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        sqlx::query(FORGET).bind(self.change_id).bind(self.put_id).execute(pool).await?;
        Ok(())
    }

    /// Finds out what became of it, and sees to it that this is so.
    pub async fn resolve(&self, pool: &PgPool, secrets: &dyn SecretStore) -> anyhow::Result<End> {
        if let Some(position) = self.decide(pool).await? {
            self.settle(pool, secrets).await?;
            return Ok(End::Recorded(position));
        }
        let (end, state) =
            if self.take_back(pool, secrets).await? { (End::TakenBack, "taken_back") } else { (End::Left, "left") };
        sqlx::query(END).bind(self.change_id).bind(self.put_id).bind(state).execute(pool).await?;
        Ok(end)
    }

    /// Where its event is; from then on, if there is none, none can come.
    async fn decide(&self, pool: &PgPool) -> Result<Option<Position>, sqlx::Error> {
        let mut deciding = begin_with(pool, BEGIN.to_owned()).await?;
        let lock = "SELECT state FROM pending_secrets WHERE change_id = $1 FOR UPDATE";
        sqlx::query(lock).bind(self.change_id).execute(&mut *deciding).await?;
        // A statement of its own: it sees what the one before has waited for.
        let event = sqlx::query_scalar(EVENT).bind(self.target_id.to_string()).bind(self.change_id.to_string());
        let event = event.bind(self.kind == Kind::Create.as_str());
        let event: Option<i64> = event.fetch_optional(&mut *deciding).await?;
        if event.is_none() {
            sqlx::query(VOID).bind(self.change_id).bind(self.put_id).execute(&mut *deciding).await?;
        }
        deciding.commit().await?;
        Ok(event.map(Position))
    }

    /// Whether there was anything to take back.
    async fn take_back(&self, pool: &PgPool, secrets: &dyn SecretStore) -> anyhow::Result<bool> {
        let secret: SecretRef = self.secret.parse()?;
        if self.kind != Kind::Rotate.as_str() {
            // Nobody refers to it, unless somebody has said so at the command line.
            return Ok(forget(pool, secrets, &secret).await? == Forgotten::Deleted);
        }
        match secrets.take_back(&secret, self.put_id).await {
            // It went with its target.
            Err(SecretError::Missing { .. }) => Ok(false),
            taken => Ok(taken?),
        }
    }

    async fn is_open(&self, pool: &PgPool) -> Result<bool, sqlx::Error> {
        let row = "SELECT FROM pending_secrets WHERE change_id = $1 AND put_id = $2";
        let open = format!("SELECT EXISTS ({row} AND {OPEN})");
        sqlx::query_scalar(&open).bind(self.change_id).bind(self.put_id).fetch_one(pool).await
    }

    /// Tells the operator how one ended that its own request did not see to.
    fn tell(&self, end: End) {
        let (target_id, secret, created_by) = (self.target_id, &self.secret, &self.created_by);
        let words = match end {
            // Its answer was lost, and nothing else.
            End::Recorded(_) => return,
            End::TakenBack => "a secret was put in its place and the journal has no event of that: it was taken back",
            End::Left => {
                "a secret was to be put in its place and the journal has no event of that: nothing was changed"
            }
        };
        tracing::warn!(%target_id, secret, created_by, kind = self.kind, "{words}");
    }

    /// That it has come to no end, for whoever runs the service.
    pub fn words(&self) -> String {
        let Self { secret, target_id, created_by, credential, credential_id, .. } = self;
        let which = credential_id.as_ref().map(|id| format!(" {id}")).unwrap_or_default();
        let what = if self.kind == Kind::Create.as_str() { "a new target" } else { "target" };
        let at = self.at.to_rfc3339_opts(SecondsFormat::Secs, true);
        let by = format!("{created_by} ({credential}{which})");
        format!("{secret} of {what} {target_id}, begun at {at} by {by}, has not come to its end")
    }

    /// Tells the operator of one that cannot be ended now.
    pub fn tell_still(&self, error: &anyhow::Error) {
        let (target_id, secret, created_by) = (self.target_id, &self.secret, &self.created_by);
        let words = "a secret was put in its place without an event, and cannot be taken back now; it is tried again";
        tracing::warn!(%target_id, secret, created_by, kind = self.kind, error = format!("{error:#}"), "{words}");
    }
}
