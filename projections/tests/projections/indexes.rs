//! Indexes that lead no plan astray.

use crate::database::in_database;
use crate::scene::tables;

/// A plan that is made while a table is empty stays, and then every index by which a row can be found costs the same.
#[tokio::test]
async fn a_key_is_never_in_the_middle_of_an_index_that_would_be_read_whole_for_it() {
    in_database(|pool| async move {
        let astray: Vec<String> = sqlx::query_scalar(
            "SELECT i.indexrelid::regclass::text FROM pg_index i JOIN pg_index k USING (indrelid)
             WHERE k.indisunique AND k.indnkeyatts = 1 AND k.indpred IS NULL AND k.indexrelid <> i.indexrelid
                AND i.indrelid = ANY ($1::text[]::regclass[])
                AND k.indkey[0] = ANY ((string_to_array(i.indkey::text, ' ')::int[])[2:i.indnkeyatts])",
        )
        .bind(tables())
        .fetch_all(&pool)
        .await
        .unwrap();
        // Its rows are written once, and no event looks one up.
        assert_eq!(astray, ["target_health_changes_target"]);
    })
    .await;
}
