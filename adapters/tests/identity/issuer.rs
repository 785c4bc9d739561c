//! An issuer of tokens with real keys, which publishes them over HTTP.

use std::sync::{Arc, Mutex};

use adapters::identity::{ClaimNames, ServiceTokenOptions, ServiceTokens};
use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

pub const ISSUER: &str = "https://issuer.example";
pub const AUDIENCE: &str = "channels";

/// A key that signs.
pub struct Key {
    pub algorithm: Algorithm,
    pub id: String,
    pub signing: EncodingKey,
    pub public: Value,
}

impl Key {
    pub fn new(algorithm: Algorithm, id: &str) -> Self {
        let random = SystemRandom::new();
        let (signing, public) = match algorithm {
            Algorithm::EdDSA => {
                let pkcs8 = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
                // The library takes the public half of the short form alone.
                let short = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap().to_pkcs8v1().unwrap();
                let jwk = Jwk::from_encoding_key(&EncodingKey::from_ed_der(short.as_ref()), algorithm).unwrap();
                (EncodingKey::from_ed_der(pkcs8.as_ref()), jwk)
            }
            Algorithm::ES256 => {
                let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
                let signing = EncodingKey::from_ec_der(pkcs8.as_ref());
                let jwk = Jwk::from_encoding_key(&signing, algorithm).unwrap();
                (signing, jwk)
            }
            Algorithm::RS256 => {
                let pair = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
                let pkcs8: aws_lc_rs::encoding::Pkcs8V1Der<'_> = pair.as_der().unwrap();
                let signing = EncodingKey::from_rsa_der(&pkcs1(pkcs8.as_ref()));
                let jwk = Jwk::from_encoding_key(&signing, algorithm).unwrap();
                (signing, jwk)
            }
            other => panic!("{other:?} is not taken"),
        };
        let mut public = serde_json::to_value(public).unwrap();
        public["kid"] = id.into();
        Self { algorithm, id: id.to_owned(), signing, public }
    }

    pub fn sign(&self, claims: &Value) -> String {
        let header = Header { kid: Some(self.id.clone()), ..Header::new(self.algorithm) };
        jsonwebtoken::encode(&header, claims, &self.signing).unwrap()
    }
}

/// PKCS #8 around an RSA key of 2048 bits is 26 bytes of header.
fn pkcs1(pkcs8: &[u8]) -> Vec<u8> {
    pkcs8[26..].to_vec()
}

/// Claims that are as they must be.
pub fn claims() -> Value {
    let now = chrono::Utc::now().timestamp();
    json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "pricing-service", "jti": "token-1", "iat": now, "nbf": now,
        "exp": now + 300, "org_id": "sunstay", "account_ids": ["bali"], "roles": ["Viewer"],
    })
}

/// What is published, and how often it was asked for.
#[derive(Default)]
struct Published {
    keys: Value,
    asked: usize,
    away: bool,
}

pub struct Issuer {
    published: Arc<Mutex<Published>>,
    pub jwks_url: String,
}

impl Issuer {
    pub async fn publishing(keys: &[&Key]) -> Self {
        let published = Arc::new(Mutex::new(Published::default()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let jwks_url = format!("http://{}/jwks", listener.local_addr().unwrap());
        let served = Arc::clone(&published);
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                answer(connection, &served).await;
            }
        });
        let issuer = Self { published, jwks_url };
        issuer.publish(keys);
        issuer
    }

    pub fn publish(&self, keys: &[&Key]) {
        let keys: Vec<&Value> = keys.iter().map(|key| &key.public).collect();
        self.publish_raw(json!({ "keys": keys }));
    }

    pub fn publish_raw(&self, set: Value) {
        self.published.lock().unwrap().keys = set;
    }

    pub fn away(&self, away: bool) {
        self.published.lock().unwrap().away = away;
    }

    pub fn asked(&self) -> usize {
        self.published.lock().unwrap().asked
    }

    pub fn tokens(&self) -> ServiceTokens {
        self.tokens_with(ClaimNames::default())
    }

    pub fn tokens_with(&self, claims: ClaimNames) -> ServiceTokens {
        let jwks_url = self.jwks_url.parse().unwrap();
        let (issuer, audience) = (ISSUER.to_owned(), AUDIENCE.to_owned());
        ServiceTokens::new(ServiceTokenOptions { jwks_url, issuer, audience, claims }).unwrap()
    }
}

/// Answers one request, whatever it asks for, and hangs up.
async fn answer(mut connection: TcpStream, published: &Mutex<Published>) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(connection.read_u8().await.unwrap());
    }
    let (status, body) = {
        let mut published = published.lock().unwrap();
        published.asked += 1;
        (if published.away { "503 Service Unavailable" } else { "200 OK" }, published.keys.to_string())
    };
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    connection.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
}
