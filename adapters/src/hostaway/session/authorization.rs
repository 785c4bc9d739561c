//! How a session comes to its token: from those that its account has, or by a request with the secret that holds now. Over a
//! rotation the previous secret serves where the channel does not know the new one yet.

use std::sync::Arc;

use chrono::Utc;
use domain::call::CallPurpose;
use domain::channel::Section;
use domain::outcome::OutcomeClass;
use domain::port::Permit;
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};

use super::Session;
use crate::hostaway::failure::{Failure, Reach};
use crate::hostaway::issue;
use crate::hostaway::token::{Cell, Issued, State, Token};
use crate::secrets::{Secret, SecretError};

/// So many values a session tries for one token: the current one and the previous one, and as many after a rotation meanwhile.
const MOST_VALUES: usize = 4;

impl Session<'_> {
    /// A token other than the refused generation; the caller waits until it is usable.
    pub(super) async fn token(&mut self, refused: Option<u64>, urgency: Section) -> Result<Token, Failure> {
        let cell = Arc::clone(&self.cell);
        let seen = cell.ended();
        let began_before = self.secret.is_some();
        let mut secret = self.secret().await?;
        let mut token = self.usable(&*cell.lock().await, &secret, refused);
        if token.is_none() && began_before {
            // A push may end with the value that it began with, but a new token is asked for with the one that holds now.
            self.secret = None;
            secret = self.secret().await?;
            token = self.usable(&*cell.lock().await, &secret, refused);
        }
        let token = match token {
            Some(token) => token,
            None => self.fresh_token(&cell, secret, seen, refused, urgency).await?,
        };
        Ok(token.settled().await)
    }

    /// A token that is there already; and whether it is an earlier one, because the secret that holds now is refused.
    fn usable(&mut self, state: &State, secret: &Secret, refused: Option<u64>) -> Option<Token> {
        let token = state.usable(secret, refused)?;
        self.new_secret_refused = state.value(secret, &[]).and_then(|(_, words)| words);
        Some(token)
    }

    async fn fresh_token(
        &mut self,
        cell: &Cell,
        mut secret: Secret,
        seen: u64,
        refused: Option<u64>,
        urgency: Section,
    ) -> Result<Token, Failure> {
        let mut tried: Vec<SecretString> = Vec::new();
        loop {
            // The slot before the lock: a target without slots must not keep the others of its account waiting.
            let permit = self.slot(CallPurpose::Token, urgency).await?;
            let mut state = cell.lock().await;
            let known = match self.usable(&state, &secret, refused) {
                Some(token) => Some(Ok(token)),
                None => state.failure_since(seen).map(Err),
            };
            if let Some(known) = known {
                permit.unused();
                return known;
            }
            if !permit.can_start() {
                permit.unused();
                return Err(Failure::stopped("the slot grew too old while a token was waited for", Utc::now()));
            }
            let (value, words) = state.value(&secret, &tried).unwrap_or((&secret.current, None));
            let value = value.clone();
            let issued = self.issue(&value, permit).await;
            if let Err(failure) = &issued
                && failure.reach == Reach::Credentials
            {
                state.refuse(&secret, &value, &failure.detail);
                if self.rotating {
                    // Not for those who wait for a token: the previous value still serves them.
                    return Err(failure.clone());
                }
                tried.push(value.clone());
                // What was read may be a minute old, and a slot may have been waited for longer.
                self.doubted = true;
                let unknown = match self.read_secret().await {
                    Ok(now) => {
                        secret = now;
                        None
                    }
                    Err(unknown) => Some(unknown),
                };
                // Where its keeper cannot be asked, the other value that is known may serve; that both are refused is not known then.
                let goes_on = unknown.as_ref().is_none_or(|unknown| unknown.class == OutcomeClass::Transient);
                if goes_on && tried.len() < MOST_VALUES && state.value(&secret, &tried).is_some() {
                    continue;
                }
                if let Some(unknown) = unknown {
                    return cell.settle(&mut state, &value, Err(unknown));
                }
            }
            self.new_secret_refused = words.filter(|_| issued.is_ok());
            return cell.settle(&mut state, &value, issued);
        }
    }

    /// The credential's value, read once a push and again when a token is needed: it may just have been rotated. Whoever wants it anew
    /// goes on with what its keeper gave before where that cannot be asked now, but for a check, which wants to know of no other.
    async fn secret(&mut self) -> Result<Secret, Failure> {
        if let Some(secret) = &self.secret {
            return Ok(secret.clone());
        }
        match self.read_secret().await {
            Err(unknown) if unknown.class == OutcomeClass::Transient && self.doubted && !self.current_alone => {
                let kept = self.hostaway.secrets.read(&self.target.credential).await;
                kept.map_or(Err(unknown), |kept| Ok(self.take_secret(kept)))
            }
            read => read,
        }
    }

    /// As its keeper has it, now where what was read before is in doubt.
    async fn read_secret(&mut self) -> Result<Secret, Failure> {
        let (secrets, credential) = (&self.hostaway.secrets, &self.target.credential);
        let secret = if self.doubted { secrets.read_anew(credential).await } else { secrets.read(credential).await };
        let secret = secret.map_err(|error| {
            // Where it is kept is for the operator; what is told here is shown to others.
            tracing::warn!(target_id = %self.target.target_id, error = %error, "a target's secret cannot be had");
            let told = error.told();
            match error {
                SecretError::Unreachable { .. } => Failure::new(OutcomeClass::Transient, told),
                _ => Failure::credentials(told),
            }
        })?;
        Ok(self.take_secret(secret))
    }

    /// From now on the one of this session.
    fn take_secret(&mut self, mut secret: Secret) -> Secret {
        for value in std::iter::once(&secret.current).chain(&secret.previous) {
            self.withheld.add(value.expose_secret());
        }
        if self.current_alone && secret.previous.take().is_some() {
            self.rotating = true;
        }
        self.pending = secret.pending;
        self.secret = Some(secret.clone());
        secret
    }

    async fn issue(&mut self, secret: &SecretString, permit: Box<dyn Permit>) -> Result<Issued, Failure> {
        let request = self
            .request(Method::POST, issue::PATH)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"))
            .body(issue::form(&self.target.channel_account, secret));
        self.exchange(CallPurpose::Token, request, permit, issue::issued).await
    }
}
