//! One trace from a unit's message, or an API request, to the last audit event: stages of the work as spans, each under
//! the `traceparent` that the work carries. Whether a trace is kept is decided where it begins and told by the flag in its
//! `traceparent`; where something of it fails it is kept all the same, with what this process holds of it (`keeper`).

use std::borrow::Cow;
use std::sync::OnceLock;
use std::time::SystemTime;

use opentelemetry::trace::{
    Span as _, SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _, TraceFlags, TraceId,
    TraceState, Tracer as _,
};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_sdk::trace::{SdkTracer, Span};

use super::keeper::Keeper;

static TRACING: OnceLock<Tracing> = OnceLock::new();

struct Tracing {
    tracer: SdkTracer,
    keeper: Keeper,
}

impl Tracing {
    fn begin(&self, builder: SpanBuilder, parent: Option<SpanContext>) -> Span {
        let context = Context::new();
        match parent {
            Some(parent) => self.tracer.build_with_context(builder, &context.with_remote_span_context(parent)),
            None => self.tracer.build_with_context(builder, &context),
        }
    }

    /// What the work under a span is to carry.
    fn told(&self, context: &SpanContext) -> String {
        let kept = context.is_sampled() || self.keeper.is_kept(context.trace_id());
        let flags = context.trace_flags().with_sampled(kept).to_u8();
        format!("00-{}-{}-{flags:02x}", context.trace_id(), context.span_id())
    }
}

pub(super) fn start(tracer: SdkTracer, keeper: Keeper) {
    // Started once: `Telemetry::start` sees to that.
    let _ = TRACING.set(Tracing { tracer, keeper });
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
    TRACING.get().is_some()
}

/// Whether the flag of a `traceparent` says that its trace is kept, whatever of it has failed since.
pub fn is_flagged(traceparent: Option<&str>) -> bool {
    traceparent.and_then(context).is_some_and(|context| context.is_sampled())
}

/// The trace of a `traceparent` is kept from here on, as something of it has failed. Gives what the work that follows is to
/// carry.
pub fn keep(traceparent: String) -> String {
    let Some((tracing, context)) = TRACING.get().zip(context(&traceparent)) else { return traceparent };
    tracing.keeper.keep(context.trace_id());
    tracing.told(&context)
}

/// Keeps a trace of whose id another process has told. What is no id is of nobody here.
pub fn keep_as_told(trace_id: &str) {
    let trace = Some(trace_id).filter(|id| id.len() == 32).and_then(|id| TraceId::from_hex(id).ok());
    if let Some((tracing, trace)) = TRACING.get().zip(trace) {
        tracing.keeper.keep_here(trace);
    }
}

/// A `traceparent` for what begins in a process that sends no traces: those that go on with it may. `kept` is its flag.
pub fn new_trace(kept: bool) -> String {
    let (trace, span) = (TraceId::from_bytes(rand::random()), SpanId::from_bytes(rand::random()));
    format!("00-{trace}-{span}-{:02x}", u8::from(kept))
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
}

impl Stage {
    /// A stage under a `traceparent`; without one a trace begins, and is kept by the configured share.
    pub fn begin(name: impl Into<Cow<'static, str>>, kind: Kind, parent: Option<&str>) -> Self {
        let Some(tracing) = TRACING.get() else { return Self::handing_on(parent) };
        let builder = SpanBuilder::from_name(name).with_kind(kind.into());
        Self { span: Some(tracing.begin(builder, parent.and_then(context))), passed: None }
    }

    fn handing_on(parent: Option<&str>) -> Self {
        Self { span: None, passed: parent.map(str::to_owned) }
    }

    /// A stage that has begun a while ago and failed, or that leads to one that has: it is kept whatever its trace was meant
    /// to be, and so are what is held of the trace and what follows from it.
    pub fn failed_since(name: impl Into<Cow<'static, str>>, parent: Option<&str>, since: SystemTime) -> Self {
        let Some(tracing) = TRACING.get() else { return Self::handing_on(parent) };
        let builder = SpanBuilder::from_name(name).with_kind(SpanKind::Internal).with_start_time(since);
        let span = tracing.begin(builder, parent.and_then(context));
        tracing.keeper.keep(span.span_context().trace_id());
        Self { span: Some(span), passed: None }
    }

    /// The same for one that went well: it is kept if its trace is.
    pub fn since(name: impl Into<Cow<'static, str>>, parent: Option<&str>, since: SystemTime) -> Self {
        let Some((tracing, context)) = TRACING.get().zip(parent.and_then(context)) else {
            return Self::handing_on(parent);
        };
        let builder = SpanBuilder::from_name(name).with_kind(SpanKind::Internal).with_start_time(since);
        Self { span: Some(tracing.begin(builder, Some(context))), passed: None }
    }

    /// Ends at a moment that is over.
    pub fn ended_at(mut self, at: SystemTime) {
        if let Some(mut span) = self.span.take() {
            span.end_with_timestamp(at);
        }
    }

    /// What the work that follows is to carry.
    pub fn traceparent(&self) -> Option<String> {
        match TRACING.get().zip(self.span.as_ref()) {
            Some((tracing, span)) => Some(tracing.told(span.span_context())),
            None => self.passed.clone(),
        }
    }

    /// Calls it otherwise, once more is known.
    pub fn rename(&mut self, name: impl Into<Cow<'static, str>>) {
        if let Some(span) = &mut self.span {
            span.update_name(name);
        }
    }

    /// Adds what is known of it.
    pub fn set(&mut self, name: &'static str, value: impl Into<Value>) {
        if let Some(span) = &mut self.span {
            span.set_attribute(KeyValue::new(name, value));
        }
    }

    /// Says that it failed, and how: its trace is kept, with what is held of it.
    pub fn fail(&mut self, why: impl Into<Cow<'static, str>>) {
        if let Some((tracing, span)) = TRACING.get().zip(self.span.as_mut()) {
            tracing.keeper.keep(span.span_context().trace_id());
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
    /// Why it failed, if it did. That alone is no reason to keep its trace: whoever made it may have come through.
    pub failed: Option<String>,
}

/// Tells of something that is over, if its trace is kept. Gives the `traceparent` of what follows from it.
pub fn happened(what: Happened<'_>) -> Option<String> {
    let parent = what.parent?;
    let Some((tracing, context)) = TRACING.get().zip(context(parent)) else { return Some(parent.to_owned()) };
    let attributes = what.attributes.into_iter().map(|(name, value)| KeyValue::new(name, value));
    let builder = SpanBuilder::from_name(what.name)
        .with_kind(what.kind.into())
        .with_start_time(what.began)
        .with_attributes(attributes);
    let mut span = tracing.begin(builder, Some(context));
    if let Some(why) = what.failed {
        span.set_status(Status::error(why));
    }
    let follows = tracing.told(span.span_context());
    span.end_with_timestamp(what.ended);
    Some(follows)
}
