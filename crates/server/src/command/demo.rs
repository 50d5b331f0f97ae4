//! `demo`: posts sample events to the running node and says what came of them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::Uri;
use millstream_runtime::{Clock, Context, TaskKind, spawn};
use serde_json::json;

use crate::accounting::Books;
use crate::cli::{DemoArgs, Format, Global};
use crate::client::Client;
use crate::command::running_node;
use crate::demo::events::Events;
use crate::demo::post::{Outcome, Plan, PostError, post};
use crate::exit::{Code, Failure};
use crate::output::{self, say, thousands};
use crate::presence::NodeInfo;
use crate::progress::Progress;

/// How often progress is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// Posts the events, and waits for them where asked to.
pub(crate) async fn run(global: &Global, args: &DemoArgs) -> Result<Code, Failure> {
    let cx = Context::background().with_timeout(args.timeout);
    let node = match &args.url {
        Some(_) if !args.wait => None,
        _ => Some(running_node(&cx, global).await?),
    };
    let uri = target(args, node.as_ref())?;
    let outcome = Arc::new(Outcome::default());
    let took = post_with_progress(&cx, args, uri, &outcome).await?;
    let accepted = outcome.accepted.load(Ordering::Relaxed);
    let stored_after = match &node {
        Some(node) if args.wait => Some(wait_until_stored(&cx, node).await?),
        _ => None,
    };
    match global.format {
        Format::Json => output::print_json(&json!({
            "accepted": accepted,
            "rejected": outcome.rejected.load(Ordering::Relaxed),
            "waits": outcome.waits.load(Ordering::Relaxed),
            "seconds": took.as_secs_f64(),
            "stored_after_seconds": stored_after.map(|time| time.as_secs_f64()),
        }))?,
        Format::Text => say_outcome(&outcome, took, stored_after),
    }
    Ok(Code::Done)
}

fn target(args: &DemoArgs, node: Option<&NodeInfo>) -> Result<Uri, Failure> {
    let url = match (&args.url, node) {
        (Some(url), _) => url.clone(),
        (None, Some(NodeInfo { collector: Some(collector), .. })) => {
            format!("http://{collector}/track")
        }
        (None, Some(_)) => {
            let message = "the node on this data directory has no collector";
            return Err(Failure::message(Code::Unavailable, message)
                .with_hint("name one that has with --url http://HOST:PORT/track"));
        }
        (None, None) => unreachable!("without a URL the node was looked up"),
    };
    let uri: Uri = url.parse().map_err(|error| {
        Failure::new(Code::Usage, anyhow::Error::new(error).context(format!("--url {url}")))
    })?;
    if uri.scheme_str() != Some("http") || uri.host().is_none() {
        let message = format!("--url {url}: write it as in http://127.0.0.1:8080/track");
        return Err(Failure::message(Code::Usage, message));
    }
    Ok(uri)
}

async fn post_with_progress(
    cx: &Context,
    args: &DemoArgs,
    uri: Uri,
    outcome: &Arc<Outcome>,
) -> Result<Duration, Failure> {
    let plan = Plan {
        uri,
        events: args.events,
        batch: args.batch,
        connections: args.connections.min(args.events.div_ceil(args.batch)),
    };
    let events = Events::new(args.seed, Clock::system().now());
    let (task_cx, task_outcome) = (cx.clone(), Arc::clone(outcome));
    let mut posting = spawn(cx, TaskKind("demo-post"), async move {
        post(&task_cx, plan, events, task_outcome).await
    });
    let mut progress = Progress::start("posting", args.events);
    while !posting.is_finished() {
        progress.set(outcome.answered());
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
    let took = progress.finish();
    let ended = posting.join().await.map_err(PostError::from).and_then(|result| result);
    ended.map_err(|error| {
        let answered = outcome.answered();
        let code = match &error {
            PostError::Client(_) => Code::Unavailable,
            PostError::Refused { .. } => Code::BadData,
            PostError::Cancelled(_) => Code::TryAgain,
            PostError::Answer(_) | PostError::Task(_) => Code::Bug,
        };
        let answered = format!("{answered} of {} events were answered", args.events);
        Failure::new(code, anyhow::Error::new(error).context(answered))
    })?;
    Ok(took)
}

/// Waits until nothing is in flight any more.
async fn wait_until_stored(cx: &Context, node: &NodeInfo) -> Result<Duration, Failure> {
    let client = Client::new();
    let mut progress: Option<Progress> = None;
    let mut most = 0;
    loop {
        let books: Books = client
            .get_json(cx, node.admin, "/api/v1/reconcile")
            .await
            .map_err(|error| Failure::new(Code::Unavailable, error))?;
        let in_flight = books.in_flight();
        let is_stored = in_flight == 0 && books.absent.is_empty();
        most = most.max(in_flight);
        let shown = progress.get_or_insert_with(|| Progress::start("storing", most.max(1)));
        if is_stored {
            return Ok(progress.map_or(Duration::ZERO, Progress::finish));
        }
        shown.set(most - in_flight);
        cx.sleep(LOOK_INTERVAL).await.map_err(|error| {
            if let Some(absent) = books.absent.first() {
                let hint = "ask the worker that fills the table: `millstream reconcile` there";
                return Failure::message(Code::Unavailable, absent.said()).with_hint(hint);
            }
            let message = format!("{in_flight} events are still in flight");
            Failure::new(Code::TryAgain, anyhow::Error::new(error).context(message))
                .with_hint("`millstream reconcile` shows where they are")
        })?;
    }
}

fn say_outcome(outcome: &Outcome, took: Duration, stored_after: Option<Duration>) {
    let accepted = outcome.accepted.load(Ordering::Relaxed);
    let rejected = outcome.rejected.load(Ordering::Relaxed);
    let rate = |count: u64| {
        let per_second = count as f64 / took.as_secs_f64().max(0.001);
        format!("{per_second:.0} events/s")
    };
    say(&format!(
        "{} accepted, {} rejected in {:.1} s ({})",
        thousands(accepted),
        thousands(rejected),
        took.as_secs_f64(),
        rate(accepted + rejected),
    ));
    if let Some(stored_after) = stored_after {
        say(&format!(
            "all of them stored or dead-lettered {:.1} s later",
            stored_after.as_secs_f64()
        ));
    }
}
