//! One trace from a unit's message, or an API request, to the last audit event: stages of the work as spans, each under
//! the `traceparent` that the work carries. Whether a trace is kept is decided where it begins and told by the flag in its
//! `traceparent`, so what is not kept costs a look at that flag; a failure is kept all the same.

use std::borrow::Cow;
use std::sync::OnceLock;
use std::time::SystemTime;

use opentelemetry::trace::{
    Span as _, SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _, TraceFlags, TraceId,
    TraceState, Tracer as _,
};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_sdk::trace::{SdkTracer, Span};

static TRACER: OnceLock<(SdkTracer, f64)> = OnceLock::new();

pub(super) fn start(tracer: SdkTracer, sample_ratio: f64) {
    // Started once: `Telemetry::start` sees to that.
    let _ = TRACER.set((tracer, sample_ratio));
}

/// The part that a stage has in an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It answers a request.
    Server,
    /// It asks another service.
    Client,
    /// It publishes a message.
    Producer,
    /// It takes a message.
    Consumer,
    /// Neither.
    Internal,
}

impl From<Kind> for SpanKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Server => Self::Server,
            Kind::Client => Self::Client,
            Kind::Producer => Self::Producer,
            Kind::Consumer => Self::Consumer,
            Kind::Internal => Self::Internal,
        }
    }
}

/// Whether traces are sent anywhere.
pub fn is_traced() -> bool {
    TRACER.get().is_some()
}

/// Whether the trace of a `traceparent` is kept.
pub fn is_sampled(traceparent: Option<&str>) -> bool {
    TRACER.get().is_some() && traceparent.is_some_and(|text| context(text).is_some_and(|context| context.is_sampled()))
}

fn context(traceparent: &str) -> Option<SpanContext> {
    let known = domain::text::traceparent(traceparent)?;
    let mut fields = known.split('-').skip(1);
    let trace = TraceId::from_hex(fields.next()?).ok()?;
    let span = SpanId::from_hex(fields.next()?).ok()?;
    let flags = TraceFlags::new(u8::from_str_radix(fields.next()?, 16).ok()?);
    Some(SpanContext::new(trace, span, flags, true, TraceState::default()))
}

/// A stage of the work that is under way. It is told when it is dropped.
#[derive(Debug)]
pub struct Stage {
    span: Option<Span>,
    /// What is handed on where there is no span.
    passed: Option<String>,
    /// What a span is made of if it fails, where its trace is not kept.
    unkept: Option<Unkept>,
}

#[derive(Debug)]
struct Unkept {
    name: Cow<'static, str>,
    kind: Kind,
    began: SystemTime,
}

impl Stage {
    /// A stage under a `traceparent`; without one a trace begins, and is kept by the configured share.
    pub fn begin(name: impl Into<Cow<'static, str>>, kind: Kind, parent: Option<&str>) -> Self {
        let Some((tracer, ratio)) = TRACER.get() else {
            return Self::handing_on(parent);
        };
        let name = name.into();
        let given = parent.and_then(context);
        let kept = given.as_ref().map_or_else(|| rand::random::<f64>() < *ratio, SpanContext::is_sampled);
        if !kept {
            let passed = parent.map_or_else(unkept, str::to_owned);
            let unkept = Unkept { name, kind, began: SystemTime::now() };
            return Self { span: None, passed: Some(passed), unkept: Some(unkept) };
        }
        let builder = SpanBuilder::from_name(name).with_kind(kind.into());
        Self { span: Some(begin(tracer, builder, given)), passed: None, unkept: None }
    }

    fn handing_on(parent: Option<&str>) -> Self {
        Self { span: None, passed: parent.map(str::to_owned), unkept: None }
    }

    /// A stage that has begun a while ago and failed, or that leads to one that has: it is kept whatever its trace was meant
    /// to be, and so is what follows from it.
    pub fn failed_since(name: impl Into<Cow<'static, str>>, parent: Option<&str>, since: SystemTime) -> Self {
        let Some((tracer, _)) = TRACER.get() else {
            return Self::handing_on(parent);
        };
        let builder = SpanBuilder::from_name(name).with_kind(SpanKind::Internal).with_start_time(since);
        Self { span: Some(begin(tracer, builder, parent.and_then(context))), passed: None, unkept: None }
    }

    /// The same for one that went well: it is kept if its trace is.
    pub fn since(name: impl Into<Cow<'static, str>>, parent: Option<&str>, since: SystemTime) -> Self {
        if is_sampled(parent) { Self::failed_since(name, parent, since) } else { Self::handing_on(parent) }
    }

    /// Ends at a moment that is over.
    pub fn ended_at(mut self, at: SystemTime) {
        if let Some(mut span) = self.span.take() {
            span.end_with_timestamp(at);
        }
    }

    /// What the work that follows is to carry.
    pub fn traceparent(&self) -> Option<String> {
        match &self.span {
            Some(span) => {
                let context = span.span_context();
                Some(format!("00-{}-{}-{:02x}", context.trace_id(), context.span_id(), context.trace_flags().to_u8()))
            }
            None => self.passed.clone(),
        }
    }

    /// Calls it otherwise, once more is known.
    pub fn rename(&mut self, name: impl Into<Cow<'static, str>>) {
        if let Some(span) = &mut self.span {
            span.update_name(name);
        } else if let Some(unkept) = &mut self.unkept {
            unkept.name = name.into();
        }
    }

    /// Adds what is known of it.
    pub fn set(&mut self, name: &'static str, value: impl Into<Value>) {
        if let Some(span) = &mut self.span {
            span.set_attribute(KeyValue::new(name, value));
        }
    }

    /// Says that it failed, and how: from here on it is kept. What was set before on one that was not is lost.
    pub fn fail(&mut self, why: impl Into<Cow<'static, str>>) {
        if let (Some(unkept), Some((tracer, _))) = (self.unkept.take(), TRACER.get()) {
            let builder =
                SpanBuilder::from_name(unkept.name).with_kind(unkept.kind.into()).with_start_time(unkept.began);
            self.span = Some(begin(tracer, builder, self.passed.as_deref().and_then(context)));
        }
        if let Some(span) = &mut self.span {
            span.set_status(Status::error(why));
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Some(span) = &mut self.span {
            span.end();
        }
    }
}

fn begin(tracer: &SdkTracer, builder: SpanBuilder, parent: Option<SpanContext>) -> Span {
    match parent {
        Some(parent) => tracer.build_with_context(builder, &Context::new().with_remote_span_context(parent)),
        None => tracer.build_with_context(builder, &Context::new()),
    }
}

/// A trace that is not kept, by which a failure in it is found all the same.
fn unkept() -> String {
    let bytes = |bytes: &[u8]| bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    let (trace, span): ([u8; 16], [u8; 8]) = (rand::random(), rand::random());
    format!("00-{}-{}-00", bytes(&trace), bytes(&span))
}

/// Something that is over.
#[derive(Debug)]
pub struct Happened<'a> {
    /// What it was.
    pub name: Cow<'static, str>,
    /// Its part in an exchange.
    pub kind: Kind,
    /// Under what.
    pub parent: Option<&'a str>,
    /// When it began.
    pub began: SystemTime,
    /// When it ended.
    pub ended: SystemTime,
    /// What is known of it.
    pub attributes: Vec<(&'static str, Value)>,
    /// Why it failed, if it did.
    pub failed: Option<String>,
}

/// Tells of something that is over, if its trace is kept. Gives the `traceparent` of what follows from it.
pub fn happened(what: Happened<'_>) -> Option<String> {
    let parent = what.parent?;
    let (Some((tracer, _)), Some(context)) = (TRACER.get(), context(parent)) else { return Some(parent.to_owned()) };
    if !context.is_sampled() {
        return Some(parent.to_owned());
    }
    let attributes = what.attributes.into_iter().map(|(name, value)| KeyValue::new(name, value));
    let builder = SpanBuilder::from_name(what.name)
        .with_kind(what.kind.into())
        .with_start_time(what.began)
        .with_attributes(attributes);
    let mut stage = Stage { span: Some(begin(tracer, builder, Some(context))), passed: None, unkept: None };
    if let Some(why) = what.failed {
        stage.fail(why);
    }
    let follows = stage.traceparent();
    if let Some(mut span) = stage.span.take() {
        span.end_with_timestamp(what.ended);
    }
    follows
}
