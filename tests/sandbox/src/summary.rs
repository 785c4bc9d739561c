//! What the sandbox saw, per account and per IP: calls, writes by kind, refusals, and the worst window, counted over
//! every arrival still in the ring (token calls, reads and refused calls included).

use std::{collections::BTreeMap, net::IpAddr};

use serde::Serialize;

use crate::{
    arrivals::{Purpose, Record},
    windows::worst_window,
    world::World,
};

/// Writes that were not refused by a limit, by kind. Counted by arrival, so a write whose answer was cut is in it.
#[derive(Debug, Default, Serialize)]
struct Writes {
    creates: usize,
    content_puts: usize,
    image_posts: usize,
    calendar_puts: usize,
    deletes: usize,
    token: usize,
}

#[derive(Debug, Default, Serialize)]
struct AccountSummary {
    calls: usize,
    reads: usize,
    writes: Writes,
    refused_429: usize,
    worst_window: usize,
    worst_window_at_us: u64,
    first_at_us: u64,
    last_at_us: u64,
    listings: usize,
    duplicate_references: usize,
}

#[derive(Debug, Default, Serialize)]
struct IpSummary {
    calls: usize,
    refused_429: usize,
    worst_window: usize,
    worst_window_at_us: u64,
}

#[derive(Debug, Serialize)]
pub struct Summary {
    window_ms: u64,
    calls: usize,
    /// Calls without a known account (no or unknown token, wrong client id).
    unidentified_calls: usize,
    /// Records that the ring has dropped: above 0 the figures are not the whole story.
    dropped_records: u64,
    accounts: BTreeMap<u64, AccountSummary>,
    ips: BTreeMap<IpAddr, IpSummary>,
}

#[derive(Default)]
struct Times {
    accounts: BTreeMap<u64, Vec<u64>>,
    ips: BTreeMap<IpAddr, Vec<u64>>,
}

pub fn summarise(world: &World, window_ms: u64) -> Summary {
    let mut summary = Summary {
        window_ms,
        calls: 0,
        unidentified_calls: 0,
        dropped_records: 0,
        accounts: world.accounts().keys().map(|id| (*id, AccountSummary::default())).collect(),
        ips: BTreeMap::new(),
    };
    let mut times = Times::default();
    world.arrivals.read(|records, dropped| {
        summary.dropped_records = dropped;
        for record in records {
            count(&mut summary, &mut times, record);
        }
    });
    let window_us = window_ms.saturating_mul(1000);
    for (id, times) in &times.accounts {
        let account = summary.accounts.entry(*id).or_default();
        let worst = worst_window(times, window_us);
        (account.worst_window, account.worst_window_at_us) = (worst.calls, worst.starts_at_us);
        account.first_at_us = times.first().copied().unwrap_or(0);
        account.last_at_us = times.last().copied().unwrap_or(0);
    }
    for (ip, times) in &times.ips {
        let worst = worst_window(times, window_us);
        let ip = summary.ips.entry(*ip).or_default();
        (ip.worst_window, ip.worst_window_at_us) = (worst.calls, worst.starts_at_us);
    }
    for (id, account) in world.accounts() {
        let books = account.books();
        let row = summary.accounts.entry(id).or_default();
        (row.listings, row.duplicate_references) = (books.listings.len(), books.duplicate_references());
    }
    summary
}

fn count(summary: &mut Summary, times: &mut Times, record: &Record) {
    let refused = record.status == 429;
    summary.calls += 1;
    let ip = summary.ips.entry(record.ip).or_default();
    ip.calls += 1;
    ip.refused_429 += usize::from(refused);
    times.ips.entry(record.ip).or_default().push(record.at_us);
    if record.account == 0 {
        summary.unidentified_calls += 1;
        return;
    }
    times.accounts.entry(record.account).or_default().push(record.at_us);
    let account = summary.accounts.entry(record.account).or_default();
    account.calls += 1;
    if refused {
        account.refused_429 += 1;
        return;
    }
    let counter = match record.purpose {
        Purpose::Token => &mut account.writes.token,
        Purpose::Create => &mut account.writes.creates,
        Purpose::ContentPut => &mut account.writes.content_puts,
        Purpose::ImagePost => &mut account.writes.image_posts,
        Purpose::CalendarPut => &mut account.writes.calendar_puts,
        Purpose::Delete => &mut account.writes.deletes,
        Purpose::Read | Purpose::Other => &mut account.reads,
    };
    *counter += 1;
}
