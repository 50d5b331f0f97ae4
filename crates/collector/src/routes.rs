//! Which request goes where, and what all answers have in common.

use http::header::CONNECTION;
use http::request::Parts;
use http::{HeaderValue, Method, Request, StatusCode};
use hyper::body::{Body as _, Incoming};
use millstream_runtime::Context;

use crate::answer::{self, Answer, Problem};
use crate::cors;
use crate::paced::Phase;
use crate::readiness::Verdict;
use crate::request_context::{RequestContext, X_REQUEST_ID};
use crate::track;
use crate::worker::Lane;

/// Answers one request. Never fails: what goes wrong is an answer.
pub(crate) async fn answer(
    cx: &Context,
    lane: &Lane,
    phase: &Phase,
    request: Request<Incoming>,
) -> Answer {
    phase.serve();
    let (parts, body) = request.into_parts();
    let RequestContext { cx, id } = RequestContext::new(cx, &parts.headers, &lane.ids);
    let routed = route(&cx, lane, &parts, body).await;
    let mut answer = match routed {
        Ok(answer) => answer,
        Err(refused) => refuse(refused, phase),
    };
    cors::allow_origin(&parts.headers, &mut answer);
    answer.headers_mut().insert(X_REQUEST_ID, id);
    lane.shared.metrics.answered(answer.status());
    phase.rest();
    answer
}

/// A refused request.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) problem: Problem,
    /// Whether some of the body may not have been read, so that the connection cannot go on.
    pub(crate) unread_body: bool,
}

impl Refused {
    /// Refuses a request whose body was read to its end.
    pub(crate) fn after_body(problem: Problem) -> Self {
        Self { problem, unread_body: false }
    }

    /// Refuses a request without reading (all of) its body.
    pub(crate) fn before_body(problem: Problem) -> Self {
        Self { problem, unread_body: true }
    }
}

fn refuse(refused: Refused, phase: &Phase) -> Answer {
    let mut answer = refused.problem.into_answer();
    if refused.unread_body {
        phase.linger();
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}

async fn route(
    cx: &Context,
    lane: &Lane,
    parts: &Parts,
    body: Incoming,
) -> Result<Answer, Refused> {
    let path = parts.uri.path();
    let allowed = match (path, &parts.method) {
        ("/track", &Method::POST) => return track::track(cx, lane, parts, body).await,
        ("/track", &Method::OPTIONS) => return Ok(cors::preflight(&parts.headers)),
        ("/livez", &Method::GET | &Method::HEAD) => return Ok(livez(lane)),
        ("/readyz" | "/healthz", &Method::GET | &Method::HEAD) => return Ok(readyz(lane)),
        ("/track", _) => "POST, OPTIONS",
        ("/livez" | "/readyz" | "/healthz", _) => "GET, HEAD",
        _ => {
            let detail = "no such route; events go to POST /track, health is GET /livez, /readyz";
            return Err(unrouted(&body, Problem::new(StatusCode::NOT_FOUND, "not_found", detail)));
        }
    };
    let detail = format!("{path} takes {allowed}");
    let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail);
    Err(unrouted(&body, problem.with_allow(allowed)))
}

fn unrouted(body: &Incoming, problem: Problem) -> Refused {
    Refused { problem, unread_body: !body.is_end_stream() }
}

fn livez(lane: &Lane) -> Answer {
    health(lane.shared.settings.readiness.liveness(), "alive", "not_alive")
}

/// Ready is what the node says, and that the collector does not drain.
fn readyz(lane: &Lane) -> Answer {
    let verdict = if lane.is_draining() {
        Verdict::Unhealthy(vec!["the collector drains".to_owned()])
    } else {
        lane.shared.settings.readiness.readiness()
    };
    health(verdict, "ready", "not_ready")
}

fn health(verdict: Verdict, status: &'static str, code: &'static str) -> Answer {
    let Verdict::Unhealthy(reasons) = verdict else {
        return answer::json(StatusCode::OK, format!("{{\"status\":\"{status}\"}}\n"));
    };
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, reasons.join("; "))
        .with_texts("reasons", &reasons)
        .into_answer()
}
