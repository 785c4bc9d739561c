//! Secrets that callers hand over. The API chooses where each is kept: a caller that could name a place could have the
//! secret of somebody else sent to an address of its own.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use adapters::secrets::{SecretError, SecretStore};
use domain::ids::TargetId;
use domain::secret::SecretRef;
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::PgPool;
use tokio::sync::Mutex;
use uuid::Uuid;

use super::problem::{Problem, ProblemKind};
use crate::credentials;

/// How long an answer of the keeper is good for.
const ASKED_FOR: Duration = Duration::from_secs(30);
/// A keeper that has not answered by then is away.
const PATIENCE: Duration = Duration::from_secs(2);

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
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").field("keeper", &self.keeper).finish_non_exhaustive()
    }
}

impl Vault {
    /// A vault over these secrets.
    pub fn new(secrets: Arc<dyn SecretStore>, keeper: Keeper) -> Self {
        Self { secrets, keeper, asked: Arc::default() }
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
        format!("{keeper}:distribution.{target}").parse().expect("an id is made of the characters of a reference")
    }

    /// Whether a target's secret was put there by the API, with whatever keeper.
    pub(super) fn is_own(target: TargetId, reference: &SecretRef) -> bool {
        let own = format!(":distribution.{target}");
        reference.as_str().ends_with(&own)
    }

    /// Whether a secret was put where it is by the API, for whatever target.
    pub fn is_ours(reference: &SecretRef) -> bool {
        reference.name().strip_prefix("distribution.").is_some_and(|target| Uuid::parse_str(target).is_ok())
    }

    /// Keeps a new secret.
    pub(super) async fn keep(&self, reference: &SecretRef, value: SecretString) -> Result<(), Problem> {
        check(&value)?;
        self.secrets.create(reference, value).await.map_err(|error| problem(&error))
    }

    /// Puts a new value in the place of a target's secret. One that the operator keeps elsewhere is left as it is, and
    /// the target refers to a place of its own from now on.
    pub(super) async fn rotate(
        &self,
        target: TargetId,
        now: &SecretRef,
        value: SecretString,
    ) -> Result<SecretRef, Problem> {
        check(&value)?;
        let own = self.reference(target);
        let kept = if *now == own {
            match self.secrets.rotate(&own, value.clone()).await {
                // It was lost: the new one takes its place.
                Err(SecretError::Missing { .. }) => self.secrets.create(&own, value).await,
                done => done,
            }
        } else {
            // The value of before goes along, so that it serves for a while at the new place, too.
            let first = match self.secrets.read_anew(now).await {
                Ok(before) => before.current,
                Err(_) => value.clone(),
            };
            match self.secrets.create(&own, first).await {
                // It may be there from an earlier rotation that did not get to its command.
                Ok(()) | Err(SecretError::Exists { .. }) => self.secrets.rotate(&own, value).await,
                failed => failed,
            }
        };
        kept.map_err(|error| problem(&error))?;
        Ok(own)
    }

    /// Forgets a secret that no live target uses any more. What cannot be forgotten now is told to the operator.
    pub(super) async fn forget(&self, pool: &PgPool, reference: &SecretRef) {
        if let Err(error) = credentials::forget(pool, &*self.secrets, reference).await {
            tracing::warn!(secret = %reference, error = %error, "a secret that nobody uses could not be deleted");
        }
    }
}

fn check(value: &SecretString) -> Result<(), Problem> {
    let length = value.expose_secret().chars().count();
    if (1..=LONGEST_SECRET).contains(&length) && !value.expose_secret().chars().any(char::is_control) {
        return Ok(());
    }
    let reason = format!("give 1 to {LONGEST_SECRET} characters without control characters");
    Err(Problem::field("secret", reason))
}

fn problem(error: &SecretError) -> Problem {
    // It names references and places, never a value.
    tracing::error!(error = %error, "a secret could not be kept");
    ProblemKind::Unavailable.because("the secret store cannot be used now; nothing was changed").retry_after(5)
}
