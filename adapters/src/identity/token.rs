//! One way to check a bearer token, whoever has signed it. The key says which algorithm it is for, never the token.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::access::{Caller, CredentialKind};
use domain::text::line;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use serde_json::Value;

use super::claims::{ClaimError, ClaimNames};
use super::secret::hash;

/// Clocks of two hosts may differ by so many seconds.
pub(super) const LEEWAY_S: u64 = 30;
/// No token of a provider is longer.
const LONGEST_BYTES: usize = 16 * 1024;
/// No id of a token is longer; others are known by the hash of the token.
const LONGEST_ID: usize = 128;

/// Why a token is refused. Says what is wrong and shows nothing of the token but names of claims.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It has no form that could be checked.
    #[error("this is no signed JWT")]
    Malformed,
    /// Signed in a way that is not taken: with a shared secret, or not at all.
    #[error("the token's algorithm is not accepted: use EdDSA, ES256 or RS256")]
    Algorithm,
    /// It does not say which key has signed it.
    #[error("the token's header names no key (kid)")]
    NoKeyId,
    /// It says that it is of another kind.
    #[error("the token is of another kind: its header's typ is at+jwt or JWT, or is left out")]
    Kind,
    /// It says who has signed in at a client, and gives nobody access.
    #[error("this is an ID token: send an access token")]
    IdToken,
    /// The issuer has no such key, or not for this algorithm.
    #[error("the token is signed with a key that the issuer does not publish")]
    UnknownKey,
    /// The signature is not that of the key.
    #[error("the token's signature is wrong")]
    Signature,
    /// Somebody else's token.
    #[error("the token is of another issuer")]
    Issuer,
    /// A token for somebody else.
    #[error("the token is for another audience")]
    Audience,
    /// Too late.
    #[error("the token has expired")]
    Expired,
    /// Too early.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// A claim that is missing or wrong.
    #[error("{0}")]
    Claim(#[from] ClaimError),
    /// The keys cannot be had now. No fault of the token.
    #[error("the keys of the tokens' issuer cannot be fetched: {0}")]
    KeysUnavailable(String),
}

impl TokenError {
    /// Whether the token may be good, and it cannot be told now.
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::KeysUnavailable(_))
    }
}

/// A key that checks signatures, for one algorithm.
#[derive(Debug, Clone)]
pub(super) struct VerifyingKey {
    pub(super) id: String,
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
}

/// Whose tokens are taken, and how they are read.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    pub(super) issuer: String,
    pub(super) audience: String,
    pub(super) claims: ClaimNames,
    pub(super) credential: CredentialKind,
}

/// What a token says of its signature.
pub(super) struct Signed {
    pub(super) key_id: String,
    pub(super) algorithm: Algorithm,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    typ: Option<String>,
    kid: Option<String>,
    crit: Option<Value>,
}

/// Claims that ID tokens have and access tokens have not (OpenID Connect Core, 3.3.2.11).
const OF_ID_TOKENS: [&str; 2] = ["at_hash", "c_hash"];
/// Those of our logins have this one, as each login sends one. Some providers put it into access tokens as well, which say what they are.
const NONCE: &str = "nonce";
/// The `typ` of access tokens (RFC 9068, 2.1).
const OF_ACCESS: &str = "at+jwt";

/// Reads the header alone. It is not trusted: it only says which key to try.
pub(super) fn signed(token: &str) -> Result<Signed, TokenError> {
    let parts: Vec<&str> = token.split('.').take(4).collect();
    let [header, _, _] = parts[..] else { return Err(TokenError::Malformed) };
    if token.len() > LONGEST_BYTES {
        return Err(TokenError::Malformed);
    }
    let header = URL_SAFE_NO_PAD.decode(header).map_err(|_| TokenError::Malformed)?;
    let header: Header = serde_json::from_slice(&header).map_err(|_| TokenError::Malformed)?;
    let algorithm = match header.alg.as_str() {
        "EdDSA" => Algorithm::EdDSA,
        "ES256" => Algorithm::ES256,
        "RS256" => Algorithm::RS256,
        _ => return Err(TokenError::Algorithm),
    };
    // An extension that must be understood, and is not.
    if header.crit.is_some() {
        return Err(TokenError::Malformed);
    }
    if header.typ.is_some_and(|typ| !may_give_access(&typ)) {
        return Err(TokenError::Kind);
    }
    Ok(Signed { key_id: header.kid.ok_or(TokenError::NoKeyId)?, algorithm })
}

/// Whether a `typ` is that of access tokens (RFC 9068, 2.1), or says no more than that it is a JWT. One issuer signs others with the same
/// keys, such as those that tell of a sign-out (RFC 8725, 3.11).
fn may_give_access(typ: &str) -> bool {
    is_kind(typ, "JWT") || is_kind(typ, OF_ACCESS)
}

/// A `typ` is a media type, of which `application/` may be left out (RFC 7515, 4.1.9).
fn is_kind(typ: &str, kind: &str) -> bool {
    let typ = typ.to_ascii_lowercase();
    typ.strip_prefix("application/").unwrap_or(&typ).eq_ignore_ascii_case(kind)
}

fn is_id_token(header: Option<&str>, claims: &Value) -> bool {
    let has = |claim: &str| claims.get(claim).is_some();
    // RFC 9068, 2.1, and Keycloak's claim.
    let for_access = header.is_some_and(|typ| is_kind(typ, OF_ACCESS))
        || claims.get("typ").and_then(Value::as_str) == Some("Bearer");
    OF_ID_TOKENS.into_iter().any(has) || (has(NONCE) && !for_access)
}

impl Rules {
    /// The caller of a token whose key was found.
    pub(super) fn caller(&self, token: &str, key: &VerifyingKey) -> Result<Caller, TokenError> {
        let mut validation = Validation::new(key.algorithm);
        validation.leeway = LEEWAY_S;
        validation.validate_nbf = true;
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&[&self.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        let decoded =
            jsonwebtoken::decode::<Value>(token, &key.key, &validation).map_err(|error| refusal(&error, token))?;
        // The library takes a list that has the issuer in it. RFC 7519, 4.1.1, knows one text.
        if !decoded.claims["iss"].is_string() {
            return Err(TokenError::Claim(unusable("iss", Some(&decoded.claims))));
        }
        if is_id_token(decoded.header.typ.as_deref(), &decoded.claims) {
            return Err(TokenError::IdToken);
        }
        let grant = self.claims.grant(std::slice::from_ref(&decoded.claims))?;
        Ok(grant.caller(self.credential, token_id(token, &decoded.claims)))
    }
}

/// The token's own id, or one that follows from it and does not give it away.
fn token_id(token: &str, claims: &Value) -> String {
    let given = claims.get("jti").and_then(Value::as_str);
    let fits = |id: &&str| line(id, LONGEST_ID) == Ok(*id);
    let made = || format!("sha256:{}", hex::encode(&hash(token)[..16]));
    given.filter(fits).map_or_else(made, str::to_owned)
}

fn refusal(error: &jsonwebtoken::errors::Error, token: &str) -> TokenError {
    match error.kind() {
        ErrorKind::InvalidSignature | ErrorKind::InvalidAlgorithm => TokenError::Signature,
        ErrorKind::InvalidIssuer => TokenError::Issuer,
        ErrorKind::InvalidAudience => TokenError::Audience,
        ErrorKind::ExpiredSignature => TokenError::Expired,
        ErrorKind::ImmatureSignature => TokenError::NotYetValid,
        ErrorKind::MissingRequiredClaim(claim) | ErrorKind::InvalidClaimFormat(claim) => {
            TokenError::Claim(unusable(claim, claims(token).as_ref()))
        }
        ErrorKind::Json(_) => of_another_form(token),
        _ => TokenError::Malformed,
    }
}

/// The claims of a token, whoever has signed it.
fn claims(token: &str) -> Option<Value> {
    let claims = token.split('.').nth(1).and_then(|claims| URL_SAFE_NO_PAD.decode(claims).ok())?;
    serde_json::from_slice(&claims).ok()
}

/// A list or an object in the place of a number or a text: the library stumbles over it, and does not say over which.
fn of_another_form(token: &str) -> TokenError {
    let claims = claims(token);
    let is_compound = |claim: &&str| {
        claims.as_ref().and_then(|claims| claims.get(claim)).is_some_and(|value| value.is_array() || value.is_object())
    };
    let claim = ["exp", "nbf", "sub"].into_iter().find(is_compound);
    claim.map_or(TokenError::Malformed, |claim| TokenError::Claim(unusable(claim, claims.as_ref())))
}

/// A claim of the standard that cannot be used. To the library one of another form is missing, too.
fn unusable(claim: &str, claims: Option<&Value>) -> ClaimError {
    if claims.is_none_or(|claims| claims.get(claim).is_none()) {
        return ClaimError::Missing(claim.to_owned());
    }
    let reason = match claim {
        "exp" | "nbf" => "it must be a number of seconds since 1970",
        "iss" | "sub" => "it must be a text",
        _ => "it must be a text, or a list of texts",
    };
    ClaimError::Invalid { claim: claim.to_owned(), reason }
}
