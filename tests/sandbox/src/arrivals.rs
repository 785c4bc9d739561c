//! Every call that reached the sandbox, with the time its head arrived, in a ring of two million light records.
//! Times are taken under the ring's lock, so records stand in the order of their times.

use std::{
    collections::VecDeque,
    net::IpAddr,
    sync::Mutex,
    time::{Duration, Instant},
};

use axum::http::Method;
use serde::Serialize;

use crate::clock::{Clock, saturate};

const CAPACITY: usize = 2_000_000;

/// What a call is for, by method and path alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    Token,
    Create,
    ContentPut,
    ImagePost,
    CalendarPut,
    Delete,
    Read,
    Other,
}

impl Purpose {
    pub fn of(method: &Method, path: &str) -> Self {
        let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
        match (method.as_str(), segments.as_slice()) {
            (_, ["v1", "accessTokens"]) => Self::Token,
            ("POST", ["v1", "listings"]) => Self::Create,
            ("PUT", ["v1", "listings", _]) => Self::ContentPut,
            ("POST", ["v1", "listings", _, "images"]) => Self::ImagePost,
            ("PUT", ["v1", "listings", _, "calendar" | "calendarIntervals"]) => Self::CalendarPut,
            ("DELETE", _) => Self::Delete,
            ("GET", _) => Self::Read,
            _ => Self::Other,
        }
    }
}

/// One call. `account` is 0 while or when unknown; `status` is 0 when no answer was sent.
#[derive(Debug, Clone)]
pub struct Record {
    pub at_us: u64,
    pub account: u64,
    pub ip: IpAddr,
    pub purpose: Purpose,
    pub method: Method,
    pub path: Box<str>,
    pub query: Box<str>,
    pub request_id: Option<Box<str>>,
    pub body_bytes: u32,
    /// Kept where the sandbox was told to, and never of a token call.
    pub body: Option<Box<str>>,
    pub status: u16,
    pub duration_us: u64,
}

#[derive(Default)]
struct Ring {
    records: VecDeque<Record>,
    /// Sequence number of the first record still held = number of records dropped.
    first: u64,
    /// Grows with every clearing, so that calls still running then do not write into the new records.
    generation: u64,
}

#[derive(Default)]
pub struct Arrivals(Mutex<Ring>);

impl Arrivals {
    /// Records a call at its arrival; the ticket fills in the rest.
    pub fn begin(&self, clock: &Clock, mut record: Record) -> Ticket<'_> {
        let mut ring = self.lock();
        record.at_us = clock.now_us();
        let at_us = record.at_us;
        if ring.records.len() == CAPACITY {
            ring.records.pop_front();
            ring.first += 1;
        }
        ring.records.push_back(record);
        let seq = ring.first + ring.records.len() as u64 - 1;
        let generation = ring.generation;
        Ticket { arrivals: self, seq, generation, at_us, began: Instant::now(), status: 0 }
    }

    /// Runs `read` over the records (oldest first) and the number of those dropped.
    pub fn read<T>(&self, read: impl FnOnce(&VecDeque<Record>, u64) -> T) -> T {
        let ring = self.lock();
        read(&ring.records, ring.first)
    }

    pub fn clear(&self) {
        let mut ring = self.lock();
        *ring = Ring { generation: ring.generation + 1, ..Ring::default() };
    }

    fn update(&self, seq: u64, generation: u64, change: impl FnOnce(&mut Record)) {
        let mut ring = self.lock();
        if ring.generation != generation {
            return;
        }
        let index = seq.checked_sub(ring.first).and_then(|index| usize::try_from(index).ok());
        if let Some(record) = index.and_then(|index| ring.records.get_mut(index)) {
            change(record);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Ring> {
        self.0.lock().expect("no holder of the arrivals panics")
    }
}

/// A call being answered. Dropped without a status (cut, or the client left), the record keeps status 0.
pub struct Ticket<'a> {
    arrivals: &'a Arrivals,
    seq: u64,
    generation: u64,
    pub at_us: u64,
    began: Instant,
    status: u16,
}

impl Ticket<'_> {
    pub fn identify(&self, account: Option<u64>, body_bytes: usize) {
        self.arrivals.update(self.seq, self.generation, |record| {
            record.account = account.unwrap_or(0);
            record.body_bytes = u32::try_from(body_bytes).unwrap_or(u32::MAX);
        });
    }

    pub fn keep(&self, body: &[u8]) {
        let body = String::from_utf8_lossy(body).into_owned().into_boxed_str();
        self.arrivals.update(self.seq, self.generation, |record| record.body = Some(body));
    }

    pub fn answered(mut self, status: u16) {
        self.status = status;
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let took: Duration = self.began.elapsed();
        self.arrivals.update(self.seq, self.generation, |record| {
            record.status = self.status;
            record.duration_us = saturate(took.as_micros());
        });
    }
}
