//! Bearer tokens as anybody may send them, for the fuzz target `token`. No part of the program.

use std::sync::OnceLock;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use domain::access::CredentialKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header};
use serde_json::Value;

use super::claims::ClaimNames;
use super::token::{Rules, TokenError, VerifyingKey, signed};

const NAME: &str = "door";

struct Door {
    signing: EncodingKey,
    key: VerifyingKey,
    rules: Rules,
}

/// A token as it comes; or claims, which are signed first. Only the latter is ever taken, and not if it was changed.
pub fn token(bytes: &[u8]) {
    let (Ok(text), Some(door)) = (str::from_utf8(bytes), door()) else { return };
    match serde_json::from_str::<Value>(text) {
        Ok(claims) if claims.is_object() => with_signature(door, &claims),
        _ => without_signature(door, text),
    }
}

fn without_signature(door: &Door, text: &str) {
    let named = signed(text);
    let taken = named.and_then(|_| door.rules.caller(text, &door.key));
    let error = taken.expect_err("nobody but us can sign");
    shows_nothing(&error, text);
}

fn with_signature(door: &Door, claims: &Value) {
    let header = Header { kid: Some(NAME.to_owned()), ..Header::new(Algorithm::EdDSA) };
    let Ok(text) = jsonwebtoken::encode(&header, claims, &door.signing) else { return };
    match door.rules.caller(&text, &door.key) {
        Ok(caller) => {
            assert_eq!(claims["iss"], NAME);
            assert_eq!(Some(caller.org_id.as_str()), claims["org_id"].as_str());
            let changed = text.replacen('.', ".A", 1);
            assert!(door.rules.caller(&changed, &door.key).is_err(), "what was changed is not what was signed");
        }
        Err(error) => shows_nothing(&error, &text),
    }
}

/// A refusal goes into logs and answers.
fn shows_nothing(error: &TokenError, token: &str) {
    let said = error.to_string();
    let parts = token.split('.').filter(|part| part.len() >= 24);
    parts.for_each(|part| assert!(!said.contains(part), "{said}"));
}

fn door() -> Option<&'static Door> {
    static DOOR: OnceLock<Option<Door>> = OnceLock::new();
    let made = || {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).ok()?;
        let pkcs8 = pair.to_pkcs8().ok()?;
        let key = DecodingKey::from_ed_der(pair.public_key().as_ref());
        Some(Door {
            signing: EncodingKey::from_ed_der(pkcs8.as_ref()),
            key: VerifyingKey { id: NAME.to_owned(), algorithm: Algorithm::EdDSA, key },
            rules: Rules {
                issuer: NAME.to_owned(),
                audience: NAME.to_owned(),
                claims: ClaimNames::default(),
                credential: CredentialKind::LocalToken,
            },
        })
    };
    DOOR.get_or_init(made).as_ref()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_comes_goes_through() {
        assert!(door().is_some(), "there is a key");
        crate::variations::each("token", token);
    }

    /// Or the door would check nothing.
    #[test]
    fn claims_that_we_sign_are_taken() {
        let door = door().unwrap();
        let claims = serde_json::json!({"iss": NAME, "aud": NAME, "sub": "ops", "exp": 32_503_680_000_u64,
            "org_id": "sunstay", "roles": ["Viewer"]});
        let header = Header { kid: Some(NAME.to_owned()), ..Header::new(Algorithm::EdDSA) };
        let text = jsonwebtoken::encode(&header, &claims, &door.signing).unwrap();
        assert!(door.rules.caller(&text, &door.key).is_ok());
    }
}
