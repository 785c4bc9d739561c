//! Which of the checks that are due a dispatcher takes: it has so many places for them, and an organisation whose targets hang does not
//! get all of these.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::ids::TargetId;
use uuid::Uuid;

use super::DispatchStore;

/// Checks that one look reads at most. Others may wait behind those of an organisation that gets no more places: the next look goes
/// on there.
const MOST_SEEN: u16 = 1_000;

/// A check that this dispatcher is to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueCheck {
    /// The target.
    pub target_id: TargetId,
    /// Whose it is; empty while no read model knows the target.
    pub org_id: String,
    /// Its id, which its row will have.
    pub check_id: Uuid,
    /// Who wants to know.
    pub asked_by: String,
}

/// The places for checks of one dispatcher, and how far it has looked.
#[derive(Debug, Clone, Default)]
pub struct CheckRoom {
    /// Places that are free.
    pub free: usize,
    /// How many each organisation has, as [`DueCheck::org_id`] names it.
    pub under_way: HashMap<String, usize>,
    /// The last check that was read, where there may be more behind it.
    pub after: Option<(DateTime<Utc>, TargetId)>,
}

/// Target, when its check was due, and whose it is.
type Due = (Uuid, DateTime<Utc>, String);

impl CheckRoom {
    /// Those that get a place: first of who has fewest, then what has waited for longest. An organisation gets a further one only
    /// where more are free than it has. So one alone has half of them, two have a third each, and there is one for whoever comes next, until
    /// as many have one as there are places.
    fn share(&self, due: &[Due]) -> Vec<Uuid> {
        let mut taken: HashMap<&str, usize> =
            self.under_way.iter().map(|(org_id, count)| (org_id.as_str(), *count)).collect();
        let mut further: Vec<(usize, Uuid)> = Vec::new();
        for (target, _, org_id) in due {
            let count = taken.entry(org_id).or_default();
            *count += 1;
            further.push((*count, *target));
        }
        further.sort_by_key(|(count, _)| *count);
        let free = (1..=self.free).rev();
        let placed = further.into_iter().zip(free).take_while(|((count, _), free)| count <= free);
        placed.map(|((_, target), _)| target).collect()
    }
}

impl DispatchStore {
    /// Takes checks that are due, for so long; nobody else makes them meanwhile.
    pub async fn take_checks(&self, room: &mut CheckRoom, lease: Duration) -> Result<Vec<DueCheck>, sqlx::Error> {
        let (due_at, target) = room.after.unwrap_or((DateTime::UNIX_EPOCH, TargetId(Uuid::nil())));
        let mut transaction = self.begin_ordered_by_time().await?;
        let due: Vec<Due> = sqlx::query_as(
            "SELECT k.target_id, k.due_at, coalesce(t.org_id, '')
             FROM (SELECT target_id, due_at FROM dispatch_checks
                   WHERE due_at >= $1 AND (due_at, target_id) > ($1, $2)
                       AND due_at <= now() AND due_at < 'infinity' AND lease_until <= now()
                   ORDER BY due_at, target_id LIMIT $3) k
             LEFT JOIN channel_targets t USING (target_id)
             ORDER BY k.due_at, k.target_id",
        )
        .bind(due_at)
        .bind(target.0)
        .bind(i64::from(MOST_SEEN))
        .fetch_all(&mut *transaction)
        .await?;
        let goes_on = due.len() >= usize::from(MOST_SEEN);
        room.after = due.last().filter(|_| goes_on).map(|(target, due_at, _)| (*due_at, TargetId(*target)));
        let share = room.share(&due);
        let mut taken: Vec<(Uuid, Uuid, String)> = Vec::new();
        if !share.is_empty() {
            taken = sqlx::query_as(
                "WITH due AS MATERIALIZED (
                     SELECT target_id FROM dispatch_checks
                     WHERE target_id = ANY($1) AND due_at <= now() AND lease_until <= now() FOR UPDATE SKIP LOCKED
                 ), lanes AS (
                     INSERT INTO dispatch_lanes (target_id, wake_at) SELECT target_id, 'infinity' FROM due ORDER BY 1
                     ON CONFLICT DO NOTHING
                 )
                 UPDATE dispatch_checks k SET lease_until = clock_timestamp() + make_interval(secs => $2)
                 FROM due WHERE k.target_id = due.target_id RETURNING k.target_id, k.check_id, k.asked_by",
            )
            .bind(share)
            .bind(lease.as_secs_f64())
            .fetch_all(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
        let mut owners: HashMap<Uuid, String> = due.into_iter().map(|(target, _, org_id)| (target, org_id)).collect();
        let check = |(target, check_id, asked_by): (Uuid, Uuid, String)| {
            let org_id = owners.remove(&target).unwrap_or_default();
            DueCheck { target_id: TargetId(target), org_id, check_id, asked_by }
        };
        Ok(taken.into_iter().map(check).collect())
    }
}
