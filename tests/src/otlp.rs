//! A receiver of OTLP, as a collector is one: gRPC and HTTP with protobuf. It keeps what it gets.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

/// What was received.
#[derive(Debug, Clone, Default)]
pub struct Received {
    inner: Arc<Mutex<Kept>>,
    is_away: Arc<AtomicBool>,
}

#[derive(Debug, Default)]
struct Kept {
    spans: Vec<Span>,
    /// With their units.
    metrics: BTreeMap<String, String>,
}

impl Received {
    /// Takes nothing over gRPC from now on, as one that is away; or does again.
    pub fn be_away(&self, is_away: bool) {
        self.is_away.store(is_away, Ordering::Relaxed);
    }

    fn is_away(&self) -> bool {
        self.is_away.load(Ordering::Relaxed)
    }

    /// The spans of one trace, by its id in hexadecimal.
    pub fn spans_of(&self, trace_id: &str) -> Vec<Span> {
        let kept = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        kept.spans.iter().filter(|span| hex(&span.trace_id) == trace_id).cloned().collect()
    }

    /// The names of metrics.
    pub fn metrics(&self) -> BTreeSet<String> {
        self.units().into_keys().collect()
    }

    /// The units of metrics, by name.
    pub fn units(&self) -> BTreeMap<String, String> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).metrics.clone()
    }

    /// Everything as text, to be searched.
    pub fn text(&self) -> String {
        format!("{:?}", self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn take_traces(&self, request: ExportTraceServiceRequest) {
        let scopes = request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).spans.extend(scopes.flat_map(|scope| scope.spans));
    }

    fn take_metrics(&self, request: ExportMetricsServiceRequest) {
        let scopes = request.resource_metrics.into_iter().flat_map(|resource| resource.scope_metrics);
        let units = scopes.flat_map(|scope| scope.metrics).map(|metric| (metric.name, metric.unit));
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).metrics.extend(units);
    }
}

#[tonic::async_trait]
impl TraceService for Received {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        if self.is_away() {
            return Err(Status::unavailable("it is away"));
        }
        self.take_traces(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Received {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        if self.is_away() {
            return Err(Status::unavailable("it is away"));
        }
        self.take_metrics(request.into_inner());
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

/// A running receiver; it ends when it is dropped.
#[derive(Debug)]
pub struct Receiver {
    /// What it got.
    pub received: Received,
    /// Its root.
    pub endpoint: String,
    task: JoinHandle<()>,
}

impl Receiver {
    /// One that understands gRPC.
    pub async fn grpc() -> anyhow::Result<Self> {
        let (listener, endpoint) = listener().await?;
        let received = Received::default();
        let services = Server::builder()
            .add_service(TraceServiceServer::new(received.clone()))
            .add_service(MetricsServiceServer::new(received.clone()));
        let task = tokio::spawn(async move {
            let _ = services.serve_with_incoming(TcpIncoming::from(listener)).await;
        });
        Ok(Self { received, endpoint, task })
    }

    /// One that understands HTTP with protobuf.
    pub async fn http() -> anyhow::Result<Self> {
        let (listener, endpoint) = listener().await?;
        let received = Received::default();
        let router = Router::new()
            .route("/v1/traces", post(traces))
            .route("/v1/metrics", post(metrics))
            .with_state(received.clone());
        let task = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { received, endpoint, task })
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listener() -> anyhow::Result<(TcpListener, String)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let endpoint = format!("http://{}", listener.local_addr()?);
    Ok((listener, endpoint))
}

async fn traces(State(received): State<Received>, body: Bytes) -> StatusCode {
    let request = ExportTraceServiceRequest::decode(body).map(|request| received.take_traces(request));
    if request.is_ok() { StatusCode::OK } else { StatusCode::BAD_REQUEST }
}

async fn metrics(State(received): State<Received>, body: Bytes) -> StatusCode {
    let request = ExportMetricsServiceRequest::decode(body).map(|request| received.take_metrics(request));
    if request.is_ok() { StatusCode::OK } else { StatusCode::BAD_REQUEST }
}
