//! A database and a NATS store that an older build has left in the middle of its work, and this build on top of them, while
//! changes come. `tests/upgrade/README.md` says which builds those were, and how they were made.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use adapters::nats::Nats;
use anyhow::{Context as _, ensure};
use domain::window::RateLimit;
use end_to_end::nats_server;
use end_to_end::process::Process;
use end_to_end::unit::{all_described, described, names, unit};
use end_to_end::wait::wait_until;
use end_to_end::world::{Beginning, ORG, World};
use serde_json::Value;
use uuid::Uuid;

/// The folders of `tests/upgrade/`: the oldest schema that is upgraded, and the newest one that was left behind.
const OLDEST: &str = "schema-0008";
const NEWEST: &str = "schema-0033";
/// The account whose twelve listings were at work at the end.
const ACCOUNT: u64 = 8500;

fn all_left_behind() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("upgrade")
}

/// What one build left.
struct Left {
    place: PathBuf,
    facts: Value,
}

impl Left {
    fn of(schema: &str) -> anyhow::Result<Self> {
        let place = all_left_behind().join(schema);
        let facts = serde_json::from_slice(&std::fs::read(place.join("facts.json"))?)?;
        Ok(Self { place, facts })
    }

    fn number(&self, name: &str) -> anyhow::Result<u64> {
        self.facts[name].as_u64().with_context(|| format!("facts.json says {name}"))
    }

    /// How many listings there are at the channel when all is sent, by the account there.
    fn listings(&self) -> anyhow::Result<BTreeMap<u64, usize>> {
        Ok(serde_json::from_value(self.facts["listings"].clone())?)
    }

    /// Read models of which an older build did not add up what this one does, as the changelog says.
    fn to_rebuild(&self) -> anyhow::Result<Vec<String>> {
        Ok(serde_json::from_value(self.facts["rebuild"].clone())?)
    }

    fn unpacked(&self, name: &str) -> anyhow::Result<Vec<u8>> {
        let output = Command::new("gzip").arg("-dc").arg(self.place.join(name)).output()?;
        ensure!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(output.stdout)
    }

    /// A world that begins with it, and its NATS server, whose store is below `folder`.
    async fn world(&self, folder: &Path) -> anyhow::Result<(World, Process)> {
        let store = folder.join("older");
        std::fs::create_dir(&store)?;
        let mut tar = Command::new("tar").args(["-xf", "-", "-C"]).arg(&store).stdin(Stdio::piped()).spawn()?;
        tar.stdin.take().context("tar reads")?.write_all(&self.unpacked("nats.tar.gz")?)?;
        ensure!(tar.wait()?.success(), "the store could not be unpacked");
        let channel = folder.join("channel.json");
        std::fs::write(&channel, self.unpacked("channel.json.gz")?)?;
        let [port] = nats_server::free_ports()?;
        let nats = nats_server::start(&nats_server::program()?, folder, "older", port, "")?;
        let nats_url = format!("nats://127.0.0.1:{port}");
        nats_server::ready(&nats_url).await?;
        let beginning = Beginning {
            nats_url: Some(nats_url),
            prefix: Some("upgrade".to_owned()),
            tables: Some(String::from_utf8(self.unpacked("database.sql.gz")?)?),
            channel: Some(channel),
            ..Beginning::default()
        };
        let accounts: Vec<u64> = self.listings()?.into_keys().collect();
        Ok((World::begin(beginning, &accounts).await?, nats))
    }
}

/// What must be there afterwards as it was.
struct Before {
    /// Position and contents of each event.
    events: Vec<(i64, String)>,
    /// How many rows each table has.
    rows: BTreeMap<String, i64>,
    /// Syncs that had ended: how, and when.
    ended: Vec<(Uuid, String, String)>,
    /// Ids of the calls that were made.
    calls: Vec<Uuid>,
    /// Paths at the channel of listings of which nothing waits.
    settled: Vec<String>,
}

const EVENTS: &str = "SELECT position, md5(payload::text) FROM events WHERE position <= $1 ORDER BY 1";
const ENDED: &str = "SELECT sync_id, outcome, finished_at::text FROM outbound_audit
    WHERE outcome <> 'pending' AND ($1::uuid[] IS NULL OR sync_id = ANY ($1)) ORDER BY 1";
const SETTLED: &str = "SELECT external_id FROM channel_listings l
    WHERE unit_id NOT LIKE 'villa-%' AND external_id IS NOT NULL
      AND NOT EXISTS (SELECT FROM outbound_audit a WHERE a.listing_id = l.listing_id AND a.outcome = 'pending') ORDER BY 1";
/// Whatever is in these stays, however long ago it came there.
const KEPT: [&str; 7] = [
    "events",
    "unit_snapshots",
    "units",
    "dead_letter_decisions",
    "outbound_audit",
    "outbound_attempts",
    "target_health_changes",
];

impl Before {
    async fn of(world: &World) -> anyhow::Result<Self> {
        let settled: Vec<String> = sqlx::query_scalar(SETTLED).fetch_all(&world.pool).await?;
        Ok(Self {
            events: sqlx::query_as(EVENTS).bind(i64::MAX).fetch_all(&world.pool).await?,
            rows: rows(world).await?,
            ended: sqlx::query_as(ENDED).bind(None::<Vec<Uuid>>).fetch_all(&world.pool).await?,
            calls: sqlx::query_scalar("SELECT request_id FROM outbound_attempts").fetch_all(&world.pool).await?,
            settled: settled.into_iter().map(|id| format!("/v1/listings/{id}")).collect(),
        })
    }

    /// Fails where one of these tables has fewer rows than it had.
    async fn has_its_rows<'a>(&self, world: &World, tables: impl Iterator<Item = &'a str>) -> anyhow::Result<()> {
        let now = rows(world).await?;
        for table in tables {
            let (before, now) = (self.rows.get(table).copied().unwrap_or_default(), now.get(table).copied());
            ensure!(now >= Some(before), "{table} had {before} rows, and has {now:?}");
        }
        Ok(())
    }

    /// Nothing of it is lost or changed, whatever came since.
    async fn is_kept(&self, world: &World) -> anyhow::Result<()> {
        let last = self.events.last().map(|last| last.0);
        let events: Vec<(i64, String)> = sqlx::query_as(EVENTS).bind(last).fetch_all(&world.pool).await?;
        assert_eq!(self.events, events, "what was written stays as it was");
        let ids: Vec<Uuid> = self.ended.iter().map(|sync| sync.0).collect();
        let ended: Vec<(Uuid, String, String)> = sqlx::query_as(ENDED).bind(&ids).fetch_all(&world.pool).await?;
        assert_eq!(self.ended, ended, "what had ended stays as it ended");
        let lost = "SELECT count(*) FROM outbound_audit
            WHERE outcome NOT IN ('accepted', 'superseded') AND sync_id <> ALL ($1)";
        let lost: i64 = sqlx::query_scalar(lost).bind(&ids).fetch_one(&world.pool).await?;
        assert_eq!(lost, 0, "what waited, and what came since, went out");
        let told = "SELECT count(*) FROM outbound_attempts WHERE request_id = ANY ($1)";
        let told: i64 = sqlx::query_scalar(told).bind(&self.calls).fetch_one(&world.pool).await?;
        assert_eq!(usize::try_from(told)?, self.calls.len(), "each call is told of");
        self.has_its_rows(world, KEPT.into_iter()).await
    }

    /// The channel heard nothing of what it had taken already.
    async fn is_not_sent_again(&self, world: &World) -> anyhow::Result<()> {
        let arrivals = world.sandbox.get("/arrivals?limit=1000000").await?;
        let arrivals = arrivals["arrivals"].as_array().context("arrivals")?;
        let is_settled = |path: &str| {
            self.settled
                .iter()
                .any(|one| path.strip_prefix(one).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
        };
        let again: Vec<&Value> = arrivals
            .iter()
            .filter(|call| call["method"] != "GET" && call["path"].as_str().is_some_and(is_settled))
            .collect();
        ensure!(again.is_empty(), "it was sent again: {again:#?}");
        Ok(())
    }
}

/// How many rows each table has.
async fn rows(world: &World) -> anyhow::Result<BTreeMap<String, i64>> {
    let tables: Vec<String> = sqlx::query_scalar("SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'")
        .fetch_all(&world.pool)
        .await?;
    let mut rows = BTreeMap::new();
    for table in tables {
        let count = world.count(&format!("SELECT count(*) FROM public.{table}")).await?;
        rows.insert(table, count);
    }
    Ok(rows)
}

/// Changes these units in turn, some twenty times a second, until it is told that the upgrade is over. Gives the last revision,
/// which each of them has then. It is of no build: subjects and bodies are as they were.
async fn change_steadily(nats: Nats, units: Vec<String>, first: u64, over: Arc<AtomicBool>) -> anyhow::Result<u64> {
    let mut revision = first;
    loop {
        let is_last = over.load(Ordering::Relaxed);
        for message in all_described(&units, revision, &format!("state {revision}")) {
            let unit = message["unit_id"].as_str().context("a message names its unit")?.parse()?;
            let (subject, body) = (nats.prefix.unit_changed(&ORG.parse()?, &unit), serde_json::to_vec(&message)?);
            nats.jetstream.publish(subject, body.into()).await?.await?;
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
        if is_last {
            return Ok(revision);
        }
        revision += 1;
    }
}

/// Waits until so many listings at the channel have this description.
async fn described_so(world: &World, count: usize, description: &str, service: &Process) -> anyhow::Result<()> {
    wait_until(&format!("{count} listings say {description:?}"), Duration::from_secs(90), || async {
        let listings = world.sandbox.listings(ACCOUNT).await?;
        let there = listings.iter().filter(|listing| listing["description"] == description).count();
        Ok(if there == count { Ok(()) } else { Err(format!("{there} of {}\n{}", listings.len(), service.printed())) })
    })
    .await
}

fn done(world: &World, arguments: &[&str]) -> anyhow::Result<()> {
    let (code, printed, said) = world.run(arguments)?;
    ensure!(code == 0, "{arguments:?}: {printed} {said}");
    Ok(())
}

/// The channel of then was at another address; what somebody held is let go. Gives the targets that did not answer well.
async fn let_go_on(world: &World) -> anyhow::Result<Vec<String>> {
    let targets: Vec<(String, String, String)> = sqlx::query_as(
        "SELECT target_id::text, lifecycle, health FROM channel_targets WHERE lifecycle <> 'deleted' ORDER BY 1",
    )
    .fetch_all(&world.pool)
    .await?;
    let address = format!("{}/v1", world.sandbox.url);
    let mut unwell = Vec::new();
    for (target, lifecycle, health) in targets {
        done(world, &["target", "configure", &target, "--base-url", &address])?;
        if lifecycle == "paused" {
            done(world, &["target", "resume", &target])?;
        }
        if ["unauthorised", "unreachable"].contains(&health.as_str()) {
            unwell.push(target);
        }
    }
    let held: Vec<String> = sqlx::query_scalar("SELECT listing_id::text FROM channel_listings WHERE state = 'paused'")
        .fetch_all(&world.pool)
        .await?;
    for listing in held {
        done(world, &["listing", "resume", &listing])?;
    }
    Ok(unwell)
}

/// Upgrades what a build of this schema left, while changes come.
async fn is_finished(schema: &str) -> anyhow::Result<()> {
    let left = Left::of(schema)?;
    let folder = tempfile::tempdir()?;
    let (world, _nats) = left.world(folder.path()).await?;
    let before = Before::of(&world).await?;
    assert_eq!(before.events.len() as u64, left.number("events")?);
    assert_eq!(before.settled.len() as u64, left.number("settled")?);
    let waiting = world.count("SELECT count(*) FROM outbound_audit WHERE outcome = 'pending'").await?;
    assert!(waiting > 0, "it was killed in the middle of its work");
    assert_eq!(u64::try_from(waiting)?, left.number("waiting")?);

    // Nobody takes changes in until this build does: they wait in the older one's stream, and more of them come all the time.
    let names = names(12);
    let (unchanged, changing) = names.split_at(6);
    world.publish(&all_described(unchanged, 3, "left waiting")).await?;
    let stream = world.nats.intake_state().await?.context("the older build's consumer is there")?;
    assert!(stream.waiting >= 6, "{stream:?}");
    let over = Arc::new(AtomicBool::new(false));
    let load = tokio::spawn(change_steadily(world.nats.clone(), changing.to_vec(), 3, over.clone()));

    // A connection that has prepared this before the migration could not give it afterwards.
    let payloads = || sqlx::query("SELECT payload FROM events").fetch_all(&world.pool);
    assert_eq!(payloads().await?.len(), before.events.len());
    done(&world, &["migrate"])?;
    assert_eq!(payloads().await?.len(), before.events.len());
    before.has_its_rows(&world, before.rows.keys().map(String::as_str)).await?;
    let to_rebuild = left.to_rebuild()?;
    if to_rebuild.is_empty() {
        world.read_models_are_right()?;
    }
    let unwell = let_go_on(&world).await?;
    let service = world.serve("")?;
    described_so(&world, 6, "left waiting", &service).await?;
    for target in &unwell {
        wait_until("a target is well again", Duration::from_secs(60), || async {
            Ok(done(&world, &["target", "check", target]).map_err(|error| error.to_string()))
        })
        .await?;
    }
    over.store(true, Ordering::Relaxed);
    let last = load.await??;
    assert!(last >= 10, "changes came all the time, six of each revision: {last}");
    described_so(&world, 6, &format!("state {last}"), &service).await?;
    world.drained(Duration::from_secs(60)).await?;
    for (account, listings) in left.listings()? {
        assert_eq!(world.sandbox.listings(account).await?.len(), listings, "no listing of {account} twice");
        let doubled = world.sandbox.account(account).await?["duplicate_references"].as_u64().unwrap_or_default();
        assert_eq!(doubled, 0, "references of {account} twice");
    }
    world.audit_is_whole().await?;
    for model in &to_rebuild {
        done(&world, &["projections", "rebuild", model])?;
    }
    before.is_kept(&world).await?;
    before.is_not_sent_again(&world).await?;
    let letters = world.nats.dead_letters(None, 0, 100).await?.len();
    assert_eq!(letters as u64, left.number("dead_letters")?, "what nobody has decided about waits for that");
    world.read_models_are_right()?;
    done(&world, &["doctor"])?;
    world.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_older_build_left_in_the_middle_is_finished_by_this_one() -> anyhow::Result<()> {
    is_finished(OLDEST).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_build_left_in_every_state_is_finished_by_this_one() -> anyhow::Result<()> {
    is_finished(NEWEST).await
}

#[test]
fn all_that_was_left_behind_is_upgraded() -> anyhow::Result<()> {
    let mut left = Vec::new();
    for entry in std::fs::read_dir(all_left_behind())? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.starts_with("schema-") {
            left.push(name);
        }
    }
    left.sort_unstable();
    assert_eq!(left, [OLDEST, NEWEST]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_starts_again_on_the_schema_of_a_newer_one() -> anyhow::Result<()> {
    let world = World::new(&[8510]).await?;
    sqlx::raw_sql(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
             VALUES (9999, 'of a newer build', true, '\\x00', 0);
         ALTER TABLE units ADD COLUMN of_a_newer_build text;",
    )
    .execute(&world.pool)
    .await?;
    let service = world.serve("")?;
    let target = world.target(8510, RateLimit::new(100, 1_000)?).await?;
    world.publish(&[unit("villa-000", 1)]).await?;
    world.taken(1, 1).await.with_context(|| service.printed())?;
    world.link(target, &names(1)).await?;
    world.drained(Duration::from_secs(30)).await?;
    assert_eq!(world.sandbox.listings(8510).await?.len(), 1);
    let (code, said, _) = world.run(&["migrate", "--check"])?;
    assert_eq!(code, 0, "{said}");
    world.close().await
}

/// Only where `OLDER_DISTRIBUTION` is the program of an older build: tests/upgrade/README.md says how to have one.
#[tokio::test(flavor = "multi_thread")]
async fn heavy_an_older_build_and_this_one_work_side_by_side() -> anyhow::Result<()> {
    let Some(older) = std::env::var_os("OLDER_DISTRIBUTION") else {
        eprintln!("skipped, as OLDER_DISTRIBUTION names no program of an older build: see tests/upgrade/README.md");
        return Ok(());
    };
    // The schema goes first.
    let world = World::new(&[8520]).await?;
    let start_older = |log: &str| {
        let mut command = Command::new(&older);
        command.args(["serve", "--no-migrate"]).envs(world.environment()?);
        Process::spawn(command, &world.path(log))
    };
    let mut before = start_older("older-1.log")?;
    let target = world.target(8520, RateLimit::new(40, 1_000)?).await?;
    let units = names(60);
    world.publish(&units.iter().map(|name| unit(name, 1)).collect::<Vec<_>>()).await?;
    world.taken(60, 1).await.with_context(|| before.printed())?;
    world.link(target, &units).await?;
    let mut revision = 1;
    let mut work = async |seconds: u32| {
        for _ in 0..2 * seconds {
            revision += 1;
            let text = format!("revision {revision}");
            world.publish(&units.iter().map(|name| described(name, revision, &text)).collect::<Vec<_>>()).await?;
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        anyhow::Ok(revision)
    };
    work(3).await?;
    let mut this = world.serve("")?;
    work(8).await?;
    ensure!(before.stopped().await?, "{}", before.printed());
    work(3).await?;
    // And back: what this build has written, the older one goes on with, and then this one again.
    let mut again = start_older("older-2.log")?;
    work(3).await?;
    ensure!(this.stopped().await?, "{}", this.printed());
    work(5).await?;
    let _this = world.serve("")?;
    ensure!(again.stopped().await?, "{}", again.printed());
    let last = work(1).await?;
    let text = format!("revision {last}");
    wait_until("each unit's last state is at the channel", Duration::from_secs(90), || async {
        let listings = world.sandbox.listings(8520).await?;
        let there = listings.iter().filter(|listing| listing["description"] == text.as_str()).count();
        Ok(if there == 60 { Ok(()) } else { Err(format!("{there} of {}", listings.len())) })
    })
    .await?;
    world.drained(Duration::from_secs(60)).await?;
    assert_eq!(world.sandbox.listings(8520).await?.len(), 60, "no listing twice");
    assert_eq!(world.sandbox.account(8520).await?["duplicate_references"], 0);
    let summary = world.sandbox.get("/summary?window_ms=1000").await?;
    assert!(summary["accounts"]["8520"]["worst_window"].as_u64() <= Some(40), "{summary}");
    world.audit_is_whole().await?;
    let lost =
        "SELECT count(*) FROM outbound_audit WHERE outcome NOT IN ('accepted', 'superseded', 'skipped_unchanged')";
    assert_eq!(world.count(lost).await?, 0);
    // As the changelog says: what older builds did not add up.
    let (code, _, said) = world.run(&["projections", "rebuild", "outbound_audit"])?;
    assert_eq!(code, 0, "{said}");
    world.read_models_are_right()?;
    world.close().await
}
