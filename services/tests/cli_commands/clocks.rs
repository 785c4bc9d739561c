//! A host whose clock is wrong: the doctor says so, and so does a process that starts there. Here it is Postgres that tells another time.

use std::fs::File;

use sqlx::{Connection, Executor, PgConnection};

use crate::service::{Service, eventually};
use crate::world::World;

/// From now on Postgres's clock is this far off in the world's database.
fn set_postgres(world: &World, off: &str) {
    let statements = format!(
        "CREATE OR REPLACE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql
            AS 'SELECT pg_catalog.clock_timestamp() + interval ''{off}''';
         DO $$ BEGIN
            EXECUTE format('ALTER DATABASE %I SET search_path = public, pg_catalog', current_database());
         END $$"
    );
    world.block_on(async {
        let mut connection = PgConnection::connect(&world.database_url).await.unwrap();
        connection.execute(statements.as_str()).await.unwrap();
        connection.close().await.unwrap();
    });
}

/// What the doctor says of the clock: status and detail.
fn told(world: &World) -> (String, String) {
    let report = world.json(&["doctor"]).json();
    let clock = report["checks"].as_array().unwrap().iter().find(|check| check["check"] == "clock").cloned().unwrap();
    (clock["status"].as_str().unwrap().to_owned(), clock["detail"].as_str().unwrap().to_owned())
}

#[test]
fn a_clock_that_is_off_is_told_by_the_doctor_and_by_a_process_that_starts() {
    let world = World::new();
    assert_eq!(told(&world).0, "ok");
    for (off, way) in [("10 seconds", "s behind Postgres's"), ("-10 seconds", "s ahead of Postgres's")] {
        set_postgres(&world, off);
        let (status, detail) = told(&world);
        assert_eq!(status, "warn", "{detail}");
        assert!(detail.contains(way), "{detail}");
        let log = world.secrets.path().join("serve.log");
        let _service = Service::start_with_log(&world, "relay", File::create(&log).unwrap());
        eventually("the process says so", || std::fs::read_to_string(&log).unwrap().contains(way).then_some(()));
    }
    set_postgres(&world, "1 second");
    assert_eq!(told(&world).0, "ok", "two hosts like that are within what is assumed");
}
