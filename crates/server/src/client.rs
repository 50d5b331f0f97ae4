//! A small HTTP client for a node: the admin API, and the demo's events.

use std::error::Error as _;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, Uri, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use millstream_runtime::{Cancelled, Context};
use serde::de::DeserializeOwned;
use thiserror::Error;

/// The largest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// How much of an error's text is shown.
const TEXT_CHARS_MAX: usize = 1000;

/// How long a connection may take to come about.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);

/// Why a node did not answer.
#[derive(Debug, Error)]
pub(crate) enum ClientError {
    /// No connection came about: nobody listens there.
    #[error("nobody answers at {uri}")]
    Unreachable {
        /// What was asked.
        uri: String,
        /// Why.
        #[source]
        source: Box<hyper_util::client::legacy::Error>,
    },
    /// The connection broke before the whole answer came.
    #[error("{uri} broke off its answer")]
    BrokenOff {
        /// What was asked.
        uri: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The node answered with an error.
    #[error("{body} (status {status} of the node at {node})")]
    Refused {
        /// The node's address.
        node: String,
        /// The status.
        status: StatusCode,
        /// The beginning of the body.
        body: String,
    },
    /// The answer is not what this version understands.
    #[error("{uri} gave an answer that this version does not understand")]
    Answer {
        /// What was asked.
        uri: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The node did not answer in time.
    #[error("{uri} did not answer in time")]
    Cancelled {
        /// What was asked.
        uri: String,
        /// Why.
        #[source]
        source: Cancelled,
    },
}

/// Speaks HTTP to a node; cloning shares its connections.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    hyper: HyperClient<HttpConnector, Full<Bytes>>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: StatusCode,
    /// The headers.
    pub(crate) headers: HeaderMap,
    /// The body.
    pub(crate) body: Bytes,
}

/// Why a body broke off.
type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// An answer that comes bit by bit.
#[derive(Debug)]
pub(crate) struct Streamed {
    uri: String,
    body: BoxBody<Bytes, BodyError>,
}

impl Client {
    /// Builds a client without connections.
    pub(crate) fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_TIME_MAX));
        Self { hyper: HyperClient::builder(TokioExecutor::new()).build(connector) }
    }

    /// Asks a node's admin API and decodes the answer.
    pub(crate) async fn get_json<T: DeserializeOwned>(
        &self,
        cx: &Context,
        admin: SocketAddr,
        path: &str,
    ) -> Result<T, ClientError> {
        let uri = uri_of(admin, path);
        let request = Request::get(uri.clone()).body(Full::default());
        let request = request.expect("a method and a checked URI make a request");
        let answer = self.send(cx, request).await?;
        if !answer.status.is_success() {
            return Err(refused(admin, answer.status, &answer.body));
        }
        let uri = uri.to_string();
        serde_json::from_slice(&answer.body).map_err(|source| ClientError::Answer { uri, source })
    }

    /// Asks a node's admin API for an answer that comes bit by bit, and waits for its beginning.
    pub(crate) async fn stream(
        &self,
        cx: &Context,
        admin: SocketAddr,
        path: &str,
    ) -> Result<Streamed, ClientError> {
        let uri = uri_of(admin, path);
        let request = Request::get(uri.clone()).body(Full::default());
        let request = request.expect("a method and a checked URI make a request");
        let uri = uri.to_string();
        let answered = cx.run(self.hyper.request(request)).await;
        let answered =
            answered.map_err(|source| ClientError::Cancelled { uri: uri.clone(), source })?;
        let response = answered.map_err(|source| unanswered(&uri, source))?;
        let (head, body) = response.into_parts();
        let body = body.map_err(|error| -> BodyError { error.into() }).boxed();
        if head.status.is_success() {
            return Ok(Streamed { uri, body });
        }
        let body = cx.run(Limited::new(body, ANSWER_BYTES_MAX).collect()).await;
        let body = body.map_err(|source| ClientError::Cancelled { uri: uri.clone(), source })?;
        let body = body.map_err(|source| ClientError::BrokenOff { uri: uri.clone(), source })?;
        Err(refused(admin, head.status, &body.to_bytes()))
    }

    /// Posts JSON and returns the answer, whatever its status.
    pub(crate) async fn post_json(
        &self,
        cx: &Context,
        uri: &Uri,
        body: Bytes,
    ) -> Result<Answer, ClientError> {
        let request = Request::post(uri.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .expect("a method, a URI and a fixed header make a request");
        self.send(cx, request).await
    }

    async fn send(
        &self,
        cx: &Context,
        request: Request<Full<Bytes>>,
    ) -> Result<Answer, ClientError> {
        let uri = request.uri().to_string();
        let answered = cx.run(self.send_to_end(request)).await;
        answered.map_err(|source| ClientError::Cancelled { uri, source })?
    }

    async fn send_to_end(&self, request: Request<Full<Bytes>>) -> Result<Answer, ClientError> {
        let uri = request.uri().to_string();
        let response = self.hyper.request(request).await;
        let response = response.map_err(|source| unanswered(&uri, source))?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|source| ClientError::BrokenOff { uri, source })?.to_bytes();
        Ok(Answer { status: head.status, headers: head.headers, body })
    }
}

impl Streamed {
    /// Returns the next bytes; `None` at the end. Cancel-safe.
    pub(crate) async fn next(&mut self, cx: &Context) -> Result<Option<Bytes>, ClientError> {
        loop {
            let uri = || self.uri.clone();
            let frame = cx.run(self.body.frame()).await;
            let frame = frame.map_err(|source| ClientError::Cancelled { uri: uri(), source })?;
            let Some(frame) = frame else { return Ok(None) };
            let frame = frame.map_err(|source| ClientError::BrokenOff { uri: uri(), source })?;
            // What is no data is a trailer, and says nothing here.
            if let Ok(bytes) = frame.into_data() {
                return Ok(Some(bytes));
            }
        }
    }
}

fn unanswered(uri: &str, source: hyper_util::client::legacy::Error) -> ClientError {
    let (uri, source) = (uri.to_owned(), Box::new(source));
    if source.is_connect() {
        ClientError::Unreachable { uri, source }
    } else {
        ClientError::BrokenOff { uri, source }
    }
}

fn refused(node: SocketAddr, status: StatusCode, body: &[u8]) -> ClientError {
    // A problem as RFC 9457 has it says in `detail` what is for people.
    let problem: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let detail = problem.as_ref().and_then(|problem| problem["detail"].as_str());
    let text = detail.map_or_else(|| String::from_utf8_lossy(body).into_owned(), str::to_owned);
    let body = text.chars().take(TEXT_CHARS_MAX).collect();
    ClientError::Refused { node: node.to_string(), status, body }
}

impl ClientError {
    /// Tells whether nobody listens there because the port is closed, not because of a delay.
    pub(crate) fn is_connection_refused(&self) -> bool {
        let Self::Unreachable { source, .. } = self else { return false };
        let mut cause = source.source();
        while let Some(error) = cause {
            let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
            if kind == Some(io::ErrorKind::ConnectionRefused) {
                return true;
            }
            cause = error.source();
        }
        false
    }
}

fn uri_of(address: SocketAddr, path: &str) -> Uri {
    let uri = format!("http://{address}{path}");
    uri.parse().expect("an address and a path of ours make a URI")
}
