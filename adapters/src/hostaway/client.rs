//! One HTTP exchange: what came back, or how far it got. Redirects and the HTTP client's own retries are off, because
//! each would be a call that no slot was taken for, and a redirect could carry the token to another host.

use std::error::Error;
use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Method, Request, RequestBuilder, StatusCode};

use super::Config;
use crate::destinations::{Destinations, Forbidden};

/// What nobody acknowledges for so long the system gives up (`TCP_USER_TIMEOUT`), and with it the connection. A call that times out
/// closes that without taking back what is on its way. The system counts from its first repetition, so this is a little less. Who lives and
/// takes nothing for so long looks the same: the end of such a call is unknown.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED: Duration = domain::port::LATE_ARRIVAL.saturating_sub(Duration::from_secs(1));

/// The shared HTTP client.
pub(super) struct Client {
    http: reqwest::Client,
    max_response_bytes: usize,
    destinations: Destinations,
}

/// An answer as it came.
pub(super) struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// The body, or why it could not be read to its end.
    pub body: Result<Vec<u8>, String>,
}

/// No answer came.
pub(super) enum NoReply {
    /// There was no connection, so nothing was sent.
    NotSent(String),
    /// The request was, or may have been, sent.
    Lost(String),
}

impl Client {
    pub fn new(config: &Config) -> Result<Self, reqwest::Error> {
        let builder = config
            .destinations
            .guard(reqwest::Client::builder())
            .user_agent(&config.user_agent)
            .timeout(config.call_timeout)
            .connect_timeout(config.connect_timeout)
            // Shorter than what servers and balancers keep, so that a connection is rarely closed under a request.
            .pool_idle_timeout(Duration::from_secs(30))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never());
        // Elsewhere the system has no such setting, and nobody runs this there but to try it.
        #[cfg(target_os = "linux")]
        let builder = builder.tcp_user_timeout(UNACKNOWLEDGED);
        let http = builder.build()?;
        Ok(Self { http, max_response_bytes: config.max_response_bytes, destinations: config.destinations })
    }

    /// Whether a request may be made at all.
    pub fn allows(&self, request: &Request) -> Result<(), Forbidden> {
        self.destinations.check_url(request.url())
    }

    pub fn request(&self, method: Method, url: &str) -> RequestBuilder {
        self.http.request(method, url)
    }

    pub async fn exchange(&self, request: Request) -> Result<Reply, NoReply> {
        let mut response = self.http.execute(request).await.map_err(|error| {
            // A connect time-out is both; the connection was not there, which says more.
            if error.is_connect() { NoReply::NotSent(words(error)) } else { NoReply::Lost(words(error)) }
        })?;
        let status = response.status();
        let headers = std::mem::take(response.headers_mut());
        let body = self.body(response).await;
        Ok(Reply { status, headers, body })
    }

    async fn body(&self, mut response: reqwest::Response) -> Result<Vec<u8>, String> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(words)? {
            if body.len() + chunk.len() > self.max_response_bytes {
                return Err(format!("it is longer than {} bytes", self.max_response_bytes));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

/// The error's innermost cause, which is the one that says something. The URL stays out: the record has the path.
fn words(error: reqwest::Error) -> String {
    if error.is_timeout() {
        return "timed out".to_owned();
    }
    let error = error.without_url();
    let mut innermost: &dyn Error = &error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    format!("{error}: {innermost}")
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::time::Instant;

    use tokio::net::TcpSocket;

    use super::*;

    /// Its system takes no more than fits into a small buffer, as nobody reads there. What is left would be sent after the time-out, too.
    #[tokio::test]
    async fn bytes_that_nobody_takes_are_given_up_long_before_the_call_times_out() {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4_096).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let config = Config { destinations: Destinations::Any, ..Config::default() };
        let client = Client::new(&config).unwrap();
        let url = format!("http://{}/v1/listings", listener.local_addr().unwrap());
        let request = client.request(Method::POST, &url).body(vec![b'x'; 4 * 1_024 * 1_024]).build().unwrap();
        let began = Instant::now();
        let (end, _held) = tokio::join!(client.exchange(request), listener.accept());
        let took = began.elapsed();
        assert!(matches!(end, Err(NoReply::Lost(_))), "nobody answered");
        assert!(took < config.call_timeout / 2, "{took:?}");
    }
}
