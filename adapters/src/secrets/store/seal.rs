//! The key of the store, and values sealed with it (AES-256-GCM-SIV). A sealed value is bound to the name of its secret, so
//! that one cannot be put in the place of another.

use std::io::{self, Read, Write};
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, Nonce, RandomizedNonceKey};
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use super::disk;

const BYTES: usize = 32;
/// The key in hexadecimal digits and a newline.
const LINE: usize = 2 * BYTES + 1;
const NONCE: usize = 12;
const TAG: usize = 16;

/// Why a key or a value cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum SealError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("others may read it (mode {0:04o})")]
    Exposed(u32),
    #[error("it is no key of a secret store: {LINE} bytes of hexadecimal digits and a newline")]
    NoKey,
    #[error("its value does not belong to this key and name, or was changed")]
    Foreign,
}

pub(super) struct Key(RandomizedNonceKey);

impl Key {
    /// Makes one for the owner of the store's `folder`, in a file of its own that nobody has to see half-written.
    pub(super) fn make(path: &Path, folder: &Path) -> Result<Self, SealError> {
        let mut bytes = Zeroizing::new([0; BYTES]);
        aws_lc_rs::rand::fill(&mut *bytes).map_err(|_| io::Error::other("the system gives no random bytes"))?;
        let mut line = Zeroizing::new([b'\n'; LINE]);
        hex::encode_to_slice(*bytes, &mut line[..2 * BYTES]).map_err(|_| SealError::NoKey)?;
        disk::replace(path, folder, |file| file.write_all(&*line))?;
        Self::of(&*bytes)
    }

    /// Reads one. The mode is that of the opened file, so it cannot be swapped between the check and the read.
    pub(super) fn read(path: &Path) -> Result<Self, SealError> {
        let file = std::fs::File::open(path)?;
        if let Some(mode) = disk::exposed(&file)? {
            return Err(SealError::Exposed(mode));
        }
        let mut text = Zeroizing::new(Vec::with_capacity(LINE + 1));
        file.take(LINE as u64 + 1).read_to_end(&mut text)?;
        let mut bytes = Zeroizing::new([0; BYTES]);
        hex::decode_to_slice(text.trim_ascii_end(), &mut *bytes).map_err(|_| SealError::NoKey)?;
        Self::of(&*bytes)
    }

    fn of(bytes: &[u8]) -> Result<Self, SealError> {
        RandomizedNonceKey::new(&AES_256_GCM_SIV, bytes).map(Self).map_err(|_| SealError::NoKey)
    }

    /// Nonce, ciphertext and tag in hexadecimal digits.
    pub(super) fn seal(&self, name: &str, value: &SecretString) -> Result<String, SealError> {
        let value = value.expose_secret().as_bytes();
        // Room for the tag: a buffer that grows leaves its old content behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(value.len() + TAG));
        bytes.extend_from_slice(value);
        let nonce = self.0.seal_in_place_append_tag(bound(name), &mut *bytes).map_err(|_| SealError::Foreign)?;
        Ok(hex::encode(nonce.as_ref()) + &hex::encode(&*bytes))
    }

    pub(super) fn open(&self, name: &str, sealed: &str) -> Result<SecretString, SealError> {
        let mut bytes = Zeroizing::new(hex::decode(sealed).map_err(|_| SealError::Foreign)?);
        if bytes.len() < NONCE + TAG {
            return Err(SealError::Foreign);
        }
        let (nonce, rest) = bytes.split_at_mut(NONCE);
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::Foreign)?;
        let value = self.0.open_in_place(nonce, bound(name), rest).map_err(|_| SealError::Foreign)?;
        std::str::from_utf8(value).map(SecretString::from).map_err(|_| SealError::Foreign)
    }
}

fn bound(name: &str) -> Aad<String> {
    Aad::from(format!("distribution secret 1 {name}"))
}
