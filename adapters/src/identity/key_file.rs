//! The key that this service signs its own tokens with: a file of mode 0600, made when it is needed first.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::Ed25519KeyPair;

use crate::secrets::{hand_down, make_folder};

/// A leading dot: no reference to a secret can name it (`SecretRef`), so no target can have it sent anywhere.
const NAME: &str = ".signing-key";
/// An Ed25519 key in PKCS #8 has less than a hundred.
const LONGEST_BYTES: u64 = 1024;

/// Why there is no key to sign with. Names the file, never what is in it.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It cannot be read or written.
    #[error("the signing key {path} cannot be {done}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        done: &'static str,
        /// What the system says.
        source: std::io::Error,
    },
    /// Others on the machine may read it.
    #[error(
        "the signing key {path} can be read by group or others (mode {mode:04o}); they may have signed tokens: delete it, and a new one is made"
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is no Ed25519 key.
    #[error(
        "the signing key {path} is damaged: put it back from the copy of the folder of secrets; where there is none, delete it, and a new one is made (tokens signed with it end)"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// The cryptography gave none.
    #[error("no signing key could be made")]
    NotMade,
}

/// A key and its PKCS #8 form.
pub(super) struct SigningKey {
    pub(super) pkcs8: Vec<u8>,
    pub(super) pair: Ed25519KeyPair,
}

/// The key of a folder. Of two that make one at the same time, both get the first one's.
pub(super) fn open(dir: &Path) -> Result<SigningKey, KeyFileError> {
    let path = dir.join(NAME);
    if let Some(pkcs8) = read(&path)? {
        return parse(&path, pkcs8);
    }
    make(dir, &path)?;
    let pkcs8 = read(&path)?.ok_or_else(|| KeyFileError::Damaged { path: path.clone() })?;
    parse(&path, pkcs8)
}

/// Whether a folder has a key, which is whole then. None is made.
pub(super) fn look(dir: &Path) -> Result<bool, KeyFileError> {
    let path = dir.join(NAME);
    let found = read(&path)?;
    found.map(|pkcs8| parse(&path, pkcs8)).transpose().map(|key| key.is_some())
}

fn parse(path: &Path, pkcs8: Vec<u8>) -> Result<SigningKey, KeyFileError> {
    let damaged = |_| KeyFileError::Damaged { path: path.to_owned() };
    let pair = Ed25519KeyPair::from_pkcs8(&pkcs8).map_err(damaged)?;
    Ok(SigningKey { pkcs8, pair })
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, KeyFileError> {
    let failed = |source| KeyFileError::Io { path: path.to_owned(), done: "read", source };
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    // The mode of the opened file, so that it cannot be swapped between the check and the read.
    let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Exposed { path: path.to_owned(), mode });
    }
    let mut bytes = Vec::new();
    file.take(LONGEST_BYTES).read_to_end(&mut bytes).map_err(failed)?;
    Ok(Some(bytes))
}

/// Writes a new key beside its place and links it there whole, unless another was quicker. What root makes is for the service, whose the
/// folder is.
fn make(dir: &Path, path: &Path) -> Result<(), KeyFileError> {
    let failed = |source| KeyFileError::Io { path: path.to_owned(), done: "written", source };
    let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| KeyFileError::NotMade)?;
    make_folder(dir).map_err(failed)?;
    // Such files are made with mode 0600.
    let mut file = tempfile::Builder::new().prefix(NAME).tempfile_in(dir).map_err(failed)?;
    hand_down(file.as_file(), dir).map_err(failed)?;
    file.write_all(key.as_ref()).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    match file.persist_noclobber(path) {
        Ok(_) => {
            tracing::debug!(path = %path.display(), "made a key to sign tokens with");
            std::fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed)
        }
        Err(error) if error.error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(failed(error.error)),
    }
}
