//! The last hours as plots: throughput, what failed, how long it took, and what the channel refused as too much.

use chrono::{DateTime, TimeDelta, Utc};
use maud::{Markup, html};
use serde_json::json;
use sqlx::PgConnection;

use super::pieces::number;
use crate::api::by::By;
use crate::api::reader::account_filter;
use crate::views::activity::{Activity, Span, read};

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

struct Series<'a> {
    name: &'a str,
    colour: &'a str,
    of: fn(&Activity) -> Option<i64>,
}

const fn series<'a>(name: &'a str, colour: &'a str, of: fn(&Activity) -> Option<i64>) -> Series<'a> {
    Series { name, colour, of }
}

/// All plots.
pub(super) fn show(minutes: &[Activity]) -> Markup {
    let took = |step: &Activity| (step.finished > 0).then(|| step.total_ms / step.finished / 1_000);
    html! { div.plots {
        (plot("throughput", "Syncs a minute", "", minutes, &[
            series("asked for", "--quiet", |step| Some(step.requested)),
            series("accepted", "--accent", |step| Some(step.accepted)),
        ]))
        (plot("failures", "Failures a minute", "", minutes, &[
            series("syncs failed", "--bad", |step| Some(step.failed)),
            series("calls failed", "--warn", |step| Some(step.call_errors)),
        ]))
        (plot("throttled", "Calls a minute", "", minutes, &[
            series("calls", "--quiet", |step| Some(step.calls)),
            series("answered with 429", "--warn", |step| Some(step.throttled)),
        ]))
        (plot("duration", "From request to end", " s", minutes, &[
            series("mean", "--accent", took),
            series("longest", "--quiet", |step| (step.finished > 0).then_some(step.longest_ms / 1_000)),
        ]))
    } }
}

fn plot(id: &str, title: &str, unit: &str, minutes: &[Activity], lines: &[Series<'_>]) -> Markup {
    let mut data = vec![json!(minutes.iter().map(|step| step.at.timestamp()).collect::<Vec<_>>())];
    data.extend(lines.iter().map(|line| json!(minutes.iter().map(line.of).collect::<Vec<_>>())));
    let named: Vec<_> = lines.iter().map(|line| json!({ "name": line.name, "colour": line.colour })).collect();
    let described = lines.iter().map(|line| {
        let highest = minutes.iter().filter_map(line.of).max().unwrap_or_default();
        format!("{}: at most {}{unit}", line.name, number(highest))
    });
    let described = format!("{title}, the last three hours. {}.", described.collect::<Vec<_>>().join("; "));
    let plotted = json!({ "unit": unit, "series": named, "data": data }).to_string();
    html! { div.plot {
        h3 #(format!("plot-{id}-title")) { (title) }
        div #(format!("plot-{id}")) role="img" aria-label=(described) data-plot=(plotted) { div.canvas {} }
    } }
}
