//! Every keeper of secrets behind one store: the reference says which one is meant.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use domain::secret::{SecretKeeper, SecretRef};
use secrecy::SecretString;
use tokio::sync::OnceCell;
use uuid::Uuid;

use super::{AwsSecrets, EmbeddedStore, LocalSecrets, Secret, SecretError, SecretStore};

/// The keepers that this process knows.
#[derive(Debug, Clone)]
pub struct Secrets {
    local: LocalSecrets,
    /// The embedded store.
    pub store: EmbeddedStore,
    /// Where AWS is, if not where its SDK says.
    aws_endpoint: Option<String>,
    /// Set up by the first reference to it: finding credentials may take calls.
    aws: Arc<OnceCell<AwsSecrets>>,
}

impl Secrets {
    /// The folder of the files, with the embedded store in it; its key beside it, or where `key` says.
    pub fn new(dir: &Path, key: Option<PathBuf>) -> Self {
        Self {
            local: LocalSecrets { dir: dir.to_owned() },
            store: EmbeddedStore::new(dir, key),
            aws_endpoint: None,
            aws: Arc::default(),
        }
    }

    /// The same, with AWS Secrets Manager at another address.
    pub fn with_aws_endpoint(self, endpoint: Option<String>) -> Self {
        Self { aws_endpoint: endpoint, ..self }
    }

    /// The same, with AWS Secrets Manager set up already.
    pub fn with_aws(self, aws: AwsSecrets) -> Self {
        Self { aws: Arc::new(OnceCell::from(aws)), ..self }
    }

    async fn aws(&self) -> &AwsSecrets {
        self.aws.get_or_init(|| AwsSecrets::from_environment(self.aws_endpoint.as_deref())).await
    }
}

fn only_read(secret: &SecretRef) -> SecretError {
    let reason = match secret.keeper() {
        SecretKeeper::File => {
            "files are only read: change the file itself, or keep the secret in the store (store:NAME)"
        }
        _ => {
            "the environment is only read: change it where the service is started, or keep the secret in the store \
              (store:NAME)"
        }
    };
    SecretError::ReadOnly { secret: secret.clone(), reason }
}

/// Runs what waits for the disk or a lock where it holds nobody up.
async fn aside<T: Send + 'static>(
    secret: &SecretRef,
    work: impl FnOnce() -> Result<T, SecretError> + Send + 'static,
) -> Result<T, SecretError> {
    let ended = tokio::task::spawn_blocking(work).await;
    ended.unwrap_or_else(|_| Err(SecretError::unusable(secret, "the store stopped in the middle")))
}

#[async_trait]
impl SecretStore for Secrets {
    async fn create(&self, secret: &SecretRef, value: SecretString) -> Result<(), SecretError> {
        match secret.keeper() {
            SecretKeeper::Store => {
                let (store, name) = (self.store.clone(), secret.clone());
                aside(secret, move || store.create(&name, &value)).await
            }
            SecretKeeper::Aws => self.aws().await.create(secret, &value).await,
            SecretKeeper::File | SecretKeeper::Env => Err(only_read(secret)),
        }
    }

    async fn create_as(&self, secret: &SecretRef, value: SecretString, put: Uuid) -> Result<(), SecretError> {
        match secret.keeper() {
            SecretKeeper::Store => {
                let (store, name) = (self.store.clone(), secret.clone());
                aside(secret, move || store.create_as(&name, &value, put)).await
            }
            SecretKeeper::Aws => self.aws().await.create_as(secret, &value, put).await,
            SecretKeeper::File | SecretKeeper::Env => Err(only_read(secret)),
        }
    }

    async fn read(&self, secret: &SecretRef) -> Result<Secret, SecretError> {
        match secret.keeper() {
            SecretKeeper::Store => {
                let (store, name) = (self.store.clone(), secret.clone());
                aside(secret, move || store.read(&name)).await
            }
            SecretKeeper::Aws => self.aws().await.read(secret).await,
            SecretKeeper::File | SecretKeeper::Env => self.local.read(secret).map(Secret::of),
        }
    }

    async fn read_anew(&self, secret: &SecretRef) -> Result<Secret, SecretError> {
        match secret.keeper() {
            SecretKeeper::Aws => self.aws().await.read_anew(secret).await,
            _ => self.read(secret).await,
        }
    }

    async fn rotate(&self, secret: &SecretRef, value: SecretString) -> Result<(), SecretError> {
        match secret.keeper() {
            SecretKeeper::Store => {
                let (store, name) = (self.store.clone(), secret.clone());
                aside(secret, move || store.rotate(&name, &value)).await
            }
            SecretKeeper::Aws => self.aws().await.rotate(secret, &value).await,
            SecretKeeper::File | SecretKeeper::Env => Err(only_read(secret)),
        }
    }

    async fn rotate_as(&self, secret: &SecretRef, value: SecretString, put: Uuid) -> Result<(), SecretError> {
        match secret.keeper() {
            SecretKeeper::Store => {
                let (store, name) = (self.store.clone(), secret.clone());
                aside(secret, move || store.rotate_as(&name, &value, put)).await
            }
            SecretKeeper::Aws => self.aws().await.rotate_as(secret, &value, put).await,
            SecretKeeper::File | SecretKeeper::Env => Err(only_read(secret)),
        }
    }

    async fn settle(&self, secret: &SecretRef, put: Uuid) -> Result<(), SecretError> {
        match secret.keeper() {
            SecretKeeper::Store => {
                let (store, name) = (self.store.clone(), secret.clone());
                aside(secret, move || store.settle(&name, put)).await
            }
            // AWS keeps the version of before for good, whatever becomes of this one.
            SecretKeeper::Aws => Ok(()),
            SecretKeeper::File | SecretKeeper::Env => Err(only_read(secret)),
        }
    }

    async fn take_back(&self, secret: &SecretRef, put: Uuid) -> Result<bool, SecretError> {
        match secret.keeper() {
            SecretKeeper::Store => {
                let (store, name) = (self.store.clone(), secret.clone());
                aside(secret, move || store.take_back(&name, put)).await
            }
            SecretKeeper::Aws => self.aws().await.take_back(secret, put).await,
            SecretKeeper::File | SecretKeeper::Env => Err(only_read(secret)),
        }
    }

    async fn delete_as(&self, secret: &SecretRef, put: Uuid) -> Result<bool, SecretError> {
        match secret.keeper() {
            SecretKeeper::Store => {
                let (store, name) = (self.store.clone(), secret.clone());
                aside(secret, move || store.delete_as(&name, put)).await
            }
            SecretKeeper::Aws => self.aws().await.delete_as(secret, put).await,
            SecretKeeper::File | SecretKeeper::Env => Err(only_read(secret)),
        }
    }

    async fn delete(&self, secret: &SecretRef) -> Result<(), SecretError> {
        match secret.keeper() {
            SecretKeeper::Store => {
                let (store, name) = (self.store.clone(), secret.clone());
                aside(secret, move || store.delete(&name)).await
            }
            SecretKeeper::Aws => self.aws().await.delete(secret).await,
            SecretKeeper::File | SecretKeeper::Env => Err(only_read(secret)),
        }
    }
    async fn put_at(&self, secret: &SecretRef) -> Result<DateTime<Utc>, SecretError> {
        match secret.keeper() {
            SecretKeeper::Store => {
                let (store, name) = (self.store.clone(), secret.clone());
                aside(secret, move || store.put_at(&name)).await
            }
            SecretKeeper::Aws => self.aws().await.put_at(secret).await,
            SecretKeeper::File | SecretKeeper::Env => Err(only_read(secret)),
        }
    }

    async fn listed(&self) -> io::Result<Vec<SecretRef>> {
        let store = self.store.clone();
        let listed = tokio::task::spawn_blocking(move || store.list()).await;
        let entries = listed.unwrap_or_else(|_| Err(io::Error::other("the store stopped in the middle")))?;
        Ok(entries.iter().filter_map(|entry| entry.secret_ref.parse().ok()).collect())
    }

    async fn tidy(&self) -> io::Result<()> {
        let store = self.store.clone();
        let tidied = tokio::task::spawn_blocking(move || store.tidy()).await;
        tidied.unwrap_or_else(|_| Err(io::Error::other("the store stopped in the middle")))
    }
}
