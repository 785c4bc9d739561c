//! Rows to columns: what an UNNEST statement binds. Numbers that do not fit a column are held at its limit.

use domain::channel::{RejectedPart, Section};

/// One field of every row, as the array that UNNEST takes.
pub(crate) fn column<'a, R, T>(rows: &'a [R], field: impl Fn(&'a R) -> T) -> Vec<T> {
    rows.iter().map(field).collect()
}

/// A count as `bigint`.
pub(crate) fn bigint(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A count as `integer`.
pub(crate) fn integer(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// Sections joined by commas: UNNEST cannot take arrays of unequal length, so `string_to_array` parts them in SQL.
pub(crate) fn joined(sections: &[Section]) -> String {
    sections.iter().map(|section| section.as_str()).collect::<Vec<_>>().join(",")
}

/// Refused parts as JSON text.
pub(crate) fn rejected_json(parts: &[RejectedPart]) -> String {
    if parts.is_empty() {
        return "[]".to_owned();
    }
    serde_json::to_string(parts).expect("refused parts are plain text")
}
