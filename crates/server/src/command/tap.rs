//! `tap`: shows the records of a topic as they come, from the running node, out of the data
//! directory, or from the Kafka cluster that a configuration names.

mod query;
mod text;

use bytes::Bytes;
use millstream_model::ByteSize;
use millstream_runtime::{Clock, Context};

use crate::cli::{Format, Global, TapArgs};
use crate::client::{Client, ClientError, Streamed};
use crate::command::ANSWER_TIME_MAX;
use crate::command::offline::{self, Needs, Offline, Place};
use crate::exit::{Code, Failure};
use crate::output::{self, Audience, say};
use crate::tap::{self, Ask, AskError, From, Line, Lines};

/// The longest line that is read, in bytes.
const LINE_BYTES_MAX: usize = 64 << 20;

/// Where lines come from.
#[derive(Debug)]
enum Source {
    Node(Streamed),
    Here(Lines),
}

/// Shows records until nothing more was asked for.
pub(crate) async fn run(global: &Global, args: &TapArgs) -> Result<Code, Failure> {
    let looking = Context::background().with_timeout(ANSWER_TIME_MAX);
    // Somebody watches: it may take for ever.
    let cx = Context::background();
    let config = args.config.as_deref();
    let node = match offline::find(&looking, global, config, Needs::Part).await? {
        None => return Ok(Code::Config),
        Some(Place::Here(data)) => return run_here(&cx, global, args, &data).await,
        Some(Place::Node(node)) => node,
    };
    let ask = ask(args, !args.no_follow);
    if !args.no_follow && global.format == Format::Text {
        say(&format!("reading {} from the node at {}; ctrl-c ends it", args.topic, node.admin));
    }
    let streamed = Client::new().stream(&looking, node.admin, &query::path(&ask)).await;
    let streamed = streamed.map_err(|error| match &error {
        ClientError::Refused { status, body, .. } if status.is_client_error() => {
            Failure::message(Code::BadData, body)
        }
        ClientError::Refused { .. } => Failure::new(Code::TryAgain, error),
        _ => Failure::new(Code::Unavailable, error),
    })?;
    show(&cx, global, Source::Node(streamed)).await
}

async fn run_here(
    cx: &Context,
    global: &Global,
    args: &TapArgs,
    data: &Offline,
) -> Result<Code, Failure> {
    // Only a cluster gets more while no node runs here.
    let follow = data.cluster().is_some() && !args.no_follow;
    data.spool_notice().iter().for_each(|notice| say(notice));
    if let Some(cluster) = data.cluster().filter(|_| follow && global.format == Format::Text) {
        say(&format!("reading {} from Kafka at {cluster}; ctrl-c ends it", args.topic));
    }
    let log = data.shared_log();
    let shown = match ask(args, follow).find(cx, &log).await {
        Ok(request) => {
            let lines = tap::start(cx, log, request, Clock::system());
            show(cx, global, Source::Here(lines)).await
        }
        Err(error @ AskError::Topics(_)) => Err(Failure::new(Code::Io, error)),
        Err(error) => Err(Failure::new(Code::BadData, error)),
    };
    data.close(cx).await?;
    if global.format == Format::Text && data.cluster().is_none() {
        say("no node runs on this data directory: this is all there is");
    }
    shown
}

/// Returns what to ask for. Where nothing new can come, the default is all that is there.
fn ask(args: &TapArgs, follow: bool) -> Ask {
    let from = args.from.unwrap_or(if follow { From::End } else { From::Beginning });
    Ask {
        topic: args.topic.clone(),
        partition: args.partition,
        from: Some(from.to_string()),
        filter: args.filter.as_ref().map(ToString::to_string),
        limit: args.limit,
        follow: Some(follow),
    }
}

/// Shows lines until the last one, or until nobody looks.
async fn show(cx: &Context, global: &Global, mut source: Source) -> Result<Code, Failure> {
    let mut pending = Vec::new();
    while let Some(chunk) = source.next(cx).await? {
        pending.extend_from_slice(&chunk);
        let Some(last) = pending.iter().rposition(|byte| *byte == b'\n') else {
            if pending.len() > LINE_BYTES_MAX {
                let most = ByteSize(LINE_BYTES_MAX as u64);
                let message = format!("a line is longer than {most}");
                return Err(Failure::message(Code::BadData, message));
            }
            continue;
        };
        let rest = pending.split_off(last + 1);
        let lines = std::mem::replace(&mut pending, rest);
        if let Some(code) = show_lines(global, &lines)? {
            return Ok(code);
        }
    }
    let message = "the tap broke off before its end";
    Err(Failure::message(Code::TryAgain, message).with_hint("is the node still there?"))
}

/// Shows whole lines; returns how it ended when this was the end.
fn show_lines(global: &Global, lines: &[u8]) -> Result<Option<Code>, Failure> {
    let mut out = String::new();
    let mut ended = None;
    for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let line: Line = serde_json::from_slice(line).map_err(|error| {
            let message = "the node sends what this version does not understand";
            Failure::new(Code::Unavailable, anyhow::Error::new(error).context(message))
        })?;
        match line {
            Line::Record(row) => text::push(&mut out, &row, global.format)?,
            Line::Deleted(deleted) => say(&text::deleted(&deleted)),
            Line::Looked(looked) => say(&text::looked(looked)),
            Line::End => ended = Some(Ok(Code::Done)),
            Line::Failed(reason) => {
                ended = Some(Err(Failure::message(Code::TryAgain, format!("tap ended: {reason}"))));
            }
        }
    }
    if output::print_to(&out)? == Audience::Gone {
        return Ok(Some(Code::Done));
    }
    ended.transpose()
}

impl Source {
    async fn next(&mut self, cx: &Context) -> Result<Option<Bytes>, Failure> {
        match self {
            Self::Here(lines) => Ok(lines.next().await),
            Self::Node(streamed) => {
                let chunk = streamed.next(cx).await;
                chunk.map_err(|error| {
                    Failure::new(Code::TryAgain, error).with_hint("is the node still there?")
                })
            }
        }
    }
}

#[cfg(test)]
mod tests;
