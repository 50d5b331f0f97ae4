//! `topics`: the topics of the log, or the partitions of one.

use std::time::Duration;

use millstream_model::Classify as _;
use millstream_runtime::Context;

use crate::cli::{Format, Global, TopicsArgs};
use crate::client::Client;
use crate::command::ANSWER_TIME_MAX;
use crate::command::offline::{self, Needs, Offline, Place};
use crate::config::format_duration;
use crate::exit::{Code, Failure};
use crate::output::{self, say, thousands};
use crate::status::{TopicInfo, Unit};
use crate::topics::list;

/// Prints the topics.
pub(crate) async fn run(global: &Global, args: &TopicsArgs) -> Result<Code, Failure> {
    let cx = Context::background().with_timeout(ANSWER_TIME_MAX);
    let Some(place) = offline::find(&cx, global, args.config.as_deref(), Needs::Part).await? else {
        return Ok(Code::Config);
    };
    let mut topics = match place {
        Place::Node(node) => {
            let answer =
                Client::new().get_json::<Vec<TopicInfo>>(&cx, node.admin, "/api/v1/topics").await;
            answer.map_err(|error| Failure::new(Code::Unavailable, error))?
        }
        Place::Here(data) => {
            data.spool_notice().iter().for_each(|notice| say(notice));
            read(&cx, &data).await?
        }
    };
    if let Some(name) = &args.topic {
        let known: Vec<String> = topics.iter().map(|topic| topic.name.clone()).collect();
        topics.retain(|topic| topic.name == *name);
        if topics.is_empty() {
            let message = format!("there is no topic `{name}`");
            return Err(Failure::message(Code::BadData, message)
                .with_hint(format!("there are {}", known.join(", "))));
        }
    }
    match (global.format, &args.topic) {
        (Format::Json, _) => topics.iter().try_for_each(output::print_json)?,
        (Format::Text, None) => output::print(&all(&topics))?,
        (Format::Text, Some(_)) => {
            topics.iter().try_for_each(|topic| output::print(&partitions(topic)))?;
        }
    }
    Ok(Code::Done)
}

async fn read(cx: &Context, data: &Offline) -> Result<Vec<TopicInfo>, Failure> {
    let listed = list(cx, data.shared_log()).await;
    let listed = listed.map_err(|error| Failure::classified(error.class(), error));
    data.close(cx).await?;
    listed
}

fn all(topics: &[TopicInfo]) -> String {
    let unit = topics.first().map_or(Unit::Records, |topic| topic.unit).as_str();
    let headings = ["topic", "kind", "partitions", unit, "retention"];
    let cells = |topic: &TopicInfo| {
        vec![
            topic.name.clone(),
            topic.kind.clone(),
            topic.partitions.len().to_string(),
            thousands(topic.count),
            topic.retention_ms.map_or_else(
                || "the log's default".to_owned(),
                |kept| format_duration(Duration::from_millis(kept)),
            ),
        ]
    };
    let rows: Vec<Vec<String>> = topics.iter().map(cells).collect();
    output::table(&headings, &rows)
}

fn partitions(topic: &TopicInfo) -> String {
    let headings = ["partition", "start", "end", topic.unit.as_str()];
    let cells = |row: &crate::status::PartitionRow| {
        vec![
            row.partition.to_string(),
            row.start.to_string(),
            row.end.to_string(),
            thousands(row.end.saturating_sub(row.start)),
        ]
    };
    let rows: Vec<Vec<String>> = topic.partitions.iter().map(cells).collect();
    output::table(&headings, &rows)
}

#[cfg(test)]
mod tests;
