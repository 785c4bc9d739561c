//! `/metrics`, at an address of its own: whoever may look at the metrics is decided by where that is. And the probes of a process without
//! the API, which has those at its own address.

use std::sync::Arc;

use adapters::telemetry::Telemetry;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::schema::Schema;

pub(super) async fn serve(listener: TcpListener, telemetry: Arc<Telemetry>, schema: Schema, stop: CancellationToken) {
    if let Ok(address) = listener.local_addr() {
        tracing::info!("metrics are at http://{address}/metrics");
    }
    let router: Router = Router::new()
        .route("/metrics", get(metrics))
        .with_state(telemetry)
        .route("/health/live", get(async || StatusCode::NO_CONTENT))
        .route("/health/ready", get(ready).with_state(schema));
    if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await {
        tracing::error!(error = %error, "metrics are not shown any more");
    }
}

async fn metrics(State(telemetry): State<Arc<Telemetry>>) -> Response {
    match telemetry.prometheus_text() {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// Whether its roles have begun: one that waits for the schema does nothing yet, and takes nobody's place.
async fn ready(State(schema): State<Schema>) -> Response {
    match schema.waits_for() {
        None => Json(json!({ "ready": true })).into_response(),
        Some(waits_for) => {
            let told = Json(json!({ "ready": false, "reason": waits_for }));
            (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "1")], told).into_response()
        }
    }
}
