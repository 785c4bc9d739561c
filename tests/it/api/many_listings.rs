//! Listings of an organisation that has more of them than are looked through for a page.

use end_to_end::api::Api;
use end_to_end::world::{ORG, World};
use serde_json::Value;

/// Listings that there are: 20,000 are looked through for a page of an outcome that no index knows.
const LISTINGS: i64 = 20_300;

/// The target of all of them.
const TARGET: &str = "01990000-0000-7000-8000-000000000007";

/// By unit they alternate between two accounts. The last two failed, and the first waits.
async fn fill(world: &World) -> anyhow::Result<()> {
    sqlx::query(
        "INSERT INTO channel_listings (listing_id, org_id, account_id, unit_id, target_id, state, generation, last_outcome,
             pending_sync_id, linked_by, linked_at, version, updated_at, position)
         SELECT gen_random_uuid(), $1, 'account-' || n % 2, 'villa-' || lpad(n::text, 6, '0'), $3::uuid, 'active', 1,
             CASE WHEN n > $2 - 2 THEN 'exhausted' ELSE 'accepted' END, CASE n WHEN 1 THEN gen_random_uuid() END, 'test', now(),
             1, now(), 1
         FROM generate_series(1, $2) AS n",
    )
    .bind(ORG)
    .bind(LISTINGS)
    .bind(TARGET)
    .execute(&world.pool)
    .await?;
    sqlx::query("ANALYZE channel_listings").execute(&world.pool).await?;
    Ok(())
}

/// Units of each page.
async fn pages(api: &Api, filter: &str) -> anyhow::Result<Vec<Vec<String>>> {
    let pages = api.pages(&format!("/api/channels/listings?{filter}"), "unit_id").await?;
    let texts = |page: &Vec<Value>| page.iter().filter_map(|unit| unit.as_str().map(str::to_owned)).collect();
    Ok(pages.iter().map(texts).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rare_outcome_is_found_page_by_page_however_many_listings_there_are() -> anyhow::Result<()> {
    let world = World::new(&[8199]).await?;
    fill(&world).await?;
    let service = world.serve_with("api", &["--api-rate", "10000"])?;
    let anybody = Api::of(&service).await?;
    let all = anybody.as_caller(&world, ORG, None, "viewer")?;
    let none = Vec::<String>::new();

    // The page that has none of them says where to go on; the last one does not.
    assert_eq!(pages(&all, "outcome=pending").await?, [vec!["villa-000001".to_owned()], none.clone()]);
    assert_eq!(pages(&all, "state=target_deleted").await?, [none.clone(), none.clone()]);
    // What an index finds is looked for in one go.
    assert_eq!(pages(&all, "state=paused").await?, std::slice::from_ref(&none));
    for filter in ["outcome=failed".to_owned(), format!("outcome=exhausted&target_id={TARGET}")] {
        let failed = vec!["villa-020299".to_owned(), "villa-020300".to_owned()];
        assert_eq!(pages(&all, &filter).await?, [failed], "{filter}");
    }
    let in_ones = pages(&all, "outcome=failed&state=active&limit=1").await?;
    assert_eq!(in_ones, [vec!["villa-020299".to_owned()], vec!["villa-020300".to_owned()]]);
    assert_eq!(pages(&all, "outcome=failed&unit_id=villa-020300").await?, [vec!["villa-020300".to_owned()]]);
    let every = pages(&all, "outcome=accepted&limit=500").await?;
    assert_eq!(every.concat().len(), 20_297, "none is left out between pages");

    // Of one account there are fewer.
    let one = anybody.as_caller(&world, ORG, Some("account-0"), "viewer")?;
    for filter in ["outcome=failed".to_owned(), format!("outcome=failed&target_id={TARGET}")] {
        assert_eq!(pages(&one, &filter).await?, [vec!["villa-020300".to_owned()]], "{filter}");
    }
    drop(service);
    world.close().await
}
