//! Where live targets lead to: whether `serve` would call it, and whether it is spelled as it is kept today, as accounts go by the text. Nothing
//! is called.

use domain::counted::counted;
use domain::target::bounds::checked_root;
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
        spelled(base_url, targets, report)?;
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

/// Older builds took other spellings of one address.
fn spelled(base_url: &str, targets: &[String], report: &mut Report) -> anyhow::Result<()> {
    let (wrong, url) = match checked_root(base_url) {
        Ok(kept) if kept == base_url => return Ok(()),
        Ok(kept) => ("is spelled as no address is kept now".to_owned(), kept),
        Err(refused) => (format!("would be refused now ({refused})"), "URL".to_owned()),
    };
    let detail = format!(
        "{base_url} {wrong}: an account there is another one than the same by its usual spelling, with a window of its own, \
         and who holds a listing at the channel is looked for in each apart (targets: {})",
        targets.join(", ")
    );
    report.warn("channels", detail, format!("set it again: `distribution target configure TARGET --base-url {url}`"))
}
