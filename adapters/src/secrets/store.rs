//! The embedded store: `store:NAME` in one file of sealed values, next to the key that they are sealed with. A writer
//! holds a lock over read and write, and replaces the file, so that a reader needs none.

mod contents;
mod disk;
mod seal;

use std::io;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use domain::secret::SecretRef;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use uuid::Uuid;

use super::owners::{self, Strangers};
use super::{LONGEST_VALUE, ROTATION_GRACE, Secret, SecretError, same};
use contents::{Contents, Previous, Sealed};
pub(super) use disk::exposed;
use seal::{Key, SealError};

/// The folder, its name beginning with a dot so that no `file:NAME` can refer to the key.
#[derive(Debug, Clone)]
pub struct EmbeddedStore {
    folder: PathBuf,
    key: PathBuf,
}

/// What can be told of a secret without its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// How to refer to it.
    pub secret_ref: String,
    /// When it was put there.
    pub created_at: DateTime<Utc>,
    /// When its value was last replaced.
    pub rotated_at: Option<DateTime<Utc>>,
    /// Until when the previous value is still given, at the longest.
    pub previous_until: Option<DateTime<Utc>>,
    /// Whether its value stays.
    pub standing: Standing,
}

/// What is known of the change that put a value there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// The value stays.
    Settled,
    /// Nobody knows yet whether it stays, and the previous one is given for longer.
    Pending,
    /// It held before, and holds again: the previous one is that which did not stay.
    TakenBack,
}

type Change<'a> = &'a mut dyn FnMut(&mut Contents, &Key, DateTime<Utc>) -> Result<(), SecretError>;

impl EmbeddedStore {
    /// The store below the folder of secrets. Its key lies beside it, or in `key`, which may be on another disk.
    pub fn new(secrets_dir: &Path, key: Option<PathBuf>) -> Self {
        let folder = secrets_dir.join(".store");
        let key = key.unwrap_or_else(|| folder.join("key"));
        Self { folder, key }
    }

    /// The file of the sealed values.
    pub fn path(&self) -> PathBuf {
        self.folder.join("secrets.json")
    }

    /// Keeps a new secret. The first one makes the folder and the key.
    pub fn create(&self, secret: &SecretRef, value: &SecretString) -> Result<(), SecretError> {
        self.make(secret, value, None)
    }

    /// The same of a change whose end is not known yet.
    pub fn create_as(&self, secret: &SecretRef, value: &SecretString, put: Uuid) -> Result<(), SecretError> {
        self.make(secret, value, Some(put))
    }

    fn make(&self, secret: &SecretRef, value: &SecretString, put: Option<Uuid>) -> Result<(), SecretError> {
        fits(secret, value)?;
        self.change(secret, &mut |contents, key, now| {
            if contents.secrets.contains_key(secret.name()) {
                return Err(SecretError::Exists { secret: secret.clone() });
            }
            let value = self.seal(key, secret, value)?;
            let (previous, taken_back) = (None, None);
            let sealed = Sealed { created_at: now, rotated_at: None, value, previous, pending: put, taken_back };
            contents.secrets.insert(secret.name().to_owned(), sealed);
            Ok(())
        })
    }

    /// Its values that may be used now.
    pub fn read(&self, secret: &SecretRef) -> Result<Secret, SecretError> {
        let contents = self.contents(secret)?;
        // The key first: who asks for any name learns that it is lost.
        let key = match Key::read(&self.key) {
            // The first value makes one.
            Err(SealError::Io(error)) if error.kind() == io::ErrorKind::NotFound && contents.secrets.is_empty() => {
                return Err(self.missing(secret));
            }
            known => known.map_err(|error| self.of_key(secret, error))?,
        };
        let sealed = contents.secrets.get(secret.name()).ok_or_else(|| self.missing(secret))?;
        let open = |value: &str| key.open(secret.name(), value).map_err(|error| self.of_file(secret, &error));
        let previous = sealed.previous.as_ref().filter(|previous| sealed.keeps(previous, Utc::now()));
        let previous = previous.map(|previous| open(&previous.value)).transpose()?;
        let pending = sealed.pending.is_some();
        Ok(Secret { pending, ..Secret::replacing(previous, open(&sealed.value)?) })
    }

    /// Replaces its value, and keeps the previous one for [`ROTATION_GRACE`]. Nothing changes where it has this value.
    pub fn rotate(&self, secret: &SecretRef, value: &SecretString) -> Result<(), SecretError> {
        self.replace(secret, value, None)
    }

    /// The same of a change whose end is not known yet: the previous value is kept and given until [`Self::settle`] or
    /// [`Self::take_back`], for a week at the longest.
    pub fn rotate_as(&self, secret: &SecretRef, value: &SecretString, put: Uuid) -> Result<(), SecretError> {
        self.replace(secret, value, Some(put))
    }

    fn replace(&self, secret: &SecretRef, value: &SecretString, put: Option<Uuid>) -> Result<(), SecretError> {
        fits(secret, value)?;
        self.change(secret, &mut |contents, key, now| {
            let sealed = contents.secrets.get_mut(secret.name()).ok_or_else(|| self.missing(secret))?;
            if key.open(secret.name(), &sealed.value).is_ok_and(|current| same(&current, value)) {
                // Whoever puts it there once more means it to stay. Where nobody knows yet whether it does, it is this change's from now on.
                sealed.pending = put.filter(|_| sealed.pending.is_some());
                return Ok(());
            }
            let fresh = self.seal(key, secret, value)?;
            let previous = std::mem::replace(&mut sealed.value, fresh);
            sealed.previous = Some(Previous { value: previous, until: now + ROTATION_GRACE });
            sealed.rotated_at = Some(now);
            (sealed.pending, sealed.taken_back) = (put, None);
            Ok(())
        })
    }

    /// The value that was put there as this stays, and the previous one goes in its time.
    pub fn settle(&self, secret: &SecretRef, put: Uuid) -> Result<(), SecretError> {
        if self.sealed(secret)?.pending != Some(put) {
            return Ok(());
        }
        self.change(secret, &mut |contents, _, _| {
            let sealed = contents.secrets.get_mut(secret.name()).ok_or_else(|| self.missing(secret))?;
            sealed.pending.take_if(|pending| *pending == put);
            Ok(())
        })
    }

    /// The previous value holds again, where the one that does was put there as this: a rotation back. Where it was made as this, it goes.
    /// Says whether.
    pub fn take_back(&self, secret: &SecretRef, put: Uuid) -> Result<bool, SecretError> {
        let sealed = self.sealed(secret)?;
        if sealed.pending != Some(put) {
            return Ok(sealed.taken_back == Some(put));
        }
        let mut is_back = false;
        self.change(secret, &mut |contents, _, now| {
            let sealed = contents.secrets.get_mut(secret.name()).ok_or_else(|| self.missing(secret))?;
            if sealed.pending != Some(put) {
                is_back = sealed.taken_back == Some(put);
                return Ok(());
            }
            if sealed.is_as_made(put) {
                contents.secrets.remove(secret.name());
                is_back = true;
                return Ok(());
            }
            sealed.pending = None;
            let Some(before) = sealed.previous.take() else { return Ok(()) };
            let put_there = std::mem::replace(&mut sealed.value, before.value);
            sealed.previous = Some(Previous { value: put_there, until: now + ROTATION_GRACE });
            (sealed.rotated_at, sealed.taken_back) = (Some(now), Some(put));
            is_back = true;
            Ok(())
        })?;
        Ok(is_back)
    }

    /// Forgets it where it is as it was made, as this. Says whether.
    pub fn delete_as(&self, secret: &SecretRef, put: Uuid) -> Result<bool, SecretError> {
        if !self.sealed(secret)?.is_as_made(put) {
            return Ok(false);
        }
        let mut is_gone = false;
        self.change(secret, &mut |contents, _, _| {
            let sealed = contents.secrets.get(secret.name()).ok_or_else(|| self.missing(secret))?;
            is_gone = sealed.is_as_made(put);
            if is_gone {
                contents.secrets.remove(secret.name());
            }
            Ok(())
        })?;
        Ok(is_gone)
    }

    /// What is kept of it.
    fn sealed(&self, secret: &SecretRef) -> Result<Sealed, SecretError> {
        self.contents(secret)?.secrets.remove(secret.name()).ok_or_else(|| self.missing(secret))
    }

    /// Forgets it.
    pub fn delete(&self, secret: &SecretRef) -> Result<(), SecretError> {
        // Nothing is made where there is nothing to forget.
        if !self.contents(secret)?.secrets.contains_key(secret.name()) {
            return Err(self.missing(secret));
        }
        self.change(secret, &mut |contents, _, _| {
            contents.secrets.remove(secret.name()).map(|_| ()).ok_or_else(|| self.missing(secret))
        })
    }

    /// When its value was put there last.
    pub fn put_at(&self, secret: &SecretRef) -> Result<DateTime<Utc>, SecretError> {
        let sealed = self.sealed(secret)?;
        Ok(sealed.rotated_at.unwrap_or(sealed.created_at))
    }

    /// What is there, by name.
    pub fn list(&self) -> io::Result<Vec<Entry>> {
        let now = Utc::now();
        let entry = |(name, sealed): (String, Sealed)| Entry {
            secret_ref: format!("store:{name}"),
            created_at: sealed.created_at,
            rotated_at: sealed.rotated_at,
            previous_until: sealed.previous.as_ref().map(|it| sealed.keeps_until(it)).filter(|until| now < *until),
            standing: sealed.standing(),
        };
        Ok(Contents::read(&self.path())?.secrets.into_iter().map(entry).collect())
    }

    /// Takes away what a crash has left of a write: sealed values, and maybe of secrets that were deleted since.
    pub fn tidy(&self) -> io::Result<()> {
        if !disk::is_untidy(&self.folder)? {
            return Ok(());
        }
        let _lock = disk::lock(&self.folder)?;
        disk::tidy(&self.folder)
    }

    /// What another account has than the folder of secrets: the service cannot read it, and root does not notice.
    pub fn strangers(&self) -> Option<Strangers> {
        owners::strangers(self.folder.parent()?, &self.folder, &self.key)
    }

    fn change(&self, secret: &SecretRef, change: Change<'_>) -> Result<(), SecretError> {
        let failed = |error: io::Error| self.of_disk(secret, &error);
        owners::make_folder(&self.folder).map_err(failed)?;
        let _lock = disk::lock(&self.folder).map_err(failed)?;
        // A value that is to be put there does not wait for that.
        let _ = disk::tidy(&self.folder);
        let mut contents = self.contents(secret)?;
        let key = match Key::read(&self.key) {
            // With sealed values there, a new key would only hide that theirs is lost.
            Err(SealError::Io(error)) if error.kind() == io::ErrorKind::NotFound && contents.secrets.is_empty() => {
                Key::make(&self.key, &self.folder)
            }
            known => known,
        };
        let key = key.map_err(|error| self.of_key(secret, error))?;
        let now = Utc::now();
        change(&mut contents, &key, now)?;
        contents.write(&self.path(), &self.folder, now).map_err(failed)
    }

    fn contents(&self, secret: &SecretRef) -> Result<Contents, SecretError> {
        Contents::read(&self.path()).map_err(|error| self.of_disk(secret, &error))
    }

    fn seal(&self, key: &Key, secret: &SecretRef, value: &SecretString) -> Result<String, SecretError> {
        key.seal(secret.name(), value).map_err(|error| self.of_file(secret, &error))
    }

    fn missing(&self, secret: &SecretRef) -> SecretError {
        let place = format!("{} in {}", secret.name(), self.path().display());
        SecretError::Missing { secret: secret.clone(), place }
    }

    fn of_disk(&self, secret: &SecretRef, error: &io::Error) -> SecretError {
        let reason = owners::refused(&self.path(), error);
        // What is no such file, or only a part of it. One of another version is whole, and what cannot be read now may be.
        let damaged = matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof);
        if damaged { damage(secret, reason) } else { SecretError::unusable(secret, reason) }
    }

    fn of_file(&self, secret: &SecretRef, error: &SealError) -> SecretError {
        damage(secret, format!("{}: {error}", self.path().display()))
    }

    fn of_key(&self, secret: &SecretRef, error: SealError) -> SecretError {
        let path = self.key.display().to_string();
        match error {
            SealError::Exposed(mode) => SecretError::Exposed { secret: secret.clone(), path, mode },
            SealError::Io(error) => {
                let reason = format!("the store's key {}", owners::refused(&self.key, &error));
                let gone = error.kind() == io::ErrorKind::NotFound;
                if gone { damage(secret, reason) } else { SecretError::unusable(secret, reason) }
            }
            other => damage(secret, format!("the store's key {path}: {other}")),
        }
    }
}

fn damage(secret: &SecretRef, reason: String) -> SecretError {
    SecretError::Damaged { secret: secret.clone(), reason }
}

fn fits(secret: &SecretRef, value: &SecretString) -> Result<(), SecretError> {
    match value.expose_secret().len() {
        0 => Err(SecretError::unusable(secret, "its value is empty")),
        bytes if bytes > LONGEST_VALUE => {
            Err(SecretError::unusable(secret, format!("its value is longer than {LONGEST_VALUE} bytes")))
        }
        _ => Ok(()),
    }
}
