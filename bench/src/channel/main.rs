//! The channel of the benchmarks: a light HTTP server that answers at once, or after a latency that it was told, and
//! writes down when each call arrived. Ours and the peer call the same routes of it. One thread, so that it takes as
//! little of the machine as it can.

mod answers;
mod form;
mod inspection;
mod nights;
mod state;

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use clap::Parser;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use state::State;
use tokio::net::TcpListener;

/// The channel of the benchmarks
#[derive(Parser)]
struct Arguments {
    /// Where the address is written once it listens
    #[arg(long)]
    port_file: PathBuf,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, serve(&arguments.port_file))
}

async fn serve(port_file: &Path) -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await.context("cannot listen")?;
    let unfinished = port_file.with_extension("new");
    std::fs::write(&unfinished, listener.local_addr()?.to_string())?;
    std::fs::rename(&unfinished, port_file)?;
    let state = Rc::new(State::default());
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Too many open files, say: it passes.
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        };
        // Answers are small: without this they wait for the client's delayed acknowledgement.
        let _ = stream.set_nodelay(true);
        let state = Rc::clone(&state);
        let service = service_fn(move |request| handle(Rc::clone(&state), request));
        tokio::task::spawn_local(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn handle(state: Rc<State>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    // Before the body is read: this is when the call arrived.
    let at_us = state::now_us();
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let path = head.uri.path();
    let query = head.uri.query().unwrap_or_default();
    let answer = if let Some(path) = path.strip_prefix("/_bench/") {
        inspection::answer(&state, path, &body)
    } else {
        let account = account_of(head.headers.get(AUTHORIZATION));
        let (called, answer) = answers::answer(&state, &head.method, path, query, &body);
        let account = called.account.or(account).unwrap_or_default();
        state.arrived(at_us, account, &called);
        if let Some(latency) = state.latency(account) {
            tokio::time::sleep(latency).await;
        }
        answer
    };
    let mut response = Response::new(Full::new(answer));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// The token is the account's id: there is nothing to keep.
fn account_of(authorization: Option<&HeaderValue>) -> Option<u32> {
    authorization?.to_str().ok()?.strip_prefix("Bearer ")?.parse().ok()
}
