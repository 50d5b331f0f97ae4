use super::*;

fn context(pairs: &[(&'static str, &str)]) -> RequestContext {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(*name, HeaderValue::from_str(value).expect("a header value"));
    }
    let ids = RequestIds::new(&mut Rng::from_seed(7));
    RequestContext::new(&Context::background(), &headers, &ids)
}

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[test]
fn a_legal_id_and_trace_are_taken_over() {
    let request = context(&[("x-request-id", "r-1"), ("traceparent", TRACE)]);
    assert_eq!(request.id, "r-1");
    assert_eq!(request.cx.request_id().map(RequestId::as_str), Some("r-1"));
    assert_eq!(request.cx.trace_parent().map(TraceParent::as_str), Some(TRACE));
    let headers = record_headers(&request.cx);
    let headers = headers.as_headers();
    assert_eq!(headers.get(header::REQUEST_ID), Some(&b"r-1"[..]));
    assert_eq!(headers.get(header::TRACE_PARENT), Some(TRACE.as_bytes()));
}

#[test]
fn an_illegal_id_is_replaced_and_an_illegal_trace_is_dropped() {
    for id in ["", "with space", &"x".repeat(129)] {
        let request = context(&[("x-request-id", id), ("traceparent", "00-0-0-0")]);
        assert_eq!(request.id.len(), 32);
        assert_eq!(request.cx.trace_parent(), None);
        assert_eq!(record_headers(&request.cx).as_headers().len(), 1);
    }
}

#[test]
fn made_ids_differ() {
    let ids = RequestIds::new(&mut Rng::from_seed(7));
    let first = ids.next();
    assert_eq!(first.len(), 32);
    assert_ne!(first, ids.next());
    let other_worker = RequestIds::new(&mut Rng::from_seed(8));
    assert_ne!(first, other_worker.next());
}
