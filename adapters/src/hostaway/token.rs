//! Access tokens, one per account and credential, in memory alone. Whoever needs a new one gets it under the lock of
//! its cell, so that any number of pushes that wait for it cause one request. Over a rotation there are two for a while.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::ids::ListingId;
use domain::target::Target;
use reqwest::header::HeaderValue;
use secrecy::SecretString;
use tokio::time::Instant;

use super::failure::Failure;
use crate::secrets::{ROTATION_GRACE, Secret, same};

/// A call by what it does to what, and for which listing: those of two listings have the same path where one is created.
pub(super) type VainCall = (Option<ListingId>, String);

/// Hostaway accepts a token about one second after its issue; a call before that gets a 403.
const USABLE_AFTER: Duration = Duration::from_millis(1_050);
/// After a new token did not lift a call's 403, that of the same call is a matter of rights for this long, and asks for no
/// further token.
const VAIN_FOR: Duration = Duration::from_secs(300);
/// After the channel refused a new secret, the previous one is used, where it is still there, for this long.
const REFUSED_FOR: Duration = Duration::from_secs(60);

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
    /// The token itself.
    pub fn bearer(&self) -> &str {
        let text = std::str::from_utf8(self.authorization.as_bytes()).unwrap_or_default();
        text.strip_prefix("Bearer ").unwrap_or_default()
    }

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
    pub fn cell(&self, target: &Target) -> Arc<Cell> {
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
    /// Calls whose 403 a new token did not lift, and when that was seen. By call and not by token: a token may be refused
    /// to one listing, and forgotten by the channel a moment later.
    vain: Mutex<HashMap<VainCall, Instant>>,
    state: tokio::sync::Mutex<State>,
}

#[derive(Default)]
pub(super) struct State {
    newest: Option<Held>,
    /// The token of another secret: pushes that began before a rotation end with it.
    earlier: Option<Held>,
    generation: u64,
    /// The last request's failure, and which request it was.
    failure: Option<(u64, Failure)>,
    /// A secret that the channel does not know yet.
    refused: Option<Refused>,
}

/// A secret that was refused while the previous one was there, when, and why.
struct Refused {
    secret: SecretString,
    at: Instant,
    reason: String,
}

/// A token and the secret that it was issued for.
struct Held {
    token: Token,
    secret: SecretString,
}

impl Cell {
    pub fn ended(&self) -> u64 {
        self.ended.load(Ordering::Acquire)
    }

    /// The channel accepted this token for this call.
    pub fn note_proven(&self, token: &Token, call: &VainCall) {
        self.proven.fetch_max(token.generation, Ordering::AcqRel);
        self.vain().remove(call);
    }

    /// Whether a new token is known not to help against a 403 of this call: one was got to lift it and did not, and this
    /// one is good, because other calls were accepted with it.
    pub fn in_vain(&self, token: &Token, call: &VainCall) -> bool {
        self.vain().get(call).is_some_and(|at| at.elapsed() < VAIN_FOR)
            && self.proven.load(Ordering::Acquire) >= token.generation
    }

    /// A token got for this very 403 was refused as well. Says whether that was so before.
    pub fn note_vain(&self, call: VainCall) -> bool {
        let mut vain = self.vain();
        vain.retain(|_, at| at.elapsed() < VAIN_FOR);
        vain.insert(call, Instant::now()).is_some()
    }

    fn vain(&self) -> MutexGuard<'_, HashMap<VainCall, Instant>> {
        self.vain.lock().unwrap_or_else(PoisonError::into_inner)
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
        // It is known by now.
        state.refused.take_if(|refused| same(&refused.secret, secret));
        let token = Token {
            authorization: issued.authorization,
            generation: state.generation,
            usable_at: now + USABLE_AFTER,
            renew_at: now + issued.lifetime.saturating_sub(margin(issued.lifetime)),
        };
        let before = state.newest.replace(Held { token: token.clone(), secret: secret.clone() });
        if let Some(before) = before.filter(|before| !same(&before.secret, secret)) {
            state.earlier = Some(before);
        }
        Ok(token)
    }
}

impl State {
    /// A token that may still be used with this secret and is newer than the refused generation.
    pub fn usable(&self, secret: &Secret, refused: Option<u64>) -> Option<Token> {
        let (value, _) = self.value(secret, &[])?;
        let held = [&self.newest, &self.earlier].into_iter().flatten().find(|held| same(&held.secret, value))?;
        let newer = refused.is_none_or(|refused| held.token.generation > refused);
        (newer && Instant::now() < held.token.renew_at).then(|| held.token.clone())
    }

    /// The value to ask for a token with, of those that were not tried: the current one, unless the channel has just refused
    /// it and there is another. Then what is to be told of that stands beside it.
    pub fn value<'s>(
        &'s self,
        secret: &'s Secret,
        tried: &[SecretString],
    ) -> Option<(&'s SecretString, Option<String>)> {
        let known = |refused: &&Refused| same(&refused.secret, &secret.current) && refused.at.elapsed() < REFUSED_FOR;
        let refused = self.refused.as_ref().filter(known);
        let mut values = [Some(&secret.current), secret.previous.as_ref()];
        if refused.is_some() {
            values.reverse();
        }
        let value = values.into_iter().flatten().find(|value| !tried.iter().any(|tried| same(tried, value)))?;
        let refused = refused.filter(|_| !same(value, &secret.current));
        Some((value, refused.map(|refused| old_one_serves(secret.pending, &refused.reason))))
    }

    /// The channel refused this value, for this reason. Where it is the current one, the previous one goes first for a while.
    pub fn refuse(&mut self, secret: &Secret, value: &SecretString, reason: &str) {
        if same(value, &secret.current) {
            self.refused = Some(Refused { secret: value.clone(), at: Instant::now(), reason: reason.to_owned() });
        }
    }

    /// How a request failed that ended after `seen` of them had, so while the caller waited.
    pub fn failure_since(&self, seen: u64) -> Option<Failure> {
        self.failure.as_ref().filter(|(ended, _)| *ended > seen).map(|(_, failure)| failure.clone())
    }
}

/// What is told of a target whose new secret is refused for this reason, and that works with the previous one. `pending` where nobody knows
/// yet whether the new one stays.
pub(super) fn old_one_serves(pending: bool, reason: &str) -> String {
    let grace_s = ROTATION_GRACE.as_secs();
    let longer = if pending { ", and until that is settled, for a week at the longest" } else { "" };
    format!("the new secret is refused, the previous one serves for {grace_s} s after the rotation{longer}: {reason}")
}

/// A tenth of the lifetime, but not more than a day, before its end.
fn margin(lifetime: Duration) -> Duration {
    (lifetime / 10).min(Duration::from_secs(24 * 60 * 60))
}
