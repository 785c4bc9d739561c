//! Secrets that callers hand over. The API chooses where each is kept: a caller that could name a place could have the
//! secret of somebody else sent to an address of its own.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use adapters::secrets::{SecretError, SecretStore};
use domain::ids::TargetId;
use domain::metadata::Metadata;
use domain::secret::{SecretRef, check_value};
use domain::target::Target;
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::PgPool;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tracing::Instrument as _;
use uuid::Uuid;

use super::problem::{Problem, ProblemKind};
use crate::credentials::left_over::{self, Gone};
use crate::credentials::pending::{self, End, Kind, PendingSecret};
use crate::credentials::{self, KEPT_FOR, OfDeleted};

/// How long an answer of the keeper is good for.
const ASKED_FOR: Duration = Duration::from_secs(30);
/// A keeper that has not answered by then is away.
const PATIENCE: Duration = Duration::from_secs(2);

/// Rotations that are under way in this process at the same time. Each keeps a connection while it asks for another one, and the pool has
/// eight.
const ROTATIONS: usize = 4;

/// The most characters of a secret.
pub(super) const LONGEST_SECRET: usize = 4_096;

/// Who keeps the secrets that the API takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Keeper {
    /// The encrypted store in the secrets folder
    #[default]
    Store,
    /// AWS Secrets Manager
    Aws,
}

/// The secrets of the targets that were made by the API.
#[derive(Clone)]
pub struct Vault {
    secrets: Arc<dyn SecretStore>,
    keeper: Keeper,
    /// When it was asked last whether it answers, and whether it did.
    asked: Arc<Mutex<Option<(Instant, bool)>>>,
    turns: Arc<Semaphore>,
}

/// A value that is to be put in the place of another one.
pub(super) struct Prepared {
    own: SecretRef,
    /// The target refers to another place.
    moves_in: bool,
    value: SecretString,
    /// What holds now, where it could be read.
    before: Option<SecretString>,
}

impl Prepared {
    /// Where it is kept from then on.
    pub(super) fn own(&self) -> &SecretRef {
        &self.own
    }

    /// What it is put there for.
    pub(super) fn kind(&self) -> Kind {
        if self.moves_in { Kind::Move } else { Kind::Rotate }
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").field("keeper", &self.keeper).finish_non_exhaustive()
    }
}

impl Vault {
    /// A vault over these secrets.
    pub fn new(secrets: Arc<dyn SecretStore>, keeper: Keeper) -> Self {
        Self { secrets, keeper, asked: Arc::default(), turns: Arc::new(Semaphore::new(ROTATIONS)) }
    }

    /// One of the few rotations that may be under way, once it is free. Nobody closes them.
    pub(super) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        self.turns.clone().acquire_owned().await.ok()
    }

    /// Whether the keeper answers. It is asked once in [`ASKED_FOR`], as one far away costs a call.
    pub(super) async fn answers(&self) -> bool {
        let mut asked = self.asked.lock().await;
        if let Some((_, answered)) = asked.filter(|(at, _)| at.elapsed() < ASKED_FOR) {
            return answered;
        }
        let nobody = self.reference(TargetId(Uuid::nil()));
        let read = tokio::time::timeout(PATIENCE, self.secrets.read_anew(&nobody)).await;
        let answered = matches!(read, Ok(Ok(_) | Err(SecretError::Missing { .. })));
        *asked = Some((Instant::now(), answered));
        answered
    }

    /// Where the secret of a target is kept.
    pub(super) fn reference(&self, target: TargetId) -> SecretRef {
        let keeper = match self.keeper {
            Keeper::Store => "store",
            Keeper::Aws => "aws",
        };
        format!("{keeper}:{KEPT_FOR}{target}").parse().expect("an id is made of the characters of a reference")
    }

    /// Keeps a new secret that is fit to be kept, as this.
    pub(super) async fn keep(&self, reference: &SecretRef, value: SecretString, put: Uuid) -> Result<(), Problem> {
        self.secrets.create_as(reference, value, put).await.map_err(|error| problem(&error, "no target was made"))
    }

    /// Looks up what a new value of a target's secret takes the place of. Changes nothing.
    pub(super) async fn prepare(
        &self,
        target: TargetId,
        now: &SecretRef,
        value: SecretString,
    ) -> Result<Prepared, Problem> {
        fit(&value)?;
        let own = self.reference(target);
        let before = match self.secrets.read_anew(now).await {
            Ok(secret) => Some(secret.current),
            // It could not be taken back.
            Err(error @ SecretError::Unreachable { .. }) if *now == own => {
                return Err(problem(&error, "nothing was changed"));
            }
            Err(_) => None,
        };
        Ok(Prepared { moves_in: *now != own, own, value, before })
    }

    /// Puts the new value there, as this. A secret that the operator keeps elsewhere is left as it is, and the target refers to a place of
    /// its own from its next event on.
    pub(super) async fn put(&self, prepared: Prepared, put: Uuid) -> Result<(), Problem> {
        let Prepared { own, moves_in, value, before } = prepared;
        let done = if moves_in {
            // Nothing is to be taken back there, as the target does not refer to it yet.
            self.move_in(&own, before, &value).await
        } else {
            self.replace(&own, &value, put).await
        };
        let end = "the target has the secret that it had, or has it back within minutes: try again";
        done.map_err(|error| problem(&error, end))
    }

    async fn replace(&self, own: &SecretRef, value: &SecretString, put: Uuid) -> Result<(), SecretError> {
        match self.secrets.rotate_as(own, value.clone(), put).await {
            // It was lost: the new one takes its place.
            Err(SecretError::Missing { .. }) => self.secrets.create_as(own, value.clone(), put).await,
            done => done,
        }
    }

    /// The previous value goes along, so that it serves for a while at the new place, too.
    async fn move_in(
        &self,
        own: &SecretRef,
        before: Option<SecretString>,
        value: &SecretString,
    ) -> Result<(), SecretError> {
        let first = before.unwrap_or_else(|| value.clone());
        match self.secrets.create(own, first.clone()).await {
            // It may be there from an earlier rotation that did not get to its command.
            Err(SecretError::Exists { .. }) => self.secrets.rotate(own, first).await?,
            done => done?,
        }
        self.secrets.rotate(own, value.clone()).await
    }

    /// Says that a value is about to be put there, as the change whose event this stands beside. Nothing was changed where that cannot be said.
    pub(super) async fn announce(
        &self,
        pool: &PgPool,
        kind: Kind,
        secret: &SecretRef,
        change_id: Uuid,
        metadata: &Metadata,
    ) -> Result<PendingSecret, Problem> {
        let announced = pending::announce(pool, kind, secret, change_id, metadata).await;
        announced.map_err(|error| Problem::from(error).nothing_changed())
    }

    /// The journal has the event of a value. What is left to do about that is done later where it cannot be done now.
    pub(super) async fn settle(&self, pool: &PgPool, pending: &PendingSecret) {
        if let Err(error) = pending.settle(pool, &*self.secrets).await {
            pending.tell_still(&error);
        }
    }

    /// What became of a value, or is made of it now, where its command does not say so.
    pub(super) async fn resolve(&self, pool: &PgPool, pending: &PendingSecret) -> anyhow::Result<End> {
        pending.resolve(pool, &*self.secrets).await
    }

    /// Sees to the end of earlier changes of this target's secret. Whoever asks may leave: what was begun runs to its end, and has the turn until
    /// then.
    pub(super) async fn end_earlier<T: Send + 'static>(
        &self,
        pool: &PgPool,
        target: TargetId,
        turn: T,
    ) -> Result<T, Problem> {
        // Where that cannot be asked nobody knows of an earlier one, and most have none.
        let earlier = pending::of_target(pool, target).await;
        let earlier = earlier.map_err(|error| Problem::from(error).nothing_changed())?;
        if earlier.is_empty() {
            return Ok(turn);
        }
        let (pool, secrets) = (pool.clone(), Arc::clone(&self.secrets));
        let ending = async move { (pending::end_all(&pool, &*secrets, earlier).await, turn) };
        let error = match tokio::spawn(ending.in_current_span()).await {
            Ok((Ok(()), turn)) => return Ok(turn),
            Ok((Err(error), _)) => error,
            Err(error) => error.into(),
        };
        let words = "an earlier change of a secret cannot be ended now";
        tracing::warn!(target_id = %target, error = format!("{error:#}"), "{words}");
        let earlier = "what became of an earlier secret of this target cannot be found out or taken back now; nothing \
            was changed, try again";
        Err(ProblemKind::Unavailable.because(earlier).retry_after(5))
    }

    /// Sees to the end of changes whose process is gone, or had no journal or keeper.
    pub(super) async fn sweep_pending(&self, pool: &PgPool) {
        if let Err(error) = pending::sweep(pool, &*self.secrets).await {
            tracing::warn!(%error, "secrets that were put in their place without an event could not be looked for");
        }
    }

    /// Forgets a secret of this target that no live target uses any more. What cannot be forgotten now is told to the operator.
    pub(super) async fn forget(&self, pool: &PgPool, target: TargetId, reference: &SecretRef) {
        if let Err(error) = credentials::forget(pool, &*self.secrets, reference).await {
            let words = "a secret that nobody uses could not be deleted";
            tracing::warn!(target_id = %target, secret = %reference, error = format!("{error:#}"), "{words}");
        }
    }

    /// Forgets that of a target that was just deleted. What cannot be forgotten now is told to the operator, and [`Self::sweep`] tries again.
    pub(super) async fn forget_deleted(&self, pool: &PgPool, target: TargetId, reference: &SecretRef) {
        if let Err(error) = credentials::forget(pool, &*self.secrets, reference).await {
            left_over::tell(target, reference, &error);
        }
    }

    /// The same of all that it has.
    pub(super) async fn forget_all(&self, pool: &PgPool, target: &Target) {
        let OfDeleted { own, left } = credentials::forget_all(pool, &*self.secrets, target).await;
        if let Err(error) = own {
            left_over::tell(target.target_id, &target.credential, &error);
        }
        if let Err(error) = left {
            let words = "what rotations without an event may have left of a deleted target cannot be taken away now";
            tracing::warn!(target_id = %target.target_id, error = format!("{error:#}"), "{words}");
        }
    }

    /// The same of a target that was deleted before. Whoever asks hears that it is still there.
    pub(super) async fn forget_again(&self, pool: &PgPool, target: &Target) -> Result<(), Problem> {
        let forgotten = credentials::forget_again(pool, &*self.secrets, target).await;
        forgotten.map(drop).map_err(|error| {
            left_over::tell(target.target_id, &target.credential, &error);
            let still = "this target is deleted, its secret is not yet: the secret store cannot be used now; ask again";
            ProblemKind::Unavailable.because(still).retry_after(5)
        })
    }

    /// Takes away what is left over of the secrets of deleted targets, and of writes.
    pub(super) async fn sweep(&self, pool: &PgPool, gone: &mut Gone) {
        if let Err(error) = self.secrets.tidy().await {
            let words = "what a crash may have left in the folder of the encrypted store could not be taken away";
            tracing::warn!(%error, "{words}");
        }
        if let Err(error) = left_over::sweep(pool, &*self.secrets, self.keeper == Keeper::Aws, gone).await {
            let words = "secrets of deleted targets that may be left over could not be looked for";
            tracing::warn!(error = format!("{error:#}"), "{words}");
        }
    }
}

/// That it is fit to be kept.
pub(super) fn fit(value: &SecretString) -> Result<(), Problem> {
    check_value(value.expose_secret()).map_err(|invalid| Problem::field("secret", invalid.to_string()))?;
    let length = value.expose_secret().chars().count();
    if length <= LONGEST_SECRET && !value.expose_secret().chars().any(char::is_control) {
        return Ok(());
    }
    let reason = format!("give 1 to {LONGEST_SECRET} characters without control characters");
    Err(Problem::field("secret", reason))
}

/// What of the change came about, in words; the keeper may have taken what it did not answer to.
fn problem(error: &SecretError, end: &str) -> Problem {
    // It names references and places, never a value.
    tracing::error!(error = %error, "a secret could not be kept");
    ProblemKind::Unavailable.because(format!("the secret store cannot be used now; {end}")).retry_after(5)
}
