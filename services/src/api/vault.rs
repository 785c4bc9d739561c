//! Secrets that callers hand over. The API chooses where each is kept: a caller that could name a place could have the
//! secret of somebody else sent to an address of its own.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use adapters::secrets::{SecretError, SecretStore, same};
use domain::ids::TargetId;
use domain::secret::{SecretRef, check_value};
use domain::target::Target;
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::PgPool;
use tokio::sync::{Mutex, Semaphore, SemaphorePermit};
use uuid::Uuid;

use super::problem::{Problem, ProblemKind};
use crate::credentials::left_over::{self, Gone};
use crate::credentials::{self, KEPT_FOR};

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

/// A value that was put in the place of another one.
pub(super) struct Rotated {
    credential: SecretRef,
    value: SecretString,
    /// What held there before, where it could be read.
    before: Option<SecretString>,
}

impl Rotated {
    /// Where the secret is kept from now on.
    pub(super) fn credential(&self) -> &SecretRef {
        &self.credential
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
    pub(super) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.turns.acquire().await.ok()
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

    /// Keeps a new secret.
    pub(super) async fn keep(&self, reference: &SecretRef, value: SecretString) -> Result<(), Problem> {
        check(&value)?;
        self.secrets.create(reference, value).await.map_err(|error| problem(&error, "no target was made"))
    }

    /// Looks up what a new value of a target's secret takes the place of. Changes nothing.
    pub(super) async fn prepare(
        &self,
        target: TargetId,
        now: &SecretRef,
        value: SecretString,
    ) -> Result<Prepared, Problem> {
        check(&value)?;
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

    /// Puts the new value there. A secret that the operator keeps elsewhere is left as it is, and the target refers to a place of its own
    /// from its next event on.
    pub(super) async fn put(&self, prepared: Prepared) -> Result<Rotated, Problem> {
        let Prepared { own, moves_in, value, before } = prepared;
        if moves_in {
            let put = self.move_in(&own, before, &value).await;
            put.map_err(|error| problem(&error, "the target has the secret that it had"))?;
            // Nothing is to be taken back there, as the target does not refer to it yet.
            return Ok(Rotated { credential: own, value, before: None });
        }
        let put = self.replace(&own, &value).await;
        put.map_err(|error| problem(&error, "whether the new secret holds is not known: rotate again"))?;
        Ok(Rotated { credential: own, value, before })
    }

    async fn replace(&self, own: &SecretRef, value: &SecretString) -> Result<(), SecretError> {
        match self.secrets.rotate(own, value.clone()).await {
            // It was lost: the new one takes its place.
            Err(SecretError::Missing { .. }) => self.secrets.create(own, value.clone()).await,
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

    /// What held before a rotation holds again, unless somebody has put another value there since.
    pub(super) async fn take_back(&self, rotated: Rotated) -> Result<(), Problem> {
        let Some(before) = rotated.before else { return Ok(()) };
        let own = &rotated.credential;
        let taken = match self.secrets.read_anew(own).await {
            Ok(now) if same(&now.current, &rotated.value) => self.secrets.rotate(own, before).await,
            // Gone with its target, or another one's.
            Ok(_) | Err(SecretError::Missing { .. }) => Ok(()),
            Err(error) => Err(error),
        };
        taken.map_err(|error| {
            tracing::error!(error = %error, "a secret could not be taken back");
            let unknown = "the target was changed meanwhile, and the secret store cannot be used now: which secret holds is not known; \
                read the target and rotate again";
            ProblemKind::Unavailable.because(unknown).retry_after(5)
        })
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

    /// The same of a target that was deleted before. Whoever asks hears that it is still there.
    pub(super) async fn forget_again(&self, pool: &PgPool, target: &Target) -> Result<(), Problem> {
        let forgotten = credentials::forget_again(pool, &*self.secrets, target).await;
        forgotten.map(drop).map_err(|error| {
            left_over::tell(target.target_id, &target.credential, &error);
            let still = "this target is deleted, its secret is not yet: the secret store cannot be used now; ask again";
            ProblemKind::Unavailable.because(still).retry_after(5)
        })
    }

    /// Takes away what is left over of the secrets of deleted targets.
    pub(super) async fn sweep(&self, pool: &PgPool, gone: &mut Gone) {
        if let Err(error) = left_over::sweep(pool, &*self.secrets, self.keeper == Keeper::Aws, gone).await {
            let words = "secrets of deleted targets that may be left over could not be looked for";
            tracing::warn!(error = format!("{error:#}"), "{words}");
        }
    }
}

fn check(value: &SecretString) -> Result<(), Problem> {
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
