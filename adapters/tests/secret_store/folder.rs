//! A folder of secrets for one test.

use std::path::{Path, PathBuf};

use adapters::secrets::{SecretError, SecretStore, Secrets};
use domain::secret::SecretRef;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

pub struct Folder {
    pub secrets: Secrets,
    dir: tempfile::TempDir,
}

pub fn of(text: &str) -> SecretRef {
    text.parse().unwrap()
}

impl Folder {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { secrets: Secrets::new(dir.path(), None), dir }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn key(&self) -> PathBuf {
        self.path().join(".store/key")
    }

    pub async fn create(&self, secret: &str, value: &str) -> Result<(), SecretError> {
        self.secrets.create(&of(secret), SecretString::from(value)).await
    }

    pub async fn rotate(&self, secret: &str, value: &str) -> Result<(), SecretError> {
        self.secrets.rotate(&of(secret), SecretString::from(value)).await
    }

    /// The current value and the previous one.
    pub async fn read(&self, secret: &str) -> Result<(String, Option<String>), SecretError> {
        let found = self.secrets.read(&of(secret)).await?;
        let shown = |value: SecretString| value.expose_secret().to_owned();
        Ok((shown(found.current), found.previous.map(shown)))
    }

    /// Changes the file of sealed values behind the store's back.
    pub fn tamper(&self, change: impl FnOnce(&mut Value)) {
        let path = self.secrets.store.path();
        let mut contents: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        change(&mut contents);
        std::fs::write(path, contents.to_string()).unwrap();
    }
}
