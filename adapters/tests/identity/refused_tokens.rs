//! Tokens that are refused, each for its reason, and none is shown.

use adapters::identity::{ClaimError, TokenError};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use crate::issuer::{AUDIENCE, ISSUER, Issuer, Key, claims};

/// A token whose header is ours to write.
fn forged(header: &Value, claims: &Value, signature: &[u8]) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.{}", part(header), part(claims), URL_SAFE_NO_PAD.encode(signature))
}

/// What a token with other claims gives.
async fn refusal(change: impl FnOnce(&mut Value)) -> TokenError {
    let key = Key::new(Algorithm::ES256, "one");
    let issuer = Issuer::publishing(&[&key]).await;
    let mut claims = claims();
    change(&mut claims);
    let token = key.sign(&claims);
    let error = issuer.tokens().caller(&token).await.unwrap_err();
    for part in token.split('.') {
        assert!(!error.to_string().contains(part) && !format!("{error:?}").contains(part), "{error:?}");
    }
    assert!(!error.is_outage());
    error
}

#[tokio::test]
async fn a_wrong_issuer_audience_or_time_is_named() {
    let now = chrono::Utc::now().timestamp();
    assert_eq!(refusal(|claims| claims["iss"] = "https://other.example".into()).await, TokenError::Issuer);
    assert_eq!(refusal(|claims| claims["aud"] = "other".into()).await, TokenError::Audience);
    assert_eq!(refusal(|claims| claims["aud"] = json!([format!("{AUDIENCE}x")])).await, TokenError::Audience);
    assert_eq!(refusal(|claims| claims["exp"] = (now - 60).into()).await, TokenError::Expired);
    assert_eq!(refusal(|claims| claims["nbf"] = (now + 60).into()).await, TokenError::NotYetValid);
}

#[tokio::test]
async fn a_claim_that_is_missing_or_wrong_is_named() {
    for claim in ["iss", "aud", "exp", "sub", "org_id", "roles"] {
        let error = refusal(|claims| claims.as_object_mut().unwrap().retain(|name, _| name != claim)).await;
        assert_eq!(error, TokenError::Claim(ClaimError::Missing(claim.to_owned())));
    }
    for (claim, value) in [
        ("sub", json!(7)),
        ("sub", json!(" ")),
        ("sub", json!("a\nb")),
        ("org_id", json!("not an org")),
        ("org_id", json!(["sunstay"])),
        ("account_ids", json!(null)),
        ("account_ids", json!("bali")),
        ("account_ids", json!(["bali", 7])),
        ("account_ids", json!(["*"])),
        ("roles", json!({"Owner": true})),
    ] {
        let error = refusal(|claims| claims[claim] = value.clone()).await;
        let named = matches!(&error, TokenError::Claim(ClaimError::Invalid { claim: named, .. }) if named == claim);
        assert!(named, "{claim} {value}: {error:?}");
    }
    let (seconds, texts) = ("it must be a number of seconds since 1970", "it must be a text, or a list of texts");
    for (claim, value, reason) in [
        ("exp", json!("1790000000"), seconds),
        ("exp", json!("2026-11-24T03:00:00Z"), seconds),
        ("exp", json!(null), seconds),
        ("exp", json!(-1), seconds),
        ("nbf", json!("1790000000"), seconds),
        ("exp", json!([1_790_000_000]), seconds),
        ("exp", json!({ "seconds": 1_790_000_000 }), seconds),
        ("exp", json!([]), seconds),
        ("nbf", json!([1_790_000_000]), seconds),
        ("nbf", json!({ "seconds": 1_790_000_000 }), seconds),
        ("sub", json!(["ops"]), "it must be a text"),
        ("sub", json!({ "name": "ops" }), "it must be a text"),
        ("iss", json!(7), "it must be a text"),
        ("iss", json!([ISSUER]), "it must be a text"),
        ("iss", json!(["https://other.example", ISSUER]), "it must be a text"),
        ("aud", json!({ "channels": true }), texts),
    ] {
        let error = refusal(|claims| claims[claim] = value.clone()).await;
        let wrong = ClaimError::Invalid { claim: claim.to_owned(), reason };
        assert_eq!(error, TokenError::Claim(wrong), "{claim} {value}");
    }
    for roles in [json!([]), json!(["Admin"]), json!("admin")] {
        let error = refusal(|claims| claims["roles"] = roles).await;
        assert_eq!(error, TokenError::Claim(ClaimError::NoRole("roles".to_owned())));
    }
}

/// With one issuer for people and services, and one name for the client and the audience, all else of an ID token is right.
#[tokio::test]
async fn an_id_token_is_no_access_token_and_neither_is_what_says_that_it_is_something_else() {
    for claim in ["nonce", "at_hash", "c_hash"] {
        assert_eq!(refusal(|claims| claims[claim] = "n-0S6_WzA2Mj".into()).await, TokenError::IdToken, "{claim}");
    }
    let key = Key::new(Algorithm::ES256, "one");
    let issuer = Issuer::publishing(&[&key]).await;
    let tokens = issuer.tokens();
    let of_type = |typ: Option<&str>| {
        let header =
            Header { kid: Some("one".to_owned()), typ: typ.map(str::to_owned), ..Header::new(Algorithm::ES256) };
        jsonwebtoken::encode(&header, &claims(), &key.signing).unwrap()
    };
    // Some providers put the nonce of a login into its access token.
    for (typ, claim) in [("at+jwt", "ID"), ("JWT", "Bearer")] {
        let header = Header { kid: Some("one".to_owned()), typ: Some(typ.to_owned()), ..Header::new(Algorithm::ES256) };
        let mut claims = claims();
        (claims["nonce"], claims["typ"]) = ("n-0S6_WzA2Mj".into(), claim.into());
        let token = jsonwebtoken::encode(&header, &claims, &key.signing).unwrap();
        assert!(tokens.caller(&token).await.is_ok(), "{typ} {claim}");
    }
    for typ in [None, Some("JWT"), Some("jwt"), Some("at+jwt"), Some("application/at+JWT")] {
        assert!(tokens.caller(&of_type(typ)).await.is_ok(), "{typ:?}");
    }
    for typ in ["logout+jwt", "secevent+jwt", "dpop+jwt", "application/logout+jwt", "at+jwt+x", ""] {
        assert_eq!(tokens.caller(&of_type(Some(typ))).await.unwrap_err(), TokenError::Kind, "{typ}");
    }
}

#[tokio::test]
async fn no_signature_is_no_signature_however_it_is_written() {
    let key = Key::new(Algorithm::RS256, "one");
    let issuer = Issuer::publishing(&[&key]).await;
    for algorithm in ["none", "None", "NONE", "nOnE", ""] {
        let token = forged(&json!({"alg": algorithm, "kid": "one"}), &claims(), b"");
        assert_eq!(issuer.tokens().caller(&token).await.unwrap_err(), TokenError::Algorithm, "{algorithm}");
    }
    let token = forged(&json!({"alg": "RS256", "kid": "one"}), &claims(), b"");
    assert_eq!(issuer.tokens().caller(&token).await.unwrap_err(), TokenError::Signature);
}

#[tokio::test]
async fn a_public_key_is_no_shared_secret() {
    let key = Key::new(Algorithm::RS256, "one");
    let issuer = Issuer::publishing(&[&key]).await;
    let tokens = issuer.tokens();
    let modulus = key.public["n"].as_str().unwrap();
    for secret in
        [modulus.as_bytes().to_vec(), URL_SAFE_NO_PAD.decode(modulus).unwrap(), key.public.to_string().into_bytes()]
    {
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            let header = Header { kid: Some("one".to_owned()), ..Header::new(algorithm) };
            let token = jsonwebtoken::encode(&header, &claims(), &EncodingKey::from_secret(&secret)).unwrap();
            assert_eq!(tokens.caller(&token).await.unwrap_err(), TokenError::Algorithm);
        }
        // The same, under a name that is taken.
        let header = Header { kid: Some("one".to_owned()), ..Header::new(Algorithm::HS256) };
        let token = jsonwebtoken::encode(&header, &claims(), &EncodingKey::from_secret(&secret)).unwrap();
        let signature = URL_SAFE_NO_PAD.decode(token.rsplit('.').next().unwrap()).unwrap();
        let renamed = forged(&json!({"alg": "RS256", "kid": "one"}), &claims(), &signature);
        assert_eq!(tokens.caller(&renamed).await.unwrap_err(), TokenError::Signature);
    }
    // A secret in the issuer's set is no key either.
    let secret = json!({"kty": "oct", "kid": "shared", "k": URL_SAFE_NO_PAD.encode("secret"), "alg": "HS256"});
    issuer.publish_raw(json!({ "keys": [secret] }));
    let header = Header { kid: Some("shared".to_owned()), ..Header::new(Algorithm::HS256) };
    let token = jsonwebtoken::encode(&header, &claims(), &EncodingKey::from_secret(b"secret")).unwrap();
    assert_eq!(issuer.tokens().caller(&token).await.unwrap_err(), TokenError::Algorithm);
}

#[tokio::test]
async fn a_key_signs_in_its_own_way_only() {
    let (good, other) = (Key::new(Algorithm::ES256, "one"), Key::new(Algorithm::ES256, "one"));
    let rsa = Key::new(Algorithm::RS256, "one");
    let issuer = Issuer::publishing(&[&good]).await;
    let tokens = issuer.tokens();
    assert_eq!(tokens.caller(&other.sign(&claims())).await.unwrap_err(), TokenError::Signature);
    assert_eq!(tokens.caller(&rsa.sign(&claims())).await.unwrap_err(), TokenError::UnknownKey);
    let (head, tail) = good.sign(&claims()).rsplit_once('.').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let mut more = claims();
    more["roles"] = json!(["Owner"]);
    let changed = format!("{}.{}.{tail}", head.split('.').next().unwrap(), URL_SAFE_NO_PAD.encode(more.to_string()));
    assert_eq!(tokens.caller(&changed).await.unwrap_err(), TokenError::Signature);
}

#[tokio::test]
async fn what_is_no_token_is_refused_without_asking_anybody() {
    let key = Key::new(Algorithm::ES256, "one");
    let issuer = Issuer::publishing(&[&key]).await;
    let long = format!("{}{}", key.sign(&claims()), "A".repeat(16 * 1024));
    let critical = forged(&json!({"alg": "ES256", "kid": "one", "crit": ["exp"]}), &claims(), b"x");
    for text in ["", "a", "a.b", "a.b.c", "a.b.c.d.e", "..", "Bearer x", long.as_str(), critical.as_str()] {
        assert_eq!(issuer.tokens().caller(text).await.unwrap_err(), TokenError::Malformed, "{text:?}");
    }
    let nameless = forged(&json!({"alg": "ES256"}), &claims(), b"x");
    assert_eq!(issuer.tokens().caller(&nameless).await.unwrap_err(), TokenError::NoKeyId);
    assert_eq!(issuer.asked(), 0);
}
