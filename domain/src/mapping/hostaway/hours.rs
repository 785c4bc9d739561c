//! Hostaway knows whole local hours only. A time between two hours moves to the side that promises the guest less, and
//! the shift is told.

use super::rejections::Rejections;
use crate::channel::Section;
use crate::unit::LocalTime;

/// Which neighbouring hour is safe.
#[derive(Clone, Copy)]
pub(super) enum Towards {
    /// The hour before: for the latest arrival and departure.
    Earlier,
    /// The hour after: for the earliest arrival. 23 stays 23, there is no hour 24.
    Later,
}

pub(super) fn whole_hour(time: LocalTime, towards: Towards, part: &str, rejections: &mut Rejections) -> u8 {
    let hour = match towards {
        Towards::Later if time.minute() > 0 => (time.hour() + 1).min(23),
        _ => time.hour(),
    };
    if time.minute() > 0 {
        let reason = format!("Hostaway takes whole hours; {hour:02}:00 was sent");
        rejections.add(Section::Content, part.to_owned(), &time.to_string(), reason);
    }
    hour
}
