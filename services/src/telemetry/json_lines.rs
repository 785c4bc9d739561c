//! Log lines as JSON, an object each. What a line belongs to stands at its top level, whether the line says it or a span around it
//! does, so that one query by a trace, a target or a listing finds all of them.

use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{Format, Json, JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// The form of a line, made of what [`Format`] makes of the line alone: it would put the fields of a span below `span`.
#[derive(Debug)]
pub(super) struct OneLevel(pub(super) Format<Json>);

/// What a reader looks for comes first.
#[derive(Serialize)]
struct Line {
    timestamp: Option<Value>,
    level: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Value>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl<S> FormatEvent<S, JsonFields> for OneLevel
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut alone = String::new();
        self.0.format_event(context, Writer::new(&mut alone), event)?;
        let mut rest: Map<String, Value> = serde_json::from_str(&alone).map_err(|_| fmt::Error)?;
        // `target` is a sales channel's account here, and the module elsewhere.
        if let Some(module) = rest.remove("target") {
            rest.insert("module".to_owned(), module);
        }
        // The innermost span comes first, and what is said closer to the line holds.
        for span in context.event_scope().into_iter().flatten() {
            rest.entry("span").or_insert_with(|| span.name().into());
            let extensions = span.extensions();
            let fields = extensions.get::<FormattedFields<JsonFields>>();
            let fields = fields.and_then(|known| serde_json::from_str::<Map<String, Value>>(&known.fields).ok());
            for (name, value) in fields.into_iter().flatten() {
                rest.entry(name).or_insert(value);
            }
        }
        let mut first = |name: &str| rest.remove(name);
        let (timestamp, level, message) = (first("timestamp"), first("level"), first("message"));
        let line = serde_json::to_string(&Line { timestamp, level, message, rest }).map_err(|_| fmt::Error)?;
        writeln!(writer, "{line}")
    }
}
