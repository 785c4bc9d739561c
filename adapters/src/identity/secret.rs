//! Random secrets that are given out once, and what is kept of them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::TryRngCore as _;
use rand::rngs::OsRng;
use secrecy::{ExposeSecret as _, SecretString};

/// 256 bits, of the operating system, as 43 characters that a URL and a cookie can carry.
pub(super) fn new_secret() -> SecretString {
    SecretString::from(URL_SAFE_NO_PAD.encode(random()))
}

/// 256 bits, of the operating system.
pub(super) fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    // Without randomness nobody may be let in.
    OsRng.try_fill_bytes(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

/// What is kept in place of a secret. Secrets have 256 random bits, so that a plain hash is enough.
pub(super) fn hash(secret: &str) -> [u8; 32] {
    let mut kept = [0; 32];
    kept.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, secret.as_bytes()).as_ref());
    kept
}

/// The same of one that was just made.
pub(super) fn hash_of(secret: &SecretString) -> [u8; 32] {
    hash(secret.expose_secret())
}
