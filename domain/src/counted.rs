//! Numbers of things in words: one thing is no plural, and neither is what is said of it.

/// `1 event`, `2 events`.
pub fn counted(count: impl TryInto<u64>, one: &str) -> String {
    let count = count.try_into().unwrap_or(u64::MAX);
    if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") }
}

/// What is said of so many things: that of one, or that of several.
pub fn agreeing<'a>(count: impl TryInto<u64>, of_one: &'a str, of_several: &'a str) -> &'a str {
    if count.try_into().is_ok_and(|count| count == 1) { of_one } else { of_several }
}

#[cfg(test)]
mod tests {
    use super::{agreeing, counted};

    #[test]
    fn one_thing_is_no_plural() {
        assert_eq!([0, 1, 2].map(|count: u64| counted(count, "event")), ["0 events", "1 event", "2 events"]);
        assert_eq!([-1, 0, 1, 2].map(|count: i64| agreeing(count, "waits", "wait")), ["wait", "wait", "waits", "wait"]);
    }
}
