//! The figures of `bench pressure`.

use std::path::Path;

use serde_json::{Value, json};

use super::{PressureOptions, Scenario, Waiting};
use crate::figures::{Spread, float, machine, rounded};
use crate::plot::{Bars, Group};

/// What a scenario gave.
pub struct Seen {
    pub scenario: Scenario,
    /// Private memory of the service in megabytes, before the changes came.
    pub settled_mb: f64,
    /// The most of it, until all was at the channel.
    pub peak_mb: f64,
    /// At the end.
    pub after_mb: f64,
    /// Seconds from the first change that the service saw until all were taken in, or Postgres was not slow any more.
    pub trouble_s: f64,
    /// What waited then.
    pub waiting: Waiting,
    /// Seconds until all was at the channel and on the streams.
    pub recovery_s: f64,
    /// The most calls that any account had in a window.
    pub worst_window: usize,
}

impl Seen {
    fn figures(&self, options: &PressureOptions) -> anyhow::Result<Value> {
        let taken_in = options.all().saturating_sub(usize::try_from(self.waiting.changes)?);
        Ok(json!({
            "scenario": self.scenario, "settled_mb": rounded(self.settled_mb), "peak_mb": rounded(self.peak_mb),
            "after_mb": rounded(self.after_mb), "trouble_s": rounded(self.trouble_s),
            "taken_in_per_s": rounded(float(taken_in) / self.trouble_s), "waiting": self.waiting,
            "recovery_s": rounded(self.recovery_s), "worst_window": self.worst_window,
        }))
    }
}

/// How long the windows alone take for one call of each listing, in seconds.
fn windows_ask_s(options: &PressureOptions) -> anyhow::Result<f64> {
    let limit = options.limit()?;
    let calls = options.listings.div_ceil(options.targets());
    let windows = calls.div_ceil(usize::try_from(limit.requests())?).saturating_sub(1);
    Ok(float(windows) * f64::from(limit.window_ms()) / 1_000.0)
}

/// What they are saved as: runs that are unlike stand beside each other.
fn name(options: &PressureOptions) -> String {
    let which = if options.scenario == Scenario::ALL {
        String::new()
    } else {
        options.scenario.iter().map(|scenario| format!("-{scenario}")).collect()
    };
    format!("pressure{which}{}", if options.windows { "-windows" } else { "" })
}

/// All of them together.
pub fn figures(options: &PressureOptions, all: &[Seen], folder: Option<&Path>) -> anyhow::Result<Value> {
    let scenarios = all.iter().map(|seen| seen.figures(options)).collect::<anyhow::Result<Vec<_>>>()?;
    let most = |figure: fn(&Seen) -> f64| rounded(all.iter().map(figure).fold(0.0, f64::max));
    let figures = json!({
        "bench": "pressure", "changes": options.all(), "listings": options.listings, "targets": options.targets(),
        "limit": options.limit()?.to_string(), "machine": machine(), "most_mb": options.most_mb,
        "peak_mb": most(|seen| seen.peak_mb), "recovery_s": most(|seen| seen.recovery_s),
        "windows_ask_s": rounded(windows_ask_s(options)?),
        "worst_window": all.iter().map(|seen| seen.worst_window).max(), "scenarios": scenarios,
    });
    let group = |seen: &Seen| {
        let bars = [seen.settled_mb, seen.peak_mb, seen.after_mb].map(|mb| Spread::exactly(rounded(mb)));
        Group { name: seen.scenario.to_string(), bars: bars.into() }
    };
    let groups: Vec<Group> = all.iter().map(group).collect();
    let title = format!("Private memory of the service under {} changes", options.all());
    let bars = Bars { title: &title, unit: "MB", sides: &["before", "at most", "after"], groups: &groups };
    bars.save(folder, &name(options), &figures)?;
    Ok(figures)
}
