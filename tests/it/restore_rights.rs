//! A restore by another role than the service's, and of what others have put into the database: whoever restores, all of
//! it is the service's to use; rights that are missing are named before anything is made, and where a schema is; where it fails, nothing is
//! left.

use anyhow::Context as _;
use end_to_end::postgres_server::PostgresServer;
use end_to_end::server_tools::Tools;
use end_to_end::world::{Beginning, World};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

/// The role that the service runs as. Like that of a guest it is one of a Postgres that this test has for itself.
const SERVICE: &str = "service";

/// Autovacuum is in every database as soon as there is something in it.
const OFTEN_VACUUMED: [&str; 2] = ["autovacuum_naptime=1s", "autovacuum_max_workers=20"];

/// It takes its time.
const VACUUMED_SLOWLY: [&str; 4] = [
    "ALTER SYSTEM SET autovacuum_analyze_threshold = 0",
    "ALTER SYSTEM SET autovacuum_analyze_scale_factor = 0",
    "ALTER SYSTEM SET autovacuum_vacuum_cost_delay = '100ms'",
    "ALTER SYSTEM SET autovacuum_vacuum_cost_limit = 1",
];

/// Who restores it waits until autovacuum is there.
const UNTIL_VACUUMED: &str = "CREATE FUNCTION public.vacuumed() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
        FOR look IN 1..300 LOOP
            PERFORM pg_stat_clear_snapshot();
            IF EXISTS (SELECT FROM pg_catalog.pg_stat_activity
                WHERE datname = current_database() AND usesysid IS NULL) THEN RETURN true; END IF;
            PERFORM pg_sleep(0.1);
        END LOOP;
        RETURN false;
    END $$;
    CREATE MATERIALIZED VIEW public.vacuumed AS SELECT public.vacuumed()";

async fn run(pool: &PgPool, statements: &[&str]) -> anyhow::Result<()> {
    for statement in statements {
        sqlx::raw_sql(statement).execute(pool).await.with_context(|| (*statement).to_owned())?;
    }
    Ok(())
}

/// The address of the world's database as another role.
fn address(world: &World, role: &str) -> anyhow::Result<String> {
    let url = world.environment()?.into_iter().find(|(name, _)| *name == "DATABASE_URL");
    let (_, url) = url.context("a world has a database")?;
    Ok(format!("{url}&user={role}"))
}

/// A world whose database a superuser has made, with a backup of it.
async fn backed_up(server: &PostgresServer, file: &str) -> anyhow::Result<World> {
    let beginning = Beginning { database_url: Some(server.url()), ..Beginning::default() };
    let world = World::begin(beginning, &[8620]).await?;
    world.script("backup", &[&world.path(file).display().to_string()])?;
    Ok(world)
}

/// A pool on the server's own database.
async fn admin(server: &PostgresServer) -> anyhow::Result<PgPool> {
    Ok(PgPoolOptions::new().max_connections(2).connect_with(server.options().database("postgres")).await?)
}

/// The database and everything of the service in it is its role's, which works with it.
async fn is_the_services(world: &World) -> anyhow::Result<()> {
    let of_others =
        "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'S')
        AND pg_get_userbyid(relowner) <> 'service'";
    assert_eq!(world.count(of_others).await?, 0, "tables of another role");
    let database = "SELECT count(*) FROM pg_database
        WHERE datname = current_database() AND pg_get_userbyid(datdba) = 'service'";
    assert_eq!(world.count(database).await?, 1, "the database is another role's");
    let left = "SELECT count(*) FROM pg_database WHERE datname = current_database() || '_restoring'";
    assert_eq!(world.count(left).await?, 0, "something is left of a restore");
    let address = address(world, SERVICE)?;
    // It makes a schema, and puts tables in the place of others.
    let as_service = [("DATABASE_URL", address.as_str())];
    let (code, printed, error) = world.run_with(&as_service, &["projections", "rebuild", "channel_listings"])?;
    assert_eq!(code, 0, "{printed}{error}");
    Ok(())
}

/// Each statement that is named gives the right; what Postgres refuses is told in its words.
async fn a_login_alone_is_told_what_it_lacks(world: &mut World, admin: &PgPool, backup: &str) -> anyhow::Result<()> {
    let address = address(world, SERVICE)?;
    let as_service = [("DATABASE_URL", address.as_str())];
    let superuser: String = sqlx::query_scalar("SELECT current_user").fetch_one(admin).await?;
    let refused = world.restore_with(&as_service, backup, &[]).await.expect_err("all is a superuser's").to_string();
    let grant = format!("GRANT \"{superuser}\" TO \"service\", or be {superuser}");
    assert!(refused.contains(&grant) && refused.contains("nothing was done"), "{grant}: {refused}");
    assert!(!refused.contains("ALTER DATABASE"), "it belongs to that role already: {refused}");

    // Where the database alone is a superuser's, nobody has to get that one's rights.
    run(&world.pool, &["ALTER TABLE events OWNER TO service"]).await?;
    let refused = world.restore_with(&as_service, backup, &[]).await.expect_err("its owner is another").to_string();
    let give = format!("ALTER DATABASE \"{}\" OWNER TO \"service\", or be {superuser}", world.database());
    assert!(refused.contains(&give) && !refused.contains(&grant), "{give}: {refused}");
    run(&world.pool, &[&format!("ALTER TABLE events OWNER TO \"{superuser}\"")]).await?;

    let file = world.path("denied.dump");
    let refused = world.script_with(&as_service, "backup", &[&file.display().to_string()]);
    let refused = refused.expect_err("it may read nothing").to_string();
    assert!(refused.contains("permission denied for table _sqlx_migrations"), "Postgres's words: {refused}");
    assert!(!file.exists(), "{refused}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_give_itself_the_readers_role_is_told_which_statements_do() -> anyhow::Result<()> {
    let tools = Tools::find()?;
    let folder = tools.temporary_folder()?;
    let server = PostgresServer::start(&tools, folder.path()).await?;
    // It makes the role, as a superuser.
    let world = World::begin(Beginning { database_url: Some(server.url()), ..Beginning::default() }, &[8621]).await?;
    let admin = admin(&server).await?;
    run(&admin, &["CREATE ROLE service LOGIN", "CREATE DATABASE fresh OWNER service"]).await?;
    let address = address(&world, SERVICE)?.replace(world.database(), "fresh");
    let as_service = [("DATABASE_URL", address.as_str())];
    let (code, printed, said) = world.run_with(&as_service, &["migrate"])?;
    let statements = "CREATE ROLE distribution_reader NOLOGIN; GRANT distribution_reader TO service";
    assert!(code == 1 && said.contains(statements) && said.contains("migration 10"), "{code} {printed}{said}");
    run(&admin, &["GRANT distribution_reader TO service"]).await?;
    let (code, printed, said) = world.run_with(&as_service, &["migrate"])?;
    assert_eq!(code, 0, "{printed}{said}");
    admin.close().await;
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_restores_all_is_the_services_and_the_database_keeps_its_settings() -> anyhow::Result<()> {
    let tools = Tools::find()?;
    let folder = tools.temporary_folder()?;
    let server = PostgresServer::start(&tools, folder.path()).await?;
    let mut world = backed_up(&server, "first.dump").await?;
    let admin = admin(&server).await?;
    run(&admin, &["CREATE ROLE service LOGIN", "CREATE ROLE guest"]).await?;
    let first = world.path("first.dump").display().to_string();
    a_login_alone_is_told_what_it_lacks(&mut world, &admin, &first).await?;
    let printed = world.restore_with(&[], &first, &["--owner", SERVICE]).await?;
    assert!(printed.contains("what is in it belongs to service"), "{printed}");
    is_the_services(&world).await?;

    let database = world.database().to_owned();
    let close = format!("REVOKE CONNECT ON DATABASE {database} FROM PUBLIC");
    let open = format!("GRANT CONNECT ON DATABASE {database} TO guest");
    let set = format!("ALTER DATABASE {database} SET search_path TO public, \"$user\"");
    run(&admin, &[&close, &open, &set]).await?;
    run(
        &world.pool,
        &["GRANT SELECT ON events TO guest", "CREATE POLICY of_a_guest ON events FOR SELECT TO guest USING (true)"],
    )
    .await?;
    let second = world.path("second.dump").display().to_string();
    world.script("backup", &[&second])?;

    let address = address(&world, SERVICE)?;
    let as_service = [("DATABASE_URL", address.as_str())];
    run(&admin, &["REVOKE distribution_reader FROM service"]).await?;
    let refused = world.restore_with(&as_service, &second, &[]).await;
    let refused = refused.expect_err("it may make no databases").to_string();
    for words in ["ALTER ROLE \"service\" CREATEDB", "GRANT distribution_reader TO \"service\"", "nothing was done"] {
        assert!(refused.contains(words), "{words}: {refused}");
    }
    run(&admin, &["ALTER ROLE service CREATEDB", "GRANT distribution_reader TO service"]).await?;
    world.restore_with(&as_service, &second, &[]).await?;
    is_the_services(&world).await?;
    let kept = "SELECT count(*) FROM pg_db_role_setting JOIN pg_database AS d ON d.oid = setdatabase
        WHERE datname = current_database() AND setconfig = ARRAY['search_path=public, \"$user\"']
            AND NOT has_database_privilege('public', datname, 'connect')
            AND has_database_privilege('guest', datname, 'connect')
            AND has_table_privilege('guest', 'events', 'select')";
    assert_eq!(world.count(kept).await?, 1, "settings and rights are carried over");

    // As a superuser, and without the role that the backup knows.
    let names: Vec<String> =
        sqlx::query_scalar("SELECT datname FROM pg_database WHERE datname LIKE 'e2e%'").fetch_all(&admin).await?;
    for name in names {
        let pool = world.pool_of(&name).await?;
        run(&pool, &["DROP OWNED BY guest"]).await?;
        pool.close().await;
    }
    run(&admin, &["DROP ROLE guest"]).await?;
    let printed = world.restore_with(&[], &second, &[]).await?;
    assert!(printed.contains("role \"guest\" does not exist"), "{printed}");
    is_the_services(&world).await?;
    admin.close().await;
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_ours_is_passed_over_and_a_restore_that_fails_leaves_nothing() -> anyhow::Result<()> {
    let tools = Tools::find()?;
    let folder = tools.temporary_folder()?;
    let server = PostgresServer::start_with(&tools, folder.path(), &OFTEN_VACUUMED).await?;
    let mut world = backed_up(&server, "first.dump").await?;
    let admin = admin(&server).await?;
    run(&admin, &["CREATE ROLE service LOGIN CREATEDB"]).await?;
    let first = world.path("first.dump").display().to_string();
    world.restore_with(&[], &first, &["--owner", SERVICE]).await?;
    let address = address(&world, SERVICE)?;
    let as_service = [("DATABASE_URL", address.as_str())];

    // What only a superuser may make, in a schema of somebody else.
    let theirs = "CREATE SCHEMA lens; CREATE FUNCTION lens.theirs() RETURNS language_handler LANGUAGE c
        AS '$libdir/plpgsql', 'plpgsql_call_handler'";
    run(&world.pool, &[theirs, "CREATE PUBLICATION everything FOR ALL TABLES"]).await?;
    let extension = "SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_stat_statements'";
    let extension = world.count(extension).await? == 1;
    if extension {
        run(&world.pool, &["CREATE EXTENSION pg_stat_statements"]).await?;
    }
    let second = world.path("second.dump").display().to_string();
    world.script("backup", &[&second])?;
    let printed = world.restore_with(&as_service, &second, &[]).await?;
    for words in ["FUNCTION lens theirs()", "CREATE PUBLICATION everything"] {
        assert!(printed.contains(words), "{words}: {printed}");
    }
    assert!(!extension || printed.contains("CREATE EXTENSION IF NOT EXISTS pg_stat_statements"), "{printed}");
    is_the_services(&world).await?;

    let needed = "CREATE FUNCTION public.needed() RETURNS language_handler LANGUAGE c
        AS '$libdir/plpgsql', 'plpgsql_call_handler'";
    // Who is no superuser cannot end an autovacuum, and drops what is half restored nevertheless.
    run(&admin, &VACUUMED_SLOWLY).await?;
    run(&admin, &["SELECT pg_reload_conf()"]).await?;
    run(&world.pool, &[needed, UNTIL_VACUUMED]).await?;
    let third = world.path("third.dump").display().to_string();
    world.script("backup", &[&third])?;
    let refused = world.restore_with(&as_service, &third, &[]).await;
    let refused = refused.expect_err("it may not be passed over").to_string();
    assert!(refused.contains("FUNCTION public needed()") && refused.contains("is as it was"), "{refused}");
    is_the_services(&world).await?;
    run(&admin, &["ALTER SYSTEM RESET autovacuum_vacuum_cost_delay", "SELECT pg_reload_conf()"]).await?;
    world.restore_with(&[], &third, &[]).await?;
    is_the_services(&world).await?;
    admin.close().await;
    world.close().await
}
