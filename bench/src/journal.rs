//! `bench journal`: appends/s of the journal by concurrency, against one-row prepared inserts of pgbench into an equal
//! table on the same server.

mod ours;
mod rows_alone;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use adapters::event_store::STATEMENTS;
use clap::Args;
use serde_json::{Value, json};

use crate::figures::{Spread, cores, float, machine, rounded};
use crate::pgbench;
use crate::plot::{Bars, Group};
use crate::say;
use crate::world::World;

/// How long, and how often.
#[derive(Debug, Clone, Args)]
pub struct JournalOptions {
    /// Seconds of each measurement
    #[arg(long, default_value_t = 4)]
    pub seconds: u64,

    /// Runs of each
    #[arg(long, default_value_t = 3)]
    pub repeat: usize,

    /// Appends and commands that are under way at the same time
    #[arg(long, value_delimiter = ',', default_values_t = [1, 32, 128, 512])]
    pub concurrency: Vec<usize>,
}

/// What pgbench is measured with: as many clients as the goal names.
const PGBENCH_CLIENTS: usize = 32;

/// Measures and gives the figures.
pub async fn run(options: &JournalOptions, folder: Option<&Path>) -> anyhow::Result<Value> {
    let world = World::new().await?;
    let time = Duration::from_secs(options.seconds);
    let sample = sample()?;
    let table = pgbench::Table::make(&world, sample.clone()).await?;
    let (mut appends, mut commands) = (BTreeMap::<usize, Vec<f64>>::new(), BTreeMap::<usize, Vec<f64>>::new());
    let mut cpu = BTreeMap::<usize, Vec<BTreeMap<&'static str, f64>>>::new();
    let (mut inserts, mut most) = (BTreeMap::<usize, Vec<f64>>::new(), BTreeMap::<usize, Vec<f64>>::new());
    let mut alone = BTreeMap::<usize, Vec<f64>>::new();
    for round in 1..=options.repeat {
        for clients in [1, PGBENCH_CLIENTS] {
            world.checkpoint().await?;
            let rate = table.inserts_per_s(clients, options.seconds).await?;
            say(&format!("pgbench {round}: {clients} clients, {rate:.0} inserts/s"));
            inserts.entry(clients).or_default().push(rate);
        }
        for concurrent in &options.concurrency {
            world.checkpoint().await?;
            let appended = ours::appends(&world, *concurrent, time).await?;
            world.checkpoint().await?;
            let whole = ours::commands_per_s(&world, *concurrent, time).await?;
            say(&format!(
                "ours {round}: {concurrent} at a time, {:.0} appends/s, {whole:.0} whole commands/s",
                appended.per_s
            ));
            if *concurrent >= PGBENCH_CLIENTS {
                world.checkpoint().await?;
                let rate = table.rows_per_s(STATEMENTS, concurrent / STATEMENTS, options.seconds).await?;
                say(&format!(
                    "pgbench {round}: {STATEMENTS} clients with {} rows each, {rate:.0} rows/s",
                    concurrent / STATEMENTS
                ));
                most.entry(*concurrent).or_default().push(rate);
                // All in one statement, or in several at a time: whichever is best.
                let mut best = 0.0_f64;
                for statements in [1, STATEMENTS, 2 * STATEMENTS] {
                    world.checkpoint().await?;
                    let rate = rows_alone::per_s(&world, &sample, statements, concurrent / statements, time).await?;
                    say(&format!("rows alone {round}: {statements} statements at a time, {rate:.0} rows/s"));
                    best = best.max(rate);
                }
                alone.entry(*concurrent).or_default().push(best);
            }
            appends.entry(*concurrent).or_default().push(appended.per_s);
            cpu.entry(*concurrent).or_default().push(appended.cpu_us);
            commands.entry(*concurrent).or_default().push(whole);
        }
    }
    world.close().await?;
    let spread = |runs: &BTreeMap<usize, Vec<f64>>| -> BTreeMap<usize, Spread> {
        runs.iter().map(|(count, runs)| (*count, Spread::of(runs.iter().copied()))).collect()
    };
    let runs = Runs {
        appends: spread(&appends),
        cpu_us: cpu.iter().map(|(count, runs)| (*count, median_of_parts(runs))).collect(),
        commands: spread(&commands),
        inserts: spread(&inserts),
        most: spread(&most),
        alone: spread(&alone),
    };
    figures(&runs, folder)
}

fn median_of_parts(runs: &[BTreeMap<&'static str, f64>]) -> BTreeMap<&'static str, f64> {
    let parts = runs.first().into_iter().flat_map(BTreeMap::keys);
    parts.map(|part| (*part, Spread::of(runs.iter().map(|run| run[part])).median)).collect()
}

/// What each gave, by how many are under way.
struct Runs {
    appends: BTreeMap<usize, Spread>,
    /// CPU of each part for an append, in microseconds.
    cpu_us: BTreeMap<usize, BTreeMap<&'static str, f64>>,
    commands: BTreeMap<usize, Spread>,
    inserts: BTreeMap<usize, Spread>,
    most: BTreeMap<usize, Spread>,
    /// The journal's rows without the journal.
    alone: BTreeMap<usize, Spread>,
}

fn figures(runs: &Runs, folder: Option<&Path>) -> anyhow::Result<Value> {
    let Runs { appends, cpu_us, commands, inserts, most, alone } = runs;
    let single = inserts.get(&PGBENCH_CLIENTS).map_or(f64::NAN, |spread| spread.median);
    let many = |runs: &BTreeMap<usize, Spread>| -> BTreeMap<usize, f64> {
        let many = runs.iter().filter(|(count, _)| **count >= PGBENCH_CLIENTS);
        many.map(|(count, spread)| (*count, rounded(spread.median / single))).collect()
    };
    let least = |ratios: &BTreeMap<usize, f64>| ratios.values().copied().fold(f64::INFINITY, f64::min);
    let (ratios, command_ratios) = (many(appends), many(commands));
    // Were no core ever idle, and all else free.
    let ceiling = |(count, parts): (&usize, &BTreeMap<&str, f64>)| {
        let whole_machine = float(cores()) * 1_000_000.0 / parts.values().sum::<f64>();
        (*count, rounded(whole_machine / single))
    };
    let ceilings: BTreeMap<usize, f64> =
        cpu_us.iter().filter(|(count, _)| **count >= PGBENCH_CLIENTS).map(ceiling).collect();
    let figures = json!({
        "bench": "journal", "machine": machine(), "ratio": least(&ratios), "ratio_by_concurrency": ratios,
        "ratio_of_commands": least(&command_ratios), "appends_per_s": appends, "cpu_us_per_append": cpu_us,
        "ratio_were_no_core_idle": ceilings, "commands_per_s": commands,
        "pgbench_inserts_per_s": inserts, "most_rows_per_s": most, "most_ratio_by_concurrency": many(most),
        "rows_alone_per_s": alone, "rows_alone_ratio_by_concurrency": many(alone),
    });
    let nothing = Spread::exactly(0.0);
    let group = |(count, spread): (&usize, &Spread)| Group {
        name: format!("{count} at a time"),
        bars: vec![
            *spread,
            commands.get(count).copied().unwrap_or(nothing),
            inserts.get(count).copied().unwrap_or(nothing),
            alone.get(count).copied().unwrap_or(nothing),
            most.get(count).copied().unwrap_or(nothing),
        ],
    };
    let groups: Vec<Group> = appends.iter().map(group).collect();
    let sides = [
        "appends",
        "commands (load, decide, append)",
        "pgbench, one row each",
        "rows alone, ready-made",
        "pgbench, statements as large",
    ];
    Bars { title: "Appends to the journal", unit: "per second", sides: &sides, groups: &groups }
        .save(folder, "journal", &figures)?;
    Ok(figures)
}

/// The payload and the metadata of the event that both sides write.
fn sample() -> anyhow::Result<(Value, Value)> {
    Ok((serde_json::to_value(ours::event())?, serde_json::to_value(ours::metadata()?.to_map())?))
}
