//! The topics that are looked at, and how many look.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use sha2::{Digest as _, Sha256};
use tokio::sync::{broadcast, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::places::{Place, Places};
use super::topic::Topic;
use super::{Now, watch as watching};
use crate::api::by::By;
use crate::api::problem::Problem;
use crate::dashboard::Dashboard;
use crate::dashboard::levels::Levels;

/// Sign-outs that a viewer may be behind; whoever is further behind finds out by the next look at the session.
const SIGN_OUTS: usize = 64;

/// Which session, without its secret.
pub(super) type Session = [u8; 32];

/// That of a cookie.
pub(super) fn session(cookie: &str) -> Session {
    Sha256::digest(cookie.as_bytes()).into()
}

/// A topic that somebody looks at.
#[derive(Debug)]
pub(super) struct Watched {
    /// Whose eyes it is made for: those of whoever came first, and all who look have the same rights.
    pub by: By,
    pub now: watch::Sender<Now>,
    /// When it was made last.
    pub made_at: Option<Instant>,
    /// How often that was begun.
    pub begun: u64,
    /// Somebody has begun to look since, who waits for the next time.
    pub awaited: bool,
    /// Something of it has changed since.
    pub touched: bool,
}

impl Watched {
    fn by(by: By) -> Self {
        let now = watch::Sender::new(Now::default());
        Self { by, now, made_at: None, begun: 0, awaited: false, touched: true }
    }

    /// It is not kept up to date since then: those who look are told.
    pub fn stands_still(&self, since: DateTime<Utc>) {
        self.now.send_if_modified(|now| {
            let news = now.stale_since.is_none();
            if news {
                now.stale_since = Some(since);
            }
            news
        });
    }
}

#[derive(Debug, Default)]
pub(super) struct Topics {
    pub watched: HashMap<Topic, Watched>,
    /// The watch runs while somebody looks.
    pub running: bool,
}

/// The live pages of a process. Clones share everything.
#[derive(Debug, Clone)]
pub struct Live {
    topics: Arc<Mutex<Topics>>,
    places: Places,
    signed_out: broadcast::Sender<Session>,
    ended: CancellationToken,
    pub(in crate::dashboard) levels: Levels,
}

/// One who looks.
#[derive(Debug)]
pub(super) struct Look {
    pub now: watch::Receiver<Now>,
    /// The first making that is for this viewer: what was begun before may be older than the page.
    pub from: u64,
    pub signed_out: broadcast::Receiver<Session>,
    pub ended: CancellationToken,
    _place: Place,
}

impl Live {
    /// Pages that are live until `ended`: then every stream ends, so that a stop does not wait for them. The process takes so many
    /// connections.
    pub fn until(ended: CancellationToken, connections: usize) -> Self {
        let signed_out = broadcast::Sender::new(SIGN_OUTS);
        Self {
            topics: Arc::default(),
            places: Places::among(connections),
            signed_out,
            ended,
            levels: Levels::default(),
        }
    }

    pub(super) fn with_topics<T>(&self, act: impl FnOnce(&mut Topics) -> T) -> T {
        act(&mut self.topics.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Begins to look at a topic, which is made anew for that: what others were shown last may be from before the page.
    pub(super) fn look(&self, dashboard: &Dashboard, topic: Topic, by: By) -> Result<Look, Problem> {
        let place = self.places.take(&by.caller)?;
        let (mut now, from) = self.with_topics(|topics| {
            if !topics.running {
                topics.running = true;
                tokio::spawn(watching::run(dashboard.clone()));
            }
            let watched = topics.watched.entry(topic).or_insert_with(|| Watched::by(by));
            (watched.touched, watched.awaited) = (true, true);
            (watched.now.subscribe(), watched.begun + 1)
        });
        // That it stands still is news to this viewer.
        now.mark_changed();
        Ok(Look { now, from, signed_out: self.signed_out.subscribe(), ended: self.ended.clone(), _place: place })
    }

    /// Whoever looks with this cookie is told that its session is over.
    pub(in crate::dashboard) fn sign_out(&self, cookie: &str) {
        // Where it fails nobody looks.
        let _ = self.signed_out.send(session(cookie));
    }

    /// No topic is kept up to date since then; each is made anew as soon as that is possible.
    pub(super) fn stand_still(&self, since: DateTime<Utc>) {
        self.with_topics(|topics| {
            for watched in topics.watched.values_mut() {
                watched.touched = true;
                watched.stands_still(since);
            }
        });
    }

    /// Whether it is over.
    pub(super) fn is_over(&self) -> bool {
        self.ended.is_cancelled()
    }
}
