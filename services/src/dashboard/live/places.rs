//! The places for those who look live: a process has so many, and neither a caller nor an organisation gets all of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::access::Caller;
use domain::counted::counted;
use domain::ids::OrgId;

use crate::api::problem::{Problem, ProblemKind};

/// Streams of one process at the same time, at most.
const PLACES: usize = 2_000;
/// Those of one caller: more pages than one looks at, and a browser that has HTTP/1.1 opens six.
const OF_A_CALLER: usize = 20;
/// When to try again, in seconds; the script does so, too.
const LATER_S: u64 = 30;

/// How many there are, and those that are taken. Clones are one.
#[derive(Debug, Clone)]
pub(super) struct Places {
    most: usize,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_org: HashMap<OrgId, OfOrg>,
}

#[derive(Debug, Default)]
struct OfOrg {
    all: usize,
    by_subject: HashMap<String, usize>,
}

/// A place, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Places,
    org_id: OrgId,
    subject: String,
}

impl Places {
    /// In a process that takes so many connections: half of them are for those who ask for something else.
    pub(super) fn among(connections: usize) -> Self {
        Self { most: PLACES.min(connections / 2), taken: Arc::default() }
    }

    /// A place for a caller. An organisation gets a further one only while more are free than it has: one alone has half of them, two
    /// have a third each, and there is one for whoever comes next.
    pub(super) fn take(&self, caller: &Caller) -> Result<Place, Problem> {
        let mut taken = self.taken();
        let free = self.most.saturating_sub(taken.all);
        let org = taken.by_org.entry(caller.org_id.clone()).or_default();
        let own = org.by_subject.get(&caller.subject).copied().unwrap_or_default();
        let refused = if own >= OF_A_CALLER {
            let reason = format!("you look live at {} already: close one that you do not need", counted(own, "page"));
            Some(ProblemKind::RateLimited.because(reason))
        } else if org.all >= free && org.all == 0 {
            Some(ProblemKind::Unavailable.because("too many look live; reload the page instead"))
        } else if org.all >= free {
            let has = counted(org.all, "live page");
            let reason = format!("your organisation has {has}, and no more are free; reload the page instead");
            Some(ProblemKind::RateLimited.because(reason))
        } else {
            None
        };
        if let Some(refused) = refused {
            taken.forget_who_has_none(&caller.org_id);
            return Err(refused.retry_after(LATER_S));
        }
        org.all += 1;
        *org.by_subject.entry(caller.subject.clone()).or_default() += 1;
        taken.all += 1;
        Ok(Place { places: self.clone(), org_id: caller.org_id.clone(), subject: caller.subject.clone() })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    fn forget_who_has_none(&mut self, org_id: &OrgId) {
        if self.by_org.get(org_id).is_some_and(|org| org.all == 0) {
            self.by_org.remove(org_id);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.all -= 1;
        if let Some(org) = taken.by_org.get_mut(&self.org_id) {
            org.all -= 1;
            if let Some(own) = org.by_subject.get_mut(&self.subject) {
                *own -= 1;
            }
            org.by_subject.retain(|_, own| *own > 0);
        }
        taken.forget_who_has_none(&self.org_id);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use domain::access::{Accounts, CredentialKind};

    use super::*;

    fn caller(org: &str, number: usize) -> Caller {
        Caller {
            subject: format!("viewer-{number}"),
            org_id: org.parse().unwrap(),
            accounts: Accounts::All,
            roles: BTreeSet::new(),
            credential: CredentialKind::Session,
            credential_id: "1".to_owned(),
        }
    }

    /// As many as an organisation gets, each by another caller, and what the next one is told.
    fn all_of(places: &Places, org: &str) -> (Vec<Place>, u16) {
        let mut had = Vec::new();
        loop {
            match places.take(&caller(org, had.len())) {
                Ok(place) => had.push(place),
                Err(problem) => return (had, problem.status),
            }
        }
    }

    #[test]
    fn a_caller_has_twenty_and_gets_another_one_for_each_that_ends() {
        let places = Places::among(20_000);
        let mut had: Vec<Place> = (0..OF_A_CALLER).map(|_| places.take(&caller("a", 1)).unwrap()).collect();
        assert_eq!(places.take(&caller("a", 1)).unwrap_err().status, 429);
        had.push(places.take(&caller("a", 2)).unwrap());
        // The same name in another organisation is somebody else.
        had.push(places.take(&caller("b", 1)).unwrap());
        drop(had.remove(0));
        had.push(places.take(&caller("a", 1)).unwrap());
        drop(had);
        let left = places.taken();
        assert!(left.all == 0 && left.by_org.is_empty(), "{left:?}");
    }

    #[test]
    fn those_who_look_live_leave_half_of_few_connections_to_others() {
        let (had, told) = all_of(&Places::among(600), "a");
        assert_eq!((had.len(), told), (150, 429));
    }

    #[test]
    fn an_organisation_has_half_and_leaves_places_for_others() {
        let places = Places::among(20_000);
        let (first, told) = all_of(&places, "a");
        assert_eq!((first.len(), told), (PLACES / 2, 429));
        let (second, told) = all_of(&places, "b");
        assert_eq!((second.len(), told), (PLACES / 4, 429));
        let mut others = Vec::new();
        let told = (0..).find_map(|number| {
            let (had, told) = all_of(&places, &format!("org-{number}"));
            let none = had.is_empty();
            others.push(had);
            none.then_some(told)
        });
        assert_eq!((told, places.taken().all), (Some(503), PLACES), "whoever has none is not told to have too many");
        drop((second, others));
        assert_eq!(places.taken().by_org.len(), 1);
    }
}
