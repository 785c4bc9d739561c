//! The figures of a floor: what a sync costs at least, and with it the most that two cores, or those that there are, can do.

use std::path::Path;

use serde_json::{Value, json};

use super::{FloorOptions, Runs, STEPS, Spent};
use crate::figures::{Spread, cores, float, machine, rounded};
use crate::plot::{Bars, Group};

/// Writes them down and draws them.
pub(super) fn report(options: &FloorOptions, folder: Option<&Path>, runs: &Runs) -> anyhow::Result<Value> {
    let of = |step: usize, what: fn(Spent) -> f64| Spread::of(runs.steps[step].iter().map(|spent| what(*spent)));
    let steps: Vec<Spread> = (0..STEPS.len()).map(|step| of(step, Spent::sum)).collect();
    let part = |what: fn(Spent) -> f64| rounded((0..STEPS.len()).map(|step| of(step, what).median).sum());
    let sum: f64 = steps.iter().map(|step| step.median).sum();
    let peer = Spread::of(runs.theirs.iter().copied());
    let rate = Spread::of(runs.their_rates.iter().copied());
    // With every core at work on nothing but the floor.
    let cores_ms = float(cores()) * 1_000.0;
    let most = cores_ms / sum;
    let [one, two] = &runs.read_models;
    let read_models = Spread::of(runs.read_models_ms.iter().copied());
    // A sync has two events, and what is delivered is read once for all read models.
    let projected = 2.0 * cores_ms / (read_models.median + steps[DELIVERED].median);
    let by_step: serde_json::Map<String, Value> = STEPS
        .iter()
        .zip(&steps)
        .map(|(name, spread)| Ok(((*name).to_owned(), serde_json::to_value(spread)?)))
        .collect::<anyhow::Result<_>>()?;
    let figures = json!({
        "bench": "floor", "changes": options.changes, "batch": options.batch, "runs": options.set_up.repeat,
        "machine": machine(),
        "cpu_ms_per_sync": by_step, "cpu_ms_per_sync_sum": rounded(sum),
        "cpu_ms_by_part": {
            "postgres": part(|spent| spent.postgres), "nats": part(|spent| spent.nats), "work": part(|spent| spent.work),
        },
        "peer_cpu_ms_per_sync": peer, "peer_syncs_per_s": rate,
        "ratio_cpu": rounded(sum / peer.median),
        "most_syncs_per_s": rounded(most), "ratio_throughput": rounded(most / rate.median),
        "read_models_events_per_s": Spread::of(one.iter().copied()),
        "read_models_by_two_connections_events_per_s": Spread::of(two.iter().copied()),
        "read_models_cpu_ms_per_sync": read_models, "most_projected_events_per_s": rounded(projected),
    });
    let bar = |name: &str, spread: Spread| Group { name: name.to_owned(), bars: vec![spread] };
    let mut groups: Vec<Group> = STEPS.iter().zip(&steps).map(|(name, spread)| bar(name, *spread)).collect();
    groups.push(bar("all of it", Spread::exactly(rounded(sum))));
    groups.push(bar("BullMQ's job", peer));
    let title = "What a sync leaves behind, by the servers alone";
    Bars { title, unit: "ms CPU a sync", sides: &["CPU"], groups: &groups }.save(folder, "floor", &figures)?;
    Ok(figures)
}

/// Which of the steps it is that the projector cannot be without.
const DELIVERED: usize = 4;
