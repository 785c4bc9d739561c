//! One viewer's stream. It ends with the session.

use std::collections::HashMap;
use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use futures::stream;
use serde::Deserialize;
use tokio::time::{Instant, Interval, MissedTickBehavior};

use super::hub::Look;
use super::topic::{Subject, Topic, parts};
use crate::api::Api;
use crate::api::identity::session_cookie;
use crate::api::input::Query;
use crate::api::problem::Problem;
use crate::dashboard::Dashboard;
use crate::dashboard::layout::Viewer;

/// Something is sent at least this often, so that a dead connection is noticed.
const BEAT: Duration = Duration::from_secs(15);
/// The session is looked at before something is sent, if the last look is older: nothing new is shown for longer than this
/// to a browser that was signed out.
const LOOK: Duration = Duration::from_secs(1);

#[derive(Debug, Deserialize)]
pub(in crate::dashboard) struct Wanted {
    topic: String,
}

struct Viewing {
    api: Api,
    look: Look,
    sent: HashMap<&'static str, [u8; 32]>,
    beat: Interval,
    session: Option<String>,
    looked_at: Instant,
}

/// The stream of a topic.
pub(in crate::dashboard) async fn stream(
    State(dashboard): State<Dashboard>,
    viewer: Viewer,
    headers: HeaderMap,
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
    let (session, looked_at) = (session_cookie(&headers), Instant::now());
    let viewing = Viewing { api: dashboard.api, look, sent: HashMap::new(), beat, session, looked_at };
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
        loop {
            tokio::select! {
                () = self.look.ended.cancelled() => return None,
                changed = self.look.parts.changed() => {
                    changed.ok()?;
                    let changed = self.changed();
                    if !changed.is_empty() {
                        return self.lives().await.then_some(changed);
                    }
                }
                _ = self.beat.tick() => return self.lives().await.then(|| Bytes::from_static(b": beat\n\n")),
            }
        }
    }

    /// The parts that this viewer does not have yet.
    fn changed(&mut self) -> Bytes {
        let parts = self.look.parts.borrow_and_update().clone();
        let mut bytes = Vec::new();
        for part in parts.iter() {
            if self.sent.insert(part.id, part.mark) != Some(part.mark) {
                bytes.extend_from_slice(&part.bytes);
            }
        }
        bytes.into()
    }

    /// Whether the session still was a moment ago.
    async fn lives(&mut self) -> bool {
        let Some(session) = self.session.as_ref().filter(|_| self.looked_at.elapsed() >= LOOK) else { return true };
        // While the database is away nobody sees anything anyway.
        let lives = self.api.sessions().lives(session).await.unwrap_or(true);
        self.looked_at = Instant::now();
        lives
    }
}
