//! `dlq`: lists dead letters, from the running node, out of the data directory, or from the Kafka
//! cluster that a configuration names.

use chrono::{DateTime, SecondsFormat, Utc};
use millstream_runtime::Context;

use crate::cli::{DlqArgs, Format, Global};
use crate::client::Client;
use crate::command::ANSWER_TIME_MAX;
use crate::command::offline::{self, Needs, Offline, Place};
use crate::dead_letters::{ANSWER_BYTES_MAX, DeadLetterLogs, Query, list};
use crate::exit::{Code, Failure};
use crate::output::{self, say};
use crate::status::{DeadLetterRow, DeadLetters};

/// Lists the newest dead letters.
pub(crate) async fn run(global: &Global, args: &DlqArgs) -> Result<Code, Failure> {
    let cx = Context::background().with_timeout(ANSWER_TIME_MAX);
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let query = Query { limit: Some(limit), topic: args.topic.clone() };
    let config = args.config.as_deref();
    let Some(place) = offline::find(&cx, global, config, Needs::Part).await? else {
        return Ok(Code::Config);
    };
    let found = match place {
        Place::Node(node) => {
            let path = path(&query);
            let answer = Client::new().get_json::<DeadLetters>(&cx, node.admin, &path).await;
            answer.map_err(|error| Failure::new(Code::Unavailable, error))?
        }
        Place::Here(data) => read(&cx, data, &query).await?,
    };
    match global.format {
        Format::Json => {
            for letter in &found.letters {
                output::print_json(letter)?;
            }
        }
        Format::Text => print_table(&found)?,
    }
    say_what_is_missing(global, &found);
    Ok(Code::Done)
}

async fn read(cx: &Context, mut data: Offline, query: &Query) -> Result<DeadLetters, Failure> {
    if !data.add_spool(cx).await? {
        say("a node has the spool of this data directory: without -c it shows what is there too");
    }
    data.spool_notice().iter().for_each(|notice| say(notice));
    let log = data.spool_notice().is_none().then(|| data.shared_log());
    let logs = DeadLetterLogs { log, spool: data.spool() };
    let listed = list(cx, logs, &data.flow, query).await;
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
        return Ok(());
    }
    let mut headings =
        vec!["accepted", "topic", "offset", "origin", "step", "field", "reason", "value"];
    let mut rows: Vec<Vec<String>> = found.letters.iter().map(cells).collect();
    // Only a collector on Kafka has two places.
    if found.letters.iter().any(|letter| letter.place != "log") {
        headings.insert(1, "place");
        rows.iter_mut()
            .zip(&found.letters)
            .for_each(|(row, letter)| row.insert(1, letter.place.clone()));
    }
    output::print(&output::table(&headings, &rows))
}

fn cells(letter: &DeadLetterRow) -> Vec<String> {
    let accepted = DateTime::<Utc>::from_timestamp_millis(letter.accepted_ms).unwrap_or_default();
    vec![
        accepted.to_rfc3339_opts(SecondsFormat::Millis, true),
        format!("{}-{}", letter.topic, letter.partition),
        letter.offset.to_string(),
        letter.origin.clone(),
        letter.step.clone(),
        letter.field.clone().unwrap_or_default(),
        letter.reason.clone(),
        letter.value.clone(),
    ]
}

/// Says, beside the data, how much of all there is was shown, and how to see the rest.
fn say_what_is_missing(global: &Global, found: &DeadLetters) {
    let DeadLetters { total, cut, letters } = found;
    if letters.is_empty() {
        return say(&format!("no dead letters in data directory {}", global.data_shown()));
    }
    if *cut {
        let mib = ANSWER_BYTES_MAX >> 20;
        say(&format!("an answer holds {mib} MiB of events; the older ones are left out"));
    }
    if global.format == Format::Text {
        say(&format!("{} of {total} dead letters, the newest last", letters.len()));
        if letters.iter().flat_map(cells).any(|cell| output::is_cut(&cell)) {
            say("long values end in …; `--format json` gives them whole");
        }
    }
}
