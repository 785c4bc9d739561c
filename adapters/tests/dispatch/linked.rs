//! Who else may hold a listing at a channel: other targets of its account. Of another organisation those alone count that the channel has
//! ever taken, as anybody can name any account and any id.

use adapters::dispatch::linked_in_account;
use domain::ids::{ExternalId, ListingId, TargetId};
use domain::window::RateLimit;

use crate::fixture::{Database, listing, target};

async fn found(database: &Database, of: TargetId) -> Vec<(ListingId, TargetId)> {
    let mut connection = database.pool.acquire().await.unwrap();
    let all = linked_in_account(&mut connection, of, &ExternalId("40001".to_owned())).await.unwrap();
    assert_eq!(all.iter().filter(|(_, target)| *target == of).count(), 1, "its own: {all:?}");
    all.into_iter().filter(|(_, target)| *target != of).collect()
}

#[tokio::test]
async fn a_listing_is_held_by_other_targets_of_its_account_and_by_nobody_whom_the_channel_never_took() {
    let database = Database::new().await;
    let limit = RateLimit::new(10, 10_000).unwrap();
    let own = database.target(1, limit).await;
    let other = database.target(2, limit).await;
    database.job(own, 11).await;
    let theirs = database.job(other, 12).await;
    database.run("UPDATE channel_listings SET external_id = '40001'").await;
    let of = |changes: &str| format!("UPDATE channel_targets SET {changes} WHERE target_id = '{other}'");
    assert_eq!(found(&database, own).await, [], "the same id in another account is another listing");
    database.run("UPDATE channel_targets SET channel_account = '1'").await;
    assert_eq!(found(&database, own).await, [(theirs, other)]);
    assert_eq!(found(&database, other).await, [(listing(11), target(1))]);

    database.run(&of("org_id = 'others', health = 'unknown'")).await;
    assert_eq!(found(&database, own).await, [], "anybody can say so");
    database.heard_after(other, 7, "healthy", "unauthorised").await;
    assert_eq!(found(&database, own).await, [(theirs, other)], "it has written there");
    database.run(&of("host_position = 9")).await;
    assert_eq!(found(&database, own).await, [], "at another host");
    database.run(&of("org_id = 'org', lifecycle = 'paused'")).await;
    assert_eq!(found(&database, own).await, [(theirs, other)], "of the same organisation each counts");
    database.run(&of("base_url = 'http://elsewhere'")).await;
    assert_eq!(found(&database, own).await, []);
    database.run(&of("base_url = 'http://h', lifecycle = 'deleted'")).await;
    assert_eq!(found(&database, own).await, []);
    database.close().await;
}
