//! A request that is given up on the way, as by a browser that goes elsewhere, leaves nothing behind on its connection.

use std::time::Duration;

use domain::access::{Accounts, Caller, CredentialKind};
use end_to_end::world::{ORG, World};
use futures::FutureExt as _;
use services::api::reader::Reader;
use sqlx::postgres::PgPoolOptions;

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_is_given_up_while_it_opens_leaves_no_transaction_open() -> anyhow::Result<()> {
    let world = World::new(&[8125]).await?;
    let pool = PgPoolOptions::new().max_connections(1).connect_with((*world.pool.connect_options()).clone()).await?;
    let caller = Caller {
        subject: "tester".to_owned(),
        org_id: ORG.parse()?,
        accounts: Accounts::All,
        roles: std::iter::empty().collect(),
        credential: CredentialKind::LocalToken,
        credential_id: "test".to_owned(),
    };
    for looks in 1..=40 {
        let mut opening = Box::pin(Reader::open(&pool, &caller));
        for _ in 0..looks % 8 {
            if opening.as_mut().now_or_never().is_some() {
                break;
            }
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        drop(opening);
        let own: bool = sqlx::query_scalar(
            "SELECT current_user = session_user AND current_setting('transaction_read_only') = 'off'",
        )
        .fetch_one(&pool)
        .await?;
        assert!(own, "the connection is still in the transaction of a reader that was given up after {looks} looks");
    }
    pool.close().await;
    world.close().await
}
