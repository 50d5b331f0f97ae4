//! `dlq`: lists dead letters, from the running node or out of the data directory.

use millstream_runtime::Context;

use crate::cli::{DlqArgs, Format, Global};
use crate::client::Client;
use crate::command::{ANSWER_TIME_MAX, find_node, offline};
use crate::dead_letters::{Query, list};
use crate::exit::{Code, Failure};
use crate::output::{self, say};
use crate::status::{DeadLetterRow, DeadLetters};

/// Lists the newest dead letters.
pub(crate) async fn run(global: &Global, args: &DlqArgs) -> Result<Code, Failure> {
    let cx = Context::background().with_timeout(ANSWER_TIME_MAX);
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let query = Query { limit: Some(limit), topic: args.topic.clone() };
    let found = match find_node(&cx, global).await? {
        Some(node) => {
            let path = path(&query);
            let answer = Client::new().get_json::<DeadLetters>(&cx, node.admin, &path).await;
            answer.map_err(|error| Failure::new(Code::Unavailable, error))?
        }
        None => read_offline(&cx, global, &query).await?,
    };
    match global.format {
        Format::Json => {
            for letter in &found.letters {
                output::print_json(letter)?;
            }
        }
        Format::Text => print_table(&found)?,
    }
    Ok(Code::Done)
}

async fn read_offline(
    cx: &Context,
    global: &Global,
    query: &Query,
) -> Result<DeadLetters, Failure> {
    let data = offline::open(cx, global).await?;
    let listed = list(cx, data.log(), &data.flow, query).await;
    let listed = listed
        .map_err(|error| Failure::classified(millstream_model::Classify::class(&error), error));
    data.close(cx).await?;
    listed
}

fn path(query: &Query) -> String {
    let limit = query.limit.unwrap_or_default();
    match &query.topic {
        // Topic names need no escaping; anything else names no topic.
        Some(topic) if millstream_model::TopicName::new(topic).is_ok() => {
            format!("/api/v1/dead-letters?limit={limit}&topic={topic}")
        }
        Some(_) => "/api/v1/dead-letters?limit=0".to_owned(),
        None => format!("/api/v1/dead-letters?limit={limit}"),
    }
}

fn print_table(found: &DeadLetters) -> Result<(), Failure> {
    if found.letters.is_empty() {
        say("no dead letters");
        return Ok(());
    }
    let headings = ["topic", "offset", "origin", "step", "field", "reason", "value"];
    let row = |letter: &DeadLetterRow| {
        vec![
            format!("{}-{}", letter.topic, letter.partition),
            letter.offset.to_string(),
            letter.origin.clone(),
            letter.step.clone(),
            letter.field.clone().unwrap_or_default(),
            letter.reason.clone(),
            letter.value.clone(),
        ]
    };
    let rows: Vec<Vec<String>> = found.letters.iter().map(row).collect();
    output::print(&output::table(&headings, &rows))?;
    say(&format!("{} of {} dead letters", found.letters.len(), found.total));
    Ok(())
}
