//! Nothing of an organisation is found with another: in its rows, its calls, and what the API tells it. And the API tells each
//! of its own, so that to find nothing means something.

use std::time::Duration;

use super::arrivals::Arrival;
use crate::plan::{ORGS, PLACES};
use crate::workload::{UnitModel, listing_id};
use crate::world::World;

/// Nothing is broken any more.
const TO_ANSWER: Duration = Duration::from_secs(60);

/// What tells of each organisation: its name, which its units have in theirs, and its targets.
#[derive(Debug)]
pub(super) struct Marks(Vec<Vec<String>>);

impl Marks {
    pub(super) fn of(world: &World) -> Self {
        let targets = |org: usize| {
            let own = world.targets.iter().zip(&PLACES).filter(move |(_, place)| place.org == org);
            own.map(|(target, _)| target.to_string())
        };
        Self((0..ORGS.len()).map(|org| targets(org).chain([ORGS[org].to_owned()]).collect()).collect())
    }

    /// What tells of others than this one.
    fn of_others(&self, org: usize) -> impl Iterator<Item = &str> {
        let others = self.0.iter().enumerate().filter(move |(other, _)| *other != org);
        others.flat_map(|(_, marks)| marks.iter().map(String::as_str))
    }

    /// The first mark of another organisation in a text of one.
    pub(super) fn strangers_in(&self, org: usize, text: &str) -> Option<&str> {
        self.of_others(org).find(|mark| text.contains(mark))
    }
}

pub(super) async fn check(world: &World, arrivals: &[Arrival], units: &[UnitModel]) -> anyhow::Result<Vec<String>> {
    let marks = Marks::of(world);
    let mut wrong = rows(world, &marks).await?;
    wrong.extend(arrivals.iter().filter_map(|arrival| call(arrival, &marks)));
    for (org, name) in ORGS.iter().enumerate() {
        for path in [
            "targets?limit=500",
            "listings?limit=500",
            "queue?limit=500",
            "audit?limit=500",
            "dead-letters?limit=500",
            "service-levels",
        ] {
            let told = pages(world, org, path).await?;
            if let Some(stranger) = marks.strangers_in(org, &told) {
                wrong.push(format!("GET {path} tells {name} of {stranger}"));
            }
            let own = own(world, units, org, path)?;
            wrong.extend(untold(&told, &own).map(|lacking| format!("GET {path} does not tell {name} of {lacking}")));
        }
    }
    Ok(wrong)
}

/// All pages of a list as one text.
async fn pages(world: &World, org: usize, path: &str) -> anyhow::Result<String> {
    let (mut told, mut cursor) = (String::new(), String::new());
    loop {
        let page = world.callers[org].read(&format!("/api/channels/{path}{cursor}"), TO_ANSWER).await?;
        told.push_str(&page.to_string());
        let Some(next) = page["next_cursor"].as_str() else { return Ok(told) };
        cursor = format!("&cursor={next}");
    }
}

/// What an organisation has to be told of by a list: ids of its targets, and of listings that are linked.
fn own(world: &World, units: &[UnitModel], org: usize, path: &str) -> anyhow::Result<Vec<String>> {
    match path.split('?').next() {
        Some("targets") => {
            let own = world.targets.iter().zip(&PLACES).filter(|(_, place)| place.org == org);
            Ok(own.map(|(target, _)| target.to_string()).collect())
        }
        Some("listings") => {
            let own = units.iter().filter(|model| model.org == org);
            let linked = own.flat_map(|model| model.linked.iter().map(move |place| (model, *place)));
            let id = |(model, place): (&UnitModel, usize)| listing_id(world, &model.unit_id, place);
            linked.map(|listing| id(listing).map(|id| id.to_string())).collect()
        }
        _ => Ok(Vec::new()),
    }
}

/// Ids that are not in what was told.
fn untold<'a>(told: &'a str, wanted: &'a [String]) -> impl Iterator<Item = &'a str> {
    wanted.iter().map(String::as_str).filter(move |id| !told.contains(id))
}

fn call(arrival: &Arrival, marks: &Marks) -> Option<String> {
    let place = PLACES.iter().find(|place| Some(place.account) == arrival.account)?;
    let text = format!("{} {} {}", arrival.path, arrival.query, arrival.body.as_deref().unwrap_or_default());
    let stranger = marks.strangers_in(place.org, &text)?;
    Some(format!("a call to account {} of {} carries {stranger}: {text}", place.account, ORGS[place.org]))
}

const TABLES: &str = "
SELECT table_name::text FROM information_schema.columns
WHERE table_schema = 'public' AND column_name = 'org_id'
    AND table_name IN (SELECT table_name FROM information_schema.tables WHERE table_type = 'BASE TABLE')
ORDER BY 1";

async fn rows(world: &World, marks: &Marks) -> anyhow::Result<Vec<String>> {
    let tables: Vec<String> = sqlx::query_scalar(TABLES).fetch_all(&world.pool).await?;
    anyhow::ensure!(tables.len() > 5, "tables have organisations: {tables:?}");
    let mut wrong = Vec::new();
    for table in tables {
        for (index, org) in ORGS.iter().enumerate() {
            let others = marks.of_others(index).collect::<Vec<_>>().join("|");
            let sql = format!("SELECT count(*) FROM {table} AS t WHERE org_id = $1 AND t::text ~ $2");
            let found: i64 = sqlx::query_scalar(&sql).bind(org).bind(&others).fetch_one(&world.pool).await?;
            if found > 0 {
                wrong.push(format!("{found} rows of {table} of {org} tell of {others}"));
            }
        }
    }
    Ok(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks() -> Marks {
        let marks = |org: &&str| vec![format!("target-of-{}", &org[..1]), (*org).to_owned()];
        Marks(ORGS.iter().map(marks).collect())
    }

    fn arrival(account: u64, body: &str) -> Arrival {
        Arrival {
            at_us: 1,
            account: Some(account),
            ip: std::net::Ipv4Addr::LOCALHOST,
            purpose: "content_put".to_owned(),
            method: "PUT".to_owned(),
            path: "/v1/listings/7".to_owned(),
            query: String::new(),
            body: Some(body.to_owned()),
            request_id: None,
            status: Some(200),
        }
    }

    #[test]
    fn another_organisation_is_seen_and_ones_own_is_not() {
        let marks = marks();
        assert_eq!(marks.strangers_in(0, "a villa of aurora at target-of-a"), None);
        assert_eq!(marks.strangers_in(0, "borealis-villa-0001"), Some("borealis"));
        assert_eq!(marks.strangers_in(0, "a villa of aurora at target-of-b"), Some("target-of-b"));
    }

    #[test]
    fn a_call_that_carries_anothers_unit_is_seen() {
        let first = PLACES[0];
        assert_eq!(call(&arrival(first.account, "a house of aurora"), &marks()), None);
        assert!(call(&arrival(first.account, "a house of cascade"), &marks()).is_some());
    }

    #[test]
    fn what_a_list_should_tell_and_does_not_is_seen() {
        let wanted = ["one".to_owned(), "two".to_owned()];
        assert_eq!(untold(r#"{"items":["one"]}"#, &wanted).collect::<Vec<_>>(), ["two"]);
        assert_eq!(untold(r#"{"items":["one","two"]}"#, &wanted).count(), 0);
    }
}
