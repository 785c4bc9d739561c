//! What may have become of a message that NATS has taken: a wipe may have it, unless the intake had it before.

/// When NATS took a message, in microseconds since the epoch, and which of its stream it was.
#[derive(Debug, Clone, Copy, Default)]
pub struct Published {
    /// When it was sent.
    pub began_us: u64,
    /// When NATS had said that it has it.
    pub acked_us: u64,
    /// Its number in the stream of that time.
    pub sequence: u64,
}

/// A wipe of NATS, in microseconds since the epoch.
#[derive(Debug, Clone, Copy)]
pub struct Wipe {
    /// Nothing that NATS had taken before was missing yet.
    pub began_us: u64,
    /// Nothing that NATS had taken before is there any more.
    pub ended_us: u64,
    /// Just before it the intake had acknowledged every message up to this one; 0 where that is not known.
    pub acknowledged: u64,
}

impl Published {
    /// Whether a wipe may have it. What the intake had acknowledged was in Postgres by then, so no wipe loses it.
    pub fn may_be_lost(&self, wipes: &[Wipe]) -> bool {
        // Later ones met another stream.
        let met = wipes.iter().filter(|wipe| self.began_us <= wipe.ended_us).min_by_key(|wipe| wipe.ended_us);
        met.is_some_and(|wipe| self.acked_us >= wipe.began_us || self.sequence > wipe.acknowledged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAKEN: Published = Published { began_us: 10, acked_us: 12, sequence: 5 };

    fn wipe(began_us: u64, ended_us: u64, acknowledged: u64) -> Wipe {
        Wipe { began_us, ended_us, acknowledged }
    }

    #[test]
    fn a_wipe_may_have_what_the_intake_had_not_acknowledged() {
        assert!(TAKEN.may_be_lost(&[wipe(20, 21, 4)]));
        assert!(TAKEN.may_be_lost(&[wipe(20, 21, 0)]), "what the intake had is not known");
        assert!(TAKEN.may_be_lost(&[wipe(11, 13, 9)]), "NATS that was wiped may have said it, and the one after it");
    }

    #[test]
    fn no_wipe_has_what_came_after_it_or_was_in_postgres() {
        assert!(!TAKEN.may_be_lost(&[]), "there was none");
        assert!(!TAKEN.may_be_lost(&[wipe(1, 9, 0)]), "it came after it");
        assert!(!TAKEN.may_be_lost(&[wipe(20, 21, 5)]), "the intake had acknowledged it");
        assert!(!TAKEN.may_be_lost(&[wipe(30, 31, 0), wipe(20, 21, 5)]), "the second one met another stream");
        assert!(TAKEN.may_be_lost(&[wipe(1, 9, 7), wipe(20, 21, 4)]), "that of the first wipe was another stream, too");
    }
}
