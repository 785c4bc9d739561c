//! Values of secrets without their events. The API puts a value in the place of a secret before the journal has the event of it; a row says so
//! first: whose value, for which target, and as what its keeper has it. With the event the row goes. Where the event is lost, the row says
//! what is to be taken back, whoever does that: the process that meant it, one that wants to put another value there, or the sweep of any
//! API process, after a crash, too.
//!
//! Whether the event came is decided once. Whoever decides locks the row and asks the journal; where there is no event the row is void, and
//! Postgres refuses it from then on (migration 0052): a commit that waited somewhere cannot come after all. Only then the value is taken
//! back. All of it may be done twice, and by two at once.
//!
//! A value that may be in use is never taken away. It is taken back where its keeper still has it as this change put it there, and by whoever
//! finds the row void with the same put; in doubt it stays, and the row tells of it.

mod rows;

use adapters::postgres::begin_with;
use adapters::secrets::{SecretError, SecretStore};
use anyhow::Context as _;
use chrono::{DateTime, SecondsFormat, Utc};
use domain::ids::TargetId;
use domain::metadata::Metadata;
use domain::recorded::Position;
use domain::secret::{SecretKeeper, SecretRef};
use sqlx::{FromRow, PgPool};
use uuid::Uuid;

use super::turn::{NoTurn, Turn};
use super::users;
use rows::{
    ANNOUNCE, BEGIN, COLUMNS, DECIDE, END, EVENT, FORGET, IS_DELETED, LATE, OPEN, OVERDUE, STANDS, Stands, State,
};

pub use rows::Kind;

/// What a change whose end is not known, or that came to none, is called among the visits of its target.
pub const TOLD: [&str; 3] = ["secret_pending", "secret_taken_back", "secret_left"];

/// A value that is put there, or about to be, and has no event yet.
#[derive(Debug, Clone, FromRow)]
pub struct PendingSecret {
    /// What its event is found by.
    pub change_id: Uuid,
    /// As what its keeper has the value.
    pub put_id: Uuid,
    /// Where it is kept.
    pub secret: String,
    /// Of which target.
    pub target_id: Uuid,
    /// What for.
    #[sqlx(try_from = "String")]
    pub kind: Kind,
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
    /// The same, and there was nothing to take back: the value was never put there, another one took its place, AWS had none before, or nobody
    /// refers to it.
    Left,
    /// The same, and the value stays if it is there: nobody has looked for too long.
    TooOld,
    /// The same, and whether the value is there cannot be told yet. It is looked for again.
    Open,
}

/// Whether there is an event.
enum Decided {
    Recorded(Position),
    /// There is none, none can come, and the value is ours to take back.
    Void,
    /// There is none, and nothing is left to do.
    Before(End),
}

/// What its keeper has of it.
enum Found {
    TakenBack,
    /// Not as this.
    Nothing,
    /// It is nothing that could be in force.
    Stays,
    /// Not where this process looks.
    Unknown(SecretError),
}

/// What is known of one that cannot be ended now: it stands before the cause, and no more is told than that.
const UNDECIDED: &str = "whether the journal has its event cannot be found out now";
const RECORDED: &str = "the journal has its event, and no value is taken away; that cannot be noted now";
const NOT_BACK: &str = "the journal has no event of it, and as far as is known it cannot be taken back now";
const NOT_NOTED: &str = "the journal has no event of it, and how it ended cannot be noted now";

/// Says that a value is about to be put there, as the change whose event this stands beside: a rotation's has its causation id.
pub async fn announce(
    pool: &PgPool,
    kind: Kind,
    secret: &SecretRef,
    change_id: Uuid,
    metadata: &Metadata,
) -> Result<PendingSecret, sqlx::Error> {
    let (target, actor) = (metadata.target_id.0, &metadata.actor);
    let pending = PendingSecret {
        change_id,
        put_id: Uuid::now_v7(),
        secret: secret.to_string(),
        target_id: target,
        kind,
        at: Utc::now(),
        created_by: actor.name.clone(),
        credential: actor.credential.clone(),
        credential_id: actor.credential_id.clone(),
    };
    let row = sqlx::query(ANNOUNCE).bind(pending.change_id).bind(pending.put_id).bind(&pending.secret).bind(target);
    let row = row.bind(metadata.org_id.as_str()).bind(metadata.account_id.as_str()).bind(kind.as_str());
    let row = row.bind(&pending.created_by).bind(&pending.credential).bind(pending.credential_id.as_deref());
    row.execute(pool).await?;
    Ok(pending)
}

/// Those of a target that have come to no end.
pub async fn of_target(pool: &PgPool, target: TargetId) -> Result<Vec<PendingSecret>, sqlx::Error> {
    let open = format!("SELECT {COLUMNS} FROM pending_secrets WHERE target_id = $1 AND {OPEN} ORDER BY at");
    sqlx::query_as(&open).bind(target.0).fetch_all(pool).await
}

async fn those(pool: &PgPool, which: &str) -> Result<Vec<PendingSecret>, sqlx::Error> {
    let those = format!("SELECT {COLUMNS} FROM pending_secrets WHERE {which} ORDER BY at");
    sqlx::query_as(&those).fetch_all(pool).await
}

/// Those that should have come to their end by now, of all targets, for whoever runs the service.
pub async fn late(pool: &PgPool) -> Result<Vec<PendingSecret>, sqlx::Error> {
    those(pool, LATE).await
}

/// Ends these of a target, whose turn this is: afterwards what is kept for it is what the journal says, as far as its keeper knows.
pub async fn end_all(pool: &PgPool, secrets: &dyn SecretStore, earlier: Vec<PendingSecret>) -> anyhow::Result<()> {
    for pending in earlier {
        let end = pending.resolve(pool, secrets).await?;
        pending.tell(end);
    }
    Ok(())
}

/// Ends what should have come to its end by now. What cannot be ended is told to the operator, and tried again. A keeper that is away is asked
/// once, and holds up those of no other.
pub async fn sweep(pool: &PgPool, secrets: &dyn SecretStore) -> Result<(), sqlx::Error> {
    let mut away: Vec<SecretKeeper> = Vec::new();
    for pending in those(pool, OVERDUE).await? {
        let keeper = pending.keeper();
        if keeper.is_some_and(|keeper| away.contains(&keeper)) {
            continue;
        }
        let turn = match Turn::take(pool, TargetId(pending.target_id)).await {
            Ok(turn) => turn,
            // Somebody is at it.
            Err(NoTurn::Taken) => continue,
            Err(NoTurn::Database(error)) => return Err(error),
        };
        let ended = match pending.is_open(pool).await {
            Ok(true) => pending.resolve(pool, secrets).await.map(|end| pending.tell(end)),
            Ok(false) => Ok(()),
            Err(error) => Err(anyhow::Error::from(error).context(UNDECIDED)),
        };
        turn.end().await;
        if let Err(error) = ended {
            pending.tell_still(&error);
            // What AWS says of one secret says nothing of the others, and neither does a lock that Postgres did not give in time.
            if !matches!(error.downcast_ref(), None | Some(SecretError::Unusable { .. })) {
                away.extend(keeper);
            }
        }
    }
    Ok(())
}

impl PendingSecret {
    /// The journal has its event.
    pub async fn settle(&self, pool: &PgPool, secrets: &dyn SecretStore) -> anyhow::Result<()> {
        if self.kind != Kind::Move {
            let secret: SecretRef = self.secret.parse()?;
            match secrets.settle(&secret, self.put_id).await {
                // Gone with its target.
                Ok(()) | Err(SecretError::Missing { .. }) => {}
                Err(error) => return Err(anyhow::Error::from(error).context(RECORDED)),
            }
        }
        sqlx::query(FORGET).bind(self.change_id).bind(self.put_id).execute(pool).await.context(RECORDED)?;
        Ok(())
    }

    /// Finds out what became of it, and sees to it that this is so. Once begun it is to run to its end, within the turn of its target.
    pub async fn resolve(&self, pool: &PgPool, secrets: &dyn SecretStore) -> anyhow::Result<End> {
        match self.decide(pool).await.context(UNDECIDED)? {
            Decided::Recorded(position) => {
                self.settle(pool, secrets).await?;
                Ok(End::Recorded(position))
            }
            Decided::Before(end) => Ok(end),
            Decided::Void => match self.take_back(pool, secrets).await.context(NOT_BACK)? {
                Found::Unknown(error) => {
                    self.tell_still(&anyhow::Error::from(error).context(NOT_BACK));
                    Ok(End::Open)
                }
                found => self.end(pool, &found).await.context(NOT_NOTED),
            },
        }
    }

    /// Where its event is; from then on, if there is none, none can come. What somebody else has ended, or has begun anew, is left to that one.
    async fn decide(&self, pool: &PgPool) -> Result<Decided, sqlx::Error> {
        let mut deciding = begin_with(pool, BEGIN.to_owned()).await?;
        let stands: Option<Stands> = sqlx::query_as(STANDS).bind(self.change_id).fetch_optional(&mut *deciding).await?;
        // A statement of its own: it sees what the one before has waited for.
        let event = sqlx::query_scalar(EVENT).bind(self.target_id.to_string()).bind(self.change_id.to_string());
        let event = event.bind(self.kind == Kind::Create);
        let event: Option<i64> = event.fetch_optional(&mut *deciding).await?;
        let decided = match (event, stands) {
            (Some(position), _) => Decided::Recorded(Position(position)),
            (None, Some(Stands { put_id, state, is_old })) if put_id == self.put_id => {
                let to = match state {
                    State::TakenBack => return Ok(Decided::Before(End::TakenBack)),
                    State::Left => return Ok(Decided::Before(End::Left)),
                    State::Pending if is_old && self.keeper() == Some(SecretKeeper::Aws) => State::Left,
                    State::Pending | State::Void => State::Void,
                };
                let decide = sqlx::query(DECIDE).bind(self.change_id).bind(self.put_id).bind(to.as_str());
                decide.execute(&mut *deciding).await?;
                if to == State::Void { Decided::Void } else { Decided::Before(End::TooOld) }
            }
            (None, _) => Decided::Before(End::Left),
        };
        deciding.commit().await?;
        Ok(decided)
    }

    /// Takes it back where it is there as this, as its keeper finds it; nothing else there is touched.
    async fn take_back(&self, pool: &PgPool, secrets: &dyn SecretStore) -> anyhow::Result<Found> {
        let secret: SecretRef = self.secret.parse()?;
        // Nobody refers to it, and what the target refers to is as it was. The place is there for the next one, and goes with the target: a name
        // that was deleted at AWS can be used by nobody for a week.
        if self.kind == Kind::Move {
            return Ok(Found::Stays);
        }
        let is_new = self.kind == Kind::Create;
        // Somebody may have said so at the command line.
        if is_new && !users(pool, &secret).await?.is_empty() {
            return Ok(Found::Stays);
        }
        let taken = if is_new {
            secrets.delete_as(&secret, self.put_id).await
        } else {
            secrets.take_back(&secret, self.put_id).await
        };
        match taken {
            Ok(true) => Ok(Found::TakenBack),
            Ok(false) => Ok(Found::Nothing),
            Err(error @ SecretError::Missing { .. }) => {
                // Else it may be there, where somebody else looks: this process may have another folder or account than who put it there.
                let is_gone = is_new || self.is_of_deleted(pool).await?;
                Ok(if is_gone { Found::Nothing } else { Found::Unknown(error) })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Writes down how it ended. That nothing is there is believed once its keeper has had time to take it, and to show it.
    async fn end(&self, pool: &PgPool, found: &Found) -> Result<End, sqlx::Error> {
        let (end, state) = match found {
            Found::TakenBack => (End::TakenBack, State::TakenBack),
            _ => (End::Left, State::Left),
        };
        let may_come = matches!(found, Found::Nothing);
        let ended = sqlx::query(END).bind(self.change_id).bind(self.put_id).bind(state.as_str()).bind(may_come);
        let ended = ended.execute(pool).await?;
        Ok(if may_come && ended.rows_affected() == 0 { End::Open } else { end })
    }

    async fn is_of_deleted(&self, pool: &PgPool) -> Result<bool, sqlx::Error> {
        sqlx::query_scalar(IS_DELETED).bind(self.target_id.to_string()).fetch_one(pool).await
    }

    fn keeper(&self) -> Option<SecretKeeper> {
        self.secret.parse::<SecretRef>().ok().map(|secret| secret.keeper())
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
            // Its answer was lost, and nothing else; or it is asked again.
            End::Recorded(_) | End::Open => return,
            End::TakenBack => "it was taken back",
            End::Left => self.left(),
            End::TooOld => "that was over an hour ago, and it is left as it is; see whether the channel takes it",
        };
        let what = "a secret was put in its place, or was to be, and the journal has no event of that";
        tracing::warn!(%target_id, secret, created_by, kind = self.kind.as_str(), "{what}: {words}");
    }

    /// That nothing was taken away, and why, as far as is known.
    pub fn left(&self) -> &'static str {
        if self.kind == Kind::Move {
            "what is there of it is left, as the target does not refer to it"
        } else {
            "there was nothing to take back, or it is left, as it may be in use"
        }
    }

    /// That it has come to no end, for whoever runs the service.
    pub fn words(&self) -> String {
        let Self { secret, target_id, created_by, credential, credential_id, .. } = self;
        let which = credential_id.as_ref().map(|id| format!(" {id}")).unwrap_or_default();
        let what = if self.kind == Kind::Create { "a new target" } else { "target" };
        let at = self.at.to_rfc3339_opts(SecondsFormat::Secs, true);
        let by = format!("{created_by} ({credential}{which})");
        format!("{secret} of {what} {target_id}, begun at {at} by {by}, has not come to its end")
    }

    /// Tells the operator of one that cannot be ended now. How far it has come stands in the error.
    pub fn tell_still(&self, error: &anyhow::Error) {
        let (target_id, secret, created_by) = (self.target_id, &self.secret, &self.created_by);
        let words = "a change of a secret has not come to its end; it is tried again";
        tracing::warn!(%target_id, secret, created_by, kind = self.kind.as_str(), error = format!("{error:#}"), "{words}");
    }
}
