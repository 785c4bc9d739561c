//! Room in memory for payloads: how much of it all have together that are at hand at the same time. Whoever has a part of it gives it back
//! with the payload.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Below this a payload needs none: most are, and there are never more than syncs or requests under way.
pub(super) const NEEDS_NO_ROOM: u64 = 64 * 1024;

/// So many bytes.
#[derive(Debug)]
pub(super) struct Room {
    free: Arc<Semaphore>,
    bytes: u32,
}

/// A part of it; of a usual payload it is none.
#[derive(Debug)]
pub(super) struct Share(Option<OwnedSemaphorePermit>);

impl Room {
    pub(super) fn of(bytes: u32) -> Self {
        Self { free: Arc::new(Semaphore::new(usize::try_from(bytes).unwrap_or(Semaphore::MAX_PERMITS))), bytes }
    }

    /// What is larger than the room has all of it, alone.
    fn needed(&self, bytes: u64) -> u32 {
        if bytes <= NEEDS_NO_ROOM { 0 } else { u32::try_from(bytes).unwrap_or(u32::MAX).min(self.bytes) }
    }

    /// A share for so many bytes, at once or not at all.
    pub(super) fn at_once(&self, bytes: u64) -> Option<Share> {
        self.fit(Share(None), bytes)
    }

    /// The same for whoever can wait a little; all who wait have their turn.
    pub(super) async fn within(&self, patience: Duration, bytes: u64) -> Option<Share> {
        let needed = self.needed(bytes);
        if needed == 0 {
            return Some(Share(None));
        }
        let acquired = timeout(patience, self.free.clone().acquire_many_owned(needed)).await;
        acquired.ok()?.ok().map(|permit| Share(Some(permit)))
    }

    /// Makes a share as large as it turns out that it has to be. Nobody waits for more: two who had something would wait for each other.
    pub(super) fn fit(&self, share: Share, bytes: u64) -> Option<Share> {
        let has = share.0.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let needs = self.needed(bytes);
        let lacking = u32::try_from(has).map_or(0, |has| needs.saturating_sub(has));
        if lacking > 0 {
            let mut all = self.free.clone().try_acquire_many_owned(lacking).ok()?;
            if let Some(had) = share.0 {
                all.merge(had);
            }
            return Some(Share(Some(all)));
        }
        let Share(Some(mut permit)) = share else { return Some(share) };
        // The rest goes back.
        drop(permit.split(has - usize::try_from(needs).unwrap_or(has)));
        Some(Share(Some(permit)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn usual_payloads_need_none_and_a_larger_one_than_all_of_it_comes_alone() {
        let room = Room::of(1_000_000);
        let one = room.at_once(700_000).expect("there is room");
        assert!(room.within(SHORT, 700_000).await.is_none());
        let usual: Vec<_> = (0..1_000).map(|_| room.at_once(NEEDS_NO_ROOM).expect("it needs none")).collect();
        drop((one, usual));
        let all = room.within(SHORT, 5_000_000).await.expect("it is alone");
        assert!(room.at_once(NEEDS_NO_ROOM + 1).is_none());
        drop(all);
        assert!(room.at_once(1_000_000).is_some());
    }

    #[tokio::test]
    async fn a_share_becomes_what_it_has_to_be() {
        let room = Room::of(1_000_000);
        let share = room.at_once(800_000).expect("there is room");
        let share = room.fit(share, 300_000).expect("less is always there");
        let other = room.at_once(700_000).expect("the rest went back");
        assert!(room.fit(share, 400_000).is_none(), "there is no more, and what it had is given back");
        assert!(room.at_once(300_000).is_some());
        let usual = room.fit(other, 10).expect("less is always there");
        assert!(room.at_once(1_000_000).is_some());
        drop(usual);
    }
}
