//! A slot in a worker's hands.

use adapters::dispatch::SlotHold;

use super::START_GRACE;
use super::boot_instant::BootInstant;

/// A slot that was granted, and when: taken before the grant was written, so that the shared table keeps the slot for
/// longer than this process does.
#[derive(Debug)]
pub(crate) struct Granted {
    pub hold: SlotHold,
    pub at: BootInstant,
}

impl Granted {
    /// A call may still start.
    pub(crate) fn can_start(&self) -> bool {
        self.at.elapsed() < START_GRACE
    }
}

#[cfg(test)]
mod tests {
    use domain::ids::TargetId;
    use uuid::Uuid;

    use super::*;

    /// The time that the machine was suspended for is a part of it: another call may have the slot by now.
    #[test]
    fn a_call_starts_within_the_grace_of_its_slot_or_not_at_all() {
        let granted = |at| {
            let hold = SlotHold { hold_id: Uuid::nil(), target_id: TargetId(Uuid::nil()), slots: Vec::new() };
            Granted { hold, at }
        };
        assert!(granted(BootInstant::now()).can_start());
        assert!(!granted(BootInstant::ago(START_GRACE)).can_start());
    }
}
