//! `lag`: how far each task is behind, from the running node, out of the data directory, or from
//! the Kafka cluster that a configuration names.

use std::collections::BTreeMap;

use millstream_model::Classify as _;
use millstream_runtime::{Clock, Context};

use crate::cli::{Format, Global, LagArgs};
use crate::client::Client;
use crate::command::ANSWER_TIME_MAX;
use crate::command::offline::{self, Needs, Offline, Place};
use crate::exit::{Code, Failure};
use crate::lag::{Asked, list};
use crate::output::{self, say, seconds, thousands};
use crate::status::{LagRow, Unit};

/// Prints how far each task is behind.
pub(crate) async fn run(global: &Global, args: &LagArgs) -> Result<Code, Failure> {
    let cx = Context::background().with_timeout(ANSWER_TIME_MAX);
    let Some(place) = offline::find(&cx, global, args.config.as_deref(), Needs::Log).await? else {
        return Ok(Code::Config);
    };
    let rows = match place {
        Place::Node(node) => {
            let answer =
                Client::new().get_json::<Vec<LagRow>>(&cx, node.admin, "/api/v1/lag").await;
            answer.map_err(|error| Failure::new(Code::Unavailable, error))?
        }
        Place::Here(data) => read(&cx, &data).await?,
    };
    match global.format {
        Format::Json => {
            output::print_json(&rows)?;
            notes(&rows).iter().for_each(|note| say(note));
        }
        Format::Text => output::print(&text(&rows))?,
    }
    Ok(verdict(&rows, args.max_seconds))
}

async fn read(cx: &Context, data: &Offline) -> Result<Vec<LagRow>, Failure> {
    let asked = Asked { log: data.shared_log(), spool: None, flow: &data.flow };
    let listed = list(cx, asked, Clock::system()).await;
    let listed = listed.map_err(|error| Failure::classified(error.class(), error));
    data.close(cx).await?;
    listed
}

/// Tells whether every task is near enough to its end; one whose delay is not known is not.
fn verdict(rows: &[LagRow], max_seconds: Option<u64>) -> Code {
    let Some(max) = max_seconds else { return Code::Done };
    let is_late = |row: &LagRow| row.delay_ms.is_none_or(|delay| delay > max.saturating_mul(1_000));
    if rows.iter().any(is_late) { Code::NotSo } else { Code::Done }
}

/// Returns what does not fit the table: what is wrong with a row, or why nothing is known of it.
/// Where many rows share a cause it is said once.
fn notes(rows: &[LagRow]) -> Vec<String> {
    let mut tasks_of: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for row in rows {
        for cause in row.problem.iter().chain(&row.unknown) {
            tasks_of.entry(cause).or_default().push(&row.task);
        }
    }
    let note = |(cause, tasks): (&str, Vec<&str>)| format!("{}: {cause}", tasks.join(", "));
    tasks_of.into_iter().map(note).collect()
}

/// Returns the table, and below it what its last column points to.
fn text(rows: &[LagRow]) -> String {
    let mut out = table(rows);
    let notes = notes(rows);
    if !notes.is_empty() {
        out.push_str(&format!("\n{}\n", notes.join("\n")));
    }
    out
}

fn table(rows: &[LagRow]) -> String {
    // The spool counts records, a cluster offsets: then each cell says which.
    let shared = rows.iter().all(|row| row.unit == rows[0].unit);
    let unit = rows.first().map_or(Unit::Records, |row| row.unit).as_str();
    let behind = if shared { format!("behind ({unit})") } else { "behind".to_owned() };
    let mut headings = vec!["task", "input", "position", "end", behind.as_str(), "delay"];
    // Whoever reads a log itself asked no node, and knows no state.
    let has_states = rows.iter().any(|row| row.state.is_some());
    let has_notes = rows.iter().any(|row| note(row).is_some());
    headings.extend((has_states || has_notes).then_some("state"));
    let known = |number: Option<u64>| number.map_or_else(|| "?".to_owned(), |it| it.to_string());
    let lag = |row: &LagRow| match row.lag {
        None => "?".to_owned(),
        Some(lag) if shared => thousands(lag),
        Some(lag) => format!("{} {}", thousands(lag), row.unit.as_str()),
    };
    let cells = |row: &LagRow| {
        let mut cells = vec![
            row.task.clone(),
            format!("{}/{}", row.topic, row.partition),
            known(row.next),
            known(row.end),
            lag(row),
            row.delay_ms.map_or_else(|| "?".to_owned(), seconds),
        ];
        let nowhere = if has_states { "not on this node" } else { "" };
        let state = note(row).or(row.state.as_deref()).unwrap_or(nowhere);
        cells.extend((has_states || has_notes).then(|| state.to_owned()));
        cells
    };
    let rows: Vec<Vec<String>> = rows.iter().map(cells).collect();
    output::table(&headings, &rows)
}

/// Returns what is to be known of a row before what its task does.
fn note(row: &LagRow) -> Option<&'static str> {
    match (&row.problem, &row.unknown) {
        (Some(_), _) => Some("refused, see below"),
        (None, Some(_)) => Some("unknown, see below"),
        (None, None) if row.role == "orphan" => Some("left the configuration"),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests;
