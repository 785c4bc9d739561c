//! Nothing of an organisation is found with another: in its rows, its calls, and what the API tells it.

use super::arrivals::Arrival;
use crate::plan::{ORGS, PLACES};
use crate::world::World;

/// The first other organisation that a text of one tells of.
pub(super) fn strangers_in(org: usize, text: &str) -> Option<&'static str> {
    ORGS.iter().enumerate().filter(|(other, _)| *other != org).map(|(_, name)| *name).find(|name| text.contains(name))
}

pub(super) async fn check(world: &World, arrivals: &[Arrival]) -> anyhow::Result<Vec<String>> {
    let mut wrong = rows(world).await?;
    wrong.extend(arrivals.iter().filter_map(call));
    for (org, caller) in world.callers.iter().enumerate() {
        for path in [
            "targets?limit=500",
            "listings?limit=500",
            "queue?limit=500",
            "audit?limit=500",
            "dead-letters?limit=500",
            "service-levels",
        ] {
            let mut cursor = String::new();
            loop {
                let page = caller.read(&format!("/api/channels/{path}{cursor}")).await?;
                if let Some(stranger) = strangers_in(org, &page.to_string()) {
                    wrong.push(format!("GET {path} tells {} of {stranger}", ORGS[org]));
                }
                let Some(next) = page["next_cursor"].as_str() else { break };
                cursor = format!("&cursor={next}");
            }
        }
    }
    Ok(wrong)
}

fn call(arrival: &Arrival) -> Option<String> {
    let place = PLACES.iter().find(|place| Some(place.account) == arrival.account)?;
    let text = format!("{} {} {}", arrival.path, arrival.query, arrival.body.as_deref().unwrap_or_default());
    let stranger = strangers_in(place.org, &text)?;
    Some(format!("a call to account {} of {} carries {stranger}: {text}", place.account, ORGS[place.org]))
}

const TABLES: &str = "
SELECT table_name::text FROM information_schema.columns
WHERE table_schema = 'public' AND column_name = 'org_id'
    AND table_name IN (SELECT table_name FROM information_schema.tables WHERE table_type = 'BASE TABLE')
ORDER BY 1";

async fn rows(world: &World) -> anyhow::Result<Vec<String>> {
    let tables: Vec<String> = sqlx::query_scalar(TABLES).fetch_all(&world.pool).await?;
    anyhow::ensure!(tables.len() > 5, "tables have organisations: {tables:?}");
    let mut wrong = Vec::new();
    for table in tables {
        for (index, org) in ORGS.iter().enumerate() {
            let others: Vec<&str> = (0..ORGS.len()).filter(|other| *other != index).map(|other| ORGS[other]).collect();
            let sql = format!("SELECT count(*) FROM {table} AS t WHERE org_id = $1 AND t::text ~ $2");
            let found: i64 = sqlx::query_scalar(&sql).bind(org).bind(others.join("|")).fetch_one(&world.pool).await?;
            if found > 0 {
                wrong.push(format!("{found} rows of {table} of {org} tell of {}", others.join(" or ")));
            }
        }
    }
    Ok(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_organisation_is_seen_and_ones_own_is_not() {
        assert_eq!(strangers_in(0, "a villa of aurora"), None);
        assert_eq!(strangers_in(0, "borealis-villa-0001"), Some("borealis"));
    }
}
