//! Lets browsers post from any page: what they send carries no authority of ours.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS, ORIGIN,
    VARY,
};
use http::{HeaderMap, HeaderValue};

use crate::answer::{self, Answer};

/// How long a browser may remember a preflight: the two hours that browsers cap it at.
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");

/// Answers a preflight: cheap, also under overload.
pub(crate) fn preflight(headers: &HeaderMap) -> Answer {
    let mut answer = answer::no_content();
    let out = answer.headers_mut();
    out.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST, OPTIONS"));
    if let Some(wanted) = headers.get(ACCESS_CONTROL_REQUEST_HEADERS) {
        out.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
    out.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    answer
}

/// Lets the page that sent the request read its answer.
pub(crate) fn allow_origin(request: &HeaderMap, answer: &mut Answer) {
    let Some(origin) = request.get(ORIGIN) else { return };
    let out = answer.headers_mut();
    out.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    // Beacons are sent with credentials, and browsers then insist on this.
    out.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    out.insert(VARY, HeaderValue::from_static("origin"));
}
