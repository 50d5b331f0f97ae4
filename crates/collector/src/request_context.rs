//! The context of a request: its id and its place in a trace, from headers or made here.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use millstream_model::{HeadersBuilder, header};
use millstream_runtime::{Context, RequestId, Rng, TraceParent};

/// Names the request, in requests and answers.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");

/// Makes request ids: random for each worker, counted within it.
#[derive(Debug)]
pub(crate) struct RequestIds {
    worker: u64,
    next: AtomicU64,
}

impl RequestIds {
    pub(crate) fn new(rng: &mut Rng) -> Self {
        Self { worker: rng.next_u64(), next: AtomicU64::new(0) }
    }

    /// Returns 32 hexadecimal digits.
    fn next(&self) -> String {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let count = self.next.fetch_add(1, Ordering::Relaxed);
        let mut text = String::with_capacity(32);
        for byte in self.worker.to_be_bytes().into_iter().chain(count.to_be_bytes()) {
            text.push(char::from(DIGITS[usize::from(byte >> 4)]));
            text.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
        text
    }
}

/// A request's context, and its id as the answer carries it.
#[derive(Debug)]
pub(crate) struct RequestContext {
    pub(crate) cx: Context,
    pub(crate) id: HeaderValue,
}

impl RequestContext {
    /// Takes id and trace from `headers`; makes an id if there is no legal one.
    pub(crate) fn new(connection: &Context, headers: &HeaderMap, ids: &RequestIds) -> Self {
        let trace = headers.get(TRACE_PARENT).and_then(|value| value.to_str().ok());
        let trace = trace.and_then(TraceParent::new);
        let given = headers.get(X_REQUEST_ID).and_then(|value| {
            let id = RequestId::new(value.to_str().ok()?)?;
            Some((value.clone(), id))
        });
        let (id, request) = given.unwrap_or_else(|| {
            let text = ids.next();
            let request = RequestId::new(&text).expect("32 hexadecimal digits are an id");
            let value = HeaderValue::from_maybe_shared(Bytes::from(text));
            (value.expect("hexadecimal digits are a header value"), request)
        });
        Self { cx: connection.with_request(request, trace), id }
    }
}

/// Returns the headers that every record of the request carries.
pub(crate) fn record_headers(cx: &Context) -> HeadersBuilder {
    let mut headers = HeadersBuilder::new();
    if let Some(id) = cx.request_id() {
        headers.push(header::REQUEST_ID, id.as_str().as_bytes());
    }
    if let Some(trace) = cx.trace_parent() {
        headers.push(header::TRACE_PARENT, trace.as_str().as_bytes());
    }
    headers
}

#[cfg(test)]
mod tests;
