//! Where live targets lead to: whether `serve` would call it. Nothing is called.

use domain::counted::counted;
use sqlx::PgPool;

use super::report::Report;
use crate::config::ChannelReach;

const ADDRESSES: &str = "
SELECT base_url, array_agg(name ORDER BY name) FROM channel_targets WHERE lifecycle <> 'deleted'
GROUP BY base_url ORDER BY base_url";

pub(super) async fn check(pool: &PgPool, reach: ChannelReach, report: &mut Report) -> anyhow::Result<()> {
    let addresses: Vec<(String, Vec<String>)> = sqlx::query_as(ADDRESSES).fetch_all(pool).await?;
    let mut allowed: usize = 0;
    for (base_url, targets) in &addresses {
        let Err(forbidden) = reach.destinations().check(base_url).await else {
            allowed += 1;
            continue;
        };
        let detail = format!("{base_url} is not called: {forbidden} (targets: {})", targets.join(", "));
        let advice = "run `distribution serve` and this with --allow-private-channels, or give them another address: \
                      `distribution target configure TARGET --base-url URL`";
        report.fail("channels", detail, advice)?;
    }
    if allowed == addresses.len() && allowed > 0 {
        report.ok("channels", format!("{} may be called", counted(allowed, "base URL")))?;
    }
    Ok(())
}
