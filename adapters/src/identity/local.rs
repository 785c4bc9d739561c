//! Tokens that this service signs itself, where there is no identity provider. They go the same way through the checks.

use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::signature::KeyPair as _;
use chrono::{DateTime, TimeDelta, Utc};
use domain::access::{Caller, CredentialKind};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header};
use secrecy::SecretString;
use serde::Serialize;
use uuid::Uuid;

use super::claims::ClaimNames;
use super::grant::Grant;
use super::key_file::{self, KeyFileError};
use super::token::{Rules, TokenError, VerifyingKey, signed};

/// Issuer and audience of such tokens.
const NAME: &str = "distribution";

/// Signs and checks tokens with the key of a folder. Cheap to clone.
#[derive(Clone)]
pub struct LocalIdentity(Arc<Inner>);

struct Inner {
    signing: EncodingKey,
    verifying: VerifyingKey,
    rules: Rules,
}

impl std::fmt::Debug for LocalIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalIdentity").field("key_id", &self.key_id()).finish_non_exhaustive()
    }
}

/// A token, to be shown once.
#[derive(Debug)]
pub struct IssuedToken {
    /// The bearer token.
    pub token: SecretString,
    /// What the journal names it by.
    pub token_id: String,
    /// Its end.
    pub expires_at: DateTime<Utc>,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: &'a str,
    jti: &'a str,
    iat: i64,
    nbf: i64,
    exp: i64,
    org_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    account_ids: Option<Vec<String>>,
    roles: Vec<String>,
}

impl LocalIdentity {
    /// The key of a folder, made if there is none: whoever can read it can be anybody.
    pub fn open(dir: &Path) -> Result<Self, KeyFileError> {
        let key = key_file::open(dir)?;
        let public = key.pair.public_key().as_ref();
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, public);
        let verifying = VerifyingKey {
            id: hex::encode(&digest.as_ref()[..8]),
            algorithm: Algorithm::EdDSA,
            key: DecodingKey::from_ed_der(public),
        };
        let rules = Rules {
            issuer: NAME.to_owned(),
            audience: NAME.to_owned(),
            claims: ClaimNames::default(),
            credential: CredentialKind::LocalToken,
        };
        Ok(Self(Arc::new(Inner { signing: EncodingKey::from_ed_der(&key.pkcs8), verifying, rules })))
    }

    /// Whether a folder has a key, or why [`Self::open`] would not take it. Makes none.
    pub fn has_key(dir: &Path) -> Result<bool, KeyFileError> {
        key_file::look(dir)
    }

    /// Which key it is: the header `kid` of its tokens.
    pub fn key_id(&self) -> &str {
        &self.0.verifying.id
    }

    /// Signs a token that ends after `lifetime`. There is no way to take it back before, but to delete the key.
    pub fn issue(&self, grant: &Grant, lifetime: TimeDelta) -> Result<IssuedToken, TokenError> {
        let now = Utc::now();
        let expires_at = now + lifetime;
        let token_id = Uuid::now_v7().to_string();
        let claims = Claims {
            iss: NAME,
            aud: NAME,
            sub: &grant.subject,
            jti: &token_id,
            iat: now.timestamp(),
            nbf: now.timestamp(),
            exp: expires_at.timestamp(),
            org_id: grant.org_id.as_str(),
            account_ids: grant.account_names(),
            roles: grant.role_names(),
        };
        let header = Header { kid: Some(self.key_id().to_owned()), ..Header::new(Algorithm::EdDSA) };
        // What was signed must be taken, or an odd subject would be found out by its user only.
        let token = jsonwebtoken::encode(&header, &claims, &self.0.signing).map_err(|_| TokenError::Malformed)?;
        self.caller(&token)?;
        Ok(IssuedToken { token: SecretString::from(token), token_id, expires_at })
    }

    /// Who has sent a bearer token of ours.
    pub fn caller(&self, bearer: &str) -> Result<Caller, TokenError> {
        let signed = signed(bearer)?;
        let key = &self.0.verifying;
        if signed.key_id != key.id || signed.algorithm != key.algorithm {
            return Err(TokenError::UnknownKey);
        }
        self.0.rules.caller(bearer, key)
    }
}
