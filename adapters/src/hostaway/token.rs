//! Access tokens, one per account and credential, in memory alone. Whoever needs a new one gets it under the lock of
//! its cell, so that any number of pushes that wait for it cause one request.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::target::Settings;
use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::Instant;

use super::failure::Failure;

/// Hostaway accepts a token about one second after its issue; a call before that gets a 403.
const USABLE_AFTER: Duration = Duration::from_millis(1_050);
/// After a new token did not lift a 403, a 403 is a matter of rights: for this long it asks for no further token.
const VAIN_FOR: Duration = Duration::from_secs(300);

/// A token that can be sent.
#[derive(Clone)]
pub(super) struct Token {
    /// `Bearer …`, marked as sensitive.
    pub authorization: HeaderValue,
    /// Grows with every token of the cell.
    pub generation: u64,
    usable_at: Instant,
    renew_at: Instant,
}

impl Token {
    /// Waits until the channel knows the token.
    pub async fn settled(self) -> Self {
        tokio::time::sleep_until(self.usable_at).await;
        self
    }
}

/// What the token endpoint gave.
pub(super) struct Issued {
    pub authorization: HeaderValue,
    pub lifetime: Duration,
}

/// The tokens of all accounts.
#[derive(Default)]
pub(super) struct Tokens(Mutex<HashMap<Key, Arc<Cell>>>);

#[derive(PartialEq, Eq, Hash)]
struct Key {
    base_url: String,
    channel_account: String,
    credential: String,
}

impl Tokens {
    pub fn cell(&self, target: &Settings) -> Arc<Cell> {
        let key = Key {
            base_url: target.base_url.clone(),
            channel_account: target.channel_account.clone(),
            credential: target.credential.as_str().to_owned(),
        };
        Arc::clone(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default())
    }
}

/// The token of one account and credential.
#[derive(Default)]
pub(super) struct Cell {
    /// How many requests for a token have ended. Read before the lock is waited for: it tells whether one ended since.
    ended: AtomicU64,
    /// The newest generation that the channel accepted.
    proven: AtomicU64,
    state: tokio::sync::Mutex<State>,
}

#[derive(Default)]
pub(super) struct State {
    token: Option<Token>,
    /// The secret that the token was issued for.
    secret: Option<SecretString>,
    generation: u64,
    /// The last request's failure, and which request it was.
    failure: Option<(u64, Failure)>,
    /// A generation that did not lift a 403, and when that was seen.
    vain: Option<(u64, Instant)>,
}

impl Cell {
    pub fn ended(&self) -> u64 {
        self.ended.load(Ordering::Acquire)
    }

    /// The channel accepted this token.
    pub fn note_proven(&self, token: &Token) {
        self.proven.fetch_max(token.generation, Ordering::AcqRel);
    }

    /// Whether a new token is known not to help against a 403 on this one: it was itself got to lift such a 403, did
    /// not, and is good, because other calls were accepted with it.
    pub async fn in_vain(&self, token: &Token) -> bool {
        let vain = self.state.lock().await.vain;
        vain.is_some_and(|(known, at)| known == token.generation && at.elapsed() < VAIN_FOR)
            && self.proven.load(Ordering::Acquire) >= token.generation
    }

    /// A token got for this very 403 was refused as well.
    pub async fn note_vain(&self, token: &Token) {
        self.state.lock().await.vain = Some((token.generation, Instant::now()));
    }

    /// Held over the request for a token: one at a time.
    pub async fn lock(&self) -> tokio::sync::MutexGuard<'_, State> {
        self.state.lock().await
    }

    /// Keeps how a request for a token ended, for those who wait.
    pub fn settle(
        &self,
        state: &mut State,
        secret: &SecretString,
        end: Result<Issued, Failure>,
    ) -> Result<Token, Failure> {
        let ended = self.ended.fetch_add(1, Ordering::AcqRel) + 1;
        let issued = end.inspect_err(|failure| state.failure = Some((ended, failure.clone())))?;
        let now = Instant::now();
        state.generation += 1;
        state.failure = None;
        state.secret = Some(secret.clone());
        let token = Token {
            authorization: issued.authorization,
            generation: state.generation,
            usable_at: now + USABLE_AFTER,
            renew_at: now + issued.lifetime.saturating_sub(margin(issued.lifetime)),
        };
        state.token = Some(token.clone());
        Ok(token)
    }
}

impl State {
    /// The token, if it may still be used with this secret and is newer than the refused generation.
    pub fn usable(&self, secret: &SecretString, refused: Option<u64>) -> Option<Token> {
        let token = self.token.as_ref()?;
        let same_secret = self.secret.as_ref().is_some_and(|known| known.expose_secret() == secret.expose_secret());
        let newer = refused.is_none_or(|refused| token.generation > refused);
        (same_secret && newer && Instant::now() < token.renew_at).then(|| token.clone())
    }

    /// How a request failed that ended after `seen` of them had, so while the caller waited.
    pub fn failure_since(&self, seen: u64) -> Option<Failure> {
        self.failure.as_ref().filter(|(ended, _)| *ended > seen).map(|(_, failure)| failure.clone())
    }
}

/// A tenth of the lifetime, but not more than a day, before its end.
fn margin(lifetime: Duration) -> Duration {
    (lifetime / 10).min(Duration::from_secs(24 * 60 * 60))
}
