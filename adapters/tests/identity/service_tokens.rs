//! Tokens that are taken: all three algorithms, rotated keys, and claims by other names.

use std::collections::BTreeSet;

use adapters::identity::{ClaimNames, TokenError};
use domain::access::{AccessRole, Accounts, CredentialKind};
use domain::ids::AccountId;
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use crate::issuer::{Issuer, Key, claims};

#[tokio::test]
async fn a_token_of_each_algorithm_gives_its_caller() {
    for algorithm in [Algorithm::EdDSA, Algorithm::ES256, Algorithm::RS256] {
        let key = Key::new(algorithm, "one");
        let issuer = Issuer::publishing(&[&key]).await;
        let caller = issuer.tokens().caller(&key.sign(&claims())).await.unwrap();
        assert_eq!((caller.subject.as_str(), caller.org_id.as_str()), ("pricing-service", "sunstay"), "{algorithm:?}");
        assert_eq!(caller.accounts, Accounts::Only(BTreeSet::from([AccountId::new("bali").unwrap()])));
        assert_eq!(caller.roles, BTreeSet::from([AccessRole::Viewer]));
        assert_eq!((caller.credential, caller.credential_id.as_str()), (CredentialKind::ServiceToken, "token-1"));
    }
}

#[tokio::test]
async fn keys_are_fetched_once_and_again_for_a_key_that_is_new() {
    let (first, second) = (Key::new(Algorithm::ES256, "first"), Key::new(Algorithm::EdDSA, "second"));
    let issuer = Issuer::publishing(&[&first]).await;
    let tokens = issuer.tokens();
    for _ in 0..3 {
        tokens.clone().caller(&first.sign(&claims())).await.unwrap();
    }
    assert_eq!(issuer.asked(), 1);
    issuer.publish(&[&second]);
    tokens.caller(&second.sign(&claims())).await.unwrap();
    assert_eq!(issuer.asked(), 2);
    let gone = tokens.caller(&first.sign(&claims())).await;
    assert_eq!(gone.unwrap_err(), TokenError::UnknownKey);
}

#[tokio::test]
async fn made_up_keys_do_not_make_us_ask_each_time() {
    let (known, unknown) = (Key::new(Algorithm::ES256, "known"), Key::new(Algorithm::ES256, "unknown"));
    let issuer = Issuer::publishing(&[&known]).await;
    let tokens = issuer.tokens();
    for _ in 0..20 {
        assert_eq!(tokens.caller(&unknown.sign(&claims())).await.unwrap_err(), TokenError::UnknownKey);
    }
    assert!(issuer.asked() <= 2, "asked {} times", issuer.asked());
    tokens.caller(&known.sign(&claims())).await.unwrap();
}

#[tokio::test]
async fn an_issuer_that_is_away_is_an_outage_and_keys_that_are_known_go_on() {
    let key = Key::new(Algorithm::ES256, "one");
    let issuer = Issuer::publishing(&[&key]).await;
    issuer.away(true);
    let tokens = issuer.tokens();
    for _ in 0..5 {
        let error = tokens.caller(&key.sign(&claims())).await.unwrap_err();
        assert!(error.is_outage(), "{error}");
    }
    assert_eq!(issuer.asked(), 1, "an issuer that is away is left alone for a while");
    issuer.away(false);
    let others = issuer.tokens();
    others.caller(&key.sign(&claims())).await.unwrap();
    issuer.away(true);
    others.caller(&key.sign(&claims())).await.unwrap();
    // It may have made a key that cannot be fetched now.
    let new = Key::new(Algorithm::ES256, "new");
    assert!(others.caller(&new.sign(&claims())).await.unwrap_err().is_outage());
    let asked = issuer.asked();
    for id in ["new", "newer"] {
        let error = others.caller(&Key::new(Algorithm::ES256, id).sign(&claims())).await.unwrap_err();
        assert!(error.is_outage(), "{id}: {error}");
    }
    assert_eq!(issuer.asked(), asked, "it is left alone for a while");
}

#[tokio::test]
async fn keys_of_other_kinds_beside_ours_do_no_harm() {
    let key = Key::new(Algorithm::ES256, "one");
    let issuer = Issuer::publishing(&[&key]).await;
    let others =
        [json!({"kty": "oct", "k": "c2VjcmV0", "kid": "h", "alg": "HS256"}), json!({"kty": "new", "kid": "n"})];
    issuer.publish_raw(json!({ "keys": [others[0], others[1], key.public] }));
    issuer.tokens().caller(&key.sign(&claims())).await.unwrap();
}

/// What one of them has wrong is no reason to refuse the tokens of the others.
#[tokio::test]
async fn a_key_that_cannot_be_read_takes_no_other_with_it() {
    let key = Key::new(Algorithm::ES256, "one");
    let issuer = Issuer::publishing(&[&key]).await;
    let with = |field: &str, value: Value| {
        let mut other = Key::new(Algorithm::RS256, "other").public;
        other[field] = value;
        other
    };
    let no_keys = [json!("no key"), json!(null)];
    let keys = [with("kid", json!(7)), with("x5c", json!("MII")), with("n", json!("%"))];
    for malformed in keys.into_iter().chain(no_keys) {
        issuer.publish_raw(json!({ "keys": [malformed, key.public] }));
        let tokens = issuer.tokens();
        tokens.caller(&key.sign(&claims())).await.unwrap_or_else(|error| panic!("{malformed}: {error}"));
        let other = Key::new(Algorithm::RS256, "other").sign(&claims());
        assert_eq!(tokens.caller(&other).await.unwrap_err(), TokenError::UnknownKey, "{malformed}");
    }
}

#[tokio::test]
async fn a_key_that_encrypts_does_not_sign() {
    let mut key = Key::new(Algorithm::RS256, "one");
    key.public["use"] = "enc".into();
    let issuer = Issuer::publishing(&[&key]).await;
    assert_eq!(issuer.tokens().caller(&key.sign(&claims())).await.unwrap_err(), TokenError::UnknownKey);
}

#[tokio::test]
async fn claims_have_the_names_that_are_configured() {
    let key = Key::new(Algorithm::EdDSA, "one");
    let issuer = Issuer::publishing(&[&key]).await;
    let tokens = issuer.tokens_with(ClaimNames {
        subject: "client_id".to_owned(),
        org: "https://example.org/org".to_owned(),
        accounts: "/ext/accounts".to_owned(),
        roles: "/realm_access/roles".to_owned(),
    });
    let mut named = claims();
    named["client_id"] = "the-client".into();
    named["https://example.org/org"] = "moonstay".into();
    named["ext"] = json!({ "accounts": [] });
    named["realm_access"] = json!({ "roles": ["offline_access", "channel-publisher"] });
    let caller = tokens.caller(&key.sign(&named)).await.unwrap();
    assert_eq!((caller.subject.as_str(), caller.org_id.as_str()), ("the-client", "moonstay"));
    assert_eq!(caller.accounts, Accounts::Only(BTreeSet::new()), "no account is not all accounts");
    assert_eq!(caller.roles, BTreeSet::from([AccessRole::ChannelPublisher]));
}

#[tokio::test]
async fn without_accounts_it_is_all_and_without_an_id_the_token_has_a_hash() {
    let key = Key::new(Algorithm::EdDSA, "one");
    let issuer = Issuer::publishing(&[&key]).await;
    let mut bare = claims();
    bare.as_object_mut().unwrap().retain(|name, _| name != "jti" && name != "account_ids" && name != "nbf");
    bare["roles"] = "owner".into();
    bare["aud"] = json!(["other", crate::issuer::AUDIENCE]);
    let token = key.sign(&bare);
    let caller = issuer.tokens().caller(&token).await.unwrap();
    assert_eq!((caller.accounts, caller.roles), (Accounts::All, BTreeSet::from([AccessRole::Owner])));
    assert!(caller.credential_id.starts_with("sha256:") && !token.contains(&caller.credential_id[7..]));
}
