//! Listings at a channel to which several of ours write, whoever's these are: each change of one overwrites the others. A target refuses
//! that when it links, and one of the same account where it would take up again what is linked at another; what a person names at both is
//! linked, and an older build believed whatever a channel said.

use adapters::dispatch::ACCOUNT_SCOPE;
use domain::counted::counted;
use sqlx::{FromRow, PgPool};

use super::report::Report;

/// So many are named.
const MOST: usize = 10;

const ADVICE: &str = "each change of one overwrites the others. Send the one that it is of: `distribution listing sync LISTING \
                      --reason REASON`. Then, for each other one, `distribution listing unlink LISTING --reason REASON` and \
                      `distribution listing link --target TARGET --unit UNIT --afresh`, which looks for its own and makes it \
                      where there is none";

#[derive(FromRow)]
struct Shared {
    channel_account: String,
    external_id: String,
    listings: Vec<String>,
    /// How many such there are.
    in_all: i64,
}

fn shared() -> String {
    format!(
        "SELECT t.channel_account, l.external_id, count(*) OVER () AS in_all,
             array_agg(format('%s (unit %s, target %s of %s)', l.listing_id, l.unit_id, t.name, l.org_id)
                       ORDER BY l.linked_at, l.listing_id) AS listings
         FROM channel_listings AS l JOIN channel_targets AS t ON t.target_id = l.target_id AND t.lifecycle <> 'deleted'
         WHERE l.external_id IS NOT NULL AND l.state <> 'unlinked'
         GROUP BY {ACCOUNT_SCOPE}, t.channel_account, l.external_id HAVING count(*) > 1
         ORDER BY t.channel_account, l.external_id LIMIT {MOST}"
    )
}

pub(super) async fn check(pool: &PgPool, report: &mut Report) -> anyhow::Result<()> {
    let shared: Vec<Shared> = sqlx::query_as(&shared()).fetch_all(pool).await?;
    let Some(in_all) = shared.first().map(|first| first.in_all) else {
        return report.ok("listings", "no two write to one at a channel");
    };
    for Shared { channel_account, external_id, listings, .. } in &shared {
        let ours = listings.join(" and ");
        report.warn(
            "listings",
            format!("{external_id} of account {channel_account} is written to by {ours}"),
            ADVICE,
        )?;
    }
    let more = usize::try_from(in_all).unwrap_or_default().saturating_sub(shared.len());
    if more > 0 {
        let detail = format!("{} more at channels are written to by several of ours", counted(more, "listing"));
        report.warn("listings", detail, "mend these, and run this again")?;
    }
    Ok(())
}
