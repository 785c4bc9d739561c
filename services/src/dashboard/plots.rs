//! The last hours as plots: what waits, throughput, what failed, how long it took, how targets were, and what the channel
//! refused as too much.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use maud::{Markup, html};
use serde_json::json;
use sqlx::PgConnection;

use crate::api::by::By;
use crate::api::reader::account_filter;
use crate::views::activity::{Activity, Span, oldest_ms, read, waiting};

/// Minutes that are shown.
const MINUTES: i64 = 180;

/// The minutes, those without anything too, oldest first; the last one is still going on.
pub(super) async fn minutes(
    reader: &mut PgConnection,
    by: &By,
    now: DateTime<Utc>,
) -> Result<Vec<Activity>, sqlx::Error> {
    let minute = |at: DateTime<Utc>| at.timestamp().div_euclid(60);
    let last = minute(now);
    let at = |minute: i64| DateTime::from_timestamp(minute * 60, 0).unwrap_or_default();
    let span = Span { from: at(last - MINUTES + 1), to: now + TimeDelta::minutes(1), step_min: 1 };
    let accounts = account_filter(&by.caller);
    let mut found = read(reader, Some(&by.caller.org_id), accounts.as_deref(), span).await?.into_iter().peekable();
    let steps = (last - MINUTES + 1..=last).map(|step| {
        let here = found.next_if(|activity| minute(activity.at) <= step);
        here.unwrap_or_else(|| Activity { at: at(step), ..Activity::default() })
    });
    Ok(steps.collect())
}

/// A line of a plot: a value for each minute, absent where there is none.
struct Line {
    name: &'static str,
    colour: &'static str,
    points: Vec<Option<f64>>,
}

/// What an upright axis counts in.
#[derive(Debug, Clone, Copy)]
struct Unit {
    /// At the axis.
    axis: &'static str,
    /// After a value.
    short: &'static str,
    /// Only whole numbers are ticks.
    whole: bool,
}

impl Unit {
    const TARGETS: Self = Self::count("targets");
    const SYNCS: Self = Self::count("syncs");
    const SYNCS_A_MINUTE: Self = Self::count("syncs / min");
    const CALLS_A_MINUTE: Self = Self::count("calls / min");
    const A_MINUTE: Self = Self::count("failures / min");
    const PERCENT: Self = Self { axis: "%", short: " %", whole: false };
    const SECONDS: Self = Self { axis: "seconds", short: " s", whole: false };

    const fn count(axis: &'static str) -> Self {
        Self { axis, short: "", whole: true }
    }
}

/// What waits now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waiting {
    pub count: i64,
    /// There are at least so many.
    pub more: bool,
    /// Since when the oldest waits.
    pub since: Option<DateTime<Utc>>,
}

/// How targets are, each with the colour of its line.
const HEALTHS: [(&str, &str); 5] = [
    ("healthy", "--good"),
    ("degraded", "--warn"),
    ("unreachable", "--bad"),
    ("unauthorised", "--alarm"),
    ("unknown", "--quiet"),
];

/// All plots.
pub(super) fn show(
    minutes: &[Activity],
    queue: Waiting,
    healths: &[BTreeMap<String, i64>],
    now: DateTime<Utc>,
) -> Markup {
    let line = |name, colour, of: fn(&Activity) -> Option<f64>| {
        let points = minutes.iter().map(of).collect();
        Line { name, colour, points }
    };
    let depth = waiting(minutes, queue.count).into_iter().map(|depth| Some(count(depth))).collect();
    let depth = Line { name: if queue.more { "at least" } else { "waiting" }, colour: "--accent", points: depth };
    let ages = oldest_ms(minutes, queue.since, now).into_iter().map(|age| tenths(age, 1_000)).collect();
    let ages = Line { name: "the oldest", colour: "--accent", points: ages };
    let health = |name: &'static str, colour| {
        let points = healths.iter().map(|counts| Some(count(counts.get(name).copied().unwrap_or(0))));
        Line { name, colour, points: points.collect() }
    };
    html! { div.plots {
        noscript { p.quiet { "Plots need scripts." } }
        (plot("queue", "Queue depth", Unit::SYNCS, minutes, &[depth]))
        (plot("age", "Queue age", Unit::SECONDS, minutes, &[ages]))
        (plot("throughput", "Throughput", Unit::SYNCS_A_MINUTE, minutes, &[
            line("asked for", "--quiet", |step| Some(count(step.requested))),
            line("accepted", "--accent", |step| Some(count(step.accepted))),
        ]))
        (plot("rate", "Error rate", Unit::PERCENT, minutes, &[
            line("of syncs", "--bad", |step| percent(step.failed, step.finished)),
            line("of calls", "--warn", |step| percent(step.call_errors, step.calls)),
        ]))
        (plot("failures", "Failures", Unit::A_MINUTE, minutes, &[
            line("syncs failed", "--bad", |step| Some(count(step.failed))),
            line("calls failed", "--warn", |step| Some(count(step.call_errors))),
        ]))
        (plot("soon", "Taken within five minutes", Unit::PERCENT, minutes, &[
            line("of finished syncs", "--accent", |step| percent(step.within_5_min, step.finished)),
        ]))
        (plot("health", "Targets by health", Unit::TARGETS, minutes, &HEALTHS.map(|(name, colour)| health(name, colour))))
        (plot("throttled", "Calls of syncs", Unit::CALLS_A_MINUTE, minutes, &[
            line("calls", "--quiet", |step| Some(count(step.calls))),
            line("answered with 429", "--warn", |step| Some(count(step.throttled))),
        ]))
        (plot("duration", "From the first change to the end", Unit::SECONDS, minutes, &[
            line("mean", "--accent", |step| tenths(step.total_ms, step.finished * 1_000)),
            line("longest", "--quiet", |step| tenths(step.longest_ms, i64::from(step.finished > 0) * 1_000)),
        ]))
    } }
}

#[expect(clippy::cast_precision_loss, reason = "a plot shows some digits")]
fn count(n: i64) -> f64 {
    n as f64
}

/// A quotient to a tenth, rounded down; `None` of nothing.
fn tenths(part: i64, of: i64) -> Option<f64> {
    (of > 0).then(|| count(part.saturating_mul(10) / of) / 10.0)
}

fn percent(part: i64, of: i64) -> Option<f64> {
    tenths(part.saturating_mul(100), of)
}

fn plot(id: &str, title: &str, unit: Unit, minutes: &[Activity], lines: &[Line]) -> Markup {
    let mut data = vec![json!(minutes.iter().map(|step| step.at.timestamp()).collect::<Vec<_>>())];
    data.extend(lines.iter().map(|line| json!(line.points)));
    let named: Vec<_> = lines.iter().map(|line| json!({ "name": line.name, "colour": line.colour })).collect();
    let described = lines.iter().map(|line| {
        let highest = line.points.iter().flatten().copied().fold(0.0, f64::max);
        format!("{}: at most {highest}{}", line.name, unit.short)
    });
    let described =
        format!("{title} in {}, the last three hours. {}.", unit.axis, described.collect::<Vec<_>>().join("; "));
    let plotted = json!({ "axis": unit.axis, "unit": unit.short, "whole": unit.whole, "series": named, "data": data })
        .to_string();
    html! { div.plot {
        h3 #(format!("plot-{id}-title")) { (title) }
        div #(format!("plot-{id}")) role="img" aria-label=(described) data-plot=(plotted) { div.canvas {} }
    } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_of_nothing_is_no_rate() {
        assert_eq!(percent(0, 0), None);
        assert_eq!(percent(1, 3), Some(33.3));
        assert_eq!(tenths(1_990, 1_000), Some(1.9));
    }

    /// The colours of a name in the style sheet, by light and in the dark.
    fn colours(name: &str) -> Option<[[f64; 3]; 2]> {
        let css = include_str!("../../assets/dashboard.css");
        let pair = css.split(&format!("{name}: light-dark(")).nth(1)?.split(')').next()?;
        let (light, dark) = pair.split_once(", ")?;
        let channel =
            |hex: &str, at: usize| Some(f64::from(u8::from_str_radix(hex.get(at..at + 2)?, 16).ok()?) / 255.0);
        let colour = |hex: &str| Some([channel(hex, 1)?, channel(hex, 3)?, channel(hex, 5)?]);
        Some([colour(light)?, colour(dark)?])
    }

    /// As WCAG has it.
    fn luminance(colour: [f64; 3]) -> f64 {
        let linear = |c: f64| if c <= 0.03928 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) };
        let [red, green, blue] = colour.map(linear);
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }

    #[test]
    fn lines_of_health_differ_and_stand_out_by_light_and_in_the_dark() {
        let names: std::collections::BTreeSet<&str> = HEALTHS.iter().map(|(_, colour)| *colour).collect();
        assert_eq!(names.len(), HEALTHS.len(), "no two have one colour");
        let grounds = colours("--ground").expect("a colour");
        for (health, name) in HEALTHS {
            let its = colours(name).expect("a colour");
            for (colour, ground) in its.into_iter().zip(grounds) {
                let (one, other) = (luminance(colour) + 0.05, luminance(ground) + 0.05);
                let contrast = one.max(other) / one.min(other);
                assert!(contrast >= 4.5, "{health}: {contrast}");
            }
        }
    }
}
