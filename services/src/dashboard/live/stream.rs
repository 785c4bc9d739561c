//! One viewer's stream. It ends with the session or the token that it was opened with, and says so.

use std::collections::HashMap;
use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use chrono::{DateTime, Utc};
use futures::stream;
use serde::Deserialize;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, Interval, MissedTickBehavior};

use super::hub::{self, Look, Session};
use super::topic::{Subject, Topic, parts};
use crate::api::Api;
use crate::api::identity::Credential;
use crate::api::input::Query;
use crate::api::problem::Problem;
use crate::dashboard::Dashboard;
use crate::dashboard::layout::Viewer;
use crate::views::moment::moment;

/// Something is sent, and the credential is looked at, at least this often: so a dead connection is noticed, and a sign-out by another
/// process.
const BEAT: Duration = Duration::from_secs(5);
/// What is sent last where the session has ended: browsers tell their pages nothing of why a stream ends, or cannot be had anew.
const SIGNED_OUT: &[u8] = b"event: signed-out\ndata: the session has ended\n\n";
/// The credential is looked at before something is sent, if the last look is older: nothing new is shown for longer than this
/// to a browser that was signed out, or by a token that has expired.
const LOOK: Duration = Duration::from_secs(1);

#[derive(Debug, Deserialize)]
pub(in crate::dashboard) struct Wanted {
    topic: String,
}

struct Viewing {
    api: Api,
    look: Look,
    sent: HashMap<&'static str, [u8; 32]>,
    /// Since when the page is not kept up to date, as it was told.
    stale: Option<DateTime<Utc>>,
    beat: Interval,
    credential: Credential,
    own: Option<Session>,
    looked_at: Instant,
    over: bool,
}

/// The stream of a topic.
pub(in crate::dashboard) async fn stream(
    State(dashboard): State<Dashboard>,
    viewer: Viewer,
    credential: Credential,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Problem> {
    let subject: Subject = wanted.topic.parse()?;
    let topic = Topic::of(subject, &viewer.by.caller)?;
    if subject.is_of_one() {
        // What the viewer does not see looks like what is not there.
        parts(&dashboard, &viewer.by, subject).await?;
    }
    let look = dashboard.live.look(&dashboard, topic, viewer.by)?;
    let mut beat = tokio::time::interval_at(Instant::now() + BEAT, BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let own = credential.cookie().map(hub::session);
    let (api, sent, looked_at) = (dashboard.api, HashMap::new(), Instant::now());
    let viewing = Viewing { api, look, sent, stale: None, beat, credential, own, looked_at, over: false };
    let greeting = stream::once(async { Ok::<_, Infallible>(Bytes::from_static(b"retry: 2000\n\n")) });
    let changes = stream::unfold(viewing, |mut viewing| async move {
        let bytes = viewing.next().await?;
        Some((Ok::<_, Infallible>(bytes), viewing))
    });
    let mut response = Body::from_stream(futures::StreamExt::chain(greeting, changes)).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    // Proxies that gather answers would hold changes back.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

impl Viewing {
    async fn next(&mut self) -> Option<Bytes> {
        if self.over {
            return None;
        }
        loop {
            tokio::select! {
                () = self.look.ended.cancelled() => return None,
                () = signed_out(&mut self.look.signed_out, self.own) => return Some(self.end()),
                changed = self.look.now.changed() => {
                    changed.ok()?;
                    let changed = self.changed();
                    if !changed.is_empty() {
                        // That it stands still may be told to anybody, and the session may not be there to be asked for.
                        let may = self.stale.is_some() || self.lives().await;
                        return Some(if may { changed } else { self.end() });
                    }
                }
                _ = self.beat.tick() => {
                    // Nor does a beat show anything: it does not wait for a database that does not answer.
                    let lives = tokio::time::timeout(LOOK, self.lives()).await.unwrap_or(true);
                    return Some(if lives { Bytes::from_static(b": beat\n\n") } else { self.end() });
                }
            }
        }
    }

    /// Nothing comes after it.
    fn end(&mut self) -> Bytes {
        self.over = true;
        Bytes::from_static(SIGNED_OUT)
    }

    /// The parts that this viewer does not have yet, or that they are not kept up to date: then they come when they are again. What was
    /// begun before it looked is left out: its page may be newer.
    fn changed(&mut self) -> Bytes {
        let now = self.look.now.borrow_and_update().clone();
        if let Some(since) = now.stale_since {
            let news = self.stale.replace(since) != Some(since);
            return if news { format!("event: stale\ndata: {}\n\n", moment(since)).into() } else { Bytes::new() };
        }
        if now.nth < self.look.from {
            return Bytes::new();
        }
        let mut bytes = Vec::new();
        if self.stale.take().is_some() {
            bytes.extend_from_slice(b"event: current\ndata: live\n\n");
        }
        for part in now.parts.iter() {
            if self.sent.insert(part.id, part.mark) != Some(part.mark) {
                bytes.extend_from_slice(&part.bytes);
            }
        }
        bytes.into()
    }

    /// Whether the credential still was good a moment ago.
    async fn lives(&mut self) -> bool {
        if self.looked_at.elapsed() < LOOK {
            return true;
        }
        // While the database is away nobody sees anything anyway.
        let lives = self.api.identity().still_takes(&self.credential).await.unwrap_or(true);
        self.looked_at = Instant::now();
        lives
    }
}

/// Returns when this process has ended the session.
async fn signed_out(signed_out: &mut Receiver<Session>, own: Option<Session>) {
    loop {
        match signed_out.recv().await {
            Ok(session) if Some(session) == own => return,
            Ok(_) | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}
