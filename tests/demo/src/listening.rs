//! Where a service listens, as its own log says it. The log goes on over restarts, and a process that was killed may be the last one in it
//! that told an address: what was written before a process began is none of its own.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

/// How often it is looked for.
const BETWEEN: Duration = Duration::from_millis(100);
/// The longest that an answer may take.
const ANSWER: Duration = Duration::from_secs(2);

/// The address of the API of the process that writes to this log from that byte on, once it answers there; `None` where it does not in
/// time. It has one name everywhere: a browser takes the cookies of a secure host at `localhost`.
pub async fn api(log: &Path, from: u64, patience: Duration) -> Option<String> {
    let http = reqwest::Client::builder().no_proxy().timeout(ANSWER).build().ok()?;
    let since = Instant::now();
    loop {
        if let Some(address) = told(log, from)
            && answers(&http, &address).await
        {
            return Some(address.replace("127.0.0.1", "localhost"));
        }
        if since.elapsed() > patience {
            return None;
        }
        tokio::time::sleep(BETWEEN).await;
    }
}

fn told(log: &Path, from: u64) -> Option<String> {
    let mut file = File::open(log).ok()?;
    // Somebody may have emptied it since.
    let from = if file.metadata().ok()?.len() < from { 0 } else { from };
    file.seek(SeekFrom::Start(from)).ok()?;
    let mut written = Vec::new();
    file.read_to_end(&mut written).ok()?;
    let written = String::from_utf8_lossy(&written);
    let (_, told) = written.rsplit_once("the API listens at ")?;
    let (address, _) = told.split_once(';').filter(|(address, _)| address.starts_with("http://"))?;
    Some(address.to_owned())
}

async fn answers(http: &reqwest::Client, address: &str) -> bool {
    let asked = http.get(format!("{address}/version")).send().await;
    let Ok(answer) = asked else { return false };
    answer.json::<Value>().await.is_ok_and(|version| version["name"] == "distribution")
}
