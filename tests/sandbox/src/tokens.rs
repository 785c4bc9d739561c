//! Access tokens: issued, usable after a delay (documented: about one second), revoked. A new token leaves the older
//! ones valid. Tokens look like the JWTs of the documentation's sample; their signature is random.

use std::{collections::HashMap, sync::RwLock, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use crate::clock::saturate;

/// Seconds a token lives: 731 days, as observed on a real account.
pub const LIFETIME_S: u64 = 63_158_400;

#[derive(Clone, Copy, Serialize, Deserialize)]
struct Token {
    account: u64,
    usable_at_us: u64,
    revoked: bool,
}

/// What a bearer string is worth now. The account of a revoked or too fresh token is still known: limits count it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    pub account: u64,
    pub usable: bool,
}

#[derive(Default, Serialize, Deserialize)]
pub struct Tokens(RwLock<HashMap<String, Token>>);

impl Tokens {
    pub fn issue(&self, account: u64, now_us: u64, delay: Duration) -> String {
        let token = mint(account, now_us);
        let usable_at_us = now_us + saturate(delay.as_micros());
        self.write().insert(token.clone(), Token { account, usable_at_us, revoked: false });
        token
    }

    pub fn standing(&self, token: &str, now_us: u64) -> Option<Standing> {
        let tokens = self.0.read().expect("no holder of the tokens panics");
        let token = tokens.get(token)?;
        Some(Standing { account: token.account, usable: !token.revoked && token.usable_at_us <= now_us })
    }

    pub fn revoke(&self, token: &str) {
        if let Some(token) = self.write().get_mut(token) {
            token.revoked = true;
        }
    }

    pub fn clear(&self) {
        self.write().clear();
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, HashMap<String, Token>> {
        self.0.write().expect("no holder of the tokens panics")
    }
}

fn mint(account: u64, now_us: u64) -> String {
    let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let issued = now_us / 1_000_000;
    let header = part(&json!({ "typ": "JWT", "alg": "RS256" }));
    let claims = part(&json!({
        "aud": account.to_string(), "jti": Uuid::new_v4().simple().to_string(), "iat": issued, "nbf": issued,
        "exp": issued + LIFETIME_S, "sub": "", "scopes": ["general"], "secretId": 1,
    }));
    let signature: Vec<u8> = [Uuid::new_v4(), Uuid::new_v4()].iter().flat_map(|id| *id.as_bytes()).collect();
    format!("{header}.{claims}.{}", URL_SAFE_NO_PAD.encode(signature))
}
