//! The time as the sandbox and the journal tell it.

/// Microseconds since the epoch.
pub fn now_us() -> u64 {
    u64::try_from(chrono::Utc::now().timestamp_micros()).unwrap_or_default()
}
