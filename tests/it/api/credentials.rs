//! Credentials that tests need beside those of the command line: tokens that are about to expire, sessions of any subject, and an
//! issuer of services' tokens.

use std::collections::BTreeSet;

use adapters::identity::{Grant, LocalIdentity, Sessions, Way};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::Ed25519KeyPair;
use axum::routing::get;
use axum::{Json, Router};
use chrono::{TimeDelta, Utc};
use domain::access::{AccessRole, Accounts};
use end_to_end::world::{ORG, World};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// So long after its end a token is taken, as `services/API.md` says.
const LEEWAY_S: i64 = 30;

fn owner(subject: &str, org: &str) -> anyhow::Result<Grant> {
    granted(subject, org, AccessRole::Owner)
}

fn granted(subject: &str, org: &str, role: AccessRole) -> anyhow::Result<Grant> {
    let (subject, roles) = (subject.to_owned(), BTreeSet::from([role]));
    Ok(Grant { subject, org_id: org.parse()?, accounts: Accounts::All, roles })
}

/// A token that the service itself has signed, and takes for so many seconds more.
pub fn local_token(world: &World, subject: &str, org: &str, seconds: i64) -> anyhow::Result<String> {
    let identity = LocalIdentity::open(&world.path("secrets"))?;
    let issued = identity.issue(&owner(subject, org)?, TimeDelta::seconds(seconds - LEEWAY_S))?;
    Ok(issued.token.expose_secret().to_owned())
}

/// The session of an Owner who has just come in: its cookie, and the token of its unsafe requests.
pub async fn session(world: &World, subject: &str, org: &str) -> anyhow::Result<(String, String)> {
    session_as(world, subject, org, AccessRole::Owner).await
}

/// The same of somebody with another role.
pub async fn session_as(world: &World, subject: &str, org: &str, role: AccessRole) -> anyhow::Result<(String, String)> {
    let begun = Sessions::new(world.pool.clone()).begin(granted(subject, org, role)?, Way::Link, None).await?;
    Ok((format!("{}={}", begun.cookie.name(), begun.cookie.value()), begun.csrf_token))
}

/// The same of an Owner who sees these accounts alone.
pub async fn session_in(world: &World, subject: &str, org: &str, accounts: [&str; 2]) -> anyhow::Result<String> {
    let accounts = accounts.into_iter().map(str::parse).collect::<Result<_, _>>()?;
    let grant = Grant { accounts: Accounts::Only(accounts), ..owner(subject, org)? };
    let begun = Sessions::new(world.pool.clone()).begin(grant, Way::Link, None).await?;
    Ok(format!("{}={}", begun.cookie.name(), begun.cookie.value()))
}

/// A key that signs, and its public half as it is published, without a name.
pub fn new_key() -> anyhow::Result<(EncodingKey, Value)> {
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())?;
    // The library takes the public half of the short form alone.
    let short = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref())?.to_pkcs8v1()?;
    let public = Jwk::from_encoding_key(&EncodingKey::from_ed_der(short.as_ref()), Algorithm::EdDSA)?;
    Ok((EncodingKey::from_ed_der(pkcs8.as_ref()), serde_json::to_value(public)?))
}

/// An issuer of services' tokens that publishes its key. It ends with the test.
pub struct Issuer {
    signing: EncodingKey,
    jwks_url: String,
}

impl Issuer {
    pub async fn start() -> anyhow::Result<Self> {
        let (signing, mut public) = new_key()?;
        public["kid"] = json!("one");
        let keys = json!({ "keys": [public] });
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let jwks_url = format!("http://{}/keys", listener.local_addr()?);
        let published = move || {
            let keys = keys.clone();
            async move { Json(keys) }
        };
        let router = Router::new().route("/keys", get(published));
        tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { signing, jwks_url })
    }

    /// What `distribution serve` needs to take its tokens.
    pub fn options(&self) -> [&str; 4] {
        ["--jwks-url", &self.jwks_url, "--token-issuer", "https://id.example.org"]
    }

    /// A token that is taken for so many seconds more.
    pub fn token(&self, subject: &str, seconds: i64) -> anyhow::Result<String> {
        let now = Utc::now().timestamp();
        let claims = json!({ "iss": "https://id.example.org", "aud": "distribution", "sub": subject, "org_id": ORG,
            "roles": ["Owner"], "iat": now, "nbf": now, "exp": now + seconds - LEEWAY_S });
        let header = Header { kid: Some("one".to_owned()), ..Header::new(Algorithm::EdDSA) };
        Ok(jsonwebtoken::encode(&header, &claims, &self.signing)?)
    }
}
