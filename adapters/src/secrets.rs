//! Where secrets are kept. A value is a `SecretString`, which prints nothing, serialises to nothing and is wiped when it
//! goes; no error shows one.

mod aws;
mod error;
mod keepers;
mod local;
mod owners;
mod store;
mod value;

use std::io;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use domain::secret::SecretRef;
use secrecy::{ExposeSecret as _, SecretString};
use uuid::Uuid;

pub use aws::{AwsSecrets, KEPT_FOR};
pub use error::SecretError;
pub use keepers::Secrets;
pub use local::LocalSecrets;
pub use owners::Strangers;
pub(crate) use owners::{hand_down, make_folder};
pub use store::{EmbeddedStore, Entry, Standing};
pub use value::read_value;

/// How long after a rotation the previous value is still given beside the new one: calls under way with it end, and a
/// channel that learns of the new one a little later is not lost.
pub const ROTATION_GRACE: Duration = Duration::from_secs(300);

/// The longest value, in bytes. AWS takes no longer one, and no credential is.
pub const LONGEST_VALUE: usize = 64 * 1024;

/// What is behind a reference.
#[derive(Debug, Clone)]
pub struct Secret {
    /// The value that holds now.
    pub current: SecretString,
    /// The one that it took the place of, for [`ROTATION_GRACE`] after that.
    pub previous: Option<SecretString>,
    /// Whether nobody knows yet that the current one stays: until that is known the previous one is given, for a week at the longest.
    pub pending: bool,
}

impl Secret {
    /// A value that took nobody's place.
    pub fn of(current: SecretString) -> Self {
        Self { current, previous: None, pending: false }
    }

    /// A value that took the place of another one. Of the same one there is no previous one.
    fn replacing(previous: Option<SecretString>, current: SecretString) -> Self {
        Self { previous: previous.filter(|previous| !same(previous, &current)), current, pending: false }
    }
}

/// Whether two values are one.
pub fn same(one: &SecretString, other: &SecretString) -> bool {
    one.expose_secret() == other.expose_secret()
}

/// A place that keeps secrets.
#[async_trait]
pub trait SecretStore: Send + Sync {
    /// Keeps a new secret; one of this name must not be there.
    async fn create(&self, secret: &SecretRef, value: SecretString) -> Result<(), SecretError>;

    /// The same of a change whose end is not known yet, and which is called so from then on: [`Self::settle`], [`Self::take_back`] or
    /// [`Self::delete_as`] ends it.
    async fn create_as(&self, secret: &SecretRef, value: SecretString, _put: Uuid) -> Result<(), SecretError> {
        self.create(secret, value).await
    }

    /// The value behind a reference. It is read again for every push, so a changed value is used without a restart; a
    /// keeper that is far away may give what it gave up to a minute ago, and up to [`ROTATION_GRACE`] ago while it cannot be reached.
    async fn read(&self, secret: &SecretRef) -> Result<Secret, SecretError>;

    /// The value as it is now, for who has seen another one refused.
    async fn read_anew(&self, secret: &SecretRef) -> Result<Secret, SecretError> {
        self.read(secret).await
    }

    /// Puts a new value in the place of the one that is there, which is still given as the previous one for
    /// [`ROTATION_GRACE`]. The value that is there already changes nothing: asked for twice, a rotation is one, and the previous
    /// one is given for as long as after the first.
    async fn rotate(&self, secret: &SecretRef, value: SecretString) -> Result<(), SecretError>;

    /// The same of a change whose end is not known yet, and which is called so from then on: [`Self::settle`] or [`Self::take_back`] ends
    /// it. Until then the encrypted store gives the previous value, for a week at the longest.
    async fn rotate_as(&self, secret: &SecretRef, value: SecretString, _put: Uuid) -> Result<(), SecretError> {
        self.rotate(secret, value).await
    }

    /// The value that was put there as this stays. Nothing is to be done where another one took its place.
    async fn settle(&self, _secret: &SecretRef, _put: Uuid) -> Result<(), SecretError> {
        Ok(())
    }

    /// What held before a value was put there as this holds again; where none did, the encrypted store has none again. `false` where another
    /// one took its place, it was never put there, or AWS had none before: nothing changes then.
    async fn take_back(&self, _secret: &SecretRef, _put: Uuid) -> Result<bool, SecretError> {
        Ok(false)
    }

    /// Forgets a secret that was made as this, where nothing else has become of it since. `false` where something has: nothing changes then.
    async fn delete_as(&self, _secret: &SecretRef, _put: Uuid) -> Result<bool, SecretError> {
        Ok(false)
    }

    /// Forgets a secret, with its previous value.
    async fn delete(&self, secret: &SecretRef) -> Result<(), SecretError>;

    /// When its value was put there last.
    async fn put_at(&self, secret: &SecretRef) -> Result<DateTime<Utc>, SecretError> {
        Err(SecretError::unusable(secret, "its keeper does not say when it was put there"))
    }

    /// The secrets of keepers that tell which they have, as the encrypted store does. Others are asked for one at a time.
    async fn listed(&self) -> io::Result<Vec<SecretRef>> {
        Ok(Vec::new())
    }

    /// Takes away what a crash has left of a write.
    async fn tidy(&self) -> io::Result<()> {
        Ok(())
    }
}
