//! The audit of an organisation that has had more syncs than are looked through for a page.

use end_to_end::api::Api;
use end_to_end::world::{ORG, World};
use serde_json::Value;

/// Syncs that there are: 20,000 are looked through for a page.
const SYNCS: i64 = 20_300;

/// The trace of every thousandth of them.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// Of ten units in three accounts, one a second; the third, fourth and fifth were rejected. The 10,000th is 15 s early, by a
/// clock that was set. Another organisation has as many, between them, in the same traces.
async fn fill(world: &World) -> anyhow::Result<()> {
    sqlx::query(
        "WITH written AS (
            INSERT INTO outbound_audit (sync_id, listing_id, idempotency_key, org_id, account_id, target_id, unit_id, ordinal,
                cause, revision, snapshot, needs, outcome, attempts, created_by, credential, correlation_id, traceparent,
                requested_at, finished_at, position, updated_position)
            SELECT gen_random_uuid(), ('00000000-0000-7000-8000-' || lpad((n % 10)::text, 12, '0'))::uuid,
                decode(lpad(to_hex(n * 2 + other), 64, '0'), 'hex'), CASE other WHEN 0 THEN $1 ELSE 'elsewhere' END,
                'account-' || least(n % 10, 2), '00000000-0000-7000-8000-00000000000a'::uuid, 'villa-00' || n % 10, n,
                'unit_changed', n, decode(lpad('', 64, '0'), 'hex'), '{rates}',
                CASE WHEN n BETWEEN 3 AND 5 THEN 'rejected' ELSE 'accepted' END, 1, 'service:intake', 'service',
                gen_random_uuid(),
                '00-' || CASE n % 1000 WHEN 0 THEN $3 ELSE lpad(to_hex(n), 32, 'a') END || '-00f067aa0ba902b7-00',
                at, at, n * 2 + other, n * 2 + other
            FROM generate_series(1, $2) AS n, generate_series(0, 1) AS other,
                LATERAL (SELECT timestamptz '2026-01-01T00:00:00Z'
                    + make_interval(secs => CASE n WHEN 10000 THEN 9985 ELSE n END) AS at) AS clock
         ), linked AS (
            INSERT INTO channel_listings (listing_id, org_id, account_id, unit_id, target_id, state, generation, linked_by,
                linked_at, version, updated_at, position)
            SELECT ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, $1, 'account-' || least(n, 2), 'villa-00' || n,
                '00000000-0000-7000-8000-00000000000a'::uuid, 'active', 1, 'test', now(), 1, now(), 1
            FROM generate_series(0, 9) AS n
         )
         INSERT INTO projection_checkpoints (name, position) VALUES ('outbound_audit', $2 * 2 + 1)
         ON CONFLICT (name) DO UPDATE SET position = EXCLUDED.position",
    )
    .bind(ORG)
    .bind(SYNCS)
    .bind(TRACE)
    .execute(&world.pool)
    .await?;
    sqlx::query("ANALYZE outbound_audit").execute(&world.pool).await?;
    Ok(())
}

/// Numbers of the syncs of each page.
async fn pages(api: &Api, filter: &str) -> anyhow::Result<Vec<Vec<i64>>> {
    let pages = api.pages(&format!("/api/channels/audit?{filter}"), "revision").await?;
    Ok(pages.iter().map(|page| page.iter().filter_map(Value::as_i64).collect()).collect())
}

/// Numbers of the syncs of an export.
async fn exported(api: &Api, filter: &str) -> anyhow::Result<Vec<i64>> {
    let lines = api.get(&format!("/api/channels/audit/export?{filter}")).await?.expect(200)?.text;
    let sync = |line: &str| serde_json::from_str::<Value>(line).ok().and_then(|sync| sync["revision"].as_i64());
    Ok(lines.lines().filter_map(sync).collect())
}

/// `one` sees none of the trace's accounts.
async fn traces_are_found(world: &World, all: &Api, one: &Api) -> anyhow::Result<()> {
    let (wanted, of_trace) = (format!("trace_id={TRACE}"), (1..=20).map(|n| n * 1_000).collect::<Vec<i64>>());
    assert_eq!(exported(all, &wanted).await?, of_trace);
    let table = all.get(&format!("/api/channels/audit/export?format=csv&{wanted}")).await?.expect(200)?.text;
    assert_eq!(table.lines().count(), 1 + of_trace.len(), "{table}");
    let newest: Vec<i64> = of_trace.iter().rev().copied().collect();
    let in_twelves = pages(all, &format!("{wanted}&limit=12")).await?;
    assert_eq!(in_twelves, [newest[..12].to_vec(), newest[12..].to_vec()]);
    let of_seconds = format!("{wanted}&since=2026-01-01T02:46:20Z&until=2026-01-01T02:46:26Z");
    assert_eq!(pages(all, &of_seconds).await?, [vec![10_000]]);
    assert_eq!(pages(all, &format!("{wanted}&unit_id=villa-003")).await?, [Vec::<i64>::new()]);
    assert_eq!(pages(all, &format!("trace_id={}", "b".repeat(32))).await?, [Vec::<i64>::new()]);
    assert_eq!(pages(one, &wanted).await?, [Vec::<i64>::new()]);
    for wrong in [&TRACE[1..], &TRACE.to_uppercase(), &format!("00-{TRACE}-00f067aa0ba902b7-00"), "", "villa-003"] {
        for list in ["audit", "audit/export"] {
            let refused = all.get(&format!("/api/channels/{list}?trace_id={wrong}")).await?.expect(400)?.json();
            assert_eq!(refused["field"], "trace_id", "{list} {wrong:?}: {refused}");
            let said = refused["detail"].as_str().unwrap_or_default();
            assert!(said.contains("32 of the digits 0-9 a-f"), "{said}");
        }
    }
    // The dashboard's page, whose form is sent with every field.
    let page = all.get(&format!("/audit?{wanted}&unit_id=&since=")).await?.expect(200)?.text;
    let shown = page.matches("data-sync=").count();
    assert!(shown == of_trace.len() && page.contains(&format!("name=\"trace_id\" value=\"{TRACE}\"")), "{page}");
    let all_of_them = all.get("/audit?trace_id=").await?.expect(200)?.text;
    assert_eq!(all_of_them.matches("data-sync=").count(), 50);
    let refused = all.get("/audit?trace_id=villa-003").await?.expect(400)?.text;
    assert!(refused.contains("32 of the digits 0-9 a-f"), "{refused}");
    let (code, printed, error) = world.run(&["audit", "tail", "--org", ORG, "--trace", TRACE, "--output", "json"])?;
    let syncs = printed.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let revisions: Vec<i64> = syncs.filter_map(|sync| sync["revision"].as_i64()).collect();
    assert_eq!((code, revisions), (0, of_trace), "{printed}{error}");
    let (code, _, error) = world.run(&["audit", "tail", "--trace", &TRACE[1..]])?;
    assert!(code == 2 && error.contains("32 of the digits 0-9 a-f"), "{code} {error}");
    Ok(())
}

/// A spreadsheet runs no cell of a table that somebody else has written.
async fn formulas_are_text(world: &World, all: &Api) -> anyhow::Result<()> {
    for sign in ["=", "+", "-", "@", "\u{ff1d}", "\u{ff0b}", "\u{ff0d}", "\u{ff20}", "\u{2212}"] {
        let written = "UPDATE outbound_audit SET created_by = $1 || '1+1' WHERE org_id = $2 AND revision = 10000";
        sqlx::query(written).bind(sign).bind(ORG).execute(&world.pool).await?;
        let path = "/api/channels/audit/export?format=csv&since=2026-01-01T02:46:25Z&until=2026-01-01T02:46:26Z";
        let table = all.get(path).await?.expect(200)?.text;
        assert!(table.contains(&format!(",'{sign}1+1,")), "{table}");
    }
    Ok(())
}

/// `one` sees `account-1` alone.
async fn accounts_are_found(world: &World, all: &Api, one: &Api) -> anyhow::Result<()> {
    let of_one: Vec<i64> = (1..=SYNCS).filter(|n| n % 10 == 1).collect();
    for api in [all, one] {
        assert_eq!(exported(api, "account_id=account-1").await?, of_one);
    }
    let newest: Vec<i64> = of_one.iter().rev().copied().collect();
    assert_eq!(pages(all, "account_id=account-1&limit=500").await?.concat(), newest);
    // The third, fourth and fifth, which were rejected, are of another account.
    assert_eq!(pages(all, "account_id=account-1&outcome=rejected").await?, [Vec::<i64>::new()]);
    assert_eq!(pages(all, "account_id=account-2&outcome=rejected").await?, [vec![5, 4, 3]]);
    assert_eq!(pages(all, "account_id=account-2&unit_id=villa-003&outcome=rejected").await?, [vec![3]]);
    assert_eq!(pages(all, "account_id=account-1&unit_id=villa-003&outcome=rejected").await?, [Vec::<i64>::new()]);
    let of_span = "account_id=account-0&since=2026-01-01T00:00:09Z&until=2026-01-01T00:00:22Z";
    assert_eq!(pages(all, of_span).await?, [vec![20, 10]]);
    // Of an account that is another's, or nobody's, there is nothing.
    for (api, account) in [(one, "account-0"), (all, "account-9")] {
        assert_eq!(exported(api, &format!("account_id={account}")).await?, Vec::<i64>::new(), "{account}");
    }
    for list in ["audit", "audit/export"] {
        let refused = all.get(&format!("/api/channels/{list}?account_id=a%20b")).await?.expect(400)?.json();
        assert_eq!(refused["field"], "account_id", "{list}: {refused}");
    }
    let page = all.get("/audit?account_id=account-1&outcome=&cause=").await?.expect(200)?.text;
    assert_eq!(page.matches("data-sync=").count(), 50);
    assert!(page.contains("villa-001") && !page.contains("villa-002"), "{page}");
    assert!(page.contains("name=\"account_id\" value=\"account-1\""), "{page}");
    all.get("/audit?account_id=a%20b").await?.expect(400)?;
    let tail = ["audit", "tail", "--org", ORG, "--account", "account-1", "-n", "3", "--output", "json"];
    let (code, printed, error) = world.run(&tail)?;
    let syncs = printed.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let revisions: Vec<i64> = syncs.filter_map(|sync| sync["revision"].as_i64()).collect();
    assert_eq!((code, revisions.as_slice()), (0, &of_one[of_one.len() - 3..]), "{printed}{error}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_sync_is_found_by_every_filter_however_many_there_are() -> anyhow::Result<()> {
    let world = World::new(&[8126]).await?;
    fill(&world).await?;
    let service = world.serve_with("api", &["--api-rate", "10000"])?;
    let anybody = Api::of(&service).await?;
    let all = anybody.as_caller(&world, ORG, None, "viewer")?;

    // The page that has none of them says where to go on; the last one does not.
    assert_eq!(pages(&all, "outcome=rejected").await?, [vec![], vec![5, 4, 3]]);
    assert_eq!(exported(&all, "outcome=rejected").await?, [3, 4, 5]);
    assert_eq!(exported(&all, "").await?, (1..=SYNCS).collect::<Vec<_>>());

    // A span of time is walked alone: what is before and after it makes no further page.
    let span = "since=2026-01-01T02:46:20Z&until=2026-01-01T02:46:26Z";
    assert_eq!(pages(&all, span).await?, [vec![10_000, 9_985, 9_984, 9_983, 9_982, 9_981, 9_980]]);
    let in_fours = pages(&all, &format!("{span}&limit=4")).await?;
    assert_eq!(in_fours, [vec![10_000, 9_985, 9_984, 9_983], vec![9_982, 9_981, 9_980]]);
    assert_eq!(exported(&all, span).await?, [9_980, 9_981, 9_982, 9_983, 9_984, 9_985, 10_000]);
    assert_eq!(exported(&all, "until=2026-01-01T00:00:04Z").await?, [1, 2, 3]);
    assert_eq!(pages(&all, "since=2027-01-01T00:00:00Z").await?, [Vec::<i64>::new()]);

    let of_unit: Vec<i64> = (1..=SYNCS).rev().filter(|n| n % 10 == 7).collect();
    assert_eq!(pages(&all, "unit_id=villa-007&limit=500").await?.concat(), of_unit);
    assert_eq!(pages(&all, "unit_id=villa-003&outcome=rejected").await?, [vec![3]]);

    // One account, and two whose syncs are merged.
    let one = anybody.as_caller(&world, ORG, Some("account-1"), "viewer")?;
    assert_eq!(exported(&one, "").await?, (1..=SYNCS).filter(|n| n % 10 == 1).collect::<Vec<_>>());
    assert_eq!(pages(&one, "outcome=rejected").await?, [Vec::<i64>::new()]);
    traces_are_found(&world, &all, &one).await?;
    accounts_are_found(&world, &all, &one).await?;
    formulas_are_text(&world, &all).await?;
    let grant = format!("token --subject two --org {ORG} --role viewer --account account-0 --account account-1");
    let two = anybody.with_token(world.run(&grant.split(' ').collect::<Vec<_>>())?.1.trim());
    assert_eq!(exported(&two, "").await?, (1..=SYNCS).filter(|n| n % 10 < 2).collect::<Vec<_>>());
    let of_span = "since=2026-01-01T00:00:09Z&until=2026-01-01T00:00:22Z&limit=2";
    assert_eq!(pages(&two, of_span).await?, [vec![21, 20], vec![11, 10]]);
    drop(service);
    world.close().await
}
