//! The keys of an issuer: fetched once, kept for minutes, and fetched again when a token names one that is not there.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use domain::text::cut;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex;

use super::http::{self, FetchError};
use super::provider_url::ProviderUrl;
use super::token::{Signed, TokenError, VerifyingKey};

/// A key that the issuer takes back is used for so long at most, while the issuer answers.
const FRESH: Duration = Duration::from_secs(5 * 60);
/// While it does not answer, the keys that it had are used for so long.
const USABLE: Duration = Duration::from_secs(60 * 60);
/// Made-up key ids and a silent issuer cost one request in this time.
const PAUSE: Duration = Duration::from_secs(5);

/// The most characters of a key's id in the log.
const LONGEST_ID: usize = 120;

/// What the issuer publishes. Each key is read by itself.
#[derive(Deserialize)]
struct Published {
    keys: Vec<Value>,
}

/// The keys behind one address.
#[derive(Debug)]
pub(super) struct Jwks {
    url: ProviderUrl,
    http: reqwest::Client,
    known: RwLock<Arc<Known>>,
    /// Held while the keys are fetched.
    turn: Mutex<Option<Pause>>,
}

/// A time in which the keys are not fetched again.
#[derive(Debug, Clone, Copy)]
struct Pause {
    until: Instant,
    /// The issuer did not give them, so it may have keys by now that nobody here knows.
    silent: bool,
}

impl Pause {
    fn after<T>(fetched: &Result<(), T>) -> Self {
        Self { until: Instant::now() + PAUSE, silent: fetched.is_err() }
    }

    fn lasts(self) -> bool {
        Instant::now() < self.until
    }
}

#[derive(Debug, Default)]
struct Known {
    keys: Vec<VerifyingKey>,
    at: Option<Instant>,
}

impl Known {
    fn within(&self, age: Duration) -> bool {
        self.at.is_some_and(|at| at.elapsed() < age)
    }

    fn find(&self, signed: &Signed) -> Option<VerifyingKey> {
        self.keys.iter().find(|key| key.id == signed.key_id && key.algorithm == signed.algorithm).cloned()
    }
}

impl Jwks {
    pub(super) fn new(url: ProviderUrl) -> Result<Self, reqwest::Error> {
        Ok(Self { url, http: http::client()?, known: RwLock::default(), turn: Mutex::new(None) })
    }

    /// The key that a token names.
    pub(super) async fn find(&self, signed: &Signed) -> Result<VerifyingKey, TokenError> {
        let known = self.known();
        let found = known.find(signed);
        if let Some(key) = found.clone().filter(|_| known.within(FRESH)) {
            return Ok(key);
        }
        let mut turn = match found.filter(|_| known.within(USABLE)) {
            // Somebody fetches already, and until then the key is good enough.
            Some(key) => match self.turn.try_lock() {
                Ok(turn) => turn,
                Err(_) => return Ok(key),
            },
            None => self.turn.lock().await,
        };
        let known = self.known();
        if let Some(key) = known.find(signed).filter(|_| known.within(FRESH)) {
            return Ok(key);
        }
        let silent = || "it did not answer a moment ago".to_owned();
        let failure = if let Some(pause) = turn.filter(|pause| pause.lasts()) {
            pause.silent.then(silent)
        } else {
            let was_fresh = known.within(FRESH);
            let fetched = self.fetch().await;
            if was_fresh || fetched.is_err() {
                *turn = Some(Pause::after(&fetched));
            }
            fetched.err().map(|error| told(&error))
        };
        let known = self.known();
        match known.find(signed).filter(|_| known.within(USABLE)) {
            Some(key) => Ok(key),
            None if failure.is_none() && known.within(FRESH) => Err(TokenError::UnknownKey),
            // The key may be one that the issuer has made since.
            None => Err(TokenError::KeysUnavailable(failure.unwrap_or_else(silent))),
        }
    }

    /// Whether there are keys to check tokens with: those that are at hand, or the issuer gives them now. An issuer that
    /// is silent is asked once in [`PAUSE`].
    pub(super) async fn at_hand(&self) -> bool {
        if self.known().within(FRESH) {
            return true;
        }
        let mut turn = self.turn.lock().await;
        if self.known().within(FRESH) {
            return true;
        }
        if turn.is_none_or(|pause| !pause.lasts()) {
            let fetched = self.fetch().await;
            if fetched.is_err() {
                *turn = Some(Pause::after(&fetched));
            }
        }
        self.known().within(USABLE)
    }

    fn known(&self) -> Arc<Known> {
        Arc::clone(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }

    async fn fetch(&self) -> Result<(), FetchError> {
        let fetched = self.keys().await;
        match &fetched {
            Ok(_) => tracing::debug!(url = %self.url, "fetched the keys of the tokens' issuer"),
            Err(error) => {
                tracing::warn!(url = %self.url, error = told(error), "the keys of the tokens' issuer are not to be had");
            }
        }
        let known = Arc::new(Known { keys: fetched?, at: Some(Instant::now()) });
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = known;
        Ok(())
    }

    async fn keys(&self) -> Result<Vec<VerifyingKey>, FetchError> {
        let response = self.http.get(self.url.url().clone()).send().await?.error_for_status()?;
        if !response.status().is_success() {
            return Err(FetchError::Unusable(format!("status {}", response.status())));
        }
        let body = http::body(response).await?;
        let set: Published = serde_json::from_slice(&body).map_err(|error| FetchError::Unusable(error.to_string()))?;
        Ok(set.keys.into_iter().enumerate().filter_map(|(place, key)| self.read(place, key)).collect())
    }

    /// One key; one that cannot be read is passed over, so that it takes none of the others with it.
    fn read(&self, place: usize, key: Value) -> Option<VerifyingKey> {
        let id = key["kid"].as_str().map(|id| cut(id, LONGEST_ID));
        let read = serde_json::from_value::<Jwk>(key).map_err(|error| error.to_string());
        match read.and_then(|jwk| verifying_key(&jwk).map_err(|error| error.to_string())) {
            Ok(key) => key,
            Err(error) => {
                let said = "a key of the tokens' issuer cannot be read, and is passed over";
                tracing::warn!(url = %self.url, place, id, error, "{said}");
                None
            }
        }
    }
}

/// The chain of causes: the last one says most.
fn told(error: &FetchError) -> String {
    let mut words = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        words = format!("{words}: {error}");
        cause = error.source();
    }
    words
}

/// A key that signs in one of the ways that are taken; all others are passed over, shared secrets above all.
fn verifying_key(jwk: &Jwk) -> Result<Option<VerifyingKey>, jsonwebtoken::errors::Error> {
    let (algorithm, named) = match &jwk.algorithm {
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
            (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
        }
        AlgorithmParameters::EllipticCurve(point) if point.curve == EllipticCurve::P256 => {
            (Algorithm::ES256, KeyAlgorithm::ES256)
        }
        AlgorithmParameters::RSA(_) => (Algorithm::RS256, KeyAlgorithm::RS256),
        _ => return Ok(None),
    };
    let common = &jwk.common;
    let signs = common.public_key_use.as_ref().is_none_or(|usage| *usage == PublicKeyUse::Signature)
        && common.key_operations.as_ref().is_none_or(|all| all.contains(&KeyOperations::Verify))
        && common.key_algorithm.is_none_or(|algorithm| algorithm == named);
    let Some(id) = common.key_id.clone().filter(|_| signs) else { return Ok(None) };
    let key = DecodingKey::from_jwk(jwk)?;
    Ok(Some(VerifyingKey { id, algorithm, key }))
}
